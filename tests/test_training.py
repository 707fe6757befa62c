import math
from types import SimpleNamespace

import numpy as np
import pytest

import tinynet as tn
from tests.timeless import timeless
from tinynet import training

MOONS = tn.datasets.moons(61, seed=0)


def network(**settings):
    return tn.mlp(2, [8], 2, **{"seed": 0} | settings)


def fit(net, train=MOONS, **settings):
    if "steps" not in settings and "epochs" not in settings:
        settings["epochs"] = 2
    return tn.fit(net, train, **{"batch_size": 10, "seed": 0} | settings)


class Watch(tn.Callback):
    """Notes each call with the step, and each batch as the first layer saw it."""

    def __init__(self, name="watch", calls=None):
        self.name, self.calls, self.batches, self.losses = name, [] if calls is None else calls, [], []

    def on_backward(self, run):
        self.calls.append((self.name, "backward", run.step))
        self.batches.append(run.net.layer_input("dense_1").copy())
        self.losses.append(run.loss)

    def on_step(self, run):
        self.calls.append((self.name, "step", run.step))

    def on_record(self, run):
        self.calls.append((self.name, "record", run.step))


# -- it learns ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", [None, "batch", "layer"])
def test_a_small_network_learns_the_moons(norm):
    train, test = tn.datasets.moons(400, seed=0), tn.datasets.moons(200, seed=1)
    net = tn.mlp(2, [32, 32], 2, norm=norm, seed=0)
    history = tn.fit(
        net, train, validation=test, optimizer=tn.SGD(0.1, momentum=0.9), epochs=60, batch_size=50, seed=0
    )
    assert history.validation_accuracy[-1] >= 0.98


def test_a_small_network_learns_the_spirals():
    train, test = tn.datasets.spirals(600, noise=0.1, seed=0), tn.datasets.spirals(300, noise=0.1, seed=1)
    net = tn.mlp(2, [32, 32], 3, norm="batch", seed=0)
    tn.fit(net, train, optimizer=tn.SGD(0.1, momentum=0.9), epochs=60, batch_size=50, seed=0)
    net.calibrate(train.x)
    assert tn.evaluate(net, test)[1] >= 0.95


def test_regression_by_mean_squared_error_finds_the_line():
    x = np.random.default_rng(0).uniform(-1, 1, (200, 2))
    train = tn.Dataset(x, 3 * x[:, 0] - 2 * x[:, 1] + 0.5)
    net = tn.Sequential([tn.Dense(1)], inputs=2, dtype="float64", seed=0)
    history = fit(net, train, validation=train, loss=tn.MeanSquaredError(), epochs=100)
    np.testing.assert_allclose(net.params["dense_1.weight"].ravel(), [3, -2], rtol=1e-6)
    np.testing.assert_allclose(net.params["dense_1.bias"], [0.5], rtol=1e-6)
    assert history.validation_loss[-1] < 1e-12
    assert math.isnan(history.validation_accuracy[-1])


def test_one_step_is_forward_loss_backward_update():
    net, twin = network(dtype="float64"), network(dtype="float64")
    watch = Watch()
    history = fit(net, steps=1, optimizer=tn.SGD(0.3), callbacks=[watch])
    x = watch.batches[0]
    y = [MOONS.y[np.flatnonzero((MOONS.x == row).all(axis=1))[0]] for row in x]
    loss, gradient = tn.SoftmaxCrossEntropy()(twin.forward(x, training=True), np.array(y))
    twin.backward(gradient)
    assert history.train_loss == [loss]
    for name, w in twin.params.items():
        np.testing.assert_allclose(net.params[name], w - 0.3 * twin.grads[name], rtol=1e-14, atol=1e-16)


# -- how long, and what is recorded ---------------------------------------------------------------------------


def test_epochs_are_passes_and_each_is_recorded():
    assert fit(network(), epochs=3).steps == [7, 14, 21]  # 61 examples: five batches of nine and two of eight


