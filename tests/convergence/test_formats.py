"""Each program is told by what is in its file, and its columns are taken for what they mean."""

import json

import numpy as np
import pytest

import tinynet as tn
from tinynet.convergence import read
from tinynet.history import COLUMNS


@pytest.fixture
def written(tmp_path):
    def write(text, name="log"):
        path = tmp_path / name
        path.write_text(text if isinstance(text, str) else json.dumps(text))
        return path

    return write


def only(path, **more):
    [log] = read(path, **more)
    return log


def curve(log, metric, unit):
    return dict(zip(log.curves[metric].x[unit].tolist(), log.curves[metric].values.tolist(), strict=True))


# -- tinynet ------------------------------------------------------------------------------------------------


def history(**changes):
    columns = {"steps": [10, 20], "train_loss": [2.0, 1.0], "validation_loss": [1.5, 1.25]}
    return tn.History(**(columns | {"validation_accuracy": [0.5, 0.75], "lr": [0.1, 0.1]} | changes))


@pytest.mark.parametrize("form", ["csv", "json"])
def test_a_history(form, tmp_path):
    path = tmp_path / "run"
    getattr(history(), f"to_{form}")(path)
    log = only(path)
    assert str(log) == f"{path}: tinynet, 20 steps, {', '.join(COLUMNS[1:])}"
    assert curve(log, "validation_accuracy", "step") == {10: 0.5, 20: 0.75}
    assert (log.arm, log.seed, log.diverged, log.notes) == (None, None, False, ())


@pytest.mark.parametrize("form", ["csv", "json"])
def test_a_history_without_validation_set_or_of_a_run_that_diverged_at_once(form, tmp_path):
    path, nan = tmp_path / "run", [np.nan] * 2
    getattr(history(validation_loss=nan, validation_accuracy=nan), f"to_{form}")(path)
    assert list(only(path).curves) == ["train_loss", "lr"]
    first = history(**{name: [np.nan] for name in COLUMNS[1:4]}, steps=[3], lr=[9.0], diverged=True)
    getattr(first, f"to_{form}")(path)
    log = only(path)
    assert log.diverged
    assert np.isnan(log.curves["train_loss"].values).tolist() == [True]


def test_curves_have_seconds_where_the_file_has(written):
    """Beside each other: a run with times, and one of before they were kept."""
    header = "arm,seed,steps,train_loss,validation_loss,validation_accuracy,lr,diverged,seconds\n"
    timed, before = read(written(header + "plain,0,10,2,2,0.1,0.1,0,1.5\nplain,1,10,2,2,0.1,0.1,0,nan\n"))
    assert curve(timed, "train_loss", "seconds") == {1.5: 2}
    assert list(before.curves["train_loss"].x) == ["step"]


def test_a_damaged_history_says_so(written):
    header = ",".join([*COLUMNS, "diverged"])
    with pytest.raises(tn.FileFormatError, match=r"not a history in CSV \(line 2 is '1,2'\)"):
        read(written(f"{header}\n1,2\n1,2,3,4,5,0\n"))


def test_curves_of_a_comparison_are_a_log_a_run(written):
    rows = [
        "arm,seed,steps,train_loss,validation_loss,validation_accuracy,lr,diverged",
        "plain,0,10,2,2,0.1,0.1,0",
        "plain,0,20,1.5,2,0.2,0.1,0",
        "plain,1,10,nan,nan,nan,0.1,1",
        "batch norm,0,10,1,1,0.9,0.1,0",
    ]
    path = written("\n".join(rows) + "\n")
    plain, diverged, batch_norm = read(path)
    assert str(plain).startswith(f"{path}: plain, seed 0: tinynet compare, 20 steps, train_loss")
    assert curve(plain, "validation_accuracy", "step") == {10: 0.1, 20: 0.2}
    assert [(log.arm, log.seed, log.diverged) for log in (plain, diverged, batch_norm)] == [
        ("plain", 0, False),
        ("plain", 1, True),
        ("batch norm", 0, False),
    ]
    assert list(diverged.curves) == ["train_loss", "lr"]


def test_a_run_of_a_comparison_that_diverged_is_told_by_its_mark_after_a_spreadsheet_left_nan_out(written):
    header = "arm;seed;steps;train_loss;validation_loss;validation_accuracy;lr;diverged\n"
    assert only(written(header + "plain;0;10;2,5;;;0,1;1\n")).diverged


