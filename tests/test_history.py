import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinynet as tn
from tinynet import History
from tinynet.history import COLUMNS


def example():
    history = History()
    history.append(100, 2.3, 2.2, 0.1, 0.1)
    history.append(200, 0.1 + 0.2, 1e-300, 0.95, 0.1)
    history.append(300, 1e300, math.nan, math.nan, 1 / 3)
    return history


def diverged():
    history = example()
    history.append(301, math.inf, math.nan, math.nan, 0.05)
    history.diverged = True
    return history


def through_csv(history, folder):
    history.to_csv(folder / "h.csv")
    return History.from_csv(folder / "h.csv")


def through_json(history, folder):
    history.to_json(folder / "h.json")
    return History.from_json(folder / "h.json")


def timed():
    history = History()
    history.append(100, 2.3, 2.2, 0.1, 0.1, 0.25)
    history.append(200, 2.0, 2.0, 0.2, 0.1, 1.5)
    return history


@pytest.mark.parametrize("through", [through_csv, through_json])
@pytest.mark.parametrize("make", [History, example, diverged, timed])
def test_a_history_comes_back_the_same(make, through, tmp_path):
    history = through(make(), tmp_path)
    assert repr(history) == repr(make())  # repr shows every digit, nan, and the types
    assert {type(step) for step in history.steps} <= {int}


@pytest.mark.parametrize("through", [through_csv, through_json])
@settings(max_examples=50, deadline=None, derandomize=True)
@given(records=st.lists(st.tuples(st.integers(0, 2**40), *[st.floats()] * 4), min_size=1), ended_early=st.booleans())
def test_any_numbers_come_back_the_same(tmp_path_factory, through, records, ended_early):
    history = History(diverged=ended_early)
    for record in records:
        history.append(*record)
    assert repr(through(history, tmp_path_factory.getbasetemp())) == repr(history)


def test_csv_is_one_row_a_record_and_marks_where_it_diverged(tmp_path):
    diverged().to_csv(tmp_path / "h.csv")
    assert (tmp_path / "h.csv").read_text().splitlines() == [
        "steps,train_loss,validation_loss,validation_accuracy,lr,diverged",
        "100,2.3,2.2,0.1,0.1,0",
        "200,0.30000000000000004,1e-300,0.95,0.1,0",
        "300,1e+300,nan,nan,0.3333333333333333,0",
        "301,inf,nan,nan,0.05,1",
    ]


def test_times_are_the_last_column_of_the_csv_if_there_are_any(tmp_path):
    timed().to_csv(tmp_path / "h.csv")
    assert (tmp_path / "h.csv").read_text().splitlines() == [
        "steps,train_loss,validation_loss,validation_accuracy,lr,diverged,seconds",
        "100,2.3,2.2,0.1,0.1,0,0.25",
        "200,2.0,2.0,0.2,0.1,0,1.5",
    ]


def test_histories_from_before_times_were_kept_are_read(tmp_path):
    content = {"steps": [1], "diverged": False} | {name: [0.5] for name in COLUMNS[1:]}
    (tmp_path / "old.json").write_text(json.dumps(content))
    assert History.from_json(tmp_path / "old.json").seconds == []


def test_a_time_that_is_not_known_is_nan_beside_those_that_are():
    history = example()
    history.append(400, 1.0, 1.0, 0.5, 0.1, 7.5)
    np.testing.assert_array_equal(history.seconds, [math.nan] * 3 + [7.5])
    history.append(500, 1.0, 1.0, 0.5, 0.1)
    np.testing.assert_array_equal(history.seconds, [math.nan] * 3 + [7.5, math.nan])


def test_histories_that_differ_in_times_alone_are_equal():
    other = timed()
    other.seconds = [3.0, 4.0]
    assert other == timed()


@pytest.mark.parametrize("make", [example, diverged])
def test_pandas_reads_the_csv_with_no_option(tmp_path, make):
    pandas = pytest.importorskip("pandas")
    history = make()
    history.to_csv(tmp_path / "h.csv")
    table = pandas.read_csv(tmp_path / "h.csv")
    assert [str(dtype) for dtype in table.dtypes] == ["int64", *["float64"] * 4, "int64"]
    for name in COLUMNS:
        np.testing.assert_allclose(table[name], getattr(history, name), rtol=1e-15, err_msg=name)
    assert table["diverged"].tolist() == [0] * (len(history.steps) - 1) + [int(history.diverged)]


