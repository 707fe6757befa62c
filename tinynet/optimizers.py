"""Gradient descent: the update of parameters by their gradients."""

import math
from typing import Any

import numpy as np

from tinynet import kernels
from tinynet.arrays import LiveArrays, alike, check_gradients
from tinynet.errors import InputError
from tinynet.machinery.recording import RepeatedCalls
from tinynet.schedules import Schedule, as_schedule
from tinynet.settings import Setting, above_0, below_1, flag, not_negative
from tinynet.typing import Array, Call


class _Coupled(Setting[Any]):
    """``momentum`` and ``nesterov``: the second needs the first to be above 0."""

    def __set__(self, optimizer: Any, value: Any) -> None:
        both = vars(optimizer) | {self.name: self.check(f"SGD: {self.name}", value)}
        if both.get("nesterov") and not both["momentum"]:
            raise InputError("SGD: nesterov needs a momentum above 0")
        super().__set__(optimizer, value)
        if not both["momentum"]:
            optimizer._velocity = LiveArrays()


class SGD:
    """Stochastic gradient descent with momentum (Sutskever, Martens, Dahl and Hinton 2013).

    For each parameter w with gradient g, as in PyTorch (lr is not part of the velocity v)::

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
        Nesterov's form of momentum, as above; it needs a momentum above 0.
    weight_decay : float
        L2 regularization of every parameter. By default it is added to the gradient, as above, and so enters v.
    decoupled : bool
        Shrink the parameter itself, w <- (1 - lr weight_decay) w, and leave weight decay out of the gradient
        (Loshchilov and Hutter 2019).
    clip_norm : float, optional
        Scale all gradients together so that their global norm is at most this (Pascanu et al. 2013).

    Notes
    -----
    Velocities and step number belong to one network: with another network's parameters both start again at 0.

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
        self.rates = np.zeros(4)  # what the kernels read in this step: lr, decay, shrink, momentum
        self._velocity = LiveArrays()
        self._given: Any = None  # the dict of parameters of the last step
        self._params: dict[str, Array] = {}  # all parameters that were updated
        self._updates = RepeatedCalls()

    @property
    def lr(self) -> float:
        """The learning rate of the next step; a number or a schedule may be assigned."""
        return float(self.schedule(self.steps))

    @lr.setter
    def lr(self, lr: float | Schedule) -> None:
        self.schedule = lr

    @property
    def velocity(self) -> LiveArrays:
        """The velocity v of every parameter by name, empty if momentum is 0; an assigned array is copied."""
        return self._velocity

    def attach(self, params: dict[str, Array]) -> None:
        """Prepare for ``params``: if momentum is above 0, make a velocity for each one that has none.

        If an array has the name of another one seen before, the network is new: step number and velocities start at 0.
        """
        if params is not self._given and any(self._params.get(name, w) is not w for name, w in params.items()):
            self._velocity, self.steps, self._params = LiveArrays(), 0, {}
        known, moved = self.velocity, {**self._params, **params}
        velocity = {
            name: known[name] if name in known and alike(known[name], w) else np.zeros_like(w)
            for name, w in (moved if self.momentum else {}).items()
        }
        if [*map(id, velocity.values())] != [*map(id, known.values())]:
            self._velocity = LiveArrays(velocity)
        self._params, self._given = moved, params

    def step(self, params: dict[str, Array], grads: dict[str, Array]) -> None:
        """Move every parameter, in place, along its gradient.

        Parameters
        ----------
        params : dict of str to ndarray
            All parameters of a network, or some; the others and their velocities do not change.
        grads : dict of str to ndarray
            Gradients by the same names; more are ignored.

        Raises
        ------
        InputError
            If a gradient is missing, or its shape or dtype is not that of its parameter.
        """
        live = type(params) is type(grads) is LiveArrays
        if params is not self._given or not live or bool(self.velocity) != (self.momentum > 0):
            check_gradients(params, grads)
            self.attach(params)
        lr = self.lr
        if self.clip_norm is not None:
            self._clip([grads[name] for name in params])
        l2, shrink = (0.0, lr * self.weight_decay) if self.decoupled else (self.weight_decay, 0.0)
        self.rates[:] = lr, l2, shrink, self.momentum
        arrays = (params, grads) if live else (*params.values(), *(grads[name] for name in params))
        self._updates.make((self.velocity, self.nesterov, *arrays), lambda: self._calls(params, grads))
        self.steps += 1

    def _calls(self, params: dict[str, Array], grads: dict[str, Array]) -> list[Call]:
        """Return the kernel call of each parameter's update."""
        calls: list[Call] = []
        for name, weight in params.items():
            w, g = weight.reshape(-1), grads[name].reshape(-1)
            if self.momentum:
                v = self.velocity[name].reshape(-1)
                calls.append((kernels.sgd.update_momentum, (w, g, v, self.rates, self.nesterov)))
            else:
                calls.append((kernels.sgd.update, (w, g, self.rates)))
        return calls

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_updates": RepeatedCalls()}  # a copy's arrays are others

    def _clip(self, grads: list[Array]) -> None:
        norm = math.sqrt(sum(kernels.sgd.sum_of_squares(g.reshape(-1)) for g in grads))
        assert self.clip_norm is not None
        if norm > self.clip_norm:
            for g in grads:
                g *= self.clip_norm / norm