def test_the_results_of_a_comparison(written):
    runs = [
        {"arm": name, "settings": {"norm": norm, "seed": 3}, "history": vars(history())}
        for name, norm in (("plain", None), ("batch norm", "batch"))
    ]
    plain, batch_norm = read(written({"verdict": "", "comparison": {}, "runs": runs}))
    assert (plain.arm, plain.seed, batch_norm.arm) == ("plain", 3, "batch norm")
    assert plain.name.endswith("log: plain, seed 3")
    assert curve(plain, "train_loss", "step") == {10: 2, 20: 1}


def test_a_kept_run_of_an_experiment(written):
    kept = {"settings": {"norm": "layer", "seed": 2}, "result": vars(history()) | {"probe": {}}, "sha256": ""}
    log = only(written(kept))
    assert (log.program, log.arm, log.seed) == ("tinynet experiment", "layer norm", 2)
    assert curve(log, "train_loss", "step") == {10: 2, 20: 1}
    with pytest.raises(tn.FileFormatError, match="a run without convergence curves"):
        read(written(kept | {"result": {"seconds": 3}}))


def test_findings_and_probes_are_not_taken_for_curves(written):
    with pytest.raises(tn.FileFormatError, match="an experiment's findings"):
        read(written({"verdict": {}, "experiment": "figure-1"}))
    with pytest.raises(tn.FileFormatError, match="a probe's measurements"):
        read(written("step,layer,measure,value\n1,a,b,2\n"))


# -- Keras --------------------------------------------------------------------------------------------------

KERAS = "epoch,accuracy,loss,val_accuracy,val_loss\n0,0.5,1,0.25,2\n1,0.75,0.5,NA,NA\n"


@pytest.mark.parametrize("comma", [",", ";"])
def test_keras_csv_logger(written, comma):
    log = only(written(KERAS.replace(",", comma)))
    assert str(log).endswith("log: Keras CSVLogger, 2 epochs, accuracy, loss, val_accuracy, val_loss")
    assert curve(log, "loss", "epoch") == {1: 1, 2: 0.5}
    assert curve(log, "val_loss", "epoch") == {1: 2}, "an epoch without validation has no value"
    assert log.notes == ("epochs from 0 became epochs completed",)


def test_keras_csv_logger_that_went_on_counts_epochs_from_0_too(written):
    assert curve(only(written("epoch,loss\n5,1\n6,0.5\n")), "loss", "epoch") == {6: 1, 7: 0.5}


def test_keras_csv_logger_started_again(written):
    for between in ("", "epoch,loss\n"):
        log = only(written(f"epoch,loss\n0,5\n1,4\n2,3\n{between}1,2\n2,1\n"))
        assert curve(log, "loss", "epoch") == {1: 5, 2: 2, 3: 1}
        assert log.notes[0] == "begun again once: later values take the place of 2 earlier"


def test_a_table_with_epochs_from_1_is_not_taken_for_keras(written):
    log = only(written("epoch,loss\n1,5\n2,4\n"))
    assert (log.program, curve(log, "loss", "epoch")) == ("CSV", {1: 5, 2: 4})


@pytest.mark.parametrize(
    "content",
    [
        {"loss": [2.0, 1.0], "val_loss": [3.0, 2.0]},
        {"history": {"loss": [2.0, 1.0], "val_loss": [3.0, 2.0]}, "params": {"epochs": 2}},
        {"loss": {"0": 2.0, "1": 1.0}, "val_loss": {"0": 3.0, "1": 2.0}},
    ],
    ids=["history", "History", "pandas"],
)
def test_keras_history_as_json(written, content):
    log = only(written(content))
    assert str(log).endswith("log: Keras History, 2 epochs, loss, val_loss")
    assert curve(log, "val_loss", "epoch") == {1: 3, 2: 2}


def test_keras_validation_every_few_epochs_is_not_drawn_where_it_was_not_measured(written):
    log = only(written({"loss": [3, 2, 1], "val_loss": [5]}))
    assert list(log.curves) == ["loss"]
    assert log.notes[-1].startswith("val_loss: left out, since it has fewer values than there are epochs")


# -- others -------------------------------------------------------------------------------------------------


def test_lightning_counts_steps_from_0_and_leaves_cells_empty(written):
    header = "epoch,step,train_loss_epoch,train_loss_step,val_loss\n"
    log = only(written(header + "0,3,,4,\n0,4,,,5\n0,4,3.5,,\n1,7,,3,\n1,9,,,2\n1,9,2.5,,\n"))
    assert log.program == "Lightning CSVLogger"
    assert curve(log, "train_loss_step", "step") == {4: 4, 8: 3}
    assert curve(log, "val_loss", "step") == {5: 5, 10: 2}
    assert curve(log, "val_loss", "epoch") == {1: 5, 2: 2}
    assert curve(log, "train_loss_epoch", "epoch") == {1: 3.5, 2: 2.5}
    assert curve(log, "train_loss_step", "epoch") == {0.8: 4, 1.6: 3}


