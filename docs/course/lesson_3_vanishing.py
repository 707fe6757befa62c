"""
3. Why deep sigmoid networks stall
==================================

**The question.** Two hidden layers of sigmoids learn MNIST without trouble. *What do ten learn, and what is in their
way?*

You will watch accuracy collapse with depth, measure the gradient in each layer, and predict its decay from one line of
theory.

The 45 minutes:

* 5: the question, and your predictions
* 8: the first experiment
* 12: the gradient layer by layer, with exercise 3.1
* 13: the theory, with exercise 3.2, and 3.3 for those who are quick
* 7: what would help, and discussion
"""

import matplotlib.pyplot as plt
import numpy as np
from threadpoolctl import threadpool_limits

import tinynet as tn
from tinynet import plots
from tinynet.course import lesson_3 as check
from tinynet.course import prediction

_ = threadpool_limits(1)  # matrix products are small here; on a busy machine two threads wait for each other

# %%
# Your predictions
# ----------------
# A network of ten hidden layers of 100 sigmoids starts from Glorot's weights. Which test accuracy does it reach in 400
# steps, from 0 to 1? And before the first step: what is the gradient of the first hidden layer divided by that of the
# last, per weight?

predicted_accuracy = ...
predicted_ratio = ...

# %%
# The first experiment: depth
# ---------------------------
# Networks of one to ten hidden layers, three seeds each. Everything else is alike: plain gradient descent, learning
# rate 0.5, batches of 60. A run that diverges would be counted; the last line says how many did.

train, test = tn.datasets.mnist()
test = test[:2000]
DEPTHS = [1, 2, 3, 5, 10]
SEEDS = range(3)
accuracy, diverged = np.zeros((len(SEEDS), len(DEPTHS))), 0
for k, depth in enumerate(DEPTHS):
    for seed in SEEDS:
        net = tn.mlp(784, [100] * depth, 10, activation="sigmoid", seed=seed)
        history = tn.fit(net, train, optimizer=tn.SGD(lr=0.5), steps=400, seed=seed)
        diverged += history.diverged
        accuracy[seed, k] = 0 if history.diverged else tn.evaluate(net, test)[1]

ax = plots.lines_with_bands(
    {"sigmoid": (DEPTHS, accuracy)},
    xlabel="hidden layers",
    ylabel="test accuracy after 400 steps",
    title="Deeper is not better",
)
ax.axhline(0.1, color="black", linestyle=":", linewidth=1.5)
ax.annotate("guessing", (1, 0.12), fontsize=14)
ax.set(ylim=(0, 1), xticks=DEPTHS)
for depth, column in zip(DEPTHS, accuracy.T, strict=True):
    print(f"{depth:2} hidden layers: " + "  ".join(f"{value:.1%}" for value in column))
print(f"{diverged} of {accuracy.size} runs diverged")
prediction(predicted_accuracy, float(np.median(accuracy[:, -1])), "accuracy with ten hidden layers")

# %%
# A network of ten layers could do all that one of two can, so it is not that it *cannot*: it does not *learn*. The
# first suspect is the gradient.
#
# The gradient, layer by layer
# ----------------------------
# One batch, forward and backward, before any training. For each weight matrix we take the root mean square (RMS) of
# its gradient: a size per weight, so that a wide layer does not look stronger than a narrow one.
#
# Exercise 3.1: measure it
# ------------------------
# Return a list with the RMS of the gradient of each Dense layer's weight, the layer next to the data first. ``net`` is
# a network whose Dense layers are called ``dense_1``, ``dense_2`` and so on, as its ``net.layers`` tells;
# ``net.grads`` has the gradients after a backward, under names such as ``dense_1.weight``.


def gradient_rms(net, x, labels):
    _, dy = tn.SoftmaxCrossEntropy()(net.forward(x, training=True), labels)
    net.backward(dy)
    values = ...
    return values


check.gradient_rms(gradient_rms)

# %%
# Here it is measured with tinynet's own ``gradient_by_layer``, for networks of ten hidden layers: sigmoid, and tanh
# beside it. The arithmetic is in float64, so that what vanishes is the gradient and not the last digits of a float32.


def measure(activation, seed, depth=10):
    """RMS per weight of each hidden layer's gradient, on one batch, before training."""
    init = "lecun_normal"  # variance 1 / fan_in: Glorot's, where layers have one size
    net = tn.mlp(784, [100] * depth, 10, activation=activation, init=init, seed=seed, dtype="float64")
    rows = np.random.default_rng(seed).choice(len(train), 60, replace=False)
    _, dy = tn.SoftmaxCrossEntropy()(net.forward(train.x[rows], training=True), train.y[rows])
    net.backward(dy)
    return list(tn.probes.gradient_by_layer(net).values())[:-1]


