"""Gradient descent: how parameters move along their gradients."""

import math
from typing import Any

import numpy as np

from tinynet import kernels
from tinynet.arrays import LiveArrays
from tinynet.errors import InputError, ShapeError
from tinynet.machinery.recording import Pass
from tinynet.schedules import Schedule, as_schedule
from tinynet.settings import Setting, above_0, below_1, flag, not_negative
from tinynet.typing import Array


class _Coupled(Setting[Any]):
    """Momentum and nesterov, which have to suit each other."""

    def __set__(self, optimizer: Any, value: Any) -> None:
        both = vars(optimizer) | {self.name: value}
        if both.get("nesterov") and not both["momentum"]:
            raise InputError("SGD: nesterov needs a momentum above 0")
        super().__set__(optimizer, value)
        if not both["momentum"]:
            optimizer.velocity = {}


class SGD:
    """Stochastic gradient descent with momentum (Sutskever, Martens, Dahl and Hinton 2013).

    For each parameter w with gradient g, as PyTorch does it (which puts lr outside of v)::

        g <- g + weight_decay w
        v <- momentum v + g
        w <- w - lr v          (nesterov: w - lr (g + momentum v))

    Parameters
    ----------
    lr : float or schedule
        Learning rate, or a function of the step number (see `tinynet.schedules`).
    momentum : float
        At least 0 and below 1.
    nesterov : bool
        Look ahead: needs a momentum.
    weight_decay : float
        L2 by default: added to the gradient as above, so that momentum carries it, and applied to every
        parameter.
    decoupled : bool
        Take the decay out of the gradient and shrink the parameter itself, w <- (1 - lr weight_decay) w
        (Loshchilov and Hutter 2019).
    clip_norm : float, optional
        Scale all gradients together so that their global norm is at most this (Pascanu et al. 2013).

    Notes
    -----
    Velocity and step number belong to one network: given another network's parameters, it starts anew.

    Raises
    ------
    InputError
        If a setting is not as above.
    """

    schedule = Setting(lambda _, lr: as_schedule(lr))
    momentum, nesterov = _Coupled(below_1), _Coupled(flag)
    weight_decay, decoupled = Setting(not_negative), Setting(flag)
    clip_norm = Setting(lambda where, norm: None if norm is None else above_0(where, norm))

    def __init__(
        self,
        lr: float | Schedule = 0.1,
        *,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        decoupled: bool = False,
        clip_norm: float | None = None,
    ) -> None:
        self.schedule = lr
        self.momentum, self.nesterov = momentum, nesterov
        self.weight_decay, self.decoupled, self.clip_norm = weight_decay, decoupled, clip_norm
        self.steps = 0
        self.rates = np.zeros(4)  # lr, decay, shrink, momentum of this step: what the kernels read
        self.velocity: dict[str, Array] = {}
        self._given: Any = None  # the dict of parameters of the last step
        self._params: dict[str, Array] = {}  # all that it moved
        self._updates: _Updates | None = None  # those of the last step, to be replayed

    @property
    def lr(self) -> float:
        """The learning rate of the next step; what is assigned may be a schedule, as in the constructor."""
        return float(self.schedule(self.steps))

    @lr.setter
    def lr(self, lr: float | Schedule) -> None:
        self.schedule = lr

    def attach(self, params: dict[str, Array]) -> None:
        """Get ready for these parameters; those of another network, other arrays of the same names, start it anew.

        Anew is at step 0 and without velocity. There is a velocity for each parameter while momentum is above 0.
        """
        moved, velocity = self._params, self.velocity
        if all(moved.get(name) is w for name, w in params.items()):
            if velocity.keys() == (moved.keys() if self.momentum else set()):
                return
        elif params is not self._given and any(moved.get(name, w) is not w for name, w in params.items()):
            self.velocity, self.steps, self._params = velocity, _, moved = {}, 0, {}
        self._updates = None
        self._given, self._params = params, {**moved, **params}
        self.velocity = {
            name: velocity[name] if name in velocity and velocity[name].shape == w.shape else np.zeros_like(w)
            for name, w in (self._params if self.momentum else {}).items()
        }

    def step(self, params: dict[str, Array], grads: dict[str, Array]) -> None:
        """Move every parameter, in place, along its gradient.

        Parameters
        ----------
        params : dict of str to ndarray
            A network's, or some of them: the others stay as they are, with their velocity.
        grads : dict of str to ndarray
            Their gradients by the same names; there may be more.

        Raises
        ------
        InputError
            If a gradient is missing, or has not its parameter's shape and dtype.
        """
        updates = self._updates
        if updates is None or not updates.serve(self, params, grads):
            arrays = {name: (w, _checked(name, w, grads)) for name, w in params.items()}
            self.attach(params)
            updates = _Updates(self, params, grads, arrays)
        lr = self.lr
        if self.clip_norm is not None:
            self._clip([g for _, g in updates.arrays.values()])
        l2, shrink = (0.0, lr * self.weight_decay) if self.decoupled else (self.weight_decay, 0.0)
        self.rates[:] = lr, l2, shrink, self.momentum
        updates.passing.make()
        self._updates = updates
        self.steps += 1

    def _clip(self, grads: list[Array]) -> None:
        norm = math.sqrt(sum(kernels.sgd.sum_of_squares(g.reshape(-1)) for g in grads))
        assert self.clip_norm is not None
        if norm > self.clip_norm:
            for g in grads:
                g *= self.clip_norm / norm

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_updates": None}  # a copy's arrays are others


