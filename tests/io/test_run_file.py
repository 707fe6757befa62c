"""A run that was stopped, however and whenever, goes on to the bits of the one that never was."""

import itertools
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tinynet as tn
from tests.timeless import timeless
from tinynet import cli, files, training
from tinynet.io import run_file

MOONS, OTHERS = tn.datasets.moons(61, seed=0), tn.datasets.moons(30, seed=1)


class StoppedError(Exception):
    pass


class StopAt(tn.Callback):
    def __init__(self, step):
        self.step = step

    def on_step(self, run):
        if run.step == self.step:
            raise StoppedError


def network(**given):
    return tn.mlp(2, [8, 8], 2, **{"seed": 0, "norm": "batch", "dropout": 0.3} | given)


def fit(net, at=None, train=MOONS, **given):
    """Train; stop after step ``at``."""
    given = {"steps": 40, "batch_size": 10, "validate_every": 7} | given
    history = tn.History()
    callbacks = () if at is None else (StopAt(at),)
    try:
        tn.fit(net, train, callbacks=callbacks, history=history, **given)
    except StoppedError:
        assert history.steps[-1:] < [at + 1]
    return net, history


def bits(result):
    net, history = result
    return repr(timeless(history)), {name: array.tobytes() for name, array in (net.params | net.state).items()}


def skipping(**given):
    x = tn.Input(2)
    h = tn.Dropout(0.2)(tn.BatchNorm(decay=0.7)(tn.Dense(6)(x)))
    both = tn.Concat()(h, tn.Dropout(0.5)(tn.ELU(alpha=0.5)(tn.Dense(4)(h))))
    return tn.Network(x, tn.Dense(2)(both), **{"seed": 3} | given)


def optimizer(name):
    lr = tn.Warmup(tn.StepDecay(0.1, every=9, factor=0.5), steps=5)
    return {
        "plain": lambda: tn.SGD(0.1),
        "momentum": lambda: tn.SGD(0.05, momentum=0.9, weight_decay=0.01),
        "nesterov": lambda: tn.SGD(lr, momentum=0.9, nesterov=True, weight_decay=0.1, decoupled=True),
        "clipped": lambda: tn.SGD(tn.Warmup(0.2, 3), clip_norm=0.5),
        "cosine": lambda: tn.SGD(tn.Cosine(0.3, steps=30, final=0.001), momentum=0.5),
        "numpy": lambda: tn.SGD(tn.Warmup(tn.Cosine(np.float32(0.3), np.int64(30)), steps=np.uint8(4))),
    }[name]()


# -- the same bits --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [1, 5, 6, 7, 13, 39])
@pytest.mark.parametrize("kind", ["plain", "momentum", "nesterov", "clipped", "cosine", "numpy"])
def test_a_run_stopped_anywhere_goes_on_to_the_same_weights_state_and_history(tmp_path, kind, at):
    path = tmp_path / "run"
    given = {"validation": OTHERS, "seed": 4}
    whole = fit(network(), optimizer=optimizer(kind), **given)
    fit(network(), at, optimizer=optimizer(kind), checkpoint=path, checkpoint_every=3, **given)
    assert bits(tn.resume(path, MOONS, validation=OTHERS)) == bits(whole)


@pytest.mark.parametrize(
    ("make", "given"),
    [
        (lambda: network(dropout=0.0, norm=None), {}),
        (lambda: network(norm="layer", dtype="float64"), {}),
        (skipping, {"batch_size": 7}),
        (lambda: skipping(dtype="float64"), {"batch_size": 60}),  # 31 and 30 examples
        (network, {"epochs": 5, "steps": None, "validate_every": None}),
        (network, {"batch_size": 1000, "validate_every": 1000}),
        (network, {"loss": tn.MeanSquaredError(), "train": tn.Dataset(MOONS.x, np.eye(2)[MOONS.y])}),
        (network, {"seed": lambda: np.random.default_rng(9)}),
        (lambda: network(seed=np.random.Generator(np.random.PCG64DXSM(2))), {"seed": lambda: dxsm(9)}),
    ],
)
def test_whatever_the_network_and_the_settings(tmp_path, make, given):
    path = tmp_path / "run"
    train = given.get("train", MOONS)

    def run(*at, **more):
        seed = given.get("seed", 0)
        return fit(make(), *at, **given | {"seed": seed() if callable(seed) else seed} | more)

    whole = run()
    run(17, checkpoint=path, checkpoint_every=5)
    assert bits(tn.resume(path, train)) == bits(whole)


