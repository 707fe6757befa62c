"""Solutions of lesson 5. Try the exercises first: the checks of the lesson tell what is wrong."""

import numpy as np

from tinynet.course import lesson_5 as check


def best(accuracy):
    means = np.nan_to_num(accuracy, nan=0.0).mean(axis=0)  # a diverged run counts as 0
    column = int(means.argmax())
    return column, means[column]


check.best_rate(best)


def he_std(fan_in, fan_out):
    return np.sqrt(2 / fan_in)  # fan_in sigma^2 / 2 = 1


check.he_std(he_std)


def equivalent(lr, a):
    # the gradient is 1/a of W's, and a W has to move a times as far: a step of lr a^2 / a = a lr
    return lr * a**2


check.equivalent_rate(equivalent)
