"""Checks of arrays that users give, and `LiveArrays`, which keep their place in memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from tinynet.errors import InputError, ShapeError, unknown_name
from tinynet.typing import Array, DType


class LiveArrays(dict[str, Array]):
    """Arrays by name. Assigning writes into the array that the layer uses; names are neither added nor removed."""

    def __setitem__(self, name: str, value: Array) -> None:
        self.update({name: value})

    def update(self, *others: Any, **named: Array) -> None:
        """Assign several arrays; if one does not fit, assign none."""
        try:  # copies, since a value may be one of these arrays
            values = {name: np.array(value) for name, value in dict(*others, **named).items()}
        except (TypeError, ValueError):
            raise InputError("to assign arrays give a dict of them by name, such as {'dense_1.bias': b}") from None
        for name, value in values.items():
            if name not in self:
                raise unknown_name("array", name, self)
            if value.shape != self[name].shape:
                raise ShapeError(f"{name}: has shape {self[name].shape}, got {value.shape}")
            if not np.can_cast(value.dtype, self[name].dtype, "same_kind"):
                raise InputError(f"{name}: holds {self[name].dtype}, got {value.dtype}")
        for name, value in values.items():
            self[name][...] = value

    def __ior__(self, other: Any) -> Self:  # type: ignore[override,misc]
        self.update(other)
        return self

    def setdefault(self, name: str, default: Any = None) -> Any:
        """Return the array of this name, which must exist."""
        if name not in self:
            raise unknown_name("array", name, self)
        return self[name]

    def _fixed(self, *_: Any) -> Any:
        raise InputError("a network's arrays cannot be removed; assign to them instead")

    __delitem__ = pop = popitem = clear = _fixed

    def __reduce__(self) -> tuple[Any, ...]:
        return LiveArrays, (dict(self),)


class HasArrays:
    """An owner of `LiveArrays`: what is assigned to such an attribute is copied into its arrays."""

    def __setattr__(self, name: str, value: Any) -> None:
        known = self.__dict__.get(name)
        if not isinstance(known, LiveArrays):
            object.__setattr__(self, name, value)
            return
        missing = known.keys() - (value.keys() if isinstance(value, Mapping) else set())
        if missing:
            raise InputError(
                f"{name}: an array is missing in what is assigned ({', '.join(sorted(missing))}); "
                f"to assign some of them use {name}.update(...)"
            )
        known.update(value)


def alike(a: Array, b: Array) -> bool:
    """Tell whether two arrays have the same shape and dtype."""
    return a.shape == b.shape and a.dtype == b.dtype


def check_gradients(params: Mapping[str, Array], grads: Mapping[str, Array]) -> dict[str, Array]:
    """Return the parameters' gradients; raise ShapeError or InputError for one that kernels cannot take."""
    for given in (params, grads):
        if not isinstance(given, Mapping) or not all(isinstance(array, np.ndarray) for array in given.values()):
            raise InputError("step: give dicts of arrays by name, as in optimizer.step(net.params, net.grads)")
    for name, weight in params.items():
        if name not in grads:
            raise InputError(f"there is no gradient of {name}; leave it out of the parameters, or give its gradient")
        gradient = grads[name]
        if not alike(weight, gradient) or weight.dtype not in (np.float32, np.float64):
            raise ShapeError(
                f"{name} is {weight.dtype} {weight.shape}, its gradient {gradient.dtype} {gradient.shape}; "
                "both must have one shape and be float32 or float64"
            )
        if not (weight.flags.carray and gradient.flags.c_contiguous):
            raise InputError(f"{name} and its gradient must be C-ordered and writable; give copies of the arrays")
    return {name: grads[name] for name in params}


def float_dtype(dtype: DType) -> np.dtype[Any]:
    """Return NumPy's dtype of float32 or float64; raise InputError for any other."""
    try:
        resolved = np.dtype(dtype)
    except (TypeError, ValueError, SyntaxError):  # NumPy raises the last for ",x"
        resolved = np.dtype(object)
    if resolved not in (np.float32, np.float64):
        raise InputError(f"dtype must be 'float32' or 'float64', not {dtype!r}")
    return resolved


def as_array(x: object, where: str) -> Array:
    """Return ``x`` as an array; raise ShapeError, which names ``where``, if its rows are of different lengths."""
    try:
        return np.asarray(x)
    except ValueError:
        hint = ": give its x" if hasattr(x, "x") else ", which needs rows of one length"
        raise ShapeError(f"{where}: no array can be made of this {type(x).__name__}{hint}") from None


def check_array(x: object, where: str, features: int | None = None, dtype: np.dtype[Any] | None = None) -> Array:
    """Return ``x`` as a float array (batch, features) or raise ShapeError or InputError naming ``where``."""
    if type(x) is np.ndarray and x.dtype is dtype and x.shape[1:] == (features,) and x.flags.c_contiguous:
        return x
    array = as_array(x, where)
    if array.dtype not in (np.float32, np.float64):
        raise InputError(
            f"{where}: needs float32 or float64 values, not {array.dtype}; convert them first "
            "(images of 0 to 255: x.astype('float32') / 255)"
        )
    if array.ndim != 2 or array.shape[1] == 0 or (features is not None and array.shape[1] != features):
        expected = f"(batch, {'features' if features is None else features})"
        hint = "; one example is x[None, :]" if array.ndim == 1 else ""
        raise ShapeError(f"{where}: expects an array of shape {expected}, got {array.shape}{hint}")
    return np.ascontiguousarray(array, dtype)


def labels_hint(y: Array) -> str:
    """Return the end of an error: how to make integer labels (examples,) of ``y``; "" if no way is known."""
    if y.dtype.kind not in "fiub":
        names = y.dtype.kind in "OSTU"
        return "; names of classes become labels by np.unique(y, return_inverse=True)[1]" if names else ""
    if y.ndim == 2 and y.shape[1] > 1:
        if (y.sum(axis=1) == 1).all():
            return "; if each row has its 1 at the class (one-hot), give y.argmax(axis=1)"
        one = "; the labels may be one column of it, such as y[:, 0]"
        return one if y.dtype.kind in "iu" else f"{one}; a regression takes loss=tn.MeanSquaredError()"
    if y.dtype.kind == "f":
        column = f" (a Dataset turns floats of shape ({len(y)},) into such a column)" if y.ndim == 2 else ""
        whole = "; if these are labels, give y.astype(int)" if (y == np.round(y)).all() else ""
        return f"{column}{whole}; a regression takes loss=tn.MeanSquaredError()"
    return {"b": "; give y.astype(int)"}.get(y.dtype.kind, "; give y.ravel()" if y.ndim == 2 else "")


def classes_hint(labels: Array, classes: int) -> str:
    """Return the end of an error: how to make ``labels`` suit so many ``classes``, or the network suit the labels."""
    low, high = int(labels.min()), int(labels.max())
    if high - low == classes - 1 or (low == 1 and high == classes):
        return f"; labels count from 0: give y {'-' if low > 0 else '+'} {abs(low)}"
    if len(np.unique(labels)) <= classes:
        return "; labels count from 0: give np.unique(y, return_inverse=True)[1]"
    return f"; give the network {high + 1} outputs" if low >= 0 else ""
