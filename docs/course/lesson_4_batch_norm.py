r"""
4. Batch norm from its four equations
=====================================

**The question.** In training, batch norm normalizes each image by the mean and variance of the batch it came in. *When
a single image is to be recognized, by what is it normalized, and does it matter?*

You will write batch normalization, forward, backward and for test time, and see what goes wrong when the wrong
statistics are used.

The 45 minutes:

* 4: the question, and your prediction
* 12: the four equations, with exercise 4.1
* 6: the experiment
* 12: backward, with exercise 4.2
* 7: test time, with exercise 4.4; exercise 4.3 is for at home
* 4: discussion
"""

import matplotlib.pyplot as plt
import numpy as np
from threadpoolctl import threadpool_limits

import tinynet as tn
from tinynet import plots
from tinynet.course import lesson_4 as check
from tinynet.course import prediction

_ = threadpool_limits(1)  # matrix products are small here; on a busy machine two threads wait for each other

# %%
# Your prediction
# ---------------
# A network with batch norm has learned MNIST well. Now the test images come 50 at a time *sorted by digit*, so that a
# batch holds the same digit 50 times, and each batch is normalized by its *own* mean and variance, as in training.
# Which share is recognized, from 0 to 1?

predicted_accuracy = ...

# %%
# The four equations
# ------------------
# Batch normalization (Ioffe and Szegedy 2015, Algorithm 1) stands between a Dense and its activation. For one feature,
# over a mini-batch of :math:`m` examples:
#
# .. math:: \mu = \frac{1}{m} \sum_i x_i \qquad (1)
#
# .. math:: \mathrm{var} = \frac{1}{m} \sum_i (x_i - \mu)^2 \qquad (2)
#
# .. math:: \hat{x}_i = \frac{x_i - \mu}{\sqrt{\mathrm{var} + \epsilon}} \qquad (3)
#
# .. math:: y_i = \gamma \, \hat{x}_i + \beta \qquad (4)
#
# Every feature has its own ``mu``, ``var``, ``gamma`` and ``beta``; features do not mix. ``gamma`` and ``beta`` are
# learned and give back the scale and the mean that (3) took away, now as parameters of their own.
#
# Exercise 4.1: forward
# ---------------------
# ``x`` is (batch, features), ``gamma`` and ``beta`` are (features,). Return ``y``, ``x_hat`` and
# ``inv_std`` :math:`= 1 / \sqrt{\mathrm{var} + \epsilon}`; the last two are what backward will need.


def forward(x, gamma, beta, eps):
    inv_std = ...
    x_hat = ...
    y = ...
    return y, x_hat, inv_std


check.forward(forward)

# %%
# The layer alone, on numbers far from 0 and of another spread than 1:

x = np.random.default_rng(0).normal(5, 3, (60, 4))
y = tn.BatchNorm().forward(x, training=True)
print("means before", x.mean(axis=0).round(2), " after", abs(y.mean(axis=0)).round(2))
print("stds  before", x.std(axis=0).round(2), " after", y.std(axis=0).round(2))

# %%
# The experiment
# --------------
# The network that stalled in lesson 3: ten hidden layers of 100 sigmoids. With batch norm and without, three seeds;
# the two arms of a seed start from the same weights and see the same batches. (To watch a run in a notebook while it
# trains, give ``tn.fit`` ``callbacks=[tn.LiveCurves()]``.)

train, test = tn.datasets.mnist()
test = test[:2000]
arms = {"plain": None, "batch norm": "batch"}
histories, networks = {arm: [] for arm in arms}, []
for seed in range(3):
    for arm, norm in arms.items():
        net = tn.mlp(784, [100] * 10, 10, activation="sigmoid", norm=norm, seed=seed)
        history = tn.fit(
            net, train, validation=test, optimizer=tn.SGD(lr=0.1), steps=400, validate_every=50, seed=seed
        )
        histories[arm].append(history)
        if norm:
            networks.append(net)

ax = plots.curves(histories, title="Ten hidden layers of sigmoids, learning rate 0.1")
gain = [
    with_norm.final("validation_accuracy") - plain.final("validation_accuracy")
    for plain, with_norm in zip(histories["plain"], histories["batch norm"], strict=True)
]
print("gain in test accuracy, seed by seed:", "  ".join(f"{g:+.1%}" for g in gain))
print("diverged:", {arm: sum(h.diverged for h in runs) for arm, runs in histories.items()})

