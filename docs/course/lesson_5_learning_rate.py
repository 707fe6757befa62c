r"""
5. Learning rates and initialization
====================================

**The question.** Batch norm is said to allow much larger learning rates, and to forgive bad initial weights. *How much
larger, how bad, and is the comparison fair?*

You will sweep learning rates and initial scales over several powers of ten, count the runs that diverge, and find out
why the scale of the weights matters so little behind a batch norm.

The 45 minutes:

* 5: the question, and your prediction
* 14: the first sweep, with exercise 5.2
* 12: initial scales, with exercise 5.1
* 8: scale invariance, with exercise 5.3 for those who are quick
* 6: discussion
"""

import matplotlib.pyplot as plt
import numpy as np
from threadpoolctl import threadpool_limits

import tinynet as tn
from tinynet import plots
from tinynet.course import lesson_5 as check
from tinynet.course import prediction

_ = threadpool_limits(1)  # matrix products are small here; on a busy machine two threads wait for each other

# %%
# Your prediction
# ---------------
# A network of five hidden layers of 100 ReLU units, plain gradient descent. A learning rate *works* here if no run
# diverges and the median run is right on at least 80 % of the test images after 200 steps. How many times larger is
# the largest learning rate that works *with* batch norm, than the largest that works without?

predicted_factor = ...

# %%
# The first sweep: learning rates
# -------------------------------
# Learning rates from 0.001 to 10. Three seeds; for each seed both arms start from the same weights and see the same
# batches. A run whose loss is no longer finite has *diverged*. It is a result: drawn as a cross, and counted as 0.

train, test = tn.datasets.mnist()
test = test[:2000]
SEEDS, STEPS = range(3), 200
ARMS = {"plain": None, "batch norm": "batch"}
RATES = [0.001, 0.01, 0.1, 0.3, 1.0, 3.0, 10.0]


def final_accuracy(norm, seed, lr=0.1, init=None):
    """Test accuracy after so many steps; nan if the run diverged."""
    net = tn.mlp(784, [100] * 5, 10, activation="relu", norm=norm, init=init, seed=seed)
    history = tn.fit(net, train, optimizer=tn.SGD(lr=lr), steps=STEPS, seed=seed)
    return np.nan if history.diverged else tn.evaluate(net, test)[1]


def crosses(arms, x):
    """Where runs diverged, for the plot, and how many of them."""
    found = {}
    for arm, rows in arms.items():
        lost = np.isnan(rows).sum(axis=0)
        if lost.any():
            where = [value for value, count in zip(x, lost, strict=True) if count]
            found[f"{arm}: {lost.sum()} of {rows.size} runs diverged"] = (where, [0.0] * len(where))
    return found


by_rate = {
    arm: np.array([[final_accuracy(norm, seed, lr=lr) for lr in RATES] for seed in SEEDS])
    for arm, norm in ARMS.items()
}
ax = plots.lines_with_bands(
    {arm: (RATES, rows) for arm, rows in by_rate.items()},
    xlabel="learning rate",
    ylabel=f"test accuracy after {STEPS} steps",
    title="Five hidden layers of 100 ReLU",
    logx=True,
    crosses=crosses(by_rate, RATES),
)
_ = ax.set_ylim(-0.03, 1)

# %%
# Two questions are often mixed up: *which rates work*, and *how good is the best*. The answers are computed from the
# runs:


def largest_that_works(rows):
    """Return the largest learning rate with no run diverged and a median of at least 80 %; nan if there is none."""
    return max((lr for lr, column in zip(RATES, rows.T, strict=True) if np.median(column) >= 0.8), default=np.nan)


largest = {arm: largest_that_works(rows) for arm, rows in by_rate.items()}
for arm, rows in by_rate.items():
    counted = np.nan_to_num(rows).mean(axis=0)  # 0 for a diverged run
    k = counted.argmax()
    print(f"{arm:10}  works up to {largest[arm]:g};  best {counted[k]:.1%} at learning rate {RATES[k]:g}")
prediction(predicted_factor, largest["batch norm"] / largest["plain"], "largest rate with batch norm / without")

# %%
# ``np.median`` of a column with a nan is nan, and nan is not at least 0.8: so a rate at which a run diverged does not
# work.
#
# At *small* learning rates, do the arms differ as much? Bjorck et al. (2018) found that at the same small rate they
# end up alike, and that the gain comes from the larger rates that batch norm allows. Look at your plot, and keep in
# mind how few the steps are here.
#
# Exercise 5.2: a fair best
# -------------------------
# ``accuracy`` is (seeds, learning rates), with nan for a diverged run. Return the number of the column of the best
# learning rate, and its score, such that nobody can say you cheated.


def best(accuracy):
    column = ...
    score = ...
    return column, score


check.best_rate(best)

