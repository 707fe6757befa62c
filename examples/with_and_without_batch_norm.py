"""
With and without batch normalization
====================================

Why does a deep network of sigmoids not learn, and what does batch normalization change?

Two networks of ten hidden layers, one without batch normalization and one with it, start from the same weights and see
the same batches in the same order. This is one seed: a demonstration, not a measurement. ``tinynet compare`` does the
same with several, and comes to a verdict.
"""

import matplotlib.pyplot as plt

import tinynet as tn
from tinynet import plots

LAYERS, UNITS = 10, 100
ACTIVATION = "sigmoid"
LEARNING_RATE = 0.1
BATCH_SIZE = 60
STEPS = 1000
VALIDATE_EVERY = 50
SEED = 0

# %%
# Training both
# -------------
# A probe measures the gradients of the first batch, before anything is learned. Printed for each network: the test
# accuracy at the end, and the gradient of the first hidden layer divided by that of the last.

train, test = tn.datasets.mnist()
histories = {}
for arm, norm in {"without batch norm": None, "with batch norm": "batch"}.items():
    net = tn.mlp(784, [UNITS] * LAYERS, 10, activation=ACTIVATION, norm=norm, seed=SEED)
    probe = tn.Probe(every=STEPS)  # measures at step 0 only
    history = tn.fit(
        net,
        train,
        validation=test,
        optimizer=tn.SGD(lr=LEARNING_RATE),
        steps=STEPS,
        batch_size=BATCH_SIZE,
        seed=SEED,
        validate_every=VALIDATE_EVERY,
        callbacks=[probe],
    )
    gradients = probe.values["gradient_rms"]  # root mean square per weight, by layer
    ratio = gradients["dense_1"][0] / gradients[f"dense_{LAYERS}"][0]
    accuracy = history.final("validation_accuracy")
    print(f"{arm:18}  test accuracy {accuracy:.4f}  gradient, first / last hidden layer {ratio:.1e}")
    histories[arm] = [history]

# %%
# What one sees
# -------------
# Ten classes: an accuracy of a tenth is what guessing gives. Without batch normalization the first layers hear next to
# nothing of the error, and stay what they were.

plots.curves(histories, title=f"MNIST, {LAYERS} x {UNITS} {ACTIVATION}, learning rate {LEARNING_RATE}")
plt.show()
