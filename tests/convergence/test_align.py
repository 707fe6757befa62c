import numpy as np
import pytest

from tinynet.convergence import Curve, align, smoothed

NAN = np.nan


def curve(x, values):
    return Curve(values, {"step": x})


def test_runs_measured_at_the_same_places_are_as_they_were():
    both = align([curve([1, 2, 3], [5.0, 6, 7]), curve([1, 2, 3], [1.0, 2, 3])], "step")
    assert both.x.tolist() == [1, 2, 3]
    assert both.rows.tolist() == [[5, 6, 7], [1, 2, 3]]
    assert not both.interpolated
    assert both.everywhere.all()


def test_a_shorter_run_is_neither_stretched_nor_does_it_cut_the_others():
    both = align([curve([1, 2, 3, 4], [5.0, 6, 7, 8]), curve([1, 2], [1.0, 2])], "step")
    np.testing.assert_array_equal(both.rows, [[5, 6, 7, 8], [1, 2, NAN, NAN]])
    assert not both.interpolated
    assert both.everywhere.tolist() == [True, True, False, False]


def test_a_run_that_was_measured_more_often_is_taken_where_both_were():
    often = curve(np.arange(1, 13), np.arange(1.0, 13) ** 2)
    both = align([often, curve([3, 6, 9, 12], [0.0, 1, 2, 3])], "step")
    # before 3 only one of them is inside, and was measured
    assert both.x.tolist() == [1, 2, 3, 6, 9, 12]
    np.testing.assert_array_equal(both.rows, [[1, 4, 9, 36, 81, 144], [NAN, NAN, 0, 1, 2, 3]])
    assert not both.interpolated


def test_without_common_places_values_lie_on_lines_between_measured_ones_and_it_is_said():
    both = align([curve([0, 10], [0.0, 1.0]), curve([5, 7], [3.0, 4.0])], "step")
    assert both.interpolated
    assert both.x.tolist() == [0, 5, 7, 10]
    np.testing.assert_allclose(both.rows, [[0, 0.5, 0.7, 1], [NAN, 3, 4, NAN]], rtol=1e-15)


def test_a_nan_that_was_measured_spoils_only_its_own_neighbourhood():
    both = align([curve([0, 2, 4, 6], [0.0, 2, NAN, 6]), curve([1, 3, 5], [0.0, 0, 0])], "step")
    np.testing.assert_array_equal(both.rows[0], [0, 1, 2, NAN, NAN, NAN, 6])
    assert both.inside[0].all()


def test_no_more_places_are_interpolated_at_than_a_plot_has_dots():
    rng = np.random.default_rng(0)
    runs = [curve(np.sort(rng.random(5000)), np.arange(5000.0)) for _ in range(3)]
    both = align(runs, "step")
    assert both.x.shape == (1000,)
    ends = [run.x["step"][[0, -1]] for run in runs]
    assert (both.x[0], both.x[-1]) == (np.min(ends), np.max(ends))


def test_one_run_and_one_point_are_themselves():
    alone = align([curve([3], [0.25])], "step")
    assert (alone.x.tolist(), alone.rows.tolist(), alone.interpolated) == ([3], [[0.25]], False)


@pytest.mark.parametrize("weight", [0.0, 0.6, 0.99])
def test_a_smooth_curve_is_the_weighted_mean_of_what_was_before(weight):
    values = np.random.default_rng(1).normal(size=40)
    expected = [np.average(values[: t + 1], weights=weight ** np.arange(t, -1, -1.0)) for t in range(len(values))]
    np.testing.assert_allclose(smoothed(values, weight), expected, rtol=1e-13)


def test_a_constant_stays_constant_from_its_first_value_and_nan_stays_nan():
    np.testing.assert_allclose(smoothed(np.full(9, 3.0), 0.9), 3, rtol=1e-15)
    np.testing.assert_array_equal(smoothed(np.array([2.0, NAN, 2.0, np.inf]), 0.5), [2, NAN, 2, np.inf])
