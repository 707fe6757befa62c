import numpy as np
import pytest

import tinynet as tn
from tinynet import evaluation

MOONS = tn.datasets.moons(61, seed=0)


def test_accuracy_is_the_share_of_examples_with_the_largest_output_at_the_label():
    net = tn.Sequential([tn.Dense(2)], inputs=2, dtype="float64")
    net.params["dense_1.weight"] = np.eye(2)
    data = tn.Dataset([[2.0, 1.0], [0.0, 1.0], [5.0, 0.0], [0.0, 3.0]], [0, 1, 1, 1])
    loss, accuracy = tn.evaluate(net, data)
    assert accuracy == 3 / 4
    assert loss == pytest.approx(np.mean(np.log1p(np.exp([-1.0, -1.0, 5.0, -3.0]))), rel=1e-14)


@pytest.mark.parametrize("rows", [1, 7, 61, 1000])
def test_how_many_rows_are_evaluated_at_a_time_does_not_matter(monkeypatch, rows):
    net = tn.mlp(2, [8], 2, seed=0, norm="batch", dtype="float64")
    tn.fit(net, MOONS, epochs=2, batch_size=10, seed=0)
    expected = tn.evaluate(net, MOONS)
    monkeypatch.setattr(evaluation, "EVALUATION_ROWS", rows)
    loss, accuracy = tn.evaluate(net, MOONS)
    assert loss == pytest.approx(expected[0], rel=1e-13)
    assert accuracy == expected[1]
    assert loss == pytest.approx(tn.SoftmaxCrossEntropy()(net.forward(MOONS.x), MOONS.y)[0], rel=1e-13)


def test_evaluating_changes_nothing():
    net = tn.mlp(2, [8], 2, seed=0, norm="batch", dropout=0.5)
    before = [array.copy() for array in (*net.params.values(), *net.state.values())]
    assert tn.evaluate(net, MOONS) == tn.evaluate(net, MOONS)
    for array, old in zip((*net.params.values(), *net.state.values()), before, strict=True):
        np.testing.assert_array_equal(array, old)
