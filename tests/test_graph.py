import numpy as np
import pytest

import tinynet as tn
from tests.test_network import branching


def test_in_a_branching_graph_each_layer_comes_after_those_it_reads():
    net = branching()
    rows = net.describe()
    place = {name: k for k, (name, *_) in enumerate(rows)}
    for name, _, reads, _, _ in rows:
        assert all(place[source] < place[name] for source in reads)
    assert rows[0][0] == "input"
    reads = {name: sources for name, _, sources, _, _ in rows}
    assert reads["add_1"] == ("tanh_1", "gelu_1", "sigmoid_1")
    assert reads["concat_1"] == ("add_1", "input", "sigmoid_1")


def test_a_graph_of_a_thousand_layers_is_ordered_run_and_folded():
    net = tn.Sequential([tn.Tanh() for _ in range(1000)], inputs=2, seed=0)
    assert len(net.layers) == 1000
    x = np.ones((2, 2), "float32")
    np.testing.assert_array_equal(net.fold().forward(x), net.forward(x))


def test_a_layer_that_is_connected_twice_is_refused():
    dense = tn.Dense(4)
    with pytest.raises(tn.InputError, match=r"Dense\(units=4, .* is connected twice"):
        tn.Sequential([dense, tn.ReLU(), dense], inputs=4)


def test_an_input_that_is_not_reached_or_not_the_one_given_is_told():
    x, other = tn.Input(3), tn.Input(3)
    with pytest.raises(tn.InputError, match="reads an Input other than the one given"):
        tn.Network(x, tn.Dense(2)(other))
    with pytest.raises(tn.InputError, match="reads an Input other than the one given"):
        tn.Network(x, tn.Add()(x, other))
    with pytest.raises(tn.InputError, match="no layer leads from the input to the output"):
        tn.Network(x, x)
