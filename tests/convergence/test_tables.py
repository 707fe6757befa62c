import io
import json
import math

import pytest

import tinynet as tn
from tinynet.convergence.lines import LINE_LIMIT, Lines, encoding
from tinynet.convergence.tables import (
    COLUMN_LIMIT,
    cell,
    flat,
    from_lists,
    from_records,
    json_lines,
    separated,
)


def lines(text, code="utf-8"):
    return Lines(io.BytesIO(text.encode(code)), "a.csv", encoding(text.encode(code)), lambda _: None)


def rows(text, code="utf-8"):
    table = separated(lines(text, code))
    return [dict(row.cells) for row in table.rows], table


@pytest.mark.parametrize(
    ("text", "number"),
    [("1", 1), (" 2.5 ", 2.5), ("1e-3", 1e-3), ("-inf", -math.inf), ("Infinity", math.inf), ("93.5%", 0.935)],
)
def test_a_cell_is_a_number(text, number):
    assert cell(text) == pytest.approx(number, rel=1e-15)


@pytest.mark.parametrize("text", ["", "  ", "NA", "None", "null", "-"])
def test_a_cell_can_say_that_nothing_was_measured(text):
    assert cell(text) is None


@pytest.mark.parametrize("text", ["abc", "1_000", "[1, 2]", "0,5", "x%"])
def test_other_cells_are_text(text):
    assert cell(text) == text


def test_nan_is_a_number_that_was_logged():
    assert math.isnan(cell("NaN"))


def test_commas_are_decimal_points_beside_semicolons_and_tabs_only():
    assert cell("0,5", commas=True) == 0.5
    assert cell("-1,5E+2", commas=True) == -150
    assert cell("1,234,5", commas=True) == "1,234,5"
    for comma in (";", "\t"):
        assert rows(f"step{comma}loss\n1{comma}0,5\n")[0] == [{"step": 1, "loss": 0.5}]
    assert rows('step,loss\n1,"0,5"\n')[0] == [{"step": 1, "loss": "0,5"}]


@pytest.mark.parametrize("code", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_a_text_is_read_in_any_encoding_that_exports_have(code):
    assert rows("step,größe\n1,2\n", code)[0] == [{"step": 1, "größe": 2}]


def test_a_spreadsheets_first_line_on_what_separates_is_passed_over():
    assert rows("sep=;\nstep;loss\n1;0,5\n")[0] == [{"step": 1, "loss": 0.5}]


def test_bytes_that_are_not_text_are_not_guessed_at():
    assert encoding(b"\0\1\2\0") is None
    with pytest.raises(tn.FileFormatError, match=r"a\.csv: not text after line 0"):
        separated(Lines(io.BytesIO(b"step,l\xff\n"), "a.csv", "utf-8", lambda _: None))


def test_the_character_that_makes_most_cells_separates_and_quoted_ones_do_not():
    assert separated(lines('"Step","a; b; c - loss"\n')).columns == ["Step", "a; b; c - loss"]
    assert separated(lines("a\tb,c\td\n")).columns == ["a", "b,c", "d"]
    assert separated(lines("a\tb\n")).kind == "TSV"


def test_comments_and_empty_lines_are_passed_over():
    assert rows("# made today\nstep,loss\n\n1,2\n# later\n2,1\n")[0] == [
        {"step": 1, "loss": 2},
        {"step": 2, "loss": 1},
    ]


def test_a_header_may_be_a_comment_as_numpy_writes_it():
    assert rows("# step,loss\n1,2\n")[0] == [{"step": 1, "loss": 2}]
    with pytest.raises(tn.FileFormatError, match="no header"):
        rows("1,2\n2,3\n")


def test_a_header_that_is_repeated_says_that_a_program_was_started_again_and_may_have_more_columns():
    table = separated(lines("epoch,loss\n0,3\nepoch,loss,val_loss\n0,2,4\n"))
    assert [(row.line, dict(row.cells), row.again) for row in table.rows] == [
        (2, {"epoch": 0, "loss": 3}, False),
        (4, {"epoch": 0, "loss": 2, "val_loss": 4}, True),
    ]
    assert table.columns == ["epoch", "loss", "val_loss"]


def test_two_columns_of_one_name_are_told_apart():
    assert separated(lines("step,loss,loss\n")).columns == ["step", "loss", "loss (2)"]


@pytest.mark.parametrize("end", ["3", "3,", '3,"0.1'])
def test_a_last_line_that_is_half_written_is_left_out_and_said(end):
    found, table = rows(f"step,loss,acc\n1,2,3\n{end}")
    assert found == [{"step": 1, "loss": 2, "acc": 3}]
    assert table.notes == ["line 3, the last, is not whole and was left out"]


def test_a_last_line_without_its_end_is_taken_and_said():
    found, table = rows("step,loss\n1,2\n2,1")
    assert found[-1] == {"step": 2, "loss": 1}
    assert table.notes == ["the last line has no end; it was taken as whole"]


def test_a_line_of_other_length_in_the_middle_is_named():
    with pytest.raises(tn.FileFormatError, match=r"a\.csv: line 2 has 3 cells, where the header has 2"):
        rows("step,loss\n1,2,3\n2,1\n")
    assert rows("step,loss\n1,2,,\n")[0] == [{"step": 1, "loss": 2}]  # a spreadsheet's empty columns


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a" * LINE_LIMIT + "\n", "line 1 has more than 1,048,576 characters"),
        ("step,loss\n1,2\n" + "1" * LINE_LIMIT, "line 3 has more than"),
        ('step,loss\n1,"a\n' + "b\n" * 100_000, "field larger than field limit"),
        (",".join(map("c{}".format, range(COLUMN_LIMIT + 1))) + "\n", "10,001 columns; there can be 10,000"),
    ],
)
def test_what_would_fill_the_memory_is_refused(text, message):
    with pytest.raises(tn.FileFormatError, match=message):
        rows(text)


