"""Each usual mistake gets a message of its own, stubs are told from mistakes, and solutions are right."""

import importlib
import re
import runpy
from pathlib import Path

import numpy as np
import pytest

from tests.course import answers_1_to_3, answers_4_to_6
from tinynet.course import comparing, prediction
from tinynet.course.numerical import derivative

SOLUTIONS = Path(__file__).parents[2] / "docs" / "course" / "solutions"
WRONG = answers_1_to_3.WRONG | answers_4_to_6.WRONG
EXERCISES = {1: 3, 2: 4, 3: 3, 4: 4, 5: 3, 6: 3}


@pytest.mark.parametrize("lesson", EXERCISES)
def test_every_solution_passes_its_check(lesson, capsys):
    runpy.run_path(str(SOLUTIONS / f"lesson_{lesson}.py"))
    lines = capsys.readouterr().out.splitlines()
    assert sorted(re.findall(r"^exercise (\d\.\d): right: ", "\n".join(lines), re.MULTILINE)) == [
        f"{lesson}.{k + 1}" for k in range(EXERCISES[lesson])
    ]
    assert len(lines) == EXERCISES[lesson]


def test_every_exercise_has_wrong_answers():
    assert {lesson: sum(of == lesson for of, _ in WRONG) for lesson in EXERCISES} == EXERCISES


@pytest.mark.parametrize(("lesson", "name"), WRONG, ids=lambda part: str(part))
def test_a_wrong_answer_is_told_what_is_wrong_with_it(lesson, name, capsys, monkeypatch):
    module = importlib.import_module(f"tinynet.course.lesson_{lesson}")
    catalogue = set()

    def spy(what, answer, expected, mistakes, **settings):
        catalogue.update(mistakes)
        comparing.compare(what, answer, expected, mistakes, **settings)

    monkeypatch.setattr(module, "compare", spy)
    said = []
    for fragment, answer in WRONG[lesson, name].items():
        getattr(module, name)(answer)
        line = capsys.readouterr().out
        assert re.match(rf"exercise {lesson}\.\d: not right yet: ", line), (fragment, line)
        assert fragment in line, line
        assert line.count("\n") == 1
        said.append(line)
    assert len(set(said)) == len(said)
    untold = {sentence for sentence in catalogue if not any(sentence in line for line in said)}
    assert not untold, "no wrong answer is told this"


JUNK = {
    "text": "x",
    "a dict": {},
    "an empty array": np.zeros(0),
    "ragged": [[1], [2, 3]],
    "complex": np.full((6, 2), 1j),
    "huge": np.full((6, 4), 1e200),
    "an object": object(),
}


@pytest.mark.parametrize(("lesson", "name"), WRONG, ids=lambda part: str(part))
def test_whatever_is_returned_the_page_runs_on(lesson, name, capsys):
    check = getattr(importlib.import_module(f"tinynet.course.lesson_{lesson}"), name)
    for junk in JUNK.values():
        for parts in ("one", 2, 3):
            check(lambda *_, junk=junk, parts=parts: junk if parts == "one" else (junk,) * parts)
    assert capsys.readouterr().out.count("not right yet: ") == 3 * len(JUNK)


def test_the_message_measures_the_distance_to_an_independent_reference(capsys):
    from tinynet.course import lesson_2

    lesson_2.dense_backward(lambda dy, x, weight: (dy @ weight.T, x.T @ dy / len(x), dy.sum(axis=0)))
    found = re.search(r"dweight\[0, 0\] is (\S+); the numerical derivative: (\S+)\)", capsys.readouterr().out)
    assert found is not None
    assert float(found[1]) == pytest.approx(float(found[2]) / 5, rel=1e-3)


def unfinished(dy, x):
    y = ...
    return dy * y


def stub(dy, x):
    raise NotImplementedError


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda dy, x: ..., "fill in dx"),
        (lambda dy, x: None, "fill in dx, and return it: your function returned None"),
        (stub, "the function has no body yet"),
        (unfinished, "a value is still ... or None in the line `return dy * y`"),
        (..., "give the check your function"),
    ],
)
def test_a_stub_is_not_a_mistake(answer, said, capsys):
    from tinynet.course import lesson_2

    lesson_2.sigmoid_backward(answer)
    assert capsys.readouterr().out == f"exercise 2.1: not done yet: {said}\n"


def test_a_part_that_is_left_open_is_named(capsys):
    from tinynet.course import lesson_2

    lesson_2.dense_backward(lambda dy, x, weight: (dy @ weight.T, ..., None))
    assert capsys.readouterr().out == "exercise 2.2: not done yet: fill in dweight, dbias\n"


def misspelt(dy, x):
    return dy * sigmoyd(x)  # noqa: F821


def test_an_error_shows_the_students_line(capsys):
    from tinynet.course import lesson_2

    lesson_2.sigmoid_backward(misspelt)
    line = capsys.readouterr().out
    assert "in the line `return dy * sigmoyd(x)" in line
    assert "NameError: name 'sigmoyd' is not defined" in line


@pytest.mark.parametrize(
    ("guess", "said"),
    [
        (..., "you wrote down no prediction"),
        (None, "you wrote down no prediction"),
        ("much", "a prediction is one number, yours is 'much'"),
        (0.5, "you predicted 0.5, 2 times too much"),
        (0.125, "you predicted 0.125, 2 times too little"),
        (0, "you predicted 0, a difference of 0.25"),
        (0.25, "you predicted 0.25, a difference of 0"),
    ],
)
def test_a_prediction_is_laid_beside_what_was_measured(guess, said, capsys):
    prediction(guess, 0.25, "the share")
    assert capsys.readouterr().out == f"the share: measured 0.25; {said}\n"


def test_the_numerical_derivative_is_the_derivative_and_leaves_the_numbers_alone():
    x = np.random.default_rng(0).normal(size=(2, 3))
    before = x.copy()
    np.testing.assert_allclose(derivative(lambda: float(np.sum(np.exp(x) * x)), x), np.exp(x) * (1 + x), rtol=1e-9)
    np.testing.assert_array_equal(x, before)
