"""Solutions of lesson 6. Try the exercises first: the checks of the lesson tell what is wrong."""

import numpy as np

from tinynet.course import lesson_6 as check


def layers_until(rate, factor):
    return np.log(factor**2) / np.log(rate)  # rate ** layers = factor ** 2


check.layers_until(layers_until)


def mean_noise(std, m):
    return std / np.sqrt(m)


check.mean_noise(mean_noise)


def layer_norm(x, gamma, beta, eps):
    mu = x.mean(axis=1, keepdims=True)
    var = ((x - mu) ** 2).mean(axis=1, keepdims=True)
    return gamma * (x - mu) / np.sqrt(var + eps) + beta


check.layer_norm(layer_norm)
