"""
1. A network is a graph of layers
=================================

**The question.** A layer of a neural network multiplies by a matrix and then bends the result with an activation.
Take the bends out: five matrices in a row remain. *What can five layers learn without activations that one layer
cannot?*

You will build networks, look inside them, run one by hand, and answer the question with an experiment and on paper.

The 45 minutes:

* 5: the question, and your prediction
* 10: layers and graphs
* 10: the experiment
* 15: exercises 1.1 and 1.2, and 1.3 for those who are quick
* 5: discussion
"""

import matplotlib.pyplot as plt
import numpy as np

import tinynet as tn
from tinynet import plots
from tinynet.course import lesson_1 as check
from tinynet.course import prediction
from tinynet.plots.style import styled

# %%
# Your prediction
# ---------------
# The data below are three spiral arms in the plane; a classifier that guesses is right in a third of the cases. Which
# share will *five layers without activations* get right, from 0 to 1? Put your number in place of the dots.

predicted_accuracy = ...

# %%
# Layers
# ------
# A *layer* turns an array ``x`` into an array ``y``. Arrays are ``(batch, features)``: one example a row. A ``Dense``
# layer with weight :math:`W` and bias :math:`b` is
#
# .. math:: y = x W + b
#
# and it works alone:

rng = np.random.default_rng(0)
x = rng.normal(size=(4, 3))  # 4 examples of 3 features
dense = tn.Dense(2).build(3, seed=0, dtype="float64")
y = dense.forward(x)
print("y has shape", y.shape)
print("largest difference from x W + b:", np.abs(y - (x @ dense.params["weight"] + dense.params["bias"])).max())

# %%
# An *activation* is a layer too. It has no parameters and works on each number by itself. The ReLU is
# :math:`\max(x, 0)`:

print(tn.ReLU().forward(np.array([[-2.0, -0.5, 0.5, 2.0]])))

# %%
# Graphs
# ------
# A *network* is a graph: its nodes are layers, its arrows say who reads whose output. The simplest graph is a chain.
# How many numbers does this one learn? Count before you run the cell: a Dense of n inputs and k units has n k weights
# and k biases.

net = tn.Sequential([tn.Dense(32), tn.ReLU(), tn.Dense(32), tn.ReLU(), tn.Dense(3)], inputs=2, seed=0)
net.summary()

# %%
# In a notebook, a cell that ends in ``net`` shows this table with the graph beside it.
#
# A graph can branch. Layers are then called on nodes, and ``tn.Add`` or ``tn.Concat`` joins two branches again. To run
# a network forward means: call the layers in an order in which each comes after those that it reads. There is nothing
# else in ``Network.forward``.

inputs = tn.Input(2)
left = tn.Dense(16)(inputs)
right = tn.Tanh()(tn.Dense(16)(inputs))
branching = tn.Network(inputs, tn.Dense(3)(tn.Concat()(left, right)), seed=0)
ax = branching.plot()

# %%
# The experiment
# --------------
# Networks of one to five layers of 32 units learn to tell the three arms apart, with ReLU between their layers and
# without. Three seeds each: another seed is another set of initial weights and another order of the examples, and the
# two arms of one seed start from the same weights.

data = tn.datasets.spirals(600, seed=0)
LAYERS = [1, 2, 3, 5]
SEEDS = range(3)


def network(layers, relu, seed):
    """Return a network with so many Dense layers, with or without ReLU between them."""
    chain = []
    for _ in range(layers - 1):
        chain += [tn.Dense(32, init="he_normal" if relu else "lecun_normal")] + [tn.ReLU()] * relu
    return tn.Sequential([*chain, tn.Dense(3)], inputs=2, seed=seed)


accuracy = {"no activation": np.zeros((3, 4)), "ReLU": np.zeros((3, 4))}
trained = {}
for arm, rows in accuracy.items():
    for k, layers in enumerate(LAYERS):
        for seed in SEEDS:
            net = network(layers, relu=arm == "ReLU", seed=seed)
            history = tn.fit(net, data, optimizer=tn.SGD(lr=0.05, momentum=0.9), steps=800, seed=seed)
            rows[seed, k] = 0 if history.diverged else tn.evaluate(net, data)[1]
            trained[arm, layers] = net