def test_steps_are_updates_and_twenty_records_are_taken():
    assert fit(network(), steps=40).steps == list(range(2, 41, 2))
    assert fit(network(), steps=5).steps == [1, 2, 3, 4, 5]


def test_records_come_as_often_as_asked_and_the_last_step_is_always_recorded():
    assert fit(network(), steps=10, validate_every=4).steps == [4, 8, 10]
    assert fit(network(), epochs=1, validate_every=3).steps == [3, 6, 7]
    assert fit(network(), steps=10, validate_every=100).steps == [10]


def test_a_record_has_the_mean_loss_since_the_one_before():
    watch = Watch()
    history = fit(network(), steps=10, validate_every=4, callbacks=[watch])
    losses = watch.losses
    expected = [np.mean(losses[:4]), np.mean(losses[4:8]), np.mean(losses[8:])]
    assert history.train_loss == pytest.approx(expected, rel=1e-15)


def test_a_record_has_the_score_on_the_whole_validation_set():
    net, validation = network(norm="batch"), tn.datasets.moons(30, seed=1)
    history = fit(net, epochs=2, validation=validation)
    assert (history.validation_loss[-1], history.validation_accuracy[-1]) == tn.evaluate(net, validation)
    assert not any(map(math.isnan, history.validation_loss + history.validation_accuracy))


def test_without_validation_its_columns_are_nan():
    history = fit(network(), epochs=2)
    assert all(map(math.isnan, history.validation_loss + history.validation_accuracy))


def test_a_record_has_the_rate_of_its_step():
    history = fit(network(), steps=6, optimizer=tn.SGD(tn.StepDecay(0.1, every=2, factor=0.5)), validate_every=1)
    assert history.lr == [0.1, 0.1, 0.05, 0.05, 0.025, 0.025]


def test_an_optimizer_used_for_another_network_starts_anew():
    optimizer = tn.SGD(tn.Cosine(0.1, steps=10), momentum=0.9)
    first, second = (fit(network(), steps=5, optimizer=optimizer, validate_every=1) for _ in range(2))
    assert first.lr == second.lr
    assert first.train_loss == second.train_loss


def test_an_optimizer_used_for_the_same_network_goes_on():
    optimizer, net = tn.SGD(tn.Cosine(0.1, steps=10)), network()
    rates = [fit(net, steps=5, optimizer=optimizer, validate_every=1).lr for _ in range(2)]
    assert [*rates[0], *rates[1]] == [tn.Cosine(0.1, steps=10)(step) for step in range(10)]


def test_records_are_added_to_the_history_given():
    history = tn.History()
    assert fit(network(), epochs=1, history=history) is history
    fit(network(), epochs=1, history=history)
    assert history.steps == [7, 7]


def test_by_default_it_is_cross_entropy_and_plain_sgd_at_a_tenth():
    nets = network(), network()
    fit(nets[0])
    fit(nets[1], loss=tn.SoftmaxCrossEntropy(), optimizer=tn.SGD(lr=0.1))
    for name, w in nets[0].params.items():
        np.testing.assert_array_equal(w, nets[1].params[name])


# -- same seed, same bits -------------------------------------------------------------------------------------


def test_same_seed_same_bits():
    def result():
        net = network(norm="batch", dropout=0.3)
        history = fit(net, validation=MOONS, optimizer=tn.SGD(0.1, momentum=0.9, nesterov=True))
        return repr(timeless(history)), [array.tobytes() for array in (*net.params.values(), *net.state.values())]

    assert result() == result()


def test_another_seed_gives_other_batches():
    watches = Watch(), Watch()
    for seed, watch in enumerate(watches):
        fit(network(), seed=seed, callbacks=[watch])
    assert not np.array_equal(watches[0].batches[0], watches[1].batches[0])