# %%
# The second sweep: the scale of the initial weights
# --------------------------------------------------
# A Dense layer adds up ``fan_in`` products. With independent weights of standard deviation :math:`\sigma` and inputs
# of mean square :math:`q`, its outputs have the mean square :math:`\mathrm{fan\_in} \, \sigma^2 q`, and a ReLU keeps
# half of it. To keep signals alive through many layers takes just one :math:`\sigma`; He et al. (2015, section 2.2)
# computed it.
#
# Exercise 5.1: He's scale
# ------------------------
# Return the standard deviation of the weights with which the mean square stays as it is through Dense and ReLU.


def he_std(fan_in, fan_out):
    std = ...
    return std


check.he_std(he_std)

# %%
# What if one does not know it? The same network, learning rate 0.1, with weights of a standard deviation from 0.001 to
# 3 in all layers:

SCALES = [0.001, 0.01, 0.1, 0.3, 1.0, 3.0]
by_scale = {
    arm: np.array([[final_accuracy(norm, seed, init=f"normal({std})") for std in SCALES] for seed in SEEDS])
    for arm, norm in ARMS.items()
}
ax = plots.lines_with_bands(
    {arm: (SCALES, rows) for arm, rows in by_scale.items()},
    xlabel="standard deviation of the initial weights",
    ylabel=f"test accuracy after {STEPS} steps",
    title="Learning rate 0.1",
    logx=True,
    crosses=crosses(by_scale, SCALES),
)
ax.axvline(np.sqrt(2 / 100), color="black", linestyle=":", linewidth=1.5)
ax.annotate(" He", (np.sqrt(2 / 100), 0.02), fontsize=14)
ax.set_ylim(-0.03, 1)
ax.get_legend().remove()  # there is no room for it among the lines
ax.figure.legend(loc="outside lower center", fontsize=15)
for arm, rows in by_scale.items():
    works = [std for std, column in zip(SCALES, rows.T, strict=True) if np.median(column) >= 0.8]
    span = f"from {min(works):g} to {max(works):g}" if works else "nowhere"
    print(f"{arm:10}  at least 80 % {span};  diverged: {np.isnan(rows).sum()} of {rows.size}")

# %%
# Why: scale invariance
# ---------------------
# Multiply all weights before a batch norm by :math:`a > 0`. Then ``x``, ``mu`` and the root of ``var`` are multiplied
# by :math:`a`, and (3) divides it out again (with ``eps`` = 0): the output is the same. Differentiate both sides by
# :math:`W`:
#
# .. math:: \mathrm{BN}(u \, aW) = \mathrm{BN}(u \, W)
#
# .. math:: \frac{\partial L}{\partial (aW)} = \frac{1}{a} \frac{\partial L}{\partial W}
#
# (Ioffe and Szegedy 2015, section 3.3). Larger weights get *smaller* gradients. Measured:

rng = np.random.default_rng(0)
u, weight, dy = rng.normal(size=(60, 8)), rng.normal(size=(8, 5)), rng.normal(size=(60, 5))
for a in (0.1, 1, 10, 100):
    dense = tn.Dense(5, bias=False).build(8, dtype="float64")
    dense.params["weight"][...] = a * weight
    norm = tn.BatchNorm(eps=0.0).build(5, dtype="float64")
    y = norm.forward(dense.forward(u, training=True), training=True)
    dense.backward(norm.backward(dy))
    size = np.sqrt(np.mean(dense.grads["weight"] ** 2))
    print(f"a = {a:5g}   y[0, 0] = {y[0, 0]:.6f}   RMS of the gradient = {size:.6f}   times a = {a * size:.6f}")

# %%
# So the scale of the weights does not change the function, and a learning rate that is too large brings itself down:
# it makes the weights longer, and longer weights get smaller gradients. A network without batch norm has no such
# brake.
#
# Exercise 5.3: the same path
# ---------------------------
# Behind batch norm, weights :math:`W` are trained at a learning rate ``lr``. Somebody starts from :math:`a W` in their
# place. At which learning rate does their network pass through *the same functions*, step by step? The check trains
# both.


def equivalent(lr, a):
    rate = ...
    return rate


check.equivalent_rate(equivalent)

# %%
# To discuss
# ----------
# A paper shows batch norm at learning rate 1 beside a plain network at learning rate 1, which diverges, and concludes
# that batch norm is better. What would you ask for, before you believe it? What do the two plots above answer, and
# what not?
#
# To read on
# ----------
# * ``tinynet/initializers.py``: all the scales, a line each.
# * ``tinynet/experiments/learning_rate.py`` and ``initialization.py``: these sweeps with more seeds and steps, and a
#   verdict.
# * K. He et al., *Delving deep into rectifiers*, 2015, section 2.2.
# * N. Bjorck et al., *Understanding batch normalization*, 2018.

plt.show()
