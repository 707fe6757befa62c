"""How does one train a network, measure it, and keep it?

A small multi-layer perceptron learns the handwritten digits of MNIST, is measured on test images that it never saw,
is saved to a file in the current directory, and is loaded again.
"""

import numpy as np

import tinynet as tn

HIDDEN = [100, 100]  # units of each hidden layer
ACTIVATION = "relu"
LEARNING_RATE = 0.1
BATCH_SIZE = 60
EPOCHS = 2
SEED = 0
FILE = "first_network.safetensors"  # in the current directory


def main() -> None:
    train, test = tn.datasets.mnist()
    net = tn.mlp(784, HIDDEN, 10, activation=ACTIVATION, seed=SEED)
    net.summary()

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
    print("\n step  training loss  test accuracy")
    for step, loss, accuracy in zip(history.steps, history.train_loss, history.validation_accuracy, strict=True):
        print(f"{step:5}  {loss:13.4f}  {accuracy:13.4f}")

    loss, accuracy = tn.evaluate(net, test)
    print(f"\ntest loss {loss:.4f}, test accuracy {accuracy:.4f}")

    net.save(FILE)
    again = tn.load(FILE)
    same = np.array_equal(again.forward(test.x), net.forward(test.x))
    print(f"saved to {FILE} and loaded again: same outputs: {same}")


if __name__ == "__main__":
    main()
