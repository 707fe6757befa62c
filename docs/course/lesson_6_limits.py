r"""
6. What batch norm does not do
==============================

**The question.** Batch norm keeps every layer's input at mean 0 and variance 1, forward. *Does it keep the gradient
level, backward, in a very deep network? And what becomes of it when batches are tiny?*

You will see gradients explode in networks with batch norm, at a rate that theory gives; compare with layer
normalization at batches down to one example; and test an explanation of why batch norm works.

The 45 minutes:

* 4: the question, and your prediction
* 13: the explosion, with exercise 6.1
* 15: small batches, with exercises 6.2 and 6.3
* 7: why it works
* 6: discussion
"""

import math

import matplotlib.pyplot as plt
import numpy as np
from threadpoolctl import threadpool_limits

import tinynet as tn
from tinynet import plots
from tinynet.course import lesson_6 as check
from tinynet.course import prediction
from tinynet.experiments.variants import MovingNoise

_ = threadpool_limits(1)  # matrix products are small here; on a busy machine two threads wait for each other

# %%
# Your prediction
# ---------------
# Thirty hidden layers of ReLU units with batch norm, before any training. The gradient of the first layer's input,
# divided by that of the last layer's (root mean square): how large is it?

predicted_growth = ...

# %%
# The explosion
# -------------
# Wide layers, Gaussian data, and a random gradient at the end, sent back layer by layer. Batches of 32, three seeds.
# As a comparison the same network without batch norm, with He's weights.

DEPTH, WIDTH, BATCH = 30, 300, 32
SEEDS = range(3)


def squared_gradients(norm, seed):
    """Squared norm of d loss / d the input of every Dense, the first layer first."""
    chain = []
    for _ in range(DEPTH):
        chain.append(tn.Dense(WIDTH, bias=False, init="he_normal"))
        if norm:
            chain.append(tn.BatchNorm())
        chain.append(tn.ReLU())
    net = tn.Sequential(chain, inputs=WIDTH, seed=seed, dtype="float64")
    x, dy = np.random.default_rng(seed).normal(size=(2, BATCH, WIDTH))
    net.forward(x, training=True)
    squared = []
    for layer in reversed(net.layers.values()):  # a network hands out the gradient of its input only: layer by layer
        dy = layer.backward(dy)
        if isinstance(layer, tn.Dense):
            squared.append(np.sum(dy**2))
    return squared[::-1]


def mean_field_rate(n):
    """Factor of the squared gradient per layer toward the input, with ReLU and batches of n (Yang et al. 2019)."""
    c = -1 / (n - 1)  # the correlation of two examples of a batch whose sum is 0
    angle = math.pi - math.acos(c)
    j, slope = (math.sqrt(1 - c * c) + angle * c) / math.pi, angle / math.pi
    return (slope + n - 1) / ((n - 3) * (1 - j)) - 1 / (n - 3)


layers = list(range(1, DEPTH + 1))
arms = {"batch norm": True, "plain, He's weights": False}
squared = {arm: np.array([squared_gradients(norm, seed) for seed in SEEDS]) for arm, norm in arms.items()}
relative = {arm: (layers, rows / rows[:, -1:]) for arm, rows in squared.items()}
rate = mean_field_rate(BATCH)
line = [rate ** (DEPTH - layer) for layer in layers]
ax = plots.lines_with_bands(
    relative,
    xlabel="layer (1 is next to the data)",
    ylabel="squared gradient / that of the last layer",
    title=f"Before training, batches of {BATCH}",
    logy=True,
    theory={f"mean field: {rate:.3f} per layer": (layers, line)},
)

rows = squared["batch norm"]
measured = (rows[:, 5] / rows[:, -4]) ** (1 / (DEPTH - 9))  # without the first and last layers, which have ends near
print("per layer, squared, by seed:", "  ".join(f"{f:.3f}" for f in measured), f"  theory: {rate:.3f}")
print(f"theory for a large batch: pi / (pi - 1) = {math.pi / (math.pi - 1):.3f}")
growth = float(np.median(np.sqrt(rows[:, 0] / rows[:, -1])))
prediction(predicted_growth, growth, "gradient, first layer / last (not squared)")