ax = plots.lines_with_bands(
    {arm: (LAYERS, rows) for arm, rows in accuracy.items()},
    xlabel="Dense layers",
    ylabel="accuracy on the training data",
    title="Spirals: what depth gives",
)
ax.set(ylim=(0, 1.05), xticks=LAYERS)
prediction(predicted_accuracy, float(np.median(accuracy["no activation"][:, -1])), "five layers without activation")

# %%
# And this is what the networks of five layers think of every point of the plane:

corner = np.linspace(-1.2, 1.2, 200, dtype=np.float32)
plane = np.stack(np.meshgrid(corner, corner), axis=-1).reshape(-1, 2)
with styled():
    figure, axes = plt.subplots(1, 2, figsize=(10, 5.5), layout="constrained")
    for ax, arm in zip(axes, accuracy, strict=True):
        classes = trained[arm, 5].forward(plane).argmax(axis=1).reshape(200, 200)
        ax.contourf(corner, corner, classes, levels=[-0.5, 0.5, 1.5, 2.5], colors=plots.COLORS[:3], alpha=0.35)
        for label in range(3):
            ax.plot(*data.x[data.y == label].T, "os^"[label], color=plots.COLORS[label], markersize=4)
        ax.set(title=f"five layers, {arm}", aspect="equal", xticks=[], yticks=[])

# %%
# What was seen
# -------------
# Without activations one layer and five do about equally well, and draw straight lines. With ReLU the lines bend, and
# depth helps. The straight lines are no failure of training: exercise 1.2 shows that nothing else was possible.
#
# Exercise 1.1: a network by hand
# -------------------------------
# Run a network of three Dense layers with ReLU after the first two. ``params`` has the arrays under the names
# ``dense_1.weight``, ``dense_1.bias``, ``dense_2.weight`` and so on. Do not call any layer: use ``@``, ``+`` and
# ``np.maximum``. Put your code in place of the dots, and run the cell. The check says what is wrong, if something is.


def forward(x, params):
    y = ...
    return y


check.forward_by_hand(forward)

# %%
# Exercise 1.2: two layers in one
# -------------------------------
# Two Dense layers follow each other with nothing between them. Give the weight and bias of the *one* Dense layer that
# computes the same. On paper first: put :math:`h = x W_1 + b_1` into :math:`y = h W_2 + b_2`.


def collapse(weight_1, bias_1, weight_2, bias_2):
    weight = ...
    bias = ...
    return weight, bias


check.collapse(collapse)

# %%
# Exercise 1.3: a skip connection
# -------------------------------
# Build the graph with 2 inputs and 3 outputs in which :math:`h` = Dense(32) of the input, and the output is Dense(3)
# of
#
# .. math:: h + \mathrm{ReLU}(\mathrm{Dense}_{32}(h)) .
#
# The part that goes around, :math:`h` itself, is called a skip connection (He et al. 2016). Look at your graph with
# ``skip_network().plot()``.


def skip_network():
    x = tn.Input(2)
    h = tn.Dense(32)(x)
    joined = ...
    net = ...
    return net


check.skip_connection(skip_network)

# %%
# To discuss
# ----------
# Exercise 1.2 says that the five layers *can compute* exactly what one can. Do they also *learn* in the same way, step
# by step? Think of what the gradient of :math:`W_1` is when :math:`W_2` is very small.
#
# To read on
# ----------
# * ``tinynet/layers/dense.py`` and ``tinynet/layers/activations.py``: a layer is a page.
# * ``tinynet/network.py``: the graph, put in order and run.
# * The page on layers, ``docs/layers.md``: what a layer promises.
# * K. He, X. Zhang, S. Ren and J. Sun, *Deep residual learning for image recognition*, 2016: where skip connections
#   come from.

plt.show()
