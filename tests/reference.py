"""A plain NumPy twin of every kernel: textbook formulas over whole arrays, returning new ones.

The forward twins also take complex input, so that a complex step gives their derivatives to the last digit
(no difference of nearly equal numbers: error near 2e-16, against 3e-10 for central differences). Hence no
``np.var`` (which squares absolute values) and comparisons of real parts. The backward twins are derived on
paper by the long road, not copied from the kernels; `complex_step` checks them.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

STEP = 1e-30


def complex_step(f: Callable[[Array], Any], x: Array) -> Array:
    """Return the gradient of the scalar function f at x, one coordinate after the other."""
    gradient = np.empty(x.shape)
    for index in np.ndindex(x.shape):
        z = x.astype(complex)
        z[index] += 1j * STEP
        gradient[index] = np.imag(f(z)) / STEP
    return gradient


# -- batch normalization ------------------------------------------------------------------------------------


def batch_norm_forward(x: Array, gamma: Array, beta: Array, eps: float) -> tuple[Array, Array, Array, Array, Array]:
    """Return y, x_hat, mu, var, inv_std (Ioffe and Szegedy 2015, Algorithm 1)."""
    mu = x.mean(0)
    centred = x - mu
    var = (centred * centred).mean(0)
    inv_std = 1 / np.sqrt(var + eps)
    x_hat = centred * inv_std
    return gamma * x_hat + beta, x_hat, mu, var, inv_std


def batch_norm_backward(dy: Array, x: Array, gamma: Array, eps: float) -> tuple[Array, Array, Array]:
    """Return dx, dgamma, dbeta: the six equations of the paper's section 3, one by one."""
    m = len(x)
    mu = x.mean(0)
    var = ((x - mu) ** 2).mean(0)
    dx_hat = dy * gamma
    dvar = np.sum(dx_hat * (x - mu) * (-1 / 2) * (var + eps) ** (-3 / 2), 0)
    dmu = np.sum(dx_hat * -1 / np.sqrt(var + eps), 0) + dvar * np.sum(-2 * (x - mu), 0) / m
    dx = dx_hat / np.sqrt(var + eps) + dvar * 2 * (x - mu) / m + dmu / m
    dgamma = np.sum(dy * (x - mu) / np.sqrt(var + eps), 0)
    dbeta = np.sum(dy, 0)
    return dx, dgamma, dbeta


def batch_norm_update_running(
    mu: Array, var: Array, m: int, decay: float, running_mean: Array, running_var: Array
) -> tuple[Array, Array]:
    unbiased = var * m / (m - 1)
    return decay * running_mean + (1 - decay) * mu, decay * running_var + (1 - decay) * unbiased


def batch_norm_inference(
    x: Array, gamma: Array, beta: Array, running_mean: Array, running_var: Array, eps: float
) -> Array:
    return gamma * (x - running_mean) / np.sqrt(running_var + eps) + beta


# -- layer normalization ------------------------------------------------------------------------------------


def layer_norm_forward(x: Array, gamma: Array, beta: Array, eps: float) -> tuple[Array, Array, Array]:
    """Return y, x_hat, inv_std."""
    centred = x - x.mean(1, keepdims=True)
    inv_std = 1 / np.sqrt((centred * centred).mean(1, keepdims=True) + eps)
    x_hat = centred * inv_std
    return gamma * x_hat + beta, x_hat, inv_std[:, 0]


def layer_norm_backward(dy: Array, x: Array, gamma: Array, eps: float) -> tuple[Array, Array, Array]:
    """Return dx, dgamma, dbeta: through the mean and the variance of each row, one by one."""
    n = x.shape[1]
    centred = x - x.mean(1, keepdims=True)
    std = np.sqrt((centred**2).mean(1, keepdims=True) + eps)
    dx_hat = dy * gamma
    dvar = np.sum(dx_hat * centred, 1, keepdims=True) * (-1 / 2) * std**-3
    dmu = -np.sum(dx_hat, 1, keepdims=True) / std
    dx = dx_hat / std + dvar * 2 * centred / n + dmu / n
    return dx, np.sum(dy * centred / std, 0), np.sum(dy, 0)


# -- activations --------------------------------------------------------------------------------------------