def test_a_json_line_is_an_object_and_one_inside_it_gives_names_with_a_slash():
    table = json_lines(
        lines('{"step": 1, "train": {"loss": 2}}\n{"step": 2, "new": "nan", "tags": ["a"], "on": true}\n')
    )
    first, second = (row.cells for row in table.rows)
    assert first == {"step": 1, "train/loss": 2}
    assert math.isnan(second["new"])
    assert (second["tags"], second["on"]) == ("list", "bool")
    assert table.columns == ["step", "train/loss", "new", "tags", "on"]


def test_a_json_line_that_is_half_written_is_left_out_and_another_is_named():
    table = json_lines(lines('{"step": 1}\n{"step'))
    assert len(list(table.rows)) == 1
    assert table.notes == ["line 2, the last, is not whole and was left out"]
    with pytest.raises(tn.FileFormatError, match=r"line 2 is not JSON"):
        list(json_lines(lines('{"step": 1}\n{"step\n{"step": 3}\n')).rows)


def test_deep_and_wide_json_lines_are_refused():
    with pytest.raises(tn.FileFormatError, match="line 2 is not JSON"):
        list(json_lines(lines('{"step": 1}\n' + '{"a":' * 100_000 + "\n")).rows)
    many = "".join(json.dumps({f"a{k}": 1}) + "\n" for k in range(COLUMN_LIMIT + 1))
    with pytest.raises(tn.FileFormatError, match="more than 10,000 columns"):
        list(json_lines(lines(many)).rows)
    deep = {"a": {}}
    for _ in range(20):
        deep = {"a": deep}
    assert len(flat(deep)) == 1


def test_numbers_of_json_that_are_too_large_are_no_numbers():
    assert flat({"a": 10**400, "b": None}) == {"a": "too large", "b": None}


def test_json_lists_are_columns_and_records_are_rows():
    assert [row.cells for row in from_lists("a", {"x": [1, 2], "y": [3]}).rows] == [{"x": 1, "y": 3}, {"x": 2}]
    table = from_records("a", [{"x": 1}, {"y": {"z": 2}}])
    assert table.columns == ["x", "y/z"]
    with pytest.raises(tn.FileFormatError, match=r"entry 2 of its list is not an object but '5'"):
        from_records("a", [{"x": 1}, 5])