# %%
# Backward
# --------
# Given ``dy``. The rule of lesson 2: sum over everything that a quantity enters directly. ``x`` enters in three ways:
# its own :math:`\hat{x}_i`, the variance and the mean. The derivation, step by step, is the page on batch
# normalization, ``docs/batch_norm.md``; it ends at
#
# .. math:: d\gamma = \sum_i dy_i \, \hat{x}_i \qquad d\beta = \sum_i dy_i
#
# .. math::
#
#     dx = \gamma \; \mathrm{inv\_std} \;
#     \bigl( dy - \mathrm{mean}(dy) - \hat{x} \; \mathrm{mean}(dy \, \hat{x}) \bigr)
#
# The second term in the bracket is the path through the mean, the third that through the variance. They take out of
# ``dy`` what would only move or stretch the whole batch: that is normalized away again, so the loss cannot depend on
# it.
#
# Exercise 4.2: backward
# ----------------------
# Try the derivation before you type the formula: leave one of the paths out, and look what the check says.


def backward(dy, x_hat, inv_std, gamma):
    dgamma = ...
    dbeta = ...
    dx = ...
    return dx, dgamma, dbeta


check.backward(backward)

# %%
# Test time
# ---------
# What is predicted for an image must not depend on which others are in the batch. So fixed numbers take the place of
# ``mu`` and ``var``: *running averages*, kept during training,
#
# .. math::
#
#     \mathrm{running\_mean} \leftarrow \mathrm{decay} \cdot \mathrm{running\_mean} + (1 - \mathrm{decay}) \; \mu
#
# .. math::
#
#     \mathrm{running\_var} \leftarrow
#     \mathrm{decay} \cdot \mathrm{running\_var} + (1 - \mathrm{decay}) \; \frac{m}{m-1} \mathrm{var}
#
# or, better, the mean and variance over the *whole training set*, computed afterwards: ``net.calibrate(train.x)``. The
# factor :math:`m / (m - 1)` is there because a batch lies closer to its own mean than to the true one, so that its own
# variance is too small on average. Four ways to treat the same test images:

sorted_by_digit = np.argsort(test.y, kind="stable")
shuffled = np.random.default_rng(0).permutation(len(test))


def accuracy_by_own_statistics(net, order, size=50):
    """Accuracy if each batch of test images is normalized by its own mean and variance."""
    correct = 0
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        # training=True normalizes by the batch. It also moves the running averages: they were measured before.
        correct += np.sum(net.forward(test.x[rows], training=True).argmax(axis=1) == test.y[rows])
    return correct / len(order)


ways = {"running": [], "whole training set": [], "own batch, shuffled": [], "own batch, sorted": []}
for net, history in zip(networks, histories["batch norm"], strict=True):
    ways["running"].append(history.final("validation_accuracy"))  # as measured while it trained
    net.calibrate(train.x[:10_000])  # a part of it, to save time
    ways["whole training set"].append(tn.evaluate(net, test)[1])
    ways["own batch, shuffled"].append(accuracy_by_own_statistics(net, shuffled))
    ways["own batch, sorted"].append(accuracy_by_own_statistics(net, sorted_by_digit))

ax = plots.dots(
    {"test accuracy": ways},
    ylabel="test accuracy",
    xlabel="normalized by",
    title="The same weights, four kinds of statistics",
    percent=True,
)
ax.set_ylim(0, 1)
ax.legend(loc="center left", fontsize=15)
for way, values in ways.items():
    print(f"{way:20}  " + "  ".join(f"{value:.1%}" for value in values))
prediction(predicted_accuracy, float(np.median(ways["own batch, sorted"])), "accuracy on sorted batches")

# %%
# A batch of one digit has a mean of its own, and that is just what told the digit from the others: it is subtracted.
# And a batch of one image? Then ``x - mu`` is 0 whatever the image shows. The layer refuses:

try:
    networks[0].forward(test.x[:1], training=True)
except tn.InputError as error:
    print(error)

# %%
# Exercise 4.3: the running averages
# ----------------------------------
# Return the new ``running_mean`` and ``running_var`` after a batch ``x``. (At home, if time is short.)


def update(running_mean, running_var, x, decay):
    new_mean = ...
    new_var = ...
    return new_mean, new_var


check.running(update)

# %%
# Exercise 4.4: batch norm at test time
# -------------------------------------
# Return ``y``. The check also asks for a single example.


def predict(x, gamma, beta, running_mean, running_var, eps):
    y = ...
    return y


check.predict(predict)

# %%
# To discuss
# ----------
# At test time batch norm is a fixed scale and a fixed shift of each feature. A Dense layer before it could do the
# same. What does that mean for the cost of a prediction? (``net.fold()`` does it.) And why can one not do the same in
# training?
#
# To read on
# ----------
# * ``tinynet/kernels/batch_norm.py``: the equations, compiled; ``tinynet/layers/batch_norm.py``: what is kept for
#   backward.
# * The page on batch normalization, ``docs/batch_norm.md``: the derivation, scale invariance, folding, and what
#   floating point does to equation (2).
# * S. Ioffe and C. Szegedy, *Batch normalization*, 2015: section 3 with Algorithms 1 and 2.
# * Y. Wu and J. Johnson, *Rethinking "Batch" in BatchNorm*, 2021: which batch the statistics come from, and what
#   happens if it is the wrong one.

plt.show()
