"""With NUMBA_DISABLE_JIT=1 kernels run as they are written, and where compiled code gives inf or nan so do they."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest

from tinynet import kernels

pytestmark = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="compares with compiled kernels")
ROOT = Path(__file__).parents[2]
ACTIVATIONS = {"sigmoid": (), "tanh": (), "relu": (), "leaky_relu": (0.01,), "elu": (1.0, 1.0), "gelu": ()}
INF, NAN = np.inf, np.nan


def extremes(dtype):
    """Return inputs on both sides of every limit of exp, and gradients for each of them."""
    big, small = np.finfo(dtype).max, np.finfo(dtype).tiny
    sides = [0.0, small, 1e-9, 1, 17, 87, 88, 89, 104, 709, 710, 746, 1000, big, INF]
    x, dy = np.meshgrid(np.array([*sides, *(-s for s in sides), NAN], dtype), np.array([1, -2, 0, 1e6, NAN], dtype))
    return x.ravel(), dy.ravel()


def batches(dtype):
    big, rng = float(np.finfo(dtype).max), np.random.default_rng(0)
    some = rng.random((5, 4)) < 0.2
    found = [rng.uniform(-big / 4, big / 4, (5, 4)), *(np.where(some, odd, 1.0) for odd in (INF, -INF, NAN))]
    found += [np.full((5, 4), value) for value in (INF, -INF, 0.0)]
    return [x.astype(dtype) for x in (*found, np.ones((1, 4)), np.ones((0, 4)))]


def computed():
    """Return what every kernel that divides, takes a root or an exponential makes of numbers at the edge."""
    out = {}
    for dtype in ("float32", "float64"):
        x, dy = extremes(dtype)
        for name, settings in ACTIVATIONS.items():
            y, dx = np.empty_like(x), np.empty_like(x)
            getattr(kernels.activations, f"{name}_forward")(x, y, *settings)
            getattr(kernels.activations, f"{name}_backward")(dy, x, y, dx, *settings)
            out[f"{name} {dtype}"] = [y, dx]
        for k, batch in enumerate(batches(dtype)):
            m = len(batch)
            gamma, beta = np.full(4, 2, dtype), np.ones(4, dtype)
            for eps in (1e-5, 0.0):
                y, dx, x_hat = (np.empty_like(batch) for _ in range(3))
                mu, correction, var, inv_std, *four = (np.empty(4, dtype) for _ in range(8))
                kernels.batch_norm.forward(batch, gamma, beta, eps, y, mu, correction, var, inv_std)
                kernels.batch_norm.backward(batch, batch, mu, correction, inv_std, gamma, dx, *four)
                running = np.zeros(4, dtype), np.ones(4, dtype)
                kernels.batch_norm.update_running(mu, correction, var, m, 0.9, *running)
                at_test, inv_std_at_test = np.empty_like(batch), np.empty(4, dtype)
                kernels.batch_norm.inference(batch, gamma, beta, beta, 0 * beta, eps, at_test, inv_std_at_test)
                out[f"batch norm {k} {eps} {dtype}"] = [
                    y,
                    mu,
                    var,
                    inv_std,
                    dx,
                    *four,
                    *running,
                    at_test,
                    inv_std_at_test,
                ]
                y, inv_std, dgamma, dbeta = np.empty_like(batch), np.empty(m, dtype), gamma.copy(), beta.copy()
                kernels.layer_norm.forward(batch, gamma, beta, eps, y, x_hat, inv_std)
                kernels.layer_norm.backward(batch, x_hat, gamma, inv_std, dx, dgamma, dbeta)
                out[f"layer norm {k} {eps} {dtype}"] = [y, inv_std, dx, dgamma, dbeta]
            y, dx, labels = np.empty_like(batch), np.empty_like(batch), np.zeros(m, np.int64)
            kernels.softmax.forward(batch, y)
            kernels.softmax.backward(batch, y, dx)
            out[f"softmax {k} {dtype}"] = [
                y,
                dx.copy(),
                np.array(kernels.softmax.cross_entropy(batch, labels, dx)),
                dx,
            ]
            for rate in (0.1, 1e39, INF):
                w, moved = batch.ravel().copy(), batch.ravel().copy()
                kernels.sgd.update(w, batch.ravel(), np.array([rate, 0.1, 0.0]))
                kernels.sgd.update_momentum(moved, batch.ravel(), w.copy(), np.array([rate, 0.1, 0.0, 0.9]), True)
                out[f"sgd {rate} {k} {dtype}"] = [w, moved, np.array(kernels.sgd.sum_of_squares(batch.ravel()))]
    return {name: [a.astype(float).ravel().tolist() for a in arrays] for name, arrays in out.items()}


def as_plain_python(code):
    """Run code in a new process without the compiler, warnings being errors; return what it prints as JSON."""
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=ROOT,
        env=os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    return json.loads(run.stdout)


@pytest.mark.slow
def test_numbers_at_the_edge_are_those_of_compiled_kernels():
    code = "import json; from tests.kernels.test_as_plain_python import computed; print(json.dumps(computed()))"
    plain, compiled = as_plain_python(code), computed()
    assert plain.keys() == compiled.keys()
    for name, arrays in compiled.items():
        rtol = 1e-4 if "float32" in name else 1e-11
        for one, other in zip(plain[name], arrays, strict=True):
            np.testing.assert_allclose(one, other, rtol, atol=1e-37, err_msg=name)


TRAIN = """
import json
import numpy as np
import tinynet as tn

data = tn.datasets.spirals(20, seed=0)
found = {}
for activation in ("sigmoid", "tanh", "relu", "leaky_relu", "elu", "selu", "gelu"):
    for norm in (None, "batch", "layer"):
        for lr in (0.1, 1e20):
            net = tn.mlp(2, [4, 4], 3, activation=activation, norm=norm, dropout=0.1, dtype="float64", seed=0)
            optimizer = tn.SGD(lr, momentum=0.9, weight_decay=0.01)
            history = tn.fit(net, data, validation=data, optimizer=optimizer, steps=4, batch_size=20, seed=0)
            found[f"{activation} {norm} {lr}"] = [history.diverged, history.train_loss]
print(json.dumps(found))
"""


@pytest.mark.slow
def test_the_whole_package_trains_and_a_run_that_diverges_is_found_to():
    compiled = subprocess.run([sys.executable, "-c", TRAIN], cwd=ROOT, capture_output=True, text=True, check=True)
    plain, compiled = as_plain_python(TRAIN), json.loads(compiled.stdout)
    assert plain.keys() == compiled.keys()
    assert {diverged for diverged, _ in plain.values()} == {True, False}
    for name, (diverged, losses) in compiled.items():
        assert plain[name][0] == diverged, name
        if not diverged and "1e+20" not in name:
            np.testing.assert_allclose(plain[name][1], losses, 1e-9, err_msg=name)