def test_lightnings_test_after_the_training_has_no_update_under_way(written):
    log = only(written("epoch,step,test_loss,train_loss,val_loss\n0,4,,,5\n1,7,,3,\n1,9,,,2\n2,10,1.5,,\n"))
    assert curve(log, "test_loss", "step") == {10: 1.5}
    assert curve(log, "test_loss", "epoch") == {2: 1.5}


def test_ones_own_steps_beside_epochs_are_not_taken_for_lightnings(written):
    for header in ("epoch,step,loss", "epoch,loss,step"):
        at = header.split(",").index("step")
        rows = [["1", "4"], ["2", "3"]]
        for k, row in enumerate(rows, 1):
            row.insert(at, str(100 * k))
        log = only(written("\n".join([header, *map(",".join, rows)]) + "\n"))
        assert curve(log, "loss", "step") == {100: 4, 200: 3}
    sparse = only(written("step,epoch,val_loss,loss\n100,1,,4\n100,1,5,\n"))
    assert curve(sparse, "val_loss", "step") == {100: 5}
    for epoch in (0, 1):
        own = only(written(f"epoch,step,train_loss,val_loss\n{epoch},50,4,\n{epoch},100,3,5\n"))
        assert (own.program, curve(own, "train_loss", "step")) == ("CSV", {50: 4, 100: 3})


def test_hugging_face_trainer(written):
    entries = [
        {"loss": 2.5, "learning_rate": 5e-5, "epoch": 0.5, "step": 5},
        {"eval_loss": 2.0, "eval_runtime": 1.0, "epoch": 1.0, "step": 10},
        {"train_loss": 2.25, "train_runtime": 9.0, "total_flos": 1.0, "epoch": 1.0, "step": 10},
    ]
    log = only(written({"best_metric": None, "log_history": entries}))
    assert str(log).endswith("log: Hugging Face Trainer, 1 epochs, loss, learning_rate, eval_loss, eval_runtime")
    assert curve(log, "loss", "epoch") == {0.5: 2.5}
    assert curve(log, "eval_loss", "step") == {10: 2}
    assert log.notes == ("train_loss, of the whole run, was left out",)
    before = [{"eval_loss": 3.0, "epoch": 0, "step": 0}, {"eval_loss": 2.0, "epoch": 1.0, "step": 1}]
    assert curve(only(written({"log_history": before})), "eval_loss", "epoch") == {0: 3, 1: 2}
    with pytest.raises(tn.FileFormatError, match="its log_history has no step and epoch"):
        read(written({"log_history": []}))


def test_fastai_csv_logger_adds_up_the_times_of_its_epochs(written):
    log = only(written("epoch,train_loss,valid_loss,accuracy,time\n0,2,3,0.5,00:10\n1,1,2,0.75,1:00:05\n"))
    assert str(log).endswith("log: fastai CSVLogger, 2 epochs, train_loss, valid_loss, accuracy")
    assert curve(log, "valid_loss", "seconds") == {10: 3, 3615: 2}
    assert curve(log, "valid_loss", "epoch") == {1: 3, 2: 2}
    later = only(written("epoch,train_loss,valid_loss,time\n2,2,3,00:10\n"))
    assert curve(later, "train_loss", "epoch") == {3: 2}
    again = only(written("epoch,train_loss,time\n0,2,00:10\nepoch,train_loss,time\n0,3,00:05\n"))
    assert curve(again, "train_loss", "seconds") == {5: 3}


def test_tensorboards_csv_download_is_named_in_its_files_name(written):
    text = "Wall time,Step,Value\n1700000000.5,10,2\n1700000002.5,20,1\n"
    log = only(written(text, "run-plain-tag-loss_train.csv"))
    assert str(log).endswith("loss_train.csv: TensorBoard CSV, 20 steps, loss_train")
    assert curve(log, "loss_train", "seconds") == {0: 2, 2: 1}
    assert curve(only(written(text, "a.csv")), "Value", "step") == {10: 2, 20: 1}
    downloaded = [[1700000000.5, 10, 2.0], [1700000002.5, 20, 1.0]]
    assert curve(only(written(downloaded)), "Value", "step") == {10: 2, 20: 1}