# %%
# Batch norm does not make the gradient level: with ReLU it *explodes* toward the data, and the plain network with He's
# weights does better. Count the factors of the *squared* gradient through one layer, for a large batch and He's
# weights. The ReLU: 1/2, since half of the units are off. The Dense: 2, which is what He's weights are for. So far the
# gradient is level. Batch norm divides it by ``var`` of its input. That input has the mean square 1, again by He's
# weights; but a part of it, :math:`1 / \pi`, is the square of the mean, because what a ReLU puts out has a mean. So
# ``var`` is only :math:`1 - 1 / \pi`, and the product of the three is
#
# .. math:: \frac{1}{2} \cdot 2 \cdot \frac{1}{1 - 1 / \pi} = \frac{\pi}{\pi - 1}
#
# (Yang et al. 2019, *A mean field theory of batch normalization*; ``mean_field_rate`` also has what a small batch
# changes). The scale of the weights plays no part: batch norm divides it out. The first layer lies off the line
# because its input is the data, which has no mean.
#
# Exercise 6.1: how deep is too deep?
# -----------------------------------
# ``rate`` is the factor of the *squared* gradient per layer. After how many layers has the gradient itself, not its
# square, grown by ``factor``? Return the number as it comes, not rounded.


def layers_until(rate, factor):
    layers = ...
    return layers


check.layers_until(layers_until)

# %%
# What it does to learning, on MNIST: layers of 50 ReLU with batch norm, of He's weights, 200 steps.

train, test = tn.datasets.mnist()
test = test[:2000]
DEPTHS = [2, 10, 30, 60]
diverged = []  # for every run of this page whether it did


def final_accuracy(net, seed, lr=0.1, steps=200, batch_size=60, callbacks=()):
    """Test accuracy after training; 0 if the run diverged."""
    optimizer = tn.SGD(lr=lr)
    history = tn.fit(
        net, train, optimizer=optimizer, steps=steps, batch_size=batch_size, seed=seed, callbacks=callbacks
    )
    diverged.append(history.diverged)
    return 0.0 if history.diverged else tn.evaluate(net, test)[1]


by_depth = np.array(
    [[final_accuracy(tn.mlp(784, [50] * d, 10, norm="batch", seed=seed), seed) for d in DEPTHS] for seed in SEEDS]
)
ax = plots.lines_with_bands(
    {"ReLU with batch norm": (DEPTHS, by_depth)},
    xlabel="hidden layers",
    ylabel="test accuracy after 200 steps",
    title="Very deep, without skip connections",
)
ax.set(ylim=(0, 1), xticks=DEPTHS)
for depth, column in zip(DEPTHS, by_depth.T, strict=True):
    print(f"{depth:2} hidden layers: " + "  ".join(f"{value:.1%}" for value in column))

# %%
# Small batches
# -------------
# ``mu`` and ``var`` are estimates from :math:`m` examples. The fewer, the more they change from batch to batch: what
# an example becomes depends on its company.
#
# Exercise 6.2: how much mu wavers
# --------------------------------
# A feature has the standard deviation ``std`` over all examples. Return the standard deviation of ``mu`` over random
# batches of ``m``.


def mean_noise(std, m):
    noise = ...
    return noise


check.mean_noise(mean_noise)

# %%
# *Layer normalization* (Ba, Kiros and Hinton 2016) uses the same equations along the other axis: mean and variance of
# one *example*, over its features. No batch is needed, in training or after.
#
# Exercise 6.3: layer normalization
# ---------------------------------
# As in lesson 4, along the other axis.


def layer_norm(x, gamma, beta, eps):
    y = ...
    return y


check.layer_norm(layer_norm)

# %%
# Three hidden layers of 100 ReLU, learning rate 0.03, 400 steps, at batches down to a single example. All arms of a
# seed see the same examples; a smaller batch sees fewer of them, whatever the arm.

SIZES = [1, 2, 4, 16, 64]
NORMS = {"batch norm": "batch", "layer norm": "layer", "plain": None}


def with_batches_of(size, norm, seed):
    """Test accuracy; nan where batch norm refuses to train."""
    if norm == "batch" and size == 1:
        return np.nan
    net = tn.mlp(784, [100] * 3, 10, norm=norm, seed=seed)
    return final_accuracy(net, seed, lr=0.03, steps=400, batch_size=size)