def dxsm(seed):
    return np.random.Generator(np.random.PCG64DXSM(seed))


def test_an_optimizer_that_came_with_velocity_and_steps_goes_on(tmp_path):
    def run(*at, **given):
        net, sgd = network(), optimizer("nesterov")
        fit(net, optimizer=sgd, steps=11)
        return fit(net, *at, optimizer=sgd, seed=5, **given)

    run(8, checkpoint=tmp_path / "run", checkpoint_every=4)
    assert bits(tn.resume(tmp_path / "run", MOONS)) == bits(run())


def test_a_run_may_be_stopped_again_and_again(tmp_path):
    path = tmp_path / "run"
    fit(network(), 4, checkpoint=path, checkpoint_every=3)
    for at in (5, 9, 10, 20, 36):
        with pytest.raises(StoppedError):
            tn.resume(path, MOONS, callbacks=[StopAt(at)])
    net, history = tn.resume(path, MOONS)
    assert bits((net, history)) == bits(fit(network()))
    assert (np.diff(history.seconds) > 0).all(), "the time goes on from the last record's"


def test_a_run_that_was_done_is_as_it_was_then(tmp_path):
    path = tmp_path / "run"
    whole = fit(network(), checkpoint=path)
    written = path.stat().st_mtime_ns
    assert bits(tn.resume(path, MOONS, callbacks=[StopAt(1)])) == bits(whole)
    assert path.stat().st_mtime_ns == written


def test_a_run_that_a_callback_ended_goes_on_from_there(tmp_path):
    class End(tn.Callback):
        def on_step(self, run):
            run.stop = run.step == 11

    net = network()
    history = tn.fit(
        net, MOONS, steps=40, batch_size=10, validate_every=7, checkpoint=tmp_path / "run", callbacks=[End()]
    )
    assert history.steps == [7, 11]
    after, longer = tn.resume(tmp_path / "run", MOONS)
    assert longer.steps == [7, 11, 14, 21, 28, 35, 40]
    assert bits((after, history))[1] == bits((fit(network())[0], history))[1]


def test_writing_checkpoints_does_not_change_training(tmp_path):
    assert bits(fit(network(), checkpoint=tmp_path / "run", checkpoint_every=1)) == bits(fit(network()))


def test_a_history_that_was_given_stays_in_front(tmp_path):
    net, history = network(), tn.History()
    fit_again = {"batch_size": 10, "steps": 6, "history": history}
    tn.fit(net, MOONS, **fit_again)
    with pytest.raises(StoppedError):
        tn.fit(net, MOONS, **fit_again, checkpoint=tmp_path / "run", callbacks=[StopAt(4)])
    assert tn.resume(tmp_path / "run", MOONS)[1].steps == [*range(1, 7), *range(1, 7)]


# -- the file -------------------------------------------------------------------------------------------------


def test_it_is_one_safetensors_file_and_the_network_in_it_loads(tmp_path):
    from safetensors.numpy import load_file

    net, _ = fit(network(), checkpoint=tmp_path / "run", optimizer=optimizer("momentum"))
    assert list(tmp_path.iterdir()) == [tmp_path / "run"]
    content = load_file(tmp_path / "run")
    assert content["run.velocity.dense_1.weight"].any()
    assert content["run.history.steps"].tolist() == [7, 14, 21, 28, 35, 40]
    loaded = tn.load(tmp_path / "run")
    assert str(loaded) == str(net)
    assert bits((loaded, None)) == bits((net, None))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"steps": 40, "validate_every": 1}, range(0, 41, 2)),
        ({"steps": None, "epochs": 3, "validate_every": 1}, [0, 7, 14, 21]),
        ({"steps": 5}, range(6)),
        ({"steps": 40, "checkpoint_every": 15}, [0, 15, 30, 40]),
        ({"steps": 10, "checkpoint_every": np.int64(100)}, [0, 10]),
    ],
)
def test_it_is_written_first_then_as_often_as_asked_or_each_epoch_or_twentieth_and_last(
    tmp_path, monkeypatch, given, expected
):
    steps, write = [], run_file.write

    def noted(run, plan):
        steps.append(run.step)
        write(run, plan)

    monkeypatch.setattr(run_file, "write", noted)
    fit(network(), checkpoint=tmp_path / "run", **given)
    assert steps == list(expected)