layers = list(range(1, 11))
gradients = {arm: (layers, np.array([measure(arm, seed) for seed in SEEDS])) for arm in ("sigmoid", "tanh")}
ax = plots.gradient_by_layer(gradients, title="Ten hidden layers, before any training")

of_sigmoid = gradients["sigmoid"][1]
ratio = float(np.median(of_sigmoid[:, 0] / of_sigmoid[:, -1]))
print(f"gradient of the first hidden layer / the last: {ratio:.1e} (median of {len(SEEDS)} seeds)")
prediction(predicted_ratio, ratio, "first hidden layer / last")

# %%
# On a log axis the sigmoid's gradient is nearly a straight line: it is *multiplied* by the same factor at every layer.
# The learning rate that suits the last layer moves the first by next to nothing, and one that suits the first would
# throw the last one off.
#
# The theory
# ----------
# Backward through one hidden layer is: times the slope of the sigmoid, then times the weight, transposed. For
# gradients :math:`d` that are independent of the weights, the *squared* norm changes by about
#
# .. math:: \frac{\|dx\|^2}{\|dy\|^2} \approx \mathrm{mean}(\sigma'(z)^2) \cdot n_{\mathrm{in}} \, \mathrm{mean}(W^2)
#
# (Glorot and Bengio 2010, section 4.2). With a variance of :math:`1 / n_{\mathrm{in}}` for
# the weights the second factor is 1, and for the sigmoid the first is at most :math:`(1/4)^2`. Compare:

squared = of_sigmoid[:, 1:] ** 2  # without the first layer, whose input is the data and not a sigmoid
measured = (squared[:, 0] / squared[:, -1]) ** (1 / (squared.shape[1] - 1))
print("factor of the squared gradient per layer, by seed:", "  ".join(f"{f:.4f}" for f in measured))
print(f"largest possible with slope 1/4 everywhere:        {(1 / 4) ** 2:.4f}")

# %%
# Exercise 3.2: the factor per layer
# ----------------------------------
# ``squared`` is an array of squared gradients, the first layer's first. Return the factor per layer *toward the
# input*: the number that, multiplied by itself for each layer in between, leads from the last layer's to the first's.


def factor_per_layer(squared):
    factor = ...
    return factor


check.factor_per_layer(factor_per_layer)

# %%
# Exercise 3.3: the theory, typed
# -------------------------------
# ``z`` (batch, units) are the inputs of a layer's sigmoids, and ``weight`` (inputs, units) the weight of the Dense
# before them. Return the factor of the theory above. The check sends random gradients back through two layers of
# tinynet and compares.


def theory(z, weight):
    factor = ...
    return factor


check.one_layer(theory)

# %%
# What would help?
# ----------------
# The sigmoid's input can be held where the slope is largest, and a scale can be put back into the backward pass. This
# is what the next lesson's layer does; look at its effect on the same measure:


def measure_with_norm(seed):
    """As `measure`, for sigmoids with batch norm."""
    net = tn.mlp(784, [100] * 10, 10, activation="sigmoid", norm="batch", seed=seed, dtype="float64")
    rows = np.random.default_rng(seed).choice(len(train), 60, replace=False)
    _, dy = tn.SoftmaxCrossEntropy()(net.forward(train.x[rows], training=True), train.y[rows])
    net.backward(dy)
    return list(tn.probes.gradient_by_layer(net).values())[:-1]


with_norm = np.array([measure_with_norm(seed) for seed in SEEDS])
arms = {"sigmoid": gradients["sigmoid"], "sigmoid with batch norm": (layers, with_norm)}
ax = plots.gradient_by_layer(arms, title="The same, and with batch norm")
print(f"first hidden layer / last, with batch norm: {np.median(with_norm[:, 0] / with_norm[:, -1]):.2g}")

# %%
# To discuss
# ----------
# The factor is at most 1/16 because the sigmoid's slope is at most 1/4. So use weights of four times the size: does
# that repair it? Think of where ``z`` then lies, and of what exercise 3.3 says about the slope there. (Try it: change
# ``init`` in ``measure`` to ``"normal(0.4)"``.)
#
# To read on
# ----------
# * ``tinynet/probes.py``: how gradients are measured while a network trains, ``tn.Probe``.
# * ``tinynet/experiments/vanishing_gradients.py``, and the page of results: this lesson with a verdict.
# * X. Glorot and Y. Bengio, *Understanding the difficulty of training deep feedforward neural networks*, 2010,
#   sections 3 and 4.
# * S. Hochreiter, *Untersuchungen zu dynamischen neuronalen Netzen*, 1991: where the problem was first described.

plt.show()