def test_json_says_nan_and_inf_as_words(tmp_path):
    diverged().to_json(tmp_path / "h.json")
    content = json.loads((tmp_path / "h.json").read_text(), parse_constant=pytest.fail)
    assert content["train_loss"][-1] == "inf"
    assert content["validation_loss"][-1] == "nan"
    assert content["diverged"] is True


def test_steps_to_an_accuracy_is_the_first_that_reaches_it():
    history = History(steps=[10, 20, 30, 40], train_loss=[1] * 4, validation_loss=[1] * 4, lr=[1] * 4)
    history.validation_accuracy = [math.nan, 0.9, 0.95, 0.91]
    assert history.steps_to(0.9) == 20
    assert history.steps_to(0.91) == 30
    assert history.steps_to(0.96) is None
    assert History().steps_to(0.0) is None


def test_final_is_the_last_entry_or_nan():
    assert example().final("lr") == 1 / 3
    assert math.isnan(History().final("train_loss"))


HEADER = ",".join([*COLUMNS, "diverged"]) + "\n"


@pytest.mark.parametrize(
    "content",
    [
        "",
        "steps,loss\n1,2\n",
        HEADER.replace("lr", "LR"),
        HEADER + "1,2\n",
        HEADER + "one,1,1,1,1,0\n",
        HEADER + "1.5,1,1,1,1,0\n",
        HEADER + "1,1,1,x,1,0\n",
        HEADER + "1,\0,1,1,1,0\n",
        HEADER + "1,1,1,1,1," + "9" * 200_000 + "\n",
        HEADER + "9" * 5000 + ",1,1,1,1,0\n",
        HEADER + "9" * 20 + ",1,1,1,1,0\n",
        HEADER + "-1,1,1,1,1,0\n",
        HEADER + "1_0,1,1,1,1,0\n",
        HEADER + "1,2_3,1,1,1,0\n",  # float() takes it for 23
        HEADER + "1, 1,1,1,1,0\n",
        HEADER + "1,\u0661,1,1,1,0\n",  # float() takes this Arabic digit
        HEADER + "1,infinity,1,1,1,0\n",
        HEADER + ",1,1,1,1,0\n",
        HEADER + "1,1,1,1,1,\n",
        HEADER + "1,1;5,1,1,1,0\n",
        HEADER.replace(",", ";") + "1;1,2,3;1;1;1;0\n",
        HEADER + "1,1,1,1,1,yes\n",
        HEADER + "1,1,1,1,1,1\n2,1,1,1,1,0\n",
        HEADER + "1,1,1,1,1,0,7\n",
        HEADER + "\n",
        HEADER + '1,1,1,1,1,"0',
        "," * 200_000,
    ],
)
def test_csv_that_is_no_history_is_refused_by_name(tmp_path, content):
    (tmp_path / "bad.csv").write_text(content)
    with pytest.raises(tn.FileFormatError, match=r"bad\.csv: not a history"):
        History.from_csv(tmp_path / "bad.csv")


SHEETS = {
    "as it is written": HEADER + "10,1e-05,nan,nan,inf,0\n20,2.5,0.5,0.25,0.1,1\n",
    "capital E": HEADER + "10,1E-05,nan,nan,inf,0\n20,2.5E0,0.5,0.25,1E-1,1\n",
    "a byte-order mark and CRLF": "\ufeff" + HEADER + "10,1E-05,nan,nan,inf,0\r\n20,2.5,0.5,0.25,0.1,1\r\n",
    "empty for nan": HEADER + "10,1E-05,,,inf,0\n20,2.5,0.5,0.25,0.1,1\n",
    "R": HEADER + "10,1e-05,NaN,NaN,Inf,0\n20,2.5,0.5,0.25,0.1,1\n",
    "semicolons": HEADER.replace(",", ";") + "10;1E-05;;;inf;0\n20;2,5;0,5;0,25;0,1;1\n",
}


