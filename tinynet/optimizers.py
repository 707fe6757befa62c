"""Gradient descent: how parameters move along their gradients."""

import math
from typing import Any

import numpy as np

from tinynet import kernels
from tinynet.arrays import LiveArrays
from tinynet.errors import InputError
from tinynet.machinery.recording import Pass
from tinynet.schedules import Schedule, as_schedule
from tinynet.typing import Array, Call


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
        self.schedule = as_schedule(lr)
        if not 0 <= momentum < 1:
            raise InputError(f"SGD: momentum must be at least 0 and below 1, not {momentum}")
        if nesterov and momentum == 0:
            raise InputError("SGD: nesterov needs a momentum above 0")
        if not weight_decay >= 0:
            raise InputError(f"SGD: weight_decay must not be negative, not {weight_decay}")
        if clip_norm is not None and not clip_norm > 0:
            raise InputError(f"SGD: clip_norm must be above 0, not {clip_norm}")
        self.momentum, self.nesterov = float(momentum), bool(nesterov)
        self.weight_decay, self.decoupled = float(weight_decay), bool(decoupled)
        self.clip_norm = None if clip_norm is None else float(clip_norm)
        self.steps = 0
        self.rates = np.zeros(4)  # lr, decay, shrink, momentum of this step: what the kernels read
        self._pass = Pass()
        self._grads: dict[str, Array] | None = None  # the updates of these gradients, to be replayed
        self.velocity: dict[str, Array] = {}
        self._params: dict[str, Array] | None = None

    @property
    def lr(self) -> float:
        """The learning rate of the next step."""
        return float(self.schedule(self.steps))

    def attach(self, params: dict[str, Array]) -> None:
        """Start anew, at step 0 and without velocity, unless these are the parameters it moves already."""
        if params is not self._params:
            self._params, self.steps = params, 0
            self._grads = None
            self.velocity = {k: np.zeros_like(w) for k, w in params.items()} if self.momentum else {}

    def step(self, params: dict[str, Array], grads: dict[str, Array]) -> None:
        """Move every parameter, in place, along its gradient; both are dicts of arrays by the same names."""
        self.attach(params)
        lr = self.lr
        if self.clip_norm is not None:
            self._clip(grads)
        l2, shrink = (0.0, lr * self.weight_decay) if self.decoupled else (self.weight_decay, 0.0)
        self.rates[:] = lr, l2, shrink, self.momentum
        if grads is not self._grads:
            self._pass = Pass(calls=self._calls(params, grads))
            # a network's arrays stay where they are; a dict of the user's own may hold others next time
            self._grads = grads if isinstance(params, LiveArrays) and isinstance(grads, LiveArrays) else None
        self._pass.make()
        self.steps += 1

    def _calls(self, params: dict[str, Array], grads: dict[str, Array]) -> list[Call]:
        """Return the kernel call of each parameter's update."""
        calls: list[Call] = []
        for name, weight in params.items():
            w, g = weight.reshape(-1, copy=False), grads[name].reshape(-1, copy=False)
            if self.momentum:
                v = self.velocity[name].reshape(-1, copy=False)
                calls.append((kernels.sgd.update_momentum, (w, g, v, self.rates, self.nesterov)))
            else:
                calls.append((kernels.sgd.update, (w, g, self.rates)))
        return calls

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_pass": Pass(), "_grads": None}  # a copy's arrays are others

    def _clip(self, grads: dict[str, Array]) -> None:
        norm = math.sqrt(sum(kernels.sgd.sum_of_squares(g.reshape(-1)) for g in grads.values()))
        assert self.clip_norm is not None
        if norm > self.clip_norm:
            for g in grads.values():
                g *= self.clip_norm / norm
