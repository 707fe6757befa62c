"""Write batch_norm.npz: what PyTorch computes, in double, for the tests to compare with. Needs torch.

Run by hand, ``python tests/vectors/make_batch_norm_vectors.py``, and commit the file; the tests only read it.
Weights are stored as tinynet has them, (inputs, units), the transpose of PyTorch's.
"""

from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

torch.set_default_dtype(torch.float64)
vectors: dict[str, object] = {"torch_version": torch.__version__}


def tensor(array, *, grad=False):
    return torch.tensor(array, requires_grad=grad)


def batch_norm(rng, shape, prefix):
    """Three training steps with momentum 0.1 (tinynet's decay 0.9), then a prediction."""
    m, features = shape
    layer = nn.BatchNorm1d(features, eps=1e-5, momentum=0.1)
    gamma, beta = rng.normal(1, 0.5, features), rng.normal(0, 0.5, features)
    with torch.no_grad():
        layer.weight.copy_(tensor(gamma))
        layer.bias.copy_(tensor(beta))
    x = rng.normal(rng.normal(0, 3, features), rng.uniform(0.1, 3, features), (3, m, features))
    dy = rng.normal(size=x.shape)
    found = {"x": x, "dy": dy, "gamma": gamma, "beta": beta}
    steps = []
    for k in range(3):
        layer.zero_grad()
        x_k = tensor(x[k], grad=True)
        y = layer(x_k)
        y.backward(tensor(dy[k]))
        steps.append({"y": y, "dx": x_k.grad, "dgamma": layer.weight.grad.clone(), "dbeta": layer.bias.grad.clone()})
    for name in steps[0]:
        found[name] = np.stack([step[name].detach().numpy() for step in steps])
    found["running_mean"], found["running_var"] = layer.running_mean.numpy(), layer.running_var.numpy()
    layer.eval()
    found["y_inference"] = layer(tensor(x[0])).detach().numpy()
    vectors.update({f"{prefix}.{name}": value for name, value in found.items()})


def mlp(rng):
    """Linear, BatchNorm1d, Sigmoid, twice, and a Linear; mean cross-entropy."""
    net = nn.Sequential(
        *(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Sigmoid()),
        *(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Sigmoid()),
        nn.Linear(4, 3),
    )
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(tensor(rng.normal(0, 0.7, tuple(p.shape))))
    layers = {"dense_1": 0, "batch_norm_1": 1, "dense_2": 3, "batch_norm_2": 4, "dense_3": 6}
    x, labels = rng.normal(size=(12, 6)), rng.integers(0, 3, 12)
    x_torch = tensor(x, grad=True)
    logits = net(x_torch)
    loss = functional.cross_entropy(logits, tensor(labels))
    loss.backward()
    vectors.update({"mlp.x": x, "mlp.labels": labels, "mlp.dx": x_torch.grad.numpy()})
    vectors.update({"mlp.logits": logits.detach().numpy(), "mlp.loss": loss.item()})
    for name, k in layers.items():
        names = ("gamma", "beta") if name.startswith("batch_norm") else ("weight", "bias")
        for ours, p in zip(names, (net[k].weight, net[k].bias), strict=True):
            vectors[f"mlp.param.{name}.{ours}"] = p.detach().numpy().T
            vectors[f"mlp.grad.{name}.{ours}"] = p.grad.numpy().T
        if name.startswith("batch_norm"):
            vectors[f"mlp.state.{name}.running_mean"] = net[k].running_mean.numpy()
            vectors[f"mlp.state.{name}.running_var"] = net[k].running_var.numpy()
    net.eval()
    vectors["mlp.logits_inference"] = net(x_torch).detach().numpy()


def sgd(rng):
    """Six steps of a small vector along given gradients."""
    start, gradients = rng.normal(size=5), rng.normal(size=(6, 5))
    vectors.update({"sgd.start": start, "sgd.gradients": gradients})
    settings = {
        "plain": {},
        "weight_decay": {"weight_decay": 0.1},
        "momentum": {"momentum": 0.9},
        "nesterov": {"momentum": 0.9, "nesterov": True},
        "all": {"momentum": 0.8, "nesterov": True, "weight_decay": 0.1},
    }
    for name, setting in settings.items():
        w = nn.Parameter(tensor(start))
        optimizer = torch.optim.SGD([w], lr=0.05, **setting)
        path = []
        for g in gradients:
            w.grad = tensor(g)
            optimizer.step()
            path.append(w.detach().numpy().copy())
        vectors[f"sgd.{name}"] = np.stack(path)


def activations():
    """Values and slopes on a grid of rows."""
    grid = np.linspace(-6, 6, 26).reshape(2, 13)
    vectors["activation.x"] = grid
    functions = {
        "sigmoid": torch.sigmoid,
        "tanh": torch.tanh,
        "relu": functional.relu,
        "leaky_relu": lambda x: functional.leaky_relu(x, 0.2),
        "elu": lambda x: functional.elu(x, 0.7),
        "selu": functional.selu,
        "gelu": functional.gelu,
    }
    for name, f in functions.items():
        x = tensor(grid, grad=True)
        y = f(x)
        y.sum().backward()
        vectors[f"activation.{name}"], vectors[f"activation.{name}.slope"] = y.detach().numpy(), x.grad.numpy()


def rows(rng):
    """Softmax and layer normalization."""
    x, dy, labels = rng.normal(0, 3, (6, 5)), rng.normal(size=(6, 5)), rng.integers(0, 5, 6)
    gamma, beta = rng.normal(1, 0.5, 5), rng.normal(0, 0.5, 5)
    vectors.update({"rows.x": x, "rows.dy": dy, "rows.labels": labels, "rows.gamma": gamma, "rows.beta": beta})
    for name in ("softmax", "layer_norm"):
        z, g, b = tensor(x, grad=True), tensor(gamma, grad=True), tensor(beta, grad=True)
        y = functional.softmax(z, 1) if name == "softmax" else functional.layer_norm(z, (5,), g, b, 1e-5)
        y.backward(tensor(dy))
        vectors.update({f"{name}.y": y.detach().numpy(), f"{name}.dx": z.grad.numpy()})
    vectors.update({"layer_norm.dgamma": g.grad.numpy(), "layer_norm.dbeta": b.grad.numpy()})
    z = tensor(x, grad=True)
    loss = functional.cross_entropy(z, tensor(labels))
    loss.backward()
    vectors.update({"cross_entropy.loss": loss.item(), "cross_entropy.dx": z.grad.numpy()})


if __name__ == "__main__":
    rng = np.random.default_rng(2015)
    batch_norm(rng, (5, 3), "small")
    batch_norm(rng, (32, 7), "wide")
    mlp(rng)
    sgd(rng)
    activations()
    rows(rng)
    np.savez_compressed(Path(__file__).with_name("batch_norm.npz"), **vectors)