def test_arms_with_and_without_batch_norm_and_in_either_precision_see_the_same_batches():
    train = tn.datasets.moons(60, seed=0)
    arms = [{}, {"norm": "batch"}, {"norm": "layer", "dropout": 0.5}, {"activation": "tanh"}, {"dtype": "float64"}]
    watches = []
    for settings in arms:
        watches.append(Watch())
        fit(network(**settings), train, callbacks=[watches[-1]])
    for watch in watches[1:]:
        for ours, theirs in zip(watch.batches, watches[0].batches, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_watching_and_validating_do_not_change_training():
    nets = network(norm="batch", dropout=0.3), network(norm="batch", dropout=0.3)
    fit(nets[0])
    fit(nets[1], validation=tn.datasets.moons(33, seed=5), validate_every=1, callbacks=[Watch()], progress=True)
    for role in ("params", "state"):
        for name, array in getattr(nets[0], role).items():
            np.testing.assert_array_equal(array, getattr(nets[1], role)[name])


def test_the_data_is_never_changed():
    data = tn.datasets.moons(30, seed=0)
    x, y = data.x.copy(), data.y.copy()
    data.x.flags.writeable = data.y.flags.writeable = False  # writing would raise
    fit(network(norm="batch"), data, validation=data)
    np.testing.assert_array_equal(data.x, x)
    np.testing.assert_array_equal(data.y, y)


@pytest.mark.parametrize(("net_dtype", "data_dtype"), [("float64", "float32"), ("float32", "float64")])
def test_data_of_the_other_precision_is_converted(net_dtype, data_dtype):
    nets, histories = [], []
    for dtype in (data_dtype, net_dtype):
        data = tn.Dataset(MOONS.x.astype(dtype), MOONS.y)
        nets.append(network(dtype=net_dtype, norm="batch"))
        histories.append(fit(nets[-1], data, validation=data))
    assert histories[0] == histories[1]
    for name, array in {**nets[0].params, **nets[0].state}.items():
        assert array.dtype == net_dtype
        np.testing.assert_array_equal(array, {**nets[1].params, **nets[1].state}[name])


# -- the last batch of an epoch -------------------------------------------------------------------------------


def test_left_over_examples_come_in_the_same_batches_with_and_without_batch_norm():
    seen = []
    for norm in (None, "layer", "batch"):
        watch = Watch()
        assert fit(network(norm=norm), epochs=2, callbacks=[watch]).steps == [7, 14]
        assert [len(batch) for batch in watch.batches] == [9, 9, 9, 9, 9, 8, 8] * 2
        seen.append(np.concatenate(watch.batches))
    np.testing.assert_array_equal(seen[0], seen[1])
    np.testing.assert_array_equal(seen[0], seen[2])


@pytest.mark.slow
def test_a_few_examples_more_than_whole_batches_cost_no_accuracy():
    train, test = tn.datasets.mnist()
    accuracy = {}
    for rest in (0, 1, 2, 3, 5, 10, 30):
        accuracies = []
        for seed in range(3):
            net = tn.mlp(784, [50] * 4, 10, norm="batch", seed=seed)
            tn.fit(net, train[: 6000 + rest], epochs=5, batch_size=60, seed=seed)
            accuracies.append(tn.evaluate(net, test)[1])
        accuracy[rest] = sum(accuracies) / 3
    assert accuracy[0] > 0.9
    assert accuracy == pytest.approx(dict.fromkeys(accuracy, accuracy[0]), abs=0.01)


def test_batches_of_one_are_refused_with_batch_norm_before_training_and_fine_without():
    net = network(norm="batch")
    before = net.params["dense_1.weight"].copy()
    with pytest.raises(
        tn.InputError, match="batch_size in a network with batch normalization must be a whole number of at least 2"
    ):
        fit(net, batch_size=1)
    with pytest.raises(tn.DataError, match="has 1 example, batch normalization needs 2"):
        fit(net, MOONS[:1])
    np.testing.assert_array_equal(net.params["dense_1.weight"], before)
    assert fit(network(), batch_size=1, epochs=1).steps == [61]
    assert fit(network(), MOONS[:1], epochs=3).steps == [1, 2, 3]


# -- divergence -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", [None, "batch"])
@pytest.mark.parametrize("loss", [tn.SoftmaxCrossEntropy(), tn.MeanSquaredError()])
def test_a_diverging_run_ends_with_its_records_and_neither_error_nor_warning(norm, loss):
    train = MOONS if isinstance(loss, tn.SoftmaxCrossEntropy) else tn.Dataset(MOONS.x, np.eye(2)[MOONS.y])
    settings = {"loss": loss, "steps": 200, "validate_every": 1, "progress": True}
    history = fit(network(norm=norm), train, optimizer=tn.SGD(1e25), **settings)
    assert history.diverged
    assert history.steps[-1] < 200
    assert not math.isfinite(history.train_loss[-1])
    assert all(map(math.isfinite, history.train_loss[:-1]))
    assert history.steps == [*range(1, history.steps[-1] + 1), history.steps[-1]]  # each step's, then the end

    # a validation loss that is not finite tells it a step earlier
    seen = fit(network(norm=norm), train, validation=train, optimizer=tn.SGD(1e25), **settings)
    assert seen.diverged
    assert seen.steps == history.steps[:-1]
    assert not math.isfinite(seen.validation_loss[-1])
    assert all(map(math.isfinite, [*seen.train_loss, *seen.validation_loss[:-1]]))


def test_a_run_that_converges_is_not_called_diverged():
    assert not fit(network(), epochs=2).diverged


def test_no_update_is_made_from_a_loss_that_is_not_finite():
    net = network()
    net.params["dense_2.bias"] = [math.inf, 0.0]
    before = {name: w.copy() for name, w in net.params.items()}
    watch = Watch()
    history = fit(net, callbacks=[watch])
    assert history.diverged
    assert history.steps == [0]
    assert watch.calls == [("watch", "record", 0)]
    for name, w in net.params.items():
        np.testing.assert_array_equal(w, before[name])


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_batch_that_gives_no_finite_loss_leaves_the_running_statistics_as_they_were(value):
    train = tn.Dataset(MOONS.x.copy(), MOONS.y)
    train.x[np.random.default_rng(0).permutation(61)[35]] = (
        value  # in the batch after three: the set was in order once
    )
    net, twin = network(norm="batch"), network(norm="batch")
    history = fit(net, train)
    assert history.diverged
    assert history.steps == [3]
    fit(twin, steps=3)
    for name, array in (net.params | net.state).items():
        np.testing.assert_array_equal(array, (twin.params | twin.state)[name])
    assert math.isfinite(tn.evaluate(net, MOONS)[0])


def test_after_a_run_that_diverged_another_may_add_to_its_history():
    history = fit(network(), optimizer=tn.SGD(1e25), steps=20)
    assert history.diverged
    records = len(history.steps)
    fit(network(), steps=20, validate_every=10, history=history)
    assert history.steps[records:] == [10, 20]
    assert not history.diverged


# -- callbacks ------------------------------------------------------------------------------------------------


def test_callbacks_are_called_in_order_backward_step_record():
    calls = []
    fit(network(), steps=2, validate_every=2, callbacks=[Watch("a", calls), Watch("b", calls)])
    assert calls == [
        ("a", "backward", 0), ("b", "backward", 0), ("a", "step", 1), ("b", "step", 1),
        ("a", "backward", 1), ("b", "backward", 1), ("a", "step", 2), ("b", "step", 2),
        ("a", "record", 2), ("b", "record", 2),
    ]  # fmt: skip


def test_parameters_move_between_backward_and_step():
    class Moves(tn.Callback):
        moved = ()

        def on_backward(self, run):
            self.before = run.net.params["dense_1.weight"].copy()
            assert run.net.grads["dense_1.weight"].any()

        def on_step(self, run):
            self.moved += ((run.net.params["dense_1.weight"] != self.before).any(),)

    moves = Moves()
    fit(network(), steps=3, callbacks=[moves])
    assert moves.moved == (True, True, True)


def test_a_callback_sees_the_run():
    class Look(tn.Callback):
        def on_record(self, run):
            self.seen = run.net, run.optimizer, run.history.steps[-1], run.total_steps

    look, net, optimizer = Look(), network(), tn.SGD(0.1)
    fit(net, epochs=2, optimizer=optimizer, callbacks=iter([look]))
    assert look.seen == (net, optimizer, 14, 14)


def test_a_callback_can_stop_the_run_which_is_recorded():
    class Stop(tn.Callback):
        def on_step(self, run):
            run.stop = run.step == 5

    history = fit(network(), steps=100, validate_every=50, callbacks=[Stop()])
    assert history.steps == [5]
    assert not history.diverged


def test_a_run_stopped_on_a_record_is_recorded_once():
    class StopAtRecord(tn.Callback):
        def on_record(self, run):
            run.stop = True

    assert fit(network(), steps=100, validate_every=10, callbacks=[StopAtRecord()]).steps == [10]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
@pytest.mark.parametrize("progress", [False, True])
def test_what_was_recorded_before_an_interruption_is_kept(error, progress):
    class Interrupt(tn.Callback):
        def on_step(self, run):
            if run.step == 7:
                raise error

    history = tn.History()
    with pytest.raises(error):
        fit(network(), steps=100, validate_every=3, callbacks=[Interrupt()], history=history, progress=progress)
    assert history.steps == [3, 6]
    assert not history.diverged


# -- time ------------------------------------------------------------------------------------------------------


def test_each_record_says_how_long_the_training_took_until_then(monkeypatch):
    clock = iter(range(100, 1000, 5))  # read once at the start, and once for each record
    monkeypatch.setattr(training, "time", SimpleNamespace(perf_counter=lambda: float(next(clock))))
    history = fit(network(), steps=4, validate_every=2)
    assert history.seconds == [5.0, 10.0]
    fit(network(), steps=2, history=history)  # goes on from there
    assert history.seconds == [5.0, 10.0, 15.0, 20.0]


# -- bad input, found before training -------------------------------------------------------------------------

WIDE = tn.Dataset(np.ones((4, 3)), [0, 1, 0, 1])
THREE_CLASSES = tn.Dataset(np.ones((4, 2)), [0, 1, 2, 1])
NEGATIVE = tn.Dataset(np.ones((4, 2)), [0, -1, 0, 1])
FLOAT_TARGETS = tn.Dataset(np.ones((4, 2)), [0.0, 1.0, 0.0, 1.0])


@pytest.mark.parametrize("name", ["train", "validation", "data"])
@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (WIDE, tn.ShapeError, "has 3 features, the network takes 2"),
        (THREE_CLASSES, tn.DataError, r".*labels run from 0 to 2, but the network has 2 outputs \(0 to 1\)"),
        (NEGATIVE, tn.DataError, ".*labels run from -1 to 1"),
        (FLOAT_TARGETS, tn.ShapeError, r".*must be 4 integer labels, got shape \(4, 1\) of float64"),
        (MOONS.x, tn.InputError, r"must be a tn\.Dataset, not ndarray; wrap arrays: tn\.Dataset\(x, y\)"),
        (("x", "y", "z"), tn.InputError, r"must be a tn\.Dataset, not tuple"),
        (0.2, tn.InputError, r"must be a tn\.Dataset, not 0.2"),
    ],
)
def test_data_that_does_not_fit_is_refused_before_training_and_named(name, data, error, message):
    net = network()
    before = net.params["dense_1.weight"].copy()
    use = {"data": tn.evaluate, "train": fit, "validation": lambda net, data: fit(net, MOONS, validation=data)}[name]
    with pytest.raises(error, match=f"^{name}: {message}"):
        use(net, data)
    np.testing.assert_array_equal(net.params["dense_1.weight"], before)