@pytest.mark.parametrize("kind", SHEETS)
def test_csv_that_went_through_a_spreadsheet_is_read(tmp_path, kind):
    (tmp_path / "h.csv").write_bytes(SHEETS[kind].encode())
    history = History.from_csv(tmp_path / "h.csv")
    expected = History([10, 20], [1e-5, 2.5], [math.nan, 0.5], [math.nan, 0.25], [math.inf, 0.1], True)
    assert repr(history) == repr(expected)


@pytest.mark.parametrize("write", [History.to_csv, History.to_json])
def test_lists_of_different_lengths_are_refused_before_anything_is_written(tmp_path, write):
    path = tmp_path / "h"
    path.write_text("before")
    with pytest.raises(
        tn.InputError, match=r"^History: needs as many entries.*2 of steps, 2 of train_loss, 0 of valid"
    ):
        write(History([10, 20], [0.5, 0.75]), path)
    with pytest.raises(tn.InputError, match="1 of lr"):
        write(History([10, 20], *[[0.5, 0.75]] * 3, [0.1]), path)
    assert path.read_text() == "before"


def test_a_diverged_run_has_no_accuracy_whatever_its_last_record_says():
    history = History([10, 20], [1, 1], [1, math.nan], [0.9, 0.098], [0.1, 0.1], diverged=True)
    assert math.isnan(history.final("validation_accuracy"))
    assert history.final("train_loss") == 1
    assert "accuracy" not in str(history)
    assert history.steps_to(0.9) == 10, "what was recorded before was measured"
    assert History([10], [1], [1], [0.98], [1], diverged=True).steps_to(0.9) is None


def test_bytes_that_are_no_text_are_refused_by_name(tmp_path):
    (tmp_path / "bad.csv").write_bytes(HEADER.encode() + b"\xff\xfe\0")
    with pytest.raises(tn.FileFormatError, match=r"bad\.csv: not UTF-8 text"):
        History.from_csv(tmp_path / "bad.csv")


GOOD = {name: [1.0] for name in COLUMNS} | {"steps": [1], "diverged": False}


@pytest.mark.parametrize(
    "content",
    [
        [],
        "text",
        {},
        GOOD | {"more": 1},
        {name: value for name, value in GOOD.items() if name != "lr"},
        GOOD | {"lr": None},
        GOOD | {"lr": 1.0},
        GOOD | {"lr": ["x"]},
        GOOD | {"lr": [[1.0]]},
        GOOD | {"lr": [10**400]},
        GOOD | {"steps": ["x"]},
        GOOD | {"steps": [math.inf]},
        GOOD | {"steps": [math.nan]},
        GOOD | {"lr": [1.0, 2.0]},
        GOOD | {"lr": ["0.1"]},
        GOOD | {"lr": [True]},
        GOOD | {"lr": [None]},
        GOOD | {"lr": {"0.1": 0}},
        GOOD | {"steps": [1.5]},
        GOOD | {"steps": [True]},
        GOOD | {"steps": [-1]},
        GOOD | {"steps": [2**63]},
        GOOD | {"steps": "1"},
        GOOD | {"diverged": 1},
        GOOD | {"diverged": "yes"},
    ],
)
def test_json_that_is_no_history_is_refused_by_name(tmp_path, content):
    (tmp_path / "bad.json").write_text(json.dumps(content))
    with pytest.raises(tn.FileFormatError, match=r"bad\.json: (not a history|its lists)"):
        History.from_json(tmp_path / "bad.json")


def test_a_list_too_deep_to_be_shown_is_refused(tmp_path):
    for depth in range(800, 1000):  # about as deep as Python's limit lets it be read
        deep = "[" * depth + "]" * depth
        (tmp_path / "bad.json").write_text(json.dumps(GOOD).replace("[1.0]", f"[{deep}]", 1))
        with pytest.raises(tn.FileFormatError, match=r"bad\.json: not a"):
            History.from_json(tmp_path / "bad.json")


def test_numbers_of_numpy_are_numbers_too():
    content = {name: [np.float32(0.5)] for name in COLUMNS} | {"steps": [np.int64(3)], "diverged": False}
    history = History.from_dict(content)
    assert (history.steps, history.lr) == ([3], [0.5])
    assert {type(history.steps[0]), type(history.lr[0])} == {int, float}