def test_the_file_is_synced_before_it_takes_the_place_of_the_one_before(tmp_path, monkeypatch):
    calls, path = [], tmp_path / "run"
    path.write_text("before")

    def noting(name):
        original = getattr(os, name)

        def noted(*arguments):
            calls.append(name)
            assert path.exists()  # the one before is there all the time
            return original(*arguments)

        monkeypatch.setattr(os, name, noted)

    noting("fsync")
    noting("replace")
    fit(network(), checkpoint=path, checkpoint_every=20)
    order = [name for k, name in enumerate(calls) if k == 0 or name != calls[k - 1]]
    assert order[:6] == ["fsync", "replace"] * 3


def test_the_folder_is_made_and_what_a_killed_writer_left_is_removed(tmp_path):
    path = tmp_path / "new" / "run[1]"
    fit(network(), 9, checkpoint=path, checkpoint_every=3)
    left, others = path.with_name(".run[1].abcdefgh"), path.with_name(".run1.abcdefgh")
    left.write_bytes(b"half")
    others.write_bytes(b"of another")
    tn.resume(path, MOONS)
    assert sorted(path.parent.iterdir()) == sorted([path, others])


# -- a run that diverges --------------------------------------------------------------------------------------


@pytest.mark.parametrize("lr", [1e25, 1e39])  # with the second, the first update gives weights that are not finite
@pytest.mark.parametrize("norm", [None, "batch"])
def test_the_checkpoint_of_a_run_that_diverges_is_the_last_finite_one_and_it_diverges_again(tmp_path, norm, lr):
    given = {"optimizer": tn.SGD(lr), "checkpoint": tmp_path / "run", "checkpoint_every": 1}
    _, history = fit(network(norm=norm), **given)
    assert history.diverged
    kept = tn.load(tmp_path / "run")
    assert all(np.isfinite(array).all() for array in (kept.params | kept.state).values())
    assert repr(timeless(tn.resume(tmp_path / "run", MOONS)[1])) == repr(timeless(history))


def spoiled(step):
    """A training set of which the batch after ``step`` steps has, in float32, an infinite number."""
    order = np.random.default_rng(0).permutation(61)
    x = MOONS.x.astype("float64")
    x[order[10 * step]] = 1e300
    return tn.Dataset(x, MOONS.y)


def test_a_batch_that_overflows_leaves_no_trace_and_the_run_before_it_can_be_had(tmp_path):
    net, history = fit(network(), train=spoiled(4), checkpoint=tmp_path / "run", checkpoint_every=1)
    assert history.diverged
    assert history.steps[-1] == 4
    before = fit(network(), train=spoiled(4), steps=4)[0]
    kept = tn.load(tmp_path / "run")
    for name, array in (before.params | before.state).items():
        np.testing.assert_array_equal((net.params | net.state)[name], array)
        np.testing.assert_array_equal((kept.params | kept.state)[name], array)


# -- what is refused ------------------------------------------------------------------------------------------


@pytest.fixture
def stopped(tmp_path):
    """A checkpoint at step 6 of 40."""
    fit(
        network(),
        8,
        validation=OTHERS,
        checkpoint=tmp_path / "run",
        checkpoint_every=6,
        optimizer=optimizer("nesterov"),
    )
    return tmp_path / "run"


