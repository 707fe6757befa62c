"""Layers, loss, network and optimizer against numbers that PyTorch computed (tests/vectors), in double."""

import numpy as np
import pytest

import tinynet as tn
from tests import vectors

EXACT = {"rtol": 1e-10, "atol": 1e-12}


@pytest.fixture(scope="module")
def torch():
    return vectors.pytorch()


def part(torch, prefix):
    return {name.removeprefix(prefix): a for name, a in torch.items() if name.startswith(prefix)}


def test_the_vectors_say_which_pytorch_made_them(torch):
    assert str(torch["torch_version"]) >= "2"


@pytest.mark.parametrize("shape", ["small", "wide"])
def test_batch_norm_in_training_and_after(torch, shape):
    torch = part(torch, shape + ".")
    layer = tn.BatchNorm().build(len(torch["gamma"]), dtype="float64")
    layer.params["gamma"][:], layer.params["beta"][:] = torch["gamma"], torch["beta"]
    for k in range(3):
        np.testing.assert_allclose(layer.forward(torch["x"][k], training=True), torch["y"][k], **EXACT)
        np.testing.assert_allclose(layer.backward(torch["dy"][k]), torch["dx"][k], **EXACT)
        np.testing.assert_allclose(layer.grads["gamma"], torch["dgamma"][k], **EXACT)
        np.testing.assert_allclose(layer.grads["beta"], torch["dbeta"][k], **EXACT)
    np.testing.assert_allclose(layer.state["running_mean"], torch["running_mean"], **EXACT)
    np.testing.assert_allclose(layer.state["running_var"], torch["running_var"], **EXACT)
    np.testing.assert_allclose(layer.forward(torch["x"][0]), torch["y_inference"], **EXACT)


def test_layer_norm(torch):
    layer = tn.LayerNorm().build(5, dtype="float64")
    layer.params["gamma"][:], layer.params["beta"][:] = torch["rows.gamma"], torch["rows.beta"]
    np.testing.assert_allclose(layer.forward(torch["rows.x"], training=True), torch["layer_norm.y"], **EXACT)
    np.testing.assert_allclose(layer.backward(torch["rows.dy"]), torch["layer_norm.dx"], **EXACT)
    np.testing.assert_allclose(layer.grads["gamma"], torch["layer_norm.dgamma"], **EXACT)
    np.testing.assert_allclose(layer.grads["beta"], torch["layer_norm.dbeta"], **EXACT)


def test_softmax_and_its_cross_entropy(torch):
    x, labels = torch["rows.x"], torch["rows.labels"]
    layer = tn.Softmax()
    np.testing.assert_allclose(layer.forward(x, training=True), torch["softmax.y"], **EXACT)
    np.testing.assert_allclose(layer.backward(torch["rows.dy"]), torch["softmax.dx"], **EXACT)
    loss, dx = tn.SoftmaxCrossEntropy()(x, labels)
    np.testing.assert_allclose(loss, torch["cross_entropy.loss"], **EXACT)
    np.testing.assert_allclose(dx, torch["cross_entropy.dx"], **EXACT)


@pytest.mark.parametrize(
    "layer",
    [tn.Sigmoid(), tn.Tanh(), tn.ReLU(), tn.LeakyReLU(0.2), tn.ELU(0.7), tn.SELU(), tn.GELU()],
    ids=lambda layer: layer.kind,
)
def test_activations(torch, layer):
    x, layer = torch["activation.x"], layer.copy()
    np.testing.assert_allclose(layer.forward(x, training=True), torch[f"activation.{layer.kind}"], **EXACT)
    slope = layer.backward(np.ones_like(x))
    np.testing.assert_allclose(slope, torch[f"activation.{layer.kind}.slope"], **EXACT)
    assert layer.steepest >= slope.max() or layer.kind == "gelu"


def test_a_network_with_batch_norm(torch):
    torch = part(torch, "mlp.")
    layers = [tn.Dense(5), tn.BatchNorm(), tn.Sigmoid(), tn.Dense(4), tn.BatchNorm(), tn.Sigmoid(), tn.Dense(3)]
    net = tn.Sequential(layers, inputs=6, dtype="float64")
    parameters, gradients, state = (part(torch, role) for role in ("param.", "grad.", "state."))
    assert net.params.keys() == parameters.keys() == gradients.keys()
    for name, value in parameters.items():
        net.params[name] = value
    logits = net.forward(torch["x"], training=True)
    loss, dlogits = tn.SoftmaxCrossEntropy()(logits, torch["labels"])
    dx = net.backward(dlogits)
    np.testing.assert_allclose(logits, torch["logits"], **EXACT)
    np.testing.assert_allclose(loss, torch["loss"], **EXACT)
    np.testing.assert_allclose(dx, torch["dx"], **EXACT)
    for name, gradient in gradients.items():
        np.testing.assert_allclose(net.grads[name], gradient, **EXACT, err_msg=name)
    for name, value in state.items():
        np.testing.assert_allclose(net.state[name], value, **EXACT, err_msg=name)
    np.testing.assert_allclose(net.forward(torch["x"]), torch["logits_inference"], **EXACT)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("plain", {}),
        ("weight_decay", {"weight_decay": 0.1}),
        ("momentum", {"momentum": 0.9}),
        ("nesterov", {"momentum": 0.9, "nesterov": True}),
        ("all", {"momentum": 0.8, "nesterov": True, "weight_decay": 0.1}),
    ],
)
def test_sgd(torch, name, settings):
    optimizer, params = tn.SGD(lr=0.05, **settings), {"w": torch["sgd.start"].copy()}
    for g, expected in zip(torch["sgd.gradients"], torch[f"sgd.{name}"], strict=True):
        optimizer.step(params, {"w": g})
        np.testing.assert_allclose(params["w"], expected, **EXACT)