def test_a_weights_and_biases_chart_is_a_log_a_run(written):
    text = '"Step","a - loss","a - loss__MIN","a - loss__MAX","b - c - loss","b - c - loss__MIN","b - c - loss__MAX"\n'
    first, second = read(written(text + '"0","2","2","2","","",""\n"1","1","1","1","5","5","5"\n'))
    assert str(first).endswith("log: a: Weights & Biases chart, 1 steps, loss")
    assert second.name.endswith("log: b - c")
    assert (curve(first, "loss", "step"), curve(second, "loss", "step")) == ({0: 2, 1: 1}, {1: 5})


def test_a_weights_and_biases_history(written):
    log = only(written(",_step,_runtime,_timestamp,loss,acc\n0,0,1.5,1.7e9,2,\n1,1,2.5,1.7e9,,0.5\n"))
    assert str(log).endswith("log: Weights & Biases, 1 steps, loss, acc")
    assert curve(log, "acc", "step") == {1: 0.5}
    assert curve(log, "acc", "seconds") == {2.5: 0.5}


def test_mlflows_table_has_a_metric_a_row(written):
    rows = ["run_id,key,value,step,timestamp"]
    rows += [
        "a,loss,2,0,1700000000000",
        "a,loss,1,1,1700000002000",
        "a,acc,0.5,0,1700000000000",
        "b,loss,9,0,1700000000000",
    ]
    first, second = read(written("\n".join(rows) + "\n"))
    assert str(first).endswith("log: a: MLflow CSV, 1 steps, loss, acc")
    assert curve(first, "loss", "seconds") == {0: 2, 2: 1}
    assert curve(second, "loss", "step") == {0: 9}


def test_a_metric_of_mlflows_table_that_begins_again_leaves_the_others(written):
    rows = ["a,loss,2,0,0", "a,loss,1,1,1", "a,acc,0.5,0,0", "a,acc,0.75,1,1", "a,acc,0.25,0,2"]
    log = only(written("\n".join(["run_id,key,value,step,timestamp", *rows]) + "\n"))
    assert (curve(log, "loss", "step"), curve(log, "acc", "step")) == ({0: 2, 1: 1}, {0: 0.25})


def test_mlflows_metric_file_is_named_as_its_metric(written):
    log = only(written("1700000000000 2.0 0\n1700000002000 1.0 1\n17000000", "loss"))
    assert str(log).endswith("loss: MLflow, 1 steps, loss")
    assert curve(log, "loss", "step") == {0: 2, 1: 1}
    assert curve(log, "loss", "seconds") == {0: 2, 2: 1}
    assert "seconds are counted from the first value" in log.notes
    assert "loss: line 3, the last, is not whole and was left out" in log.notes
    with pytest.raises(tn.FileFormatError, match=r"line 2 is 'a b', not a time, a value and a step"):
        read(written("1700000000000 2.0 0\na b\n"))


VALUES = [{"timestamp": f"2026-01-01T00:00:0{k}+00:00", "step": 10 * k, "value": 1 / (k + 1)} for k in (0, 1)]


@pytest.mark.parametrize(
    "content",
    [{"metric": "train/loss", "values": VALUES}, {"metrics": {"train/loss": VALUES, "epoch": VALUES}}],
    ids=["metric", "run"],
)
def test_trackios_metrics(written, content):
    log = only(written({"project": "p", "run": "plain", **content}))
    assert str(log).endswith("log: trackio, 10 steps, train/loss")
    assert curve(log, "train/loss", "step") == {0: 1, 10: 0.5}
    assert curve(log, "train/loss", "seconds") == {0: 1, 1: 0.5}


def test_trackios_table(written):
    rows = [
        {
            "run_name": run,
            "step": k,
            "timestamp": "2026-01-01T00:00:00+00:00",
            "metrics": f'{{"loss": {k}, "epoch": 0}}',
        }
        for run in ("plain", "bn")
        for k in (1, 2)
    ]
    plain, bn = read(written({"project": "p", "columns": [], "rows": rows, "row_count": 4}))
    assert str(plain).endswith("log: plain: trackio, 2 steps, loss")
    assert curve(bn, "loss", "step") == {1: 1, 2: 2}
    with pytest.raises(tn.FileFormatError, match="trackio's column metrics: not a JSON file"):
        read(written({"project": "p", "rows": [{"metrics": "{"}]}))


# -- any table ----------------------------------------------------------------------------------------------


