import numpy as np
import pytest

import tinynet as tn
from tinynet.convergence import Curve, Log


def test_a_log_says_what_was_read():
    curve = Curve([0.5, 0.4], {"epoch": [1, 2], "step": [10, 20]})
    log = Log("keras.csv", "Keras CSVLogger", {"loss": curve, "val_loss": curve})
    assert str(log) == "keras.csv: Keras CSVLogger, 2 epochs, loss, val_loss"
    assert str(Log("b", "tinynet", {"loss": Curve([1.0], {"step": [20_000]})})) == "b: tinynet, 20,000 steps, loss"
    assert str(Log("b", "tinynet", {}, diverged=True)) == "b: tinynet, diverged"


def test_a_curve_is_float64_and_may_hold_nan():
    curve = Curve(np.array([1, np.nan], "float32"), {"step": np.array([1, 2])})
    assert (curve.values.dtype, curve.x["step"].dtype, len(curve)) == (np.float64, np.float64, 2)


@pytest.mark.parametrize(
    ("values", "x", "message"),
    [
        ([1.0, 2.0], {"step": [1]}, "2 values, but step of shape"),
        ([1.0, 2.0], {"step": [2, 1]}, "step must rise"),
        ([1.0, 2.0], {"step": [1, 1]}, "step must rise"),
        ([1.0, 2.0], {"step": [1, np.nan]}, "step must rise"),
        ([1.0], {"steps": [1]}, "not 'steps'"),
        ([[1.0]], {"step": [[1.0]]}, "1 values, but step of shape"),
    ],
)
def test_a_curve_is_measured_at_places_that_rise(values, x, message):
    with pytest.raises(tn.InputError, match=message):
        Curve(values, x)
