"""
A first network
===============

How does one train a network, measure it, and keep it?

A small multi-layer perceptron learns the handwritten digits of MNIST, is measured on test images that it never saw,
is saved to a file, and is loaded again.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import tinynet as tn

HIDDEN = [100, 100]  # units of each hidden layer
ACTIVATION = "relu"
LEARNING_RATE = 0.1
BATCH_SIZE = 60
EPOCHS = 2
SEED = 0
FILE = Path(tempfile.mkdtemp()) / "first_network.safetensors"  # in a new temporary folder: say where you want it

# %%
# The data
# --------
# All of MNIST is inside the package. An image is a row of 784 numbers between 0 (white) and 1 (black), 28 a line.

train, test = tn.datasets.mnist()
print(train)
print(test)

figure, axes = plt.subplots(1, 10, figsize=(10, 1.4), layout="constrained")
for ax, image, label in zip(axes, test.x, test.y, strict=False):
    ax.imshow(image.reshape(28, 28), cmap="gray_r")
    ax.set_title(label)
    ax.set_axis_off()

# %%
# The network
# -----------
# Ten outputs, one for each digit. Its answer is the digit of the largest.

net = tn.mlp(784, HIDDEN, 10, activation=ACTIVATION, seed=SEED)
net.summary()

# %%
# Training
# --------
# `fit` goes through the training images in small batches, in a new order every epoch. Each batch is one step: forward,
# loss, backward, and a small change of every weight against its gradient.

history = tn.fit(
    net,
    train,
    validation=test,
    loss=tn.SoftmaxCrossEntropy(),
    optimizer=tn.SGD(lr=LEARNING_RATE),
    epochs=EPOCHS,
    batch_size=BATCH_SIZE,
    seed=SEED,
)
print(" step  training loss  test accuracy")
for step, loss, accuracy in zip(history.steps, history.train_loss, history.validation_accuracy, strict=True):
    print(f"{step:5}  {loss:13.4f}  {accuracy:13.4f}")

# %%
# Measuring
# ---------
# Accuracy is the share of images whose largest output is at the label. Here are some that it gets wrong.

loss, accuracy = tn.evaluate(net, test)
print(f"test loss {loss:.4f}, test accuracy {accuracy:.4f}")

answers = net.forward(test.x).argmax(axis=1)
wrong = np.flatnonzero(answers != test.y)[:10]
figure, axes = plt.subplots(1, len(wrong), figsize=(10, 1.7), layout="constrained")
for ax, k in zip(axes, wrong, strict=True):
    ax.imshow(test.x[k].reshape(28, 28), cmap="gray_r")
    ax.set_title(f"{test.y[k]} taken\nfor {answers[k]}", fontsize=10)
    ax.set_axis_off()

# %%
# Keeping it
# ----------
# A saved network is a safetensors file: it holds arrays and how the layers are connected, and executes nothing.

net.save(FILE)
again = tn.load(FILE)
same = np.array_equal(again.forward(test.x), net.forward(test.x))
print(f"saved to {FILE.name} and loaded again: same outputs: {same}")

plt.show()
