"""Do the four equations of the paper, typed as they stand, give what the layer gives?

Batch normalization in a few lines of NumPy beside ``tn.BatchNorm``: the forward pass in training, the backward pass
by the chain rule through x_hat, var and mu, the running statistics, and the forward pass in testing. Printed: the
largest difference of each. docs/batch_norm.md derives the backward pass.
"""

import numpy as np

import tinynet as tn

M, FEATURES = 60, 5  # examples in the batch, features of each
EPS = 1e-5
DECAY = 0.9
DTYPE = "float64"  # try "float32"
SEED = 0


def main() -> None:
    rng = np.random.default_rng(SEED)
    x = rng.normal(3.0, 2.0, (M, FEATURES)).astype(DTYPE)
    dy = rng.normal(size=(M, FEATURES)).astype(DTYPE)  # d loss / dy, here any numbers
    gamma, beta = (rng.normal(size=FEATURES).astype(DTYPE) for _ in range(2))

    layer = tn.BatchNorm(decay=DECAY, eps=EPS).build(FEATURES, dtype=np.dtype(DTYPE))
    layer.params["gamma"][:], layer.params["beta"][:] = gamma, beta

    # forward, in training
    mu = x.mean(axis=0)  # (1)
    var = ((x - mu) ** 2).mean(axis=0)  # (2)
    x_hat = (x - mu) / np.sqrt(var + EPS)  # (3)
    y = gamma * x_hat + beta  # (4)
    show("y in training", y, layer.forward(x, training=True))

    # the running statistics start at mean 0, variance 1; the variance of the batch is taken unbiased
    running_mean = DECAY * 0 + (1 - DECAY) * mu
    running_var = DECAY * 1 + (1 - DECAY) * var * M / (M - 1)
    show("running_mean", running_mean, layer.state["running_mean"])
    show("running_var", running_var, layer.state["running_var"])

    # backward: the chain rule, one path from x to y at a time
    inv_std = 1 / np.sqrt(var + EPS)
    dx_hat = dy * gamma
    dvar = (dx_hat * (x - mu)).sum(axis=0) * -0.5 * inv_std**3
    dmu = -(dx_hat * inv_std).sum(axis=0)
    dx = dx_hat * inv_std + dvar * 2 * (x - mu) / M + dmu / M
    show("dx", dx, layer.backward(dy))
    show("dgamma", (dy * x_hat).sum(axis=0), layer.grads["gamma"])
    show("dbeta", dy.sum(axis=0), layer.grads["beta"])

    # forward, in testing
    y = gamma * (x - running_mean) / np.sqrt(running_var + EPS) + beta
    show("y in testing", y, layer.forward(x, training=False))


def show(name: str, by_hand: np.ndarray, of_layer: np.ndarray) -> None:
    print(f"{name:14}  largest difference {np.abs(by_hand - of_layer).max():.1e}")


if __name__ == "__main__":
    main()