def test_labels_in_a_column_train_as_labels_do():
    column = tn.Dataset(MOONS.x, MOONS.y[:, None])
    nets = network(norm="batch"), network(norm="batch")
    histories = [fit(net, data, validation=data) for net, data in zip(nets, (MOONS, column), strict=True)]
    assert histories[0] == histories[1]
    assert histories[0].validation_accuracy[-1] > 0.5


@pytest.mark.parametrize("shape", [(61,), (61, 1)])
def test_whole_numbers_are_a_regressions_targets_too_and_have_no_accuracy(shape):
    numbers = np.arange(61) % 7
    net, other = (tn.mlp(2, [8], 1, seed=0) for _ in range(2))
    settings = {"loss": tn.MeanSquaredError(), "optimizer": tn.SGD(0.01)}
    fit(other, tn.Dataset(MOONS.x, numbers.astype(float)), **settings)
    data = tn.Dataset(MOONS.x, numbers.reshape(shape))
    history = fit(net, data, validation=data, **settings)
    assert all(map(math.isnan, history.validation_accuracy))
    assert math.isnan(tn.evaluate(net, data, tn.MeanSquaredError())[1])
    for name, w in net.params.items():
        np.testing.assert_array_equal(w, other.params[name])


def test_the_message_on_floats_in_place_of_labels_has_the_shape_they_were_given_in():
    message = r"floats of shape \(4,\) into such a column\); if these are labels, give y.astype\(int\)"
    with pytest.raises(tn.ShapeError, match=message):
        fit(network(), FLOAT_TARGETS)
    assert fit(network(), tn.Dataset(FLOAT_TARGETS.x, FLOAT_TARGETS.y.astype(int)), epochs=1).steps == [1]