class _Updates:
    """A step's kernel calls, to be replayed as long as the arrays are the same."""

    def __init__(
        self, sgd: SGD, params: dict[str, Array], grads: dict[str, Array], arrays: dict[str, tuple[Array, Array]]
    ) -> None:
        self.params, self.grads, self.arrays, self.passing = params, grads, arrays, Pass()
        self.velocity, self.nesterov = sgd.velocity, sgd.nesterov
        for name, (weight, gradient) in arrays.items():
            w, g = weight.reshape(-1), gradient.reshape(-1)
            if sgd.momentum:
                v = sgd.velocity[name].reshape(-1)
                self.passing.calls.append((kernels.sgd.update_momentum, (w, g, v, sgd.rates, sgd.nesterov)))
            else:
                self.passing.calls.append((kernels.sgd.update, (w, g, sgd.rates)))

    def serve(self, sgd: SGD, params: dict[str, Array], grads: dict[str, Array]) -> bool:
        """Tell whether these are the arrays that the calls move, and the settings that choose the kernel."""
        if self.velocity is not sgd.velocity or bool(self.velocity) != bool(sgd.momentum):
            return False
        if self.nesterov != sgd.nesterov:
            return False
        if params is self.params and grads is self.grads and type(params) is type(grads) is LiveArrays:
            return True
        return params.keys() == self.arrays.keys() and all(
            params[name] is w and grads.get(name) is g for name, (w, g) in self.arrays.items()
        )


def _checked(name: str, weight: Array, grads: dict[str, Array]) -> Array:
    """Return a parameter's gradient, if both can be handed to a kernel."""
    if name not in grads:
        raise InputError(f"SGD: there is no gradient of {name}; leave it out of the parameters, or give its gradient")
    gradient = grads[name]
    if weight.dtype not in (np.float32, np.float64) or (weight.shape, weight.dtype) != (
        gradient.shape,
        gradient.dtype,
    ):
        raise ShapeError(
            f"SGD: {name} is {weight.dtype} {weight.shape}, its gradient {gradient.dtype} {gradient.shape}; "
            "both must have one shape and be float32 or float64"
        )
    if not (weight.flags.c_contiguous and gradient.flags.c_contiguous and weight.flags.writeable):
        raise InputError(f"SGD: {name} and its gradient must be C-ordered and writable; give copies of the arrays")
    return gradient
