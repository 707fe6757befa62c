"""Why does a deep network of sigmoids not learn, and what does batch normalization change?

Two networks of ten hidden layers, one without batch normalization and one with it, start from the same weights and
see the same batches in the same order. Printed for each: the test accuracy at the end, and, before the first update,
the gradient of the first hidden layer divided by that of the last. The test accuracy along the way is drawn to a PNG
file in the current directory. This is one seed: a demonstration, not a measurement.
"""

from typing import Literal

import matplotlib.pyplot as plt

import tinynet as tn

LAYERS, UNITS = 10, 100
ACTIVATION = "sigmoid"
LEARNING_RATE = 0.1
BATCH_SIZE = 60
STEPS = 1000
VALIDATE_EVERY = 50
SEED = 0
FILE = "with_and_without_batch_norm.png"  # in the current directory

ARMS: dict[str, Literal["batch"] | None] = {"without batch norm": None, "with batch norm": "batch"}
# blue and vermilion, which remain apart for a colour-blind reader, and a second sign that is no colour
STYLES = {"without batch norm": ("#0072B2", "--"), "with batch norm": ("#D55E00", "-")}


def main() -> None:
    train, test = tn.datasets.mnist()
    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for arm, norm in ARMS.items():
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
        colour, line = STYLES[arm]
        axes.plot(history.steps, history.validation_accuracy, color=colour, linestyle=line, linewidth=2, label=arm)

    axes.set(
        xlabel=f"step (mini-batches of {BATCH_SIZE})",
        ylabel="test accuracy",
        title=f"MNIST, {LAYERS} x {UNITS} {ACTIVATION}, learning rate {LEARNING_RATE}, one seed",
        xlim=(0, STEPS),
        ylim=(0, 1),
    )
    axes.grid(alpha=0.3)
    axes.legend(loc="center right")
    figure.savefig(FILE, dpi=150)
    print(f"drawn to {FILE}")


if __name__ == "__main__":
    main()
