"""
2. Backward by hand, and the gradient check
===========================================

**The question.** Somebody wrote a layer, and its derivative is wrong by a factor. *Does the network still learn, and
how would you notice?*

You will derive the backward pass of three layers, check derivatives without deriving anything, and train networks
whose derivatives are wrong on purpose.

The 45 minutes:

* 5: the question, and your prediction
* 16: the chain rule, with exercises 2.1 and 2.2
* 9: derivatives without deriving, with exercise 2.3
* 10: the experiment; exercise 2.4 is for at home
* 5: discussion
"""

import matplotlib.pyplot as plt
import numpy as np
from threadpoolctl import threadpool_limits

import tinynet as tn
from tinynet import plots
from tinynet.course import lesson_2 as check
from tinynet.course import prediction
from tinynet.plots.style import styled

_ = threadpool_limits(1)  # matrix products are small here; on a busy machine two threads wait for each other

# %%
# Your prediction
# ---------------
# A network with two hidden layers of sigmoids learns the ten digits of MNIST. In the backward pass its sigmoids
# *forget their slope*: they hand on ``dy`` as it comes. Which test accuracy does it reach in 600 steps, from 0 to 1?
# (A guess is right one time in ten.)

predicted_accuracy = ...

# %%
# The chain rule, layer by layer
# ------------------------------
# The *loss* :math:`L` is one number. Write ``dy`` for :math:`\partial L / \partial y`: an array of the shape of ``y``
# that says how much the loss changes with each of its numbers. *Backward* is given ``dy`` and returns ``dx``. Nothing
# else of the network needs to be known.
#
# One rule is enough: *the derivative of the loss by a quantity is the sum over everything that it enters directly.*
#
# For the sigmoid, :math:`y = 1 / (1 + e^{-x})`, each number of ``x`` enters one number of ``y``, with the slope
#
# .. math:: \frac{\partial y}{\partial x} = y \, (1 - y) .
#
# In ``Dense``, :math:`y_{ik} = \sum_j x_{ij} W_{jk} + b_k` for example :math:`i`. Ask of each quantity what it enters:
#
# * :math:`x_{ij}` enters :math:`y_{ik}` for every unit :math:`k`,
# * :math:`W_{jk}` enters :math:`y_{ik}` for every example :math:`i`,
# * :math:`b_k` enters :math:`y_{ik}` for every example :math:`i`.
#
# Exercise 2.1: the sigmoid
# -------------------------
# Return ``dx`` for the sigmoid. ``dy`` and ``x`` are of one shape.


def sigmoid_backward(dy, x):
    dx = ...
    return dx


check.sigmoid_backward(sigmoid_backward)

# %%
# Exercise 2.2: the dense layer
# -----------------------------
# ``dy`` is (batch, units), ``x`` (batch, inputs) and ``weight`` (inputs, units). Two matrix products and a sum. If you
# are lost, write down the shapes: there is often only one product that fits.


def dense_backward(dy, x, weight):
    dx = ...
    dweight = ...
    dbias = ...
    return dx, dweight, dbias


check.dense_backward(dense_backward)

# %%
# A derivative without deriving
# -----------------------------
# Move one number by :math:`\pm h` and look how the loss changes:
#
# .. math:: \frac{\partial L}{\partial x_j} \approx \frac{L(x_j + h) - L(x_j - h)}{2 h} .
#
# It takes two forward passes for each number, far too slow for training, but it needs no thought. So it can check the
# thoughts. How small should :math:`h` be? Here is the error for :math:`L = \sin x` at :math:`x = 1`, whose derivative
# is known to be :math:`\cos 1`:

steps = np.logspace(-14, 0, 57)
one_sided = abs((np.sin(1 + steps) - np.sin(1)) / steps - np.cos(1))
both_sides = abs((np.sin(1 + steps) - np.sin(1 - steps)) / (2 * steps) - np.cos(1))
h32, x32 = np.float32(steps), np.float32(1)
in_float32 = abs((np.sin(x32 + h32) - np.sin(x32 - h32)) / (2 * h32) - np.cos(1))
errors = {"one side, float64": one_sided, "both sides, float64": both_sides, "both sides, float32": in_float32}
with styled():
    figure, ax = plt.subplots(figsize=plots.SIZE, layout="constrained")
    for k, (label, error) in enumerate(errors.items()):
        ax.loglog(steps, plots.positive(error), plots.LINES[k], color=plots.COLORS[k], label=label)
    ax.set(xlabel="h", ylabel="error of the derivative", title="Too large a step, and too small a one")
    ax.legend(loc="lower left")
best = both_sides.argmin()
print(f"both sides, float64: the error is smallest, {both_sides[best]:.0e}, at h = {steps[best]:.0e}")
print(f"both sides, float32: it is never below {in_float32.min():.0e}")