def test_targets_of_another_width_are_refused_for_a_regression():
    with pytest.raises(tn.ShapeError, match=r"train: .*shape \(4, 2\), got \(4, 1\)"):
        fit(network(), FLOAT_TARGETS, loss=tn.MeanSquaredError())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 1, "steps": 1}, "give either epochs or steps"),
        ({"epochs": None}, "give either epochs or steps"),
        ({"epochs": 0}, "epochs must be a whole number of at least 1"),
        ({"steps": 0}, "steps must be a whole number of at least 1"),
        ({"epochs": -1}, "epochs must be a whole number of at least 1"),
        ({"epochs": 1.5}, "epochs must be a whole number of at least 1, not 1.5"),
        ({"batch_size": 6.5}, "batch_size must be a whole number of at least 1, not 6.5"),
        ({"epochs": "2"}, "epochs must be a whole number of at least 1, not 2"),
        ({"epochs": math.nan}, "epochs must be a whole number of at least 1, not nan"),
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1, not 0"),
        ({"validate_every": 0}, "validate_every must be a whole number of at least 1, not 0"),
        ({"validate_every": -1}, "validate_every must be a whole number of at least 1, not -1"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(tn.InputError, match=message):
        fit(network(), **settings)


# -- progress -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("progress", [False, True])
def test_where_no_one_would_see_the_bar_nothing_is_printed(capfd, progress):
    fit(network(), progress=progress, validation=MOONS)
    assert capfd.readouterr() == ("", "")


def test_in_a_terminal_the_bar_shows_loss_accuracy_and_steps_per_second(capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    fit(network(), progress=True, validation=MOONS, epochs=200)
    printed = capsys.readouterr().err
    assert "fit: 100%" in printed
    assert "1400/1400" in printed
    assert " steps/s" in printed


def test_the_bar_says_loss_and_validation_accuracy(monkeypatch):
    shown = []

    class Bar:
        def update(self, _):
            return True

        def set_postfix(self, values, refresh):
            shown.append(values)

        def close(self):
            shown.append("closed")

    monkeypatch.setattr("tinynet.progress.bar", lambda total, description: Bar())
    fit(network(), progress=True, validation=MOONS, steps=2, validate_every=1)
    assert [set(values) for values in shown[:2]] == [{"loss"}, {"loss", "accuracy"}]
    assert shown[-1] == "closed"
