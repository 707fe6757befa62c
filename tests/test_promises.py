"""What the README and the lessons promise, on the real MNIST."""

import math
from pathlib import Path

import pytest
from threadpoolctl import threadpool_limits

import tinynet as tn
from tinynet.experiments.arms import accuracy
from tinynet.experiments.runs import RunSettings

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def one_thread():
    with threadpool_limits(1):
        yield


def test_by_default_only_the_normalized_arm_learns() -> None:
    seldom = {"record_every": 5000, "probed": False}  # what is recorded changes no weight
    plain, normalized = (RunSettings(norm=norm, **seldom).run() for norm in (None, "batch"))
    assert accuracy(plain) < 0.15
    assert accuracy(normalized) > 0.95


def test_three_relu_layers_with_batch_norm_pass_978_in_ten_epochs_of_plain_sgd() -> None:
    train, test = tn.datasets.mnist()
    net = tn.mlp(784, [100] * 3, 10, activation="relu", norm="batch", seed=0)
    tn.fit(net, train, optimizer=tn.SGD(lr=0.5), epochs=10, batch_size=60, seed=0)
    _, accuracy = tn.evaluate(net, test)
    assert accuracy >= 0.978
    loss, _ = tn.evaluate(net, test)
    assert math.isclose(tn.evaluate(net.fold(), test)[0], loss, rel_tol=1e-5)


def test_the_contract_runs_as_written(tmp_path: Path) -> None:
    train, test = tn.datasets.mnist()
    net = tn.mlp(784, [100] * 10, 10, activation="sigmoid", norm="batch", seed=0)
    x = tn.Input(784)
    h = tn.ReLU()(tn.BatchNorm()(tn.Dense(100)(x)))
    skip = tn.ReLU()(tn.BatchNorm()(tn.Dense(100)(h)))
    net = tn.Network(x, tn.Dense(10)(tn.Add()(h, skip)), seed=0)
    history = tn.fit(
        net,
        train,
        validation=test,
        loss=tn.SoftmaxCrossEntropy(),
        optimizer=tn.SGD(lr=0.1, momentum=0.0, nesterov=False, weight_decay=0.0),
        epochs=2,
        batch_size=60,
        seed=0,
    )
    assert history.steps == [1000, 2000]
    assert len(history.train_loss) == len(history.validation_loss) == len(history.validation_accuracy) == 2
    assert not history.diverged
    net.calibrate(train.x)
    loss, accuracy = tn.evaluate(net, test)
    assert accuracy > 0.96
    assert tn.evaluate(net.fold(), test)[0] == pytest.approx(loss, rel=1e-5)
    net.save(tmp_path / "net.safetensors")
    assert tn.evaluate(tn.load(tmp_path / "net.safetensors"), test) == (loss, accuracy)
