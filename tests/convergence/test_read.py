import importlib
import io
import json
import struct
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import tinynet as tn
from tinynet.convergence import read

reading = importlib.import_module("tinynet.convergence.read")
KERAS = "epoch,loss,val_loss\n0,2,3\n1,1,2\n"


def test_what_is_read_says_itself(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("keras.csv").write_text(KERAS)
    [log] = read("keras.csv")
    assert str(log) == "keras.csv: Keras CSVLogger, 2 epochs, loss, val_loss"
    assert str(read(Path("keras.csv"))[0]) == str(log)


def test_the_name_says_nothing_about_the_kind(tmp_path):
    for name in ("log.json", "log.tsv", "log"):
        (tmp_path / name).write_text(KERAS)
        assert read(tmp_path / name)[0].program == "Keras CSVLogger"


def test_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(KERAS.encode())))
    assert str(read("-")[0]) == "standard input: Keras CSVLogger, 2 epochs, loss, val_loss"
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"a,b\n1,2\n")))
    with pytest.raises(tn.FileFormatError, match=r"^standard input: .* tinynet plot - --x COLUMN --y COLUMN$"):
        read("-")


def test_what_is_not_there_or_no_file_is_said(tmp_path):
    with pytest.raises(tn.InputError, match="nowhere: no such file"):
        read(tmp_path / "nowhere")
    with pytest.raises(tn.InputError, match="a path is a str"):
        read(3)
    with pytest.raises(tn.FileFormatError, match="not a file, but a pipe or device"):
        read("/dev/null")
    (tmp_path / "picture").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\1\0")
    with pytest.raises(tn.FileFormatError, match="picture: no log: neither text nor TensorBoard's events"):
        read(tmp_path / "picture")


# -- folders ------------------------------------------------------------------------------------------------


def test_a_folder_is_all_its_logs_in_order_and_says_what_was_none(tmp_path):
    for name in ("b.csv", "a/z.csv", ".hidden/c.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(KERAS.replace("2", str(len(name))))
    (tmp_path / "a.svg").write_text("<svg>\n</svg>\n")
    (tmp_path / "notes").write_text("To do, today\n")
    for k in range(2):
        (tmp_path / f"x{k}").write_text("step,loss\n2,1\n1,1\n")
    logs = read(tmp_path)
    assert [Path(log.name).name for log in logs] == ["z.csv", "b.csv"]
    assert logs[0].notes[-1] == (
        "no logs, and left out: x0: line 3: column 'step' runs backward, from 2 to 1; "
        "x1: line 3: column 'step' runs backward, from 2 to 1; "
        "a.svg: no log: a page or a picture, in HTML or SVG; and 1 more file"
    )


def test_a_folder_without_a_log_says_why(tmp_path):
    with pytest.raises(tn.FileFormatError, match=r"no log in it$"):
        read(tmp_path)
    (tmp_path / "a").write_text("")
    with pytest.raises(tn.FileFormatError, match=r"no log in it: .*a: empty"):
        read(tmp_path)


def test_a_run_that_is_there_in_several_files_is_one(tmp_path):
    """As in the folder of `tinynet compare`: curves.csv, results.json and a history a run."""
    made = {}
    for arm, loss in (("plain", 2.0), ("batch norm", 1.0)):
        made[arm] = tn.History([1], [loss], [loss], [0.5], [0.1])
        made[arm].to_csv(tmp_path / "runs" / f"{arm}.csv")
    rows = [f"{arm},0,1,{h.train_loss[0]},{h.train_loss[0]},0.5,0.1,0" for arm, h in made.items()]
    header = "arm,seed,steps,train_loss,validation_loss,validation_accuracy,lr,diverged"
    (tmp_path / "curves.csv").write_text("\n".join([header, *rows]) + "\n")
    logs = read(tmp_path)
    assert [(log.arm, log.seed) for log in logs] == [("plain", 0), ("batch norm", 0)]
    assert "also in 1 other file: " in logs[0].notes[-1]


def test_equal_runs_of_two_arms_or_seeds_are_two(tmp_path):
    header = "arm,seed,steps,train_loss,validation_loss,validation_accuracy,lr,diverged"
    rows = [f"{arm},{seed},1,2,2,0.5,0.1,0" for arm in ("a", "b") for seed in (0, 1)]
    (tmp_path / "curves.csv").write_text("\n".join([header, *rows]) + "\n")
    assert len(read(tmp_path)) == 4


def test_checkpoints_of_a_hugging_face_run_are_not_more_runs(tmp_path):
    """Each has the log up to there; another run's is another."""
    for folder, losses in {"a": [3, 2, 1], "a/checkpoint-1": [3], "a/checkpoint-3": [3, 2, 1], "b": [4, 2]}.items():
        entries = [{"loss": loss, "epoch": k + 1.0, "step": k + 1} for k, loss in enumerate(losses)]
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "trainer_state.json").write_text(json.dumps({"log_history": entries}))
    first, second = read(tmp_path)
    assert first.name == str(tmp_path / "a" / "trainer_state.json")
    assert first.curves["loss"].values.tolist() == [3, 2, 1]
    assert first.notes[-1].startswith("left out, with its beginning: ")
    assert second.curves["loss"].values.tolist() == [4, 2]


