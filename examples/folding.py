"""
Folding batch normalization away
================================

What does batch normalization cost in a prediction, and can the cost be taken away?

After training, batch normalization's statistics are fixed numbers, so the layer is an affine map of each feature. An
affine map after a Dense layer is a Dense layer again: `tinynet.Network.fold` puts the one into the other.
:doc:`/batch_norm` derives it in two lines.
"""

import timeit

import matplotlib.pyplot as plt
import numpy as np

import tinynet as tn

HIDDEN = [100, 100, 100]
STEPS = 500
REPEAT = 20  # timings, of which the shortest counts: the others were disturbed
SEED = 0

# %%
# A trained network
# -----------------
# `calibrate` takes the statistics from the whole training set, with the final weights, in place of running averages.

train, test = tn.datasets.mnist()
net = tn.mlp(784, HIDDEN, 10, activation="relu", norm="batch", seed=SEED)
tn.fit(net, train, steps=STEPS, seed=SEED)
net.calibrate(train.x)

# %%
# Fold it
# -------
# The folded network is a new one; the first stays as it was. It is for predictions: trained further, it would be a
# network without batch normalization.

small = net.fold()
figure, axes = plt.subplots(1, 2, figsize=(9, 8), layout="constrained")
for ax, network, title in zip(axes, (net, small), ("as trained", "folded"), strict=True):
    network.plot(ax)
    ax.set_title(title, fontsize=20)

# %%
# The same function
# -----------------
# Outputs differ only by rounding in single precision.

y, y_folded = net.forward(test.x), small.forward(test.x)
print(f"outputs up to {np.abs(y).max():.1f}, largest difference {np.abs(y - y_folded).max():.1e}")
print(f"images that change their class: {np.count_nonzero(y.argmax(axis=1) != y_folded.argmax(axis=1))}")
print(f"test accuracy {tn.evaluate(net, test)[1]:.4f}, folded {tn.evaluate(small, test)[1]:.4f}")

# %%
# What it saves
# -------------
# Microseconds on the machine that made this page, the two networks timed in turn; run it on yours.

for rows in (1, 60, 1000):
    x = test.x[:rows]
    turns = [[timeit.timeit(lambda n=n, x=x: n.forward(x), number=5) / 5 for n in (net, small)] for _ in range(REPEAT)]
    with_norm, folded = 1e6 * np.min(turns, axis=0)
    print(f"{rows:5} images: {with_norm:8.1f} us, folded {folded:8.1f} us")

plt.show()
