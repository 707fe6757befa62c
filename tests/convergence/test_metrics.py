import pytest

import tinynet as tn
from tinynet.convergence import Curve, Log, meaning, pick
from tinynet.convergence.metrics import lower_is_better, quantities


def log(*names):
    return Log("a.csv", "a program", {name: Curve([k, k], {"step": [1, 2]}) for k, name in enumerate(names)})


@pytest.mark.parametrize(
    ("name", "split", "quantity"),
    [
        ("loss", None, "loss"),
        ("acc", None, "accuracy"),
        ("Accuracy", None, "accuracy"),
        ("val_loss", "validation", "loss"),  # Keras
        ("val_sparse_categorical_accuracy", "validation", "accuracy"),
        ("validation_accuracy", "validation", "accuracy"),  # tinynet
        ("valid_loss", "validation", "loss"),  # fastai
        ("eval_accuracy", "validation", "accuracy"),  # Hugging Face
        ("train_loss_step", "training", "loss"),  # Lightning
        ("val_loss_epoch", "validation", "loss"),
        ("loss/train", "training", "loss"),  # TensorBoard, as people name them
        ("Loss/val", "validation", "loss"),
        ("train/grad_norm", "training", "grad_norm"),
        ("epoch_accuracy", None, "epoch_accuracy"),
        ("learning_rate", None, "learning_rate"),
        ("test", None, "test"),  # nothing else is left of the name
    ],
)
def test_a_name_says_which_quantity_and_on_which_data(name, split, quantity):
    assert meaning(name) == (split, quantity)


def test_a_quantity_is_picked_on_both_kinds_of_data_and_a_marked_name_on_its_own():
    both = pick(log("loss", "lr", "val_loss"), "loss")
    assert {split: curve.values[0] for split, curve in both.items()} == {"training": 0, "validation": 2}
    assert list(pick(log("loss", "lr", "val_loss"), "val_loss")) == ["validation"]
    assert list(pick(log("eval_acc"), "accuracy")) == ["validation"]
    assert pick(log("a", "perplexity"), "perplexity")["training"].values[0] == 1


def test_a_metric_that_is_not_there_gets_the_nearest():
    with pytest.raises(tn.InputError, match=r"unknown metric in a\.csv 'acuracy'; did you mean 'accuracy'\?"):
        pick(log("loss", "val_acc"), "acuracy")


def test_quantities_are_those_that_all_logs_have():
    assert quantities([log("loss", "val_acc", "lr"), log("train_loss", "acc")]) == ["loss", "accuracy"]
    assert quantities([]) == []


@pytest.mark.parametrize(
    ("metric", "lower"), [("loss", True), ("val_loss", True), ("accuracy", False), ("rmse", True)]
)
def test_a_loss_is_better_when_lower(metric, lower):
    assert lower_is_better(metric) == lower