@pytest.mark.parametrize(
    ("train", "validation", "which"),
    [
        (OTHERS, OTHERS, "train"),
        (MOONS[::-1], OTHERS, "train"),
        (tn.Dataset(MOONS.x.astype("float64"), MOONS.y), OTHERS, "train"),
        (tn.Dataset(MOONS.x, 1 - MOONS.y), OTHERS, "train"),
        (MOONS.x, OTHERS, "train"),
        (MOONS, None, "validation"),
        (MOONS, MOONS, "validation"),
    ],
)
def test_other_data_are_refused_by_name(stopped, train, validation, which):
    with pytest.raises(tn.DataError, match=rf"^{which}: must be .* the run in .*run has, Dataset\(") as error:
        tn.resume(stopped, train, validation=validation)
    assert "\n" not in str(error.value)


def test_validation_data_are_refused_if_the_run_had_none(tmp_path):
    fit(network(), checkpoint=tmp_path / "run")
    with pytest.raises(
        tn.DataError, match=r"^validation: must be the data set that the run in .*run has, none; this is"
    ):
        tn.resume(tmp_path / "run", MOONS, validation=OTHERS)


class OwnSGD(tn.SGD):
    pass


class OwnLoss(tn.SoftmaxCrossEntropy):
    pass


class OwnLayer(tn.Sigmoid):
    pass


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"optimizer": tn.SGD(lambda step: 0.1)}, "tinynet's own kinds of schedule, not <function"),
        ({"optimizer": tn.SGD(tn.Warmup(lambda step: 0.1, 3))}, "tinynet's own kinds of schedule, not <function"),
        ({"optimizer": OwnSGD()}, "tinynet's own kinds of optimizer, not <.*OwnSGD"),
        ({"loss": OwnLoss()}, "tinynet's own kinds of loss, not <.*OwnLoss"),
        ({"seed": np.random.Generator(np.random.MT19937(0))}, "PCG64 or PCG64DXSM, not of MT19937"),
        ({"net": tn.Sequential([tn.Dense(2), OwnLayer()], inputs=2)}, "OwnLayer: .*tinynet's own layers"),
        ({"checkpoint_every": 0}, "checkpoint_every must be a whole number of at least 1, not 0"),
        ({"checkpoint_every": 2.5}, "checkpoint_every must be a whole number of at least 1, not 2.5"),
        ({"checkpoint": None, "checkpoint_every": 3}, "checkpoint_every needs a checkpoint"),
        ({"checkpoint": "."}, r"\.: is a folder; name a file"),
        ({"checkpoint": "file/run"}, "file: cannot write there"),
    ],
)
def test_what_a_checkpoint_cannot_hold_is_refused_before_training(tmp_path, monkeypatch, given, message):
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    net = given.pop("net", None) or network()
    given = {"checkpoint": "run"} | given
    before = bits((net, None))
    with pytest.raises(tn.InputError, match=message):
        tn.fit(net, MOONS, steps=3, batch_size=10, **given)
    assert bits((net, None)) == before
    assert list(Path().iterdir()) == [Path("file")]


# -- files that are not what they should be -------------------------------------------------------------------


