"""Elementwise activations: y = f(x), and dx = dy f'(x) from the x and y that the forward pass kept; flat arrays.

A scalar ``math.exp`` in a loop costs about 2.5 ns an element, a multiple of all else here, because it cannot
use vector instructions. In float32 `exp` and `tanh` are therefore short polynomials that can (ten times
faster, measured); in float64, kept for checking, they are the library's.
"""

import math

import numpy as np
from numba import types
from numba.extending import overload

from tinynet.kernels.jit import OPTIONS, jit
from tinynet.typing import Array

INV_SQRT_2 = 0.7071067811865476
INV_SQRT_2PI = 0.3989422804014327


def exp(x: float) -> float:
    """e^x of one number; in float32 within 2 units in the last place on [-87, 88], and held constant outside."""
    # what runs with NUMBA_DISABLE_JIT; math.exp would raise OverflowError above 709
    return np.exp(np.clip(x, -87, 88) if isinstance(x, np.float32) else x)  # type: ignore[no-any-return]


def tanh(x: float) -> float:
    """Hyperbolic tangent of one number; in float32 within 5 units in the last place, 2 below 0.5."""
    return math.tanh(x)


@overload(exp, jit_options={"fastmath": OPTIONS["fastmath"]})
def _exp(x):  # type: ignore[no-untyped-def]
    def library(x):  # type: ignore[no-untyped-def]
        return math.exp(x)

    def polynomial(x):  # type: ignore[no-untyped-def]
        # x = n ln 2 + r with |r| <= ln(2)/2, so e^x = 2^n e^r. A NaN fails both comparisons and stays a NaN.
        if x < np.float32(-87):
            x = np.float32(-87)
        if x > np.float32(88):
            x = np.float32(88)
        # Adding 1.5 * 2^23 rounds to an integer and leaves n in the low bits of the sum.
        shifted = np.float32(x * np.float32(1.44269504) + np.float32(12582912))
        n = shifted - np.float32(12582912)
        # ln 2 in two parts; the first has few enough bits that n times it is exact.
        r = (x - n * np.float32(0.693359375)) + n * np.float32(2.12194440e-4)
        # Taylor of e^r to r^7: the next term is below 6e-9 on this range.
        p = np.float32(1 / 5040)
        p = p * r + np.float32(1 / 720)
        p = p * r + np.float32(1 / 120)
        p = p * r + np.float32(1 / 24)
        p = p * r + np.float32(1 / 6)
        p = p * r + np.float32(1 / 2)
        p = p * r + np.float32(1)
        p = p * r + np.float32(1)
        # 2^n is the float whose exponent bits hold n + 127.
        exponent = np.int32((shifted.view(np.int32) + np.int32(127)) << np.int32(23))
        return p * exponent.view(np.float32)

    return polynomial if x == types.float32 else library


@overload(tanh, jit_options={"fastmath": OPTIONS["fastmath"]})
def _tanh(x):  # type: ignore[no-untyped-def]
    def library(x):  # type: ignore[no-untyped-def]
        return math.tanh(x)

    def polynomial(x):  # type: ignore[no-untyped-def]
        # Near 0 the Taylor series to x^13 (next term below 3e-8 relative for |x| < 0.5); else from e^2x.
        s = x * x
        p = np.float32(21844 / 6081075)
        p = p * s - np.float32(1382 / 155925)
        p = p * s + np.float32(62 / 2835)
        p = p * s - np.float32(17 / 315)
        p = p * s + np.float32(2 / 15)
        p = p * s - np.float32(1 / 3)
        near = x + x * s * p
        far = np.float32(1) - np.float32(2) / (exp(np.float32(2) * x) + np.float32(1))
        return near if s < np.float32(0.25) else far

    return polynomial if x == types.float32 else library


@jit
def sigmoid_forward(x: Array, y: Array) -> None:
    """Write y = 1 / (1 + e^-x); in float32 within 3 units in the last place for x from -87 up."""
    one = x.dtype.type(1)
    for k in range(x.size):
        y[k] = one / (one + exp(-x[k]))


@jit
def sigmoid_backward(dy: Array, x: Array, y: Array, dx: Array) -> None:
    """Write dx = dy y (1 - y)."""
    one = x.dtype.type(1)
    for k in range(x.size):
        dx[k] = dy[k] * y[k] * (one - y[k])


@jit
def tanh_forward(x: Array, y: Array) -> None:
    """Write y = tanh(x)."""
    for k in range(x.size):
        y[k] = tanh(x[k])


@jit
def tanh_backward(dy: Array, x: Array, y: Array, dx: Array) -> None:
    """Write dx = dy (1 - y^2)."""
    one = x.dtype.type(1)
    for k in range(x.size):
        dx[k] = dy[k] * (one - y[k] * y[k])


@jit
def relu_forward(x: Array, y: Array) -> None:
    """Write y = max(x, 0); a NaN stays a NaN."""
    zero = x.dtype.type(0)
    for k in range(x.size):
        y[k] = zero if x[k] <= 0 else x[k]


@jit
def relu_backward(dy: Array, x: Array, y: Array, dx: Array) -> None:
    """Write dx = dy where x > 0, else 0."""
    zero = x.dtype.type(0)
    for k in range(x.size):
        dx[k] = zero if x[k] <= 0 else dy[k]


@jit
def leaky_relu_forward(x: Array, y: Array, slope: float) -> None:
    """Write y = x where x > 0, else slope x."""
    below = x.dtype.type(slope)
    for k in range(x.size):
        y[k] = x[k] if x[k] > 0 else below * x[k]


@jit
def leaky_relu_backward(dy: Array, x: Array, y: Array, dx: Array, slope: float) -> None:
    """Write dx = dy where x > 0, else slope dy."""
    below = x.dtype.type(slope)
    for k in range(x.size):
        dx[k] = dy[k] if x[k] > 0 else below * dy[k]


@jit
def elu_forward(x: Array, y: Array, alpha: float, scale: float) -> None:
    """Write y = scale x where x > 0, else scale alpha (e^x - 1); SELU has its own alpha and scale."""
    one = x.dtype.type(1)
    a, s = x.dtype.type(alpha), x.dtype.type(scale)
    for k in range(x.size):
        y[k] = s * (x[k] if x[k] > 0 else a * (exp(x[k]) - one))


@jit
def elu_backward(dy: Array, x: Array, y: Array, dx: Array, alpha: float, scale: float) -> None:
    """Write dx = scale dy where x > 0, else dy (y + scale alpha)."""
    s, scale_alpha = x.dtype.type(scale), x.dtype.type(scale * alpha)
    for k in range(x.size):
        dx[k] = dy[k] * (s if x[k] > 0 else y[k] + scale_alpha)


@jit
def gelu_forward(x: Array, y: Array) -> None:
    """Write y = x Phi(x), Phi the standard normal distribution (Hendrycks and Gimpel 2016), by erf."""
    for k in range(x.size):
        y[k] = x[k] * 0.5 * (1 + math.erf(x[k] * INV_SQRT_2))


@jit
def gelu_backward(dy: Array, x: Array, y: Array, dx: Array) -> None:
    """Write dx = dy (Phi(x) + x phi(x))."""
    for k in range(x.size):
        z = x[k]
        normal_cdf = 0.5 * (1 + math.erf(z * INV_SQRT_2))
        normal_pdf = INV_SQRT_2PI * math.exp(-0.5 * z * z)
        dx[k] = dy[k] * (normal_cdf + z * normal_pdf)