by_size = {
    arm: np.array([[with_batches_of(size, norm, seed) for size in SIZES] for seed in SEEDS])
    for arm, norm in NORMS.items()
}
ax = plots.lines_with_bands(
    {arm: (SIZES, rows) for arm, rows in by_size.items()},
    xlabel="examples in a batch",
    ylabel="test accuracy after 400 steps",
    title="Small batches",
    logx=True,
)
ax.set(ylim=(0, 1))
ax.set_xticks(SIZES, SIZES)
ax.minorticks_off()
for arm, rows in by_size.items():
    medians = ["refused" if np.isnan(v) else f"{v:.1%}" for v in np.median(rows, axis=0)]
    print(f"{arm:10}  " + "  ".join(f"m = {size}: {text}" for size, text in zip(SIZES, medians, strict=True)))

# %%
# The smaller the batch, the further batch norm falls behind the two that need none. At :math:`m` = 1 it refuses. At
# :math:`m` = 2 it says of each feature only which of the two examples has more of it: ``x_hat`` is +1 and -1 whatever
# ``x`` was, but for ``eps`` where the two are close:

pair = np.random.default_rng(0).normal(size=(2, 6))
print(tn.BatchNorm().forward(pair, training=True).round(3))

# %%
# Why does it work?
# -----------------
# The paper of 2015 gives a reason in its title: *reducing internal covariate shift*. Each layer's input would keep its
# distribution while the layers before it learn. Santurkar et al. (2018) tested it in a direct way: give every unit
# *another random mean and scale at every step*, right after batch norm. If stable distributions are what helps, this
# must undo the help. Five hidden layers of tanh, learning rate 1; ``MovingNoise`` is that noise. How unstable the
# distributions are is measured too: how far the mean of each unit of the last hidden layer moves between two steps.


class Movement(tn.Callback):
    """Measures how the batch means before the last activation move from step to step, root mean square."""

    def __init__(self, name):
        self.name, self.means = name, []

    def on_backward(self, run):
        self.means.append(run.net.layer_input(self.name).mean(axis=0))

    def size(self):
        return float(np.sqrt(np.mean(np.square(np.diff(self.means, axis=0)))))


def tanh_network(parts, seed):
    """Five hidden layers of Dense, so many parts after it, tanh."""
    chain = []
    for _ in range(5):
        chain += [tn.Dense(100, bias=not parts, init="glorot_normal"), *(part() for part in parts), tn.Tanh()]
    return tn.Sequential([*chain, tn.Dense(10, init="glorot_normal")], inputs=784, seed=seed)


KINDS = {"plain": [], "batch norm": [tn.BatchNorm], "batch norm, noise": [tn.BatchNorm, MovingNoise]}
reached = {kind: [] for kind in KINDS}
for kind, parts in KINDS.items():
    moved = []
    for seed in SEEDS:
        movement = Movement("tanh_5")
        reached[kind].append(final_accuracy(tanh_network(parts, seed), seed, lr=1.0, steps=300, callbacks=[movement]))
        moved.append(movement.size())
    accuracies = "  ".join(f"{value:.1%}" for value in reached[kind])
    print(f"{kind:17}  test accuracy {accuracies}   means move by {np.median(moved):.2f} a step")
ax = plots.dots(
    {"test accuracy": reached},
    ylabel="test accuracy after 300 steps",
    xlabel="after each Dense",
    title="Is it the stable distributions?",
    percent=True,
)
ax.set_ylim(0, 1)
print(f"on this page {sum(diverged)} of {len(diverged)} runs diverged")

# %%
# Compare the two columns of numbers: how much of the gain is left with the noise, and how little stability. What the
# authors propose instead is that batch norm makes the *loss smoother*: the gradient says more about where a step will
# lead. ``tinynet run dissection`` puts this to the test with more seeds, and measures the smoothness.
#
# To discuss
# ----------
# Nearly all very deep networks in use have skip connections, :math:`h + f(h)`. From the growth you measured: why do
# they need them, even with normalization? And of all that you have seen in six lessons: what would you now write in
# place of "batch norm solves the vanishing gradient problem"?
#
# To read on
# ----------
# * ``tinynet/experiments/gradients.py`` and ``vanishing_gradients.py``: the mean-field rate for more batches.
# * ``tinynet/experiments/dissection.py`` and ``variants.py``: batch norm taken apart.
# * The page of results, ``docs/results.md``: every claim with its verdict.
# * G. Yang et al., *A mean field theory of batch normalization*, 2019.
# * S. Santurkar et al., *How does batch normalization help optimization?*, 2018, sections 2 and 3.
# * J. Ba, J. Kiros and G. Hinton, *Layer normalization*, 2016.

plt.show()