# %%
# To the right the formula's own error falls with :math:`h`, and with :math:`h^2` when one goes to both sides. To the
# left rounding takes over: two nearly equal numbers are subtracted, and divided by almost nothing. In float32 there is
# little room between the two. Check gradients in float64.
#
# Exercise 2.3: the numerical gradient
# ------------------------------------
# ``f`` takes an array of the shape of ``x`` and returns one number. Return the array of its derivatives. Two lines are
# given; ``x`` belongs to the caller, so leave it as you found it.


def numerical_gradient(f, x, h):
    gradient = np.empty_like(x)
    for place in np.ndindex(x.shape):
        gradient[place] = ...  # x[place] is the number to move
    return gradient


check.numerical_gradient(numerical_gradient)

# %%
# The experiment
# --------------
# Four kinds of sigmoid, all with the same forward. One has the right backward, three a wrong one.


class Right(tn.Sigmoid):
    """dx = dy y (1 - y)."""


class Quarter(tn.Sigmoid):
    """A factor was lost."""

    def backward(self, dy):
        return super().backward(dy) / 4


class NoSlope(tn.Sigmoid):
    """The slope was forgotten."""

    def backward(self, dy):
        return dy.copy()


class WrongSign(tn.Sigmoid):
    """A minus too many."""

    def backward(self, dy):
        return -super().backward(dy)


KINDS = {"right": Right, "a quarter": Quarter, "no slope": NoSlope, "wrong sign": WrongSign}
train, test = tn.datasets.mnist()
test = test[:2000]
reached = {}
for name, kind in KINDS.items():
    reached[name] = []
    for seed in range(3):
        chain = [tn.Dense(50), kind(), tn.Dense(50), kind(), tn.Dense(10)]
        net = tn.Sequential(chain, inputs=784, seed=seed)
        history = tn.fit(net, train, optimizer=tn.SGD(lr=0.3), steps=600, seed=seed)
        reached[name].append(0.0 if history.diverged else tn.evaluate(net, test)[1])

ax = plots.dots(
    {"test accuracy": reached},
    ylabel="test accuracy after 600 steps",
    xlabel="backward",
    title="Networks whose derivative is wrong",
    percent=True,
)
ax.set_ylim(0, 1)
for name, values in reached.items():
    print(f"{name:10}  " + "  ".join(f"{value:.1%}" for value in values))
prediction(predicted_accuracy, float(np.median(reached["no slope"])), "accuracy without the slope")

# %%
# What was seen
# -------------
# Only the wrong sign is loud. The two others learn: one looks as if it needed a larger learning rate, the other keeps
# up with the right one. The last layer's gradient is right in any case, and makes the best of whatever the
# layers before it give. So a learning curve does not tell that a layer is wrong. The gradient check does, in a moment:

rng = np.random.default_rng(0)
x, dy = rng.normal(size=(2, 5, 3))
h = 1e-5
for name, kind in KINDS.items():
    layer = kind()
    layer.forward(x, training=True)
    dx = layer.backward(dy)
    numeric = np.empty_like(x)
    for place in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[place] = h
        numeric[place] = np.sum(dy * (layer.forward(x + step) - layer.forward(x - step))) / (2 * h)
    error = np.abs(dx - numeric).max() / np.abs(numeric).max()
    print(f"{name:10}  relative error {error:.0e}  {'passes' if error < 1e-7 else 'DOES NOT PASS'}")

# %%
# The loss here is :math:`L = \sum dy \, y` with fixed random numbers ``dy``: so its derivative by ``y`` is ``dy``.
# Random, because with ones, for example, a mistake that averages out would stay hidden.
#
# Exercise 2.4: softmax and cross-entropy
# ---------------------------------------
# Where the first ``dy`` comes from. For logits :math:`z` (batch, classes), the probabilities are
# :math:`p_k = e^{z_k} / \sum_j e^{z_j}` along each row, and the loss is the mean over the batch of
# :math:`-\log p_{\mathrm{label}}`. Return its derivative by the logits. The result is remarkably short.


def cross_entropy_gradient(logits, labels):
    dlogits = ...
    return dlogits


check.cross_entropy_gradient(cross_entropy_gradient)

# %%
# To discuss
# ----------
# *A quarter* differs from *right* by a number only. For which layers of the network is that the same as a smaller
# learning rate? And with the *wrong sign*: which of the two hidden layers gets a gradient of the right sign after all?
#
# To read on
# ----------
# * ``tinynet/layers/dense.py``: ``Dense.backward`` is what you wrote in 2.2.
# * ``tinynet/kernels/softmax.py``: 2.4, and why logits are shifted by their largest before the exponential.
# * The page on layers, ``docs/layers.md``: why backward is written out here, and how a network goes backward.
# * D. Rumelhart, G. Hinton and R. Williams, *Learning representations by back-propagating errors*, Nature 1986.

plt.show()