def test_mlflows_folder_is_a_log_a_run(tmp_path):
    for run in ("r1", "r2"):
        for metric in ("loss", "val/acc"):
            path = tmp_path / "0" / run / "metrics" / metric
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("1700000000000 0.5 0\n1700000001000 0.75 1\n")
    logs = read(tmp_path)
    assert [str(log) for log in logs] == [
        f"{tmp_path / '0' / run}: MLflow, 1 steps, loss, val/acc" for run in ("r1", "r2")
    ]


# -- TensorBoard --------------------------------------------------------------------------------------------


@pytest.fixture
def events(tmp_path):
    """A folder of a run of ours, with 600 records: more than TensorBoard would sample."""
    pytest.importorskip("tensorboard")
    callback = tn.TensorBoard(tmp_path / "run")
    history = tn.History()
    net = tn.mlp(2, [2], 2, seed=0)
    run = SimpleNamespace(net=net, history=history, step=0)
    callback._start(run)
    for k in range(1, 601):
        event = callback._event(step=k)
        event.summary.value.add(tag="loss/train", simple_value=1 / k)
        callback._append(event)
    callback._run = run
    return tmp_path / "run", callback


def test_all_points_of_event_files_as_tensorboard_itself_reads_them(events):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder, _ = events
    [log] = read(folder)
    assert str(log) == f"{folder}: TensorBoard, 600 steps, loss/train"
    curve = log.curves["loss/train"]
    its = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0}).Reload().Scalars("loss/train")
    assert curve.x["step"].tolist() == [one.step for one in its]
    assert curve.values.tolist() == [one.value for one in its]
    start = EventAccumulator(str(folder)).Reload().FirstEventTimestamp()
    assert curve.x["seconds"].tolist() == pytest.approx([one.wall_time - start for one in its])


def test_an_event_file_alone_is_told_by_its_content(events, tmp_path):
    [file] = events[0].iterdir()
    file.rename(tmp_path / "log.csv")
    assert str(read(tmp_path / "log.csv")[0]) == f"{tmp_path / 'log.csv'}: TensorBoard, 600 steps, loss/train"


def test_a_run_that_went_on_in_a_second_file_takes_its_later_values(events):
    folder, callback = events
    run = SimpleNamespace(net=callback._run.net, history=tn.History(), step=300)
    callback._start(run)
    event = callback._event(step=401)
    event.summary.value.add(tag="loss/train", simple_value=7)
    callback._append(event)
    assert len(list(folder.iterdir())) == 2
    [log] = read(folder)
    assert log.curves["loss/train"].x["step"].tolist() == [*range(1, 301), 401], (
        "as TensorBoard, which forgets from 301"
    )
    assert log.curves["loss/train"].values[-1] == 7
    assert log.notes == ("begun again once: later values take the place of 300 earlier",)


def test_a_second_file_that_does_not_say_where_it_goes_on_takes_the_place_of_what_it_overlaps(tmp_path):
    """As of PyTorch's SummaryWriter; its step was not measured before."""
    pytest.importorskip("tensorboard")
    callback = tn.TensorBoard(tmp_path / "run")
    for number, steps in enumerate([(10, 20, 30), (25, 35)]):
        callback._file = callback.folder / f"events.{number}"
        callback._append(callback._event(file_version="brain.Event:2"))
        for step in steps:
            event = callback._event(step=step)
            event.summary.value.add(tag="loss", simple_value=step)
            callback._append(event)
    [log] = read(tmp_path)
    assert log.curves["loss"].values.tolist() == [10, 20, 25, 35]


def test_an_event_file_that_is_being_written_is_read_up_to_there(events):
    [file] = events[0].iterdir()
    file.write_bytes(file.read_bytes()[:-5])
    [log] = read(file)
    assert log.curves["loss/train"].x["step"][-1] == 599
    assert "bytes are not whole events and were left out" in log.notes[0]