def test_any_table_that_says_its_step_or_epoch(written):
    log = only(written("Iteration\tLoss\tcomment\n10\t2\tgood\n20\t1\tbetter\n"))
    assert str(log).endswith("log: TSV, 20 steps, Loss")
    assert curve(only(written('{"epoch": 1, "loss": 2}\n{"epoch": 2, "loss": 1}\n')), "loss", "epoch") == {1: 2, 2: 1}
    assert curve(only(written([{"epoch": 1, "loss": 2}])), "loss", "epoch") == {1: 2}
    assert curve(only(written({"epoch": [1, 2], "loss": [5, 4]})), "loss", "epoch") == {1: 5, 2: 4}


def test_rows_of_training_and_validation_data_are_told_apart(written):
    log = only(written("epoch,phase,loss\n1,train,2\n1,val,3\n2,train,1\n2,val,2\n"))
    assert curve(log, "train_loss", "epoch") == {1: 2, 2: 1}
    assert curve(log, "val_loss", "epoch") == {1: 3, 2: 2}


def test_a_column_that_is_no_longer_numbers_is_left_out_of_both_kinds_of_data(written):
    log = only(written("epoch,phase,loss,acc\n1,train,2,0.5\n1,val,3,0.5\n2,train,oops,0.75\n"))
    assert list(log.curves) == ["train_acc", "val_acc"]


def test_rows_of_several_runs_are_told_apart(written):
    first, second = read(written("run,seed,step,loss\na,1,1,2\na,1,2,1\nb,2,1,4\n"))
    assert (first.name[-11:], second.seed) == (": a, seed 1", 2)
    assert curve(first, "loss", "step") == {1: 2, 2: 1}


def test_a_table_of_very_many_runs_is_refused(written, monkeypatch):
    monkeypatch.setattr("tinynet.convergence.formats.rows.RUN_LIMIT", 2)
    with pytest.raises(tn.FileFormatError, match="more than 2 runs"):
        read(written("run,step,loss\na,1,1\nb,1,1\nc,1,1\n"))


def test_another_table_gets_its_columns_and_the_line_to_type(written):
    path = written("time,temperature\n1,2\n")
    with pytest.raises(tn.FileFormatError) as error:
        read(path)
    assert str(error.value) == (
        f"{path}: no log of a program that is known here (its columns: time, temperature); say which of them to draw: "
        f"tinynet plot {path} --x COLUMN --y COLUMN"
    )


def test_columns_can_be_named(written):
    path = written("when,a,b,c\n1,2,3,4\n2,1,1,1\n")
    assert str(only(path, x="when", y="a, c")).endswith("log: CSV, 2 steps, a, c")
    assert list(only(path, x="when").curves) == ["a", "b", "c"]
    assert curve(only(path, x="when", y="b"), "b", "step") == {1: 3, 2: 1}
    with pytest.raises(tn.InputError, match=r"line 3: column 'a' runs backward, from 2 to 1"):
        read(path, x="a", y="b")
    for wrong in ({"x": "wen"}, {"x": "when", "y": "wen"}):
        with pytest.raises(tn.InputError, match=r"unknown column of .* 'wen'; did you mean 'when'"):
            read(path, **wrong)


def test_a_column_that_is_not_numbers_is_ignored_and_one_that_no_longer_is_said(written):
    log = only(written("step,note,loss,acc\n1,a,2,0.5\n2,b,oops,0.75\n"))
    assert list(log.curves) == ["acc"]
    assert log.notes == ("loss: left out, since it has 'oops' in line 3, not a number",)
    with pytest.raises(tn.FileFormatError, match="column 'note' has 'a' in line 2, not numbers"):
        read(written("step,note,loss\n1,a,2\n"), x="step", y="note")
    with pytest.raises(tn.InputError, match=r"line 3, column 'step': 'x' is not a number"):
        read(written("step,loss\n1,2\nx,1\n"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("\ufeff\n\n", "empty"),
        ("step,loss\n", "columns, but no row yet"),
        ("step,loss\n1,\n", "no number in it"),
        ("step,acc\n1,nan\n", "acc: nan only"),
        ("[]", r"no log: its JSON is '\[\]'"),
        ("3", "no header"),
        ('{"a": 1}', r"its columns: a"),
        ("[" * 100_000, "not a JSON file"),
        ('{"a":' * 100_000, "not a JSON file"),
        ('{"loss": [1, 2', "not a JSON file"),
    ],
)
def test_what_is_no_log_gets_a_sentence(written, text, message):
    with pytest.raises(tn.FileFormatError, match=message):
        read(written(text))


def test_one_point_is_a_curve(written):
    assert len(only(written("step,loss\n1,2\n")).curves["loss"]) == 1
