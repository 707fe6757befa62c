"""
How far back do gradients reach?
================================

What becomes of the gradient on its way from the loss back to the first layer, before any training?

A deep network with three activations, each without and with batch normalization. Drawn is the root mean square of the
gradient of each layer's weights, for the first batch, on a logarithmic axis: a straight line is a constant factor per
layer. The line is the median of the seeds, the band has all of them.
"""

import matplotlib.pyplot as plt
import numpy as np

import tinynet as tn
from tinynet import plots

LAYERS, UNITS = 30, 100
ACTIVATIONS = ["sigmoid", "tanh", "relu"]
BATCH_SIZE = 256
SEEDS = range(3)

# %%
# Measuring
# ---------
# One step of training, watched by a probe: it looks at the gradients after the backward pass, before the weights move.
# Printed is the factor per layer toward the data, from the first hidden layer and the last.

train, _ = tn.datasets.mnist()
measured = {}
for activation in ACTIVATIONS:
    for norm in (None, "batch"):
        rows = []
        for seed in SEEDS:
            net = tn.mlp(784, [UNITS] * LAYERS, 10, activation=activation, norm=norm, seed=seed)
            probe = tn.Probe()
            tn.fit(net, train, steps=1, batch_size=BATCH_SIZE, seed=seed, callbacks=[probe])
            _, gradients = probe.table("gradient_rms")  # (measurements, layers), the output layer last
            rows.append(gradients[0, 1:LAYERS])  # the layers of 100 inputs: of one size, and so comparable
        measured[activation, norm] = np.array(rows)
        first, last = np.median(rows, axis=0)[[0, -1]]
        print(f"{activation:8} norm={norm!s:6} factor per layer {(first / last) ** (1 / (LAYERS - 2)):.3f}")
print(f"relu with batch norm, wide layers and large batches, in theory: {np.sqrt(np.pi / (np.pi - 1)):.3f}")

# %%
# What one sees
# -------------
# Sigmoids without batch normalization: every layer takes most of the gradient away, and next to nothing arrives at the
# first. With batch normalization no activation loses it. But look at ReLU: there the gradient grows toward the data,
# where without batch normalization, with He's initialization, it does not. Batch normalization does not make gradients
# constant: Yang et al. (2019) derived the factor, and in very deep networks it makes them explode.

layers = range(2, LAYERS + 1)
plt.style.use(plots.STYLE)  # readable from the back of a room
figure, axes = plt.subplots(len(ACTIVATIONS), figsize=(10, 11), layout="constrained", sharex=True, sharey=True)
for ax, activation in zip(axes, ACTIVATIONS, strict=True):
    names = {"without batch norm": None, "with batch norm": "batch"}
    arms = {name: (layers, measured[activation, norm]) for name, norm in names.items()}
    plots.gradient_by_layer(arms, ax, title=activation)
    ax.set_ylabel("gradient, RMS")
    ax.label_outer()
    if ax is not axes[0]:
        ax.get_legend().remove()  # it is that of the first
plt.show()
