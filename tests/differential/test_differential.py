"""Random programs hold tinynet to a network in plain NumPy, and notice it when the machinery is made wrong."""

import pytest

from tests.differential.__main__ import SUITE, Tally, first_to_notice, run, section
from tests.differential.mutations import MUTATIONS
from tests.differential.programs import OPERATIONS, Program

TOGETHER = 20  # programs a test: about a second


@pytest.mark.parametrize("first", range(0, SUITE, TOGETHER))
def test_whatever_a_user_does_the_numbers_are_those_of_a_plain_network(first):
    for seed in range(first, first + TOGETHER):
        program = Program.drawn(seed)
        error = program.fails()
        if error is not None:
            raise program.shrunk().fails() or error


def test_a_program_is_drawn_from_its_seed_alone_and_every_operation_occurs():
    programs = [Program.drawn(seed) for seed in range(SUITE)]
    assert programs == [Program.drawn(seed) for seed in range(SUITE)]
    drawn = {name for program in programs for name, _ in program.operations}
    assert drawn == {name for name, (_, often) in OPERATIONS.items() if often}


@pytest.mark.slow
@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.what.replace(" ", "-"))
def test_a_wrong_machinery_is_noticed(mutation):
    assert first_to_notice(mutation) is not None


def test_a_program_that_fails_is_cut_down_to_what_matters():
    with MUTATIONS[0].made():  # what was recorded is not forgotten
        program = next(p for p in map(Program.drawn, range(SUITE)) if p.fails())
        short = program.shrunk()
        error = short.fails()
    assert error is not None
    assert short.seed == program.seed
    assert len(short.operations) < len(program.operations)
    assert f"program {short.seed}:" in error.__notes__[0]
    assert program.fails() is None


def test_the_section_has_every_figure():
    tally = run(range(2)) + run(range(2, 3))
    assert (tally.programs, tally.failed) == (3, [])
    assert tally.compared > 100
    text = section(tally, {"one": (12, "differs"), "two": None}, "the command")
    assert f"`the command` ran 3 programs with {tally.operations.total()} operations" in text
    assert "none failed" in text
    assert "| one | 12 | differs |" in text
    assert "| two | not noticed | |" in text
    assert "2 of them failed (4, 7)" in section(Tally(programs=9, failed=[4, 7]), {}, "")
