import numpy as np
import pytest

import tinynet as tn


@pytest.mark.parametrize("make", [tn.datasets.spirals, tn.datasets.moons])
def test_same_seed_same_points_and_another_seed_others(make):
    np.testing.assert_array_equal(make(50, seed=1).x, make(50, seed=1).x)
    assert not np.array_equal(make(50, seed=1).x, make(50, seed=2).x)


@pytest.mark.parametrize("make", [tn.datasets.spirals, tn.datasets.moons])
def test_points_are_pairs_of_float32_with_integer_labels(make):
    data = make(51, seed=0)
    assert data.x.shape == (51, 2)
    assert data.x.dtype == np.float32
    assert data.y.dtype == np.int64


@pytest.mark.parametrize(("examples", "classes"), [(600, 3), (601, 3), (602, 3), (100, 2), (55, 7)])
def test_spirals_have_as_many_points_in_each_arm_or_one_fewer(examples, classes):
    counts = np.bincount(tn.datasets.spirals(examples, classes=classes, seed=0).y)
    assert len(counts) == classes
    assert counts.sum() == examples
    assert counts.max() - counts.min() <= 1


def test_spirals_lie_in_the_unit_disc():
    assert np.linalg.norm(tn.datasets.spirals(1000, seed=0).x, axis=1).max() <= 1 + 1e-6


def test_without_noise_a_spirals_angle_is_its_arms_and_grows_with_the_radius():
    data = tn.datasets.spirals(300, noise=0, seed=0)
    radius, angle = np.linalg.norm(data.x, axis=1), np.arctan2(data.x[:, 1], data.x[:, 0])
    turned = np.exp(1j * (angle - 4 * radius - 2 * np.pi * data.y / 3))
    np.testing.assert_allclose(turned, 1, atol=1e-5)


def test_without_noise_moons_are_two_half_circles_of_radius_1():
    data = tn.datasets.moons(200, noise=0, seed=0)
    for label, centre, side in ((0, (0, 0), 1), (1, (1, 0.5), -1)):
        offset = data.x[data.y == label] - np.array(centre, "float32")
        np.testing.assert_allclose(np.linalg.norm(offset, axis=1), 1, rtol=1e-6)
        assert (side * offset[:, 1] >= -1e-6).all()


def test_noise_is_the_standard_deviation_around_the_curve():
    exact, noisy = tn.datasets.moons(4000, noise=0, seed=0), tn.datasets.moons(4000, noise=0.3, seed=0)
    assert (noisy.x - exact.x).std() == pytest.approx(0.3, rel=5 / np.sqrt(2 * 8000))


def test_bad_arguments_are_refused():
    with pytest.raises(tn.InputError, match="classes must be a whole number of at least 2, not 1"):
        tn.datasets.spirals(classes=1)
    for make in (tn.datasets.spirals, tn.datasets.moons):
        with pytest.raises(tn.InputError, match="examples must be a whole number of at least 2, not 1"):
            make(1)
        for noise in (-0.1, np.nan):
            with pytest.raises(tn.InputError, match="noise must not be negative"):
                make(10, noise=noise)