def test_a_negative_variance_is_refused_before_training(tmp_path):
    net = network(norm="batch")
    net.state["batch_norm_1.running_var"][2] = -1
    with pytest.raises(
        tn.InputError, match=r"run: batch_norm_1\.running_var\[2\] is -1\.0, and must be .* at least 0"
    ):
        tn.fit(net, MOONS, steps=2, checkpoint=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def refused(path):
    with pytest.raises(tn.FileFormatError, match=f"^{path}: ") as error:
        tn.resume(path, MOONS, validation=OTHERS)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < len(str(path)) + 300
    return str(error.value)


def test_a_truncated_file_is_refused(stopped):
    content = stopped.read_bytes()
    for size in {*range(0, len(content), 97), len(content) - 1}:
        stopped.write_bytes(content[:size])
        refused(stopped)


def test_a_flipped_bit_is_found(stopped):
    content, chance = stopped.read_bytes(), np.random.default_rng(0)
    for place in chance.choice(len(content), 200, replace=False):
        flipped = bytearray(content)
        flipped[place] ^= 1 << int(chance.integers(8))
        stopped.write_bytes(flipped)
        refused(stopped)


def test_a_network_without_a_run_is_refused_and_a_missing_file_named(tmp_path):
    network().save(tmp_path / "net")
    assert "holds a network, but not the run that trains it; tn.load reads it" in refused(tmp_path / "net")
    with pytest.raises(tn.InputError, match="nothing: no such file"):
        tn.resume(tmp_path / "nothing", MOONS)


def rewrite(path, change):
    """Write the checkpoint again with its JSON or its arrays changed, and a checksum that fits."""
    arrays, metadata = files.read_arrays(path)
    del metadata[files.CHECKSUM]
    content = json.loads(metadata["run"])
    change(content, arrays)
    files.write_arrays(path, arrays, metadata | {"run": json.dumps(content)})


def paths(content, before=()):
    for name, value in content.items():
        yield (*before, name)
        if isinstance(value, dict):
            yield from paths(value, (*before, name))


def put(content, where, value):
    *outer, last = where
    for name in outer:
        content = content[name]
    if value is KeyError:
        del content[last]
    else:
        content[last] = value


WRONG = ["x", -1, 1.5, None, [], {}, 10**40, "MT19937", math.nan, {"schedule": "Cosine"}]


def test_whatever_is_changed_in_it_the_run_goes_on_or_the_file_is_refused(stopped, monkeypatch):
    """Each entry in turn left out, and with four wrong values; the checksum fits."""
    monkeypatch.setattr(training, "go_on", lambda *_, **__: None)
    content = stopped.read_bytes()
    entries = list(paths(json.loads(files.read_arrays(stopped)[1]["run"])))
    assert len(entries) > 35
    taken, values = set(), itertools.cycle(WRONG)
    for where in entries:
        for value in (KeyError, *itertools.islice(values, 4)):
            stopped.write_bytes(content)
            rewrite(stopped, lambda run, _, where=where, value=value: put(run, where, value))
            try:
                tn.resume(stopped, MOONS, validation=OTHERS)
                taken.add(".".join(where))
            except tn.DataError:
                assert where[0] == "data"
            except tn.FileFormatError:
                refused(stopped)
    assert taken <= {*TAKEN, "order.has_uint32", "layers.dropout_1.has_uint32", "layers.dropout_2.has_uint32"}


LR = ["steps", "then", "then.lr", "then.every", "then.factor"]
TAKEN = {"optimizer.clip_norm", "optimizer.weight_decay", *(f"optimizer.lr.{name}" for name in LR)}


def drop(name):
    return lambda _, arrays: arrays.pop(name)


def replace(name, array):
    return lambda _, arrays: arrays.update({name: np.array(array)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop("run.recent"), "it has no 'run.recent'"),
        (drop("run.history.lr"), "it has no 'run.history.lr'"),
        (
            drop("run.velocity.dense_1.weight"),
            "arrays missing or not in the architecture: run.velocity.dense_1.weight",
        ),
        (replace("run.more", [1.0]), "arrays missing or not in the architecture: run.more"),
        (
            replace("run.velocity.dense_1.weight", np.zeros((3, 2), "float32")),
            r"run.velocity.dense_1.weight is float32",
        ),
        (
            lambda _, arrays: arrays.update({n: a - 2 for n, a in arrays.items() if n.endswith("running_var")}),
            ", and must be a finite number of at least 0",
        ),
        (replace("run.recent", [[1.0]]), "not a run that can go on"),
        (replace("run.history.lr", [[1.0]]), "not a history"),
        (replace("run.history.lr", [1.0, 2.0, 3.0]), "different lengths"),
        (replace("run.history.steps", [-1]), "not a history"),
        (lambda run, _: run.update(version=2), "version 2; this tinynet reads version 1"),
    ],
)
def test_what_is_missing_or_wrong_is_named(stopped, change, message):
    rewrite(stopped, change)
    assert message in refused(stopped)


