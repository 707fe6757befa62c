"""
Batch normalization by hand
===========================

Do the four equations of the paper, typed as they stand, give what the layer gives?

Batch normalization in a few lines of NumPy beside `tinynet.BatchNorm`: the forward pass in training, the running
statistics, the backward pass by the chain rule through x_hat, var and mu, and the forward pass in testing. Printed is
the largest difference of each. :doc:`/batch_norm` derives the backward pass.
"""

import matplotlib.pyplot as plt
import numpy as np

import tinynet as tn
from tinynet import plots

M, FEATURES = 60, 5  # examples in the batch, features of each
EPS = 1e-5
DECAY = 0.9
DTYPE = "float64"  # try "float32"
SEED = 0


def show(name: str, by_hand: np.ndarray, of_layer: np.ndarray) -> None:
    """Print how far two arrays are from each other."""
    print(f"{name:14}  largest difference {np.abs(by_hand - of_layer).max():.1e}")


rng = np.random.default_rng(SEED)
x = rng.normal(3.0, 2.0, (M, FEATURES)).astype(DTYPE)
dy = rng.normal(size=(M, FEATURES)).astype(DTYPE)  # d loss / dy, here any numbers
gamma, beta = (rng.normal(size=FEATURES).astype(DTYPE) for _ in range(2))

layer = tn.BatchNorm(decay=DECAY, eps=EPS).build(FEATURES, dtype=np.dtype(DTYPE))
layer.params["gamma"][:], layer.params["beta"][:] = gamma, beta

# %%
# Forward, in training
# --------------------
# Equations (1) to (4) of the paper (Ioffe and Szegedy 2015), one feature a column.

mu = x.mean(axis=0)  # (1)
var = ((x - mu) ** 2).mean(axis=0)  # (2)
x_hat = (x - mu) / np.sqrt(var + EPS)  # (3)
y = gamma * x_hat + beta  # (4)
show("y in training", y, layer.forward(x, training=True))

# %%
# Whatever mean and spread a feature came with, it leaves with mean beta and standard deviation abs(gamma).

plt.style.use(plots.STYLE)  # readable from the back of a room
figure, axes = plt.subplots(1, 3, figsize=(10, 4.5), layout="constrained", sharey=True)
for ax, values, title in zip(axes, (x, x_hat, y), ("x", "x_hat", "y"), strict=True):
    ax.boxplot(values, medianprops={"color": "#D55E00"})
    ax.axhline(0, color="black", linewidth=0.8)
    ax.set(title=title, xlabel="feature")
axes[0].set_ylabel("value")
plt.show()

# %%
# Running statistics
# ------------------
# They start at mean 0, variance 1. The variance of the batch is taken unbiased: m / (m - 1).

running_mean = DECAY * 0 + (1 - DECAY) * mu
running_var = DECAY * 1 + (1 - DECAY) * var * M / (M - 1)
show("running_mean", running_mean, layer.state["running_mean"])
show("running_var", running_var, layer.state["running_var"])

# %%
# Backward
# --------
# The chain rule, one path from x to y at a time.

inv_std = 1 / np.sqrt(var + EPS)
dx_hat = dy * gamma
dvar = (dx_hat * (x - mu)).sum(axis=0) * -0.5 * inv_std**3
dmu = -(dx_hat * inv_std).sum(axis=0)
dx = dx_hat * inv_std + dvar * 2 * (x - mu) / M + dmu / M
show("dx", dx, layer.backward(dy))
show("dgamma", (dy * x_hat).sum(axis=0), layer.grads["gamma"])
show("dbeta", dy.sum(axis=0), layer.grads["beta"])

# %%
# Forward, in testing
# -------------------
# The running statistics take the place of the batch's: what an example gives no longer depends on its neighbours.

y_test = gamma * (x - running_mean) / np.sqrt(running_var + EPS) + beta
show("y in testing", y_test, layer.forward(x, training=False))