def test_scalars_as_tensors_of_torch_and_tensorflow_2_and_no_histograms(events):
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
    from tensorboard.util.tensor_util import make_tensor_proto

    _, callback = events
    for tag, plugin, content in (("acc", "scalars", 0.5), ("weights", "histograms", 1.0), ("many", "scalars", [1, 2])):
        about = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name=plugin))
        tensor = make_tensor_proto(np.float32(content))
        event = callback._event(
            step=601, summary=Summary(value=[Summary.Value(tag=tag, metadata=about, tensor=tensor)])
        )
        callback._append(event)
    [log] = read(events[0])
    assert list(log.curves) == ["loss/train", "acc"]
    assert log.curves["acc"].values.tolist() == [0.5]


def test_keras_epochs_and_its_folders_train_and_validation_are_one_run(tmp_path):
    pytest.importorskip("tensorboard")
    for folder, tags in (("train", ("epoch_loss", "epoch_accuracy")), ("validation", ("epoch_loss",))):
        callback = tn.TensorBoard(tmp_path / "run" / folder)
        callback._start(SimpleNamespace(net=None, step=0))
        for epoch in (0, 1):
            event = callback._event(step=epoch)
            for tag in tags:
                event.summary.value.add(tag=tag, simple_value=len(folder) - epoch)
            callback._append(event)
    [log] = read(tmp_path)
    assert str(log) == f"{tmp_path / 'run'}: Keras TensorBoard, 2 epochs, loss, accuracy, val_loss"
    assert log.curves["val_loss"].values.tolist() == [10, 9]
    assert log.curves["val_loss"].x["epoch"].tolist() == [1, 2]
    assert [list(log.curves[name].x) for name in ("loss", "val_loss")] == [["epoch", "seconds"], ["epoch"]]
    [training] = read(tmp_path / "run" / "train")
    assert list(training.curves) == ["loss", "accuracy"]


def test_damaged_event_files_get_a_sentence(events):
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

    [file] = events[0].iterdir()
    whole = file.read_bytes()
    first = whole[: 16 + struct.unpack("<Q", whole[:8])[0]]
    file.write_bytes(first)
    with pytest.raises(tn.FileFormatError, match="1 events, and no scalar among them"):
        read(file)
    header = struct.pack("<Q", 2**62)
    file.write_bytes(first + header + struct.pack("<I", masked_crc32c(header)))
    with pytest.raises(tn.FileFormatError, match="longer than this machine's memory"):
        read(file)
    record = b"\xff" * 9
    header = struct.pack("<Q", len(record))
    file.write_bytes(
        first + header + struct.pack("<I", masked_crc32c(header)) + record + struct.pack("<I", masked_crc32c(record))
    )
    with pytest.raises(tn.FileFormatError, match="event 2 is damaged"):
        read(file)


def test_without_the_package_the_extra_is_named(events, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard.backend.event_processing.event_file_loader", None)
    with pytest.raises(tn.InputError, match=r"pip install 'tinynet-lab\[tensorboard\]'"):
        read(next(events[0].iterdir()))


# -- picking, and long files --------------------------------------------------------------------------------


def test_metrics_and_x_can_be_picked_of_any_file(events):
    [log] = read(events[0], x="seconds", y="loss/train")
    assert list(log.curves["loss/train"].x) == ["seconds"]
    [file] = events[0].iterdir()
    with pytest.raises(tn.InputError, match="did you mean 'loss/train'"):
        read(file, y="loss_train")
    with pytest.raises(tn.InputError, match=r"unknown x of .* 'epoch'"):
        read(file, x="epoch")


def test_a_long_file_is_read_row_by_row_with_a_bar(tmp_path, monkeypatch):
    shown = []
    bar = SimpleNamespace(update=shown.append, close=lambda: shown.append("closed"))
    monkeypatch.setattr(reading, "bar", lambda total, *_, **__: shown.append(total) or bar)
    monkeypatch.setattr(reading, "BAR_FROM", 1000)
    rows = 150_000
    path = tmp_path / "long.csv"
    path.write_text("step,loss\n" + "".join(f"{k},{1 / (k + 1)}\n" for k in range(rows)))
    [log] = read(path, progress=True)
    total, *read_bytes, last = shown
    assert (total, sum(read_bytes), last) == (path.stat().st_size, path.stat().st_size, "closed")
    assert len(log.curves["loss"]) == rows // 2 + 1
    assert log.curves["loss"].x["step"][[0, 1, -1]].tolist() == [0, 2, rows - 1]
    shown.clear()
    read(path)
    assert not shown