# -- killed ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_run_killed_again_and_again_also_in_the_middle_of_a_write_ends_as_if_it_never_was(tmp_path):
    from tests import killed_training

    command = [sys.executable, "-m", "tests.killed_training", str(tmp_path), "24"]
    env = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=Path(__file__).parents[1], env=env, capture_output=True, text=True, timeout=240, check=True
    )
    lives = json.loads(done.stdout)
    anywhere = [life for life in lives if life["place"] == "anywhere"]
    assert [life["signal"] for life in anywhere] == [9] * 24
    in_a_write = [(life["place"], life["left"]) for life in lives if life["place"] != "anywhere"]
    assert in_a_write[:4] == [("half written", 1), ("not synced", 1), ("not renamed", 1), ("renamed", 0)]
    begun = [life["began at"] for life in lives if life["began at"] >= 0]
    assert begun == sorted(begun)
    assert len(set(begun)) > 5
    assert begun[-1] < killed_training.STEPS
    killed = killed_training.train(tmp_path / killed_training.NAME)
    assert list(tmp_path.iterdir()) == [tmp_path / killed_training.NAME]
    assert bits(killed) == bits(killed_training.train(None))


# -- the command ----------------------------------------------------------------------------------------------

SMALL = ["--depth", "2", "--width", "8", "--batch-size", "20", "--momentum", "0.9", "--steps", "60"]


class Interrupting(tn.Callback):
    """In place of the progress bar."""

    at = -1

    def __init__(self, run):
        pass

    def on_step(self, run):
        if run.step == self.at:
            raise KeyboardInterrupt

    def close(self):
        pass


def command(*arguments):
    return cli.main(["train", *map(str, arguments)])


def test_the_command_goes_on_where_it_was_interrupted(idx_folder, tmp_path, monkeypatch, capsys):
    data = ["--data", idx_folder]
    names = ["whole", "first", "resumed"]
    whole, first, resumed = (tmp_path / f"{name}.safetensors" for name in names)
    path = tmp_path / "run"
    assert command(*SMALL, *data, "--out", whole) == 0
    monkeypatch.setattr(training, "StepBar", Interrupting)
    Interrupting.at = 31
    assert command(*SMALL, *data, "--out", first, "--checkpoint", path, "--checkpoint-every", 7) == 130
    assert f"go on: tinynet train --resume {path} --data {idx_folder} --out {first}\n" in capsys.readouterr().out
    Interrupting.at = 44
    assert command("--resume", path, *data, "--out", resumed) == 130
    Interrupting.at = -1
    assert command("--resume", path, *data, "--out", resumed) == 0
    assert resumed.read_bytes() == whole.read_bytes()
    histories = [tn.History.from_csv(path.with_suffix(".csv")) for path in (resumed, whole)]
    assert histories[0] == histories[1]
    assert "60 steps, test accuracy " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--resume", "run", "--lr", "0.2"], "--lr: the checkpoint has its own; beside --resume leave it out"),
        (["--resume", "run", "--batch-size", "30"], "--batch-size: the checkpoint has its own"),
        (["--resume", "run", "--checkpoint-every", "3"], "--checkpoint-every: the checkpoint has its own"),
        (["--resume", "nothing"], "nothing: no such file"),
        (["--resume", "a-file"], "a-file: not a safetensors file"),
        (["--resume", "run"], "train: must be the data set that the run in run has, Dataset(61 examples"),
        (["--resume", "run", "--out", "run"], "run: the network goes there (--out); name another file"),
        (["--checkpoint", "net.safetensors"], "net.safetensors: the network goes there (--out)"),
        (["--checkpoint", "."], ".: is a folder"),
        (["--checkpoint", "a-file/run"], "a-file: cannot write there"),
        (["--checkpoint-every", "3"], "checkpoint_every needs a checkpoint"),
        (["--checkpoint", "x", "--checkpoint-every", "0"], "'0' is not a whole number"),
    ],
)
def test_wrong_arguments_are_one_line_and_exit_code_2(idx_folder, stopped, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(stopped.parent)
    Path("a-file").write_text("neither a folder nor a network")
    before = sorted(Path().iterdir())
    try:
        code = command(*arguments, "--data", idx_folder)
    except SystemExit as exit:
        code = exit.code
    printed = capsys.readouterr()
    assert code == 2
    assert printed.err.startswith("tinynet train: ")
    assert printed.err.count("\n") == 1
    assert message in printed.err
    assert sorted(Path().iterdir()) == before