def erf(x: Array) -> Array:
    """The error function; for a complex step, erf(a) + i b erf'(a)."""
    a = np.real(x)
    value = np.array([math.erf(z) for z in a.ravel()]).reshape(a.shape)
    if np.iscomplexobj(x):
        return value + 1j * np.imag(x) * 2 / np.sqrt(np.pi) * np.exp(-(a**2))
    return value


def sigmoid_forward(x: Array) -> Array:
    return (1 + np.tanh(x / 2)) / 2


def sigmoid_backward(dy: Array, x: Array) -> Array:
    return dy / (4 * np.cosh(x / 2) ** 2)


def tanh_forward(x: Array) -> Array:
    return np.tanh(x)


def tanh_backward(dy: Array, x: Array) -> Array:
    return dy / np.cosh(x) ** 2


def relu_forward(x: Array) -> Array:
    return np.where(x.real > 0, x, 0)


def relu_backward(dy: Array, x: Array) -> Array:
    return dy * (x > 0)


def leaky_relu_forward(x: Array, slope: float) -> Array:
    return np.where(x.real > 0, x, slope * x)


def leaky_relu_backward(dy: Array, x: Array, slope: float) -> Array:
    return dy * np.where(x > 0, 1, slope)


def elu_forward(x: Array, alpha: float, scale: float) -> Array:
    return scale * np.where(x.real > 0, x, alpha * np.expm1(x))


def elu_backward(dy: Array, x: Array, alpha: float, scale: float) -> Array:
    return dy * scale * np.where(x > 0, 1, alpha * np.exp(x))


def gelu_forward(x: Array) -> Array:
    return x / 2 * (1 + erf(x / np.sqrt(2)))


def gelu_backward(dy: Array, x: Array) -> Array:
    return dy * ((1 + erf(x / np.sqrt(2))) / 2 + x * np.exp(-x * x / 2) / np.sqrt(2 * np.pi))


# -- softmax ------------------------------------------------------------------------------------------------


def softmax_forward(x: Array) -> Array:
    e = np.exp(x - x.real.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def softmax_backward(dy: Array, x: Array) -> Array:
    """By the Jacobian of each row, diag(y) - y y^T."""
    y = softmax_forward(x)
    jacobian = y[:, :, None] * (np.eye(x.shape[1]) - y[:, None, :])
    return np.einsum("ij,ijk->ik", dy, jacobian)


def cross_entropy(logits: Array, labels: Array) -> Any:
    shifted = logits - logits.real.max(1, keepdims=True)
    log_softmax = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return -log_softmax[np.arange(len(labels)), labels].mean()


def cross_entropy_backward(logits: Array, labels: Array) -> Array:
    one_hot = np.eye(logits.shape[1])[labels]
    return (softmax_forward(logits) - one_hot) / len(labels)


# -- gradient descent ---------------------------------------------------------------------------------------


def sgd_update(w: Array, g: Array, lr: float, decay: float, shrink: float) -> Array:
    return (1 - shrink) * w - lr * (g + decay * w)


def sgd_update_momentum(
    w: Array, g: Array, v: Array, lr: float, decay: float, shrink: float, momentum: float, nesterov: bool
) -> tuple[Array, Array]:
    """Return the new w and v."""
    decayed = g + decay * w
    v = momentum * v + decayed
    direction = decayed + momentum * v if nesterov else v
    return (1 - shrink) * w - lr * direction, v


def sum_of_squares(g: Array) -> float:
    return float(np.sum(g.astype(np.float64) ** 2))


# -- dense and merge ----------------------------------------------------------------------------------------


def dense_add_bias(y: Array, b: Array) -> Array:
    return y + b


def dense_bias_gradient(dy: Array) -> Array:
    return dy.sum(axis=0)


def merge_copy(x: Array) -> Array:
    return x.copy()


def merge_add(a: Array, b: Array) -> Array:
    return a + b


def merge_write_columns(x: Array, y: Array, start: int) -> Array:
    return np.concatenate([y[:, :start], x, y[:, start + x.shape[1] :]], axis=1)


def merge_read_columns(y: Array, start: int, width: int) -> Array:
    return y[:, start : start + width]
