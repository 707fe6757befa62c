"""Wrong answers to the exercises of lessons 4 to 6: what the check must say, and the answer that deserves it."""

import numpy as np


def forward_4(inv_std=None, x_hat=None, y=None):
    """Batch norm's forward with one of its three results replaced."""

    def forward(x, gamma, beta, eps):
        c, var = x - x.mean(axis=0), x.var(axis=0)
        right = 1 / np.sqrt(var + eps)
        return (
            gamma * c * right + beta if y is None else y(x, c * right, gamma, beta),
            c * right if x_hat is None else x_hat(x, c, var + eps, right),
            right if inv_std is None else inv_std(x, c, var, eps),
        )

    return forward


def backward_4(dx=None, dgamma=None, dbeta=None):
    """Batch norm's backward with one of its three results replaced."""

    def backward(dy, x_hat, inv_std, gamma):
        mean, along = dy.mean(axis=0), x_hat * (dy * x_hat).mean(axis=0)
        return (
            gamma * inv_std * (dy - mean - along)
            if dx is None
            else dx(dy, mean, along, gamma * inv_std, gamma, inv_std),
            (dy * x_hat).sum(axis=0) if dgamma is None else dgamma(dy, x_hat),
            dy.sum(axis=0) if dbeta is None else dbeta(dy),
        )

    return backward


def running(mean=None, var=None):
    def update(running_mean, running_var, x, decay):
        m = len(x)
        v = x.var(axis=0, ddof=1)
        return (
            decay * running_mean + (1 - decay) * x.mean(axis=0)
            if mean is None
            else mean(running_mean, x.mean(axis=0), decay),
            decay * running_var + (1 - decay) * v if var is None else var(running_var, v, decay, m),
        )

    return update


def layer_norm(x_hat, affine=lambda h, gamma, beta: gamma * h + beta):
    return lambda x, gamma, beta, eps: affine(x_hat(x, eps), gamma, beta)


def right_ln(x, eps):
    c = x - x.mean(axis=1, keepdims=True)
    return c / np.sqrt((c**2).mean(axis=1, keepdims=True) + eps)


WRONG = {
    (4, "forward"): {
        "you divided by m - 1; the batch variance of the equations divides by m": forward_4(
            lambda x, c, var, eps: 1 / np.sqrt(x.var(axis=0, ddof=1) + eps)
        ),
        "over the features (axis 1)": forward_4(lambda x, c, var, eps: 1 / np.sqrt(x.var(axis=1) + eps)),
        "should run over the batch (axis 0)": forward_4(
            lambda x, c, var, eps: 1 / np.sqrt(x.var(axis=1, keepdims=True) + eps)
        ),
        "over the whole array": forward_4(lambda x, c, var, eps: 1 / np.sqrt(x.var() + eps)),
        "eps stands outside the root": forward_4(lambda x, c, var, eps: 1 / (np.sqrt(var) + eps)),
        "eps is missing": forward_4(lambda x, c, var, eps: 1 / np.sqrt(var)),
        "the root is missing": forward_4(lambda x, c, var, eps: 1 / (var + eps)),
        "inv_std is the inverse": forward_4(lambda x, c, var, eps: np.sqrt(var + eps)),
        "this is the mean of x^2": forward_4(lambda x, c, var, eps: 1 / np.sqrt((x**2).mean(axis=0) + eps)),
        "this is the variance": forward_4(lambda x, c, var, eps: var),
        "in another order: return y, x_hat, inv_std": lambda *a: forward_4()(*a)[::-1],
        "mu is the mean over the features": forward_4(x_hat=lambda x, c, v, i: (x - x.mean(1, keepdims=True)) * i),
        "mu is the mean of the whole array": forward_4(x_hat=lambda x, c, v, i: (x - x.mean()) * i),
        "x_hat is made with another": forward_4(x_hat=lambda x, c, v, i: c / x.std(axis=0)),
        "off by one number for each column": forward_4(x_hat=lambda x, c, v, i: (x - np.median(x, axis=0)) * i),
        "mu is not subtracted": forward_4(x_hat=lambda x, c, var, i: x * i),
        "it should be multiplied by it": forward_4(x_hat=lambda x, c, var, i: c / i),
        "divided by the variance, not by its root": forward_4(x_hat=lambda x, c, var, i: c / var),
        "x_hat is only x - mu": forward_4(x_hat=lambda x, c, var, i: c),
        "gamma is missing in (4)": forward_4(y=lambda x, h, gamma, beta: h + beta),
        "beta is missing in (4)": forward_4(y=lambda x, h, gamma, beta: gamma * h),
        "gamma (x_hat + beta)": forward_4(y=lambda x, h, gamma, beta: gamma * (h + beta)),
        "y is made of x": forward_4(y=lambda x, h, gamma, beta: gamma * x + beta),
        "this is x_hat; (4) is missing": forward_4(y=lambda x, h, gamma, beta: h),
        "changed places": forward_4(y=lambda x, h, gamma, beta: beta * h + gamma),
        "y has shape (4,) where (6, 4) (batch, features) is meant": forward_4(y=lambda x, h, gamma, beta: beta),
    },
    (4, "backward"): {
        "the path through the variance is missing": backward_4(lambda dy, mean, along, s, g, i: s * (dy - mean)),
        "in the direction of x_hat alone": backward_4(lambda dy, mean, along, s, g, i: s * (dy - mean - 0.3 * along)),
        "the path through the mean is missing": backward_4(lambda dy, mean, along, s, g, i: s * (dy - along)),
        "by the same number for all examples": backward_4(
            lambda dy, mean, along, s, g, i: s * (dy - 0.3 * mean - along)
        ),
        "both the path through the mean": backward_4(lambda dy, mean, along, s, g, i: s * dy),
        "the means of your dx run over the features": lambda dy, h, i, g: (
            g * i * (dy - dy.mean(1, keepdims=True) - h * (dy * h).mean(1, keepdims=True)),
            (dy * h).sum(axis=0),
            dy.sum(axis=0),
        ),
        "the mean of dy runs over the features": backward_4(
            lambda dy, mean, along, s, g, i: s * (dy - dy.mean(1, keepdims=True) - along)
        ),
        "those of the whole array": backward_4(lambda dy, mean, along, s, g, i: s * (dy - dy.mean() - along)),
        "x_hat is missing before the mean": lambda dy, h, i, g: (
            g * i * (dy - dy.mean(axis=0) - (dy * h).mean(axis=0)),
            (dy * h).sum(axis=0),
            dy.sum(axis=0),
        ),
        "dx is divided by inv_std": backward_4(lambda dy, mean, along, s, g, i: g / i * (dy - mean - along)),
        "dy's own mean is a sum": backward_4(lambda dy, mean, along, s, g, i: s * (dy - 6 * mean - along)),
        "the mean of dy x_hat is a sum": backward_4(lambda dy, mean, along, s, g, i: s * (dy - mean - 6 * along)),
        "in another order: return dx, dgamma, dbeta": lambda *a: [backward_4()(*a)[k] for k in (0, 2, 1)],
        "right but for a factor for each column": backward_4(
            lambda dy, mean, along, s, g, i: s * i * (dy - mean - along)
        ),
        "right but for inv_std": backward_4(lambda dy, mean, along, s, g, i: g * (dy - mean - along)),
        "right but for gamma": backward_4(lambda dy, mean, along, s, g, i: i * (dy - mean - along)),
        "the two means are sums": backward_4(lambda dy, mean, along, s, g, i: s * (dy - 6 * mean - 6 * along)),
        "through the mean has the wrong sign": backward_4(lambda dy, mean, along, s, g, i: s * (dy + mean - along)),
        "through the variance has the wrong sign": backward_4(
            lambda dy, mean, along, s, g, i: s * (dy - mean + along)
        ),
        "dgamma is the mean": backward_4(dgamma=lambda dy, h: (dy * h).mean(axis=0)),
        "the sum of dgamma runs over the features": backward_4(dgamma=lambda dy, h: (dy * h).sum(axis=1)),
        "dgamma is not summed": backward_4(dgamma=lambda dy, h: dy * h),
        "dgamma is the sum of dy": backward_4(dgamma=lambda dy, h: dy.sum(axis=0)),
        "dbeta is the mean": backward_4(dbeta=lambda dy: dy.mean(axis=0)),
        "the sum of dbeta runs over the features": backward_4(dbeta=lambda dy: dy.sum(axis=1)),
        "dbeta is not summed": backward_4(dbeta=lambda dy: dy),
        "dx has shape (4,) where (6, 4)": backward_4(lambda dy, mean, along, s, g, i: mean),
        "dx has 24 of 24 numbers that are nan": backward_4(lambda dy, mean, along, s, g, i: dy / 0),
    },
    (4, "running"): {
        "PyTorch's momentum": running(mean=lambda old, mu, decay: (1 - decay) * old + decay * mu),
        "nothing of the old is kept": running(mean=lambda old, mu, decay: mu),
        "1 - decay is missing": running(mean=lambda old, mu, decay: decay * old + mu),
        "takes the unbiased variance": running(
            var=lambda old, v, decay, m: decay * old + (1 - decay) * v * (m - 1) / m
        ),
        "decay is what is kept": running(var=lambda old, v, decay, m: (1 - decay) * old + decay * v),
        "the mean of the whole array": lambda mean, var, x, decay: (decay * mean + (1 - decay) * x.mean(), var),
        "a mean needs no correction": running(mean=lambda old, mu, decay: decay * old + (1 - decay) * mu * 5 / 4),
        "is there twice": running(var=lambda old, v, decay, m: decay * old + (1 - decay) * v * m / (m - 1)),
        "is upside down": running(var=lambda old, v, decay, m: decay * old + (1 - decay) * v * ((m - 1) / m) ** 2),
        "the batch's variance alone": running(var=lambda old, v, decay, m: v),
        "before the batch's variance": running(var=lambda old, v, decay, m: decay * old + v),
        "not around running_mean": lambda mean, var, x, decay: (
            decay * mean + (1 - decay) * x.mean(axis=0),
            decay * var + (1 - decay) * ((x - mean) ** 2).mean(axis=0),
        ),
        "in another order: return running_mean, running_var": lambda *a: running()(*a)[::-1],
        "your function leaves running_mean changed": lambda mean, var, x, decay: (np.multiply(mean, decay, mean), var),
        "averages standard deviations": running(var=lambda old, v, decay, m: decay * old + (1 - decay) * np.sqrt(v)),
    },
    (4, "predict"): {
        "by the batch's own statistics": lambda x, g, b, mean, var, eps: (
            g * (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + eps) + b
        ),
        "running_var is a variance": lambda x, g, b, mean, var, eps: g * (x - mean) / (var + eps) + b,
        "eps is missing": lambda x, g, b, mean, var, eps: g * (x - mean) / np.sqrt(var) + b,
        "eps stands outside": lambda x, g, b, mean, var, eps: g * (x - mean) / (np.sqrt(var) + eps) + b,
        "gamma and beta are missing": lambda x, g, b, mean, var, eps: (x - mean) / np.sqrt(var + eps),
        "unbiased already": lambda x, g, b, mean, var, eps: g * (x - mean) / np.sqrt(var * 5 / 4 + eps) + b,
        "multiplied by the root": lambda x, g, b, mean, var, eps: g * (x - mean) * np.sqrt(var + eps) + b,
        "yet: beta is missing": lambda x, g, b, mean, var, eps: g * (x - mean) / np.sqrt(var + eps),
        "yet: gamma is missing": lambda x, g, b, mean, var, eps: (x - mean) / np.sqrt(var + eps) + b,
        "gamma (x_hat + beta)": lambda x, g, b, mean, var, eps: g * ((x - mean) / np.sqrt(var + eps) + b),
        "the numbers of y of one example are right": lambda x, g, b, mean, var, eps: (
            g * (x - mean) / np.sqrt(var + eps) + b
        ).squeeze(),
        "running_mean is not subtracted": lambda x, g, b, mean, var, eps: g * x / np.sqrt(var + eps) + b,
        "y of one example": lambda x, g, b, mean, var, eps: (
            g * (x - mean) / np.sqrt(var + eps) + b if len(x) > 1 else b[None]
        ),
    },
    (5, "he_std"): {
        "this is LeCun's": lambda i, o: np.sqrt(1 / i),
        "is the variance": lambda i, o: 2 / i,
        "this takes fan_out": lambda i, o: np.sqrt(2 / o),
        "this is Glorot's": lambda i, o: np.sqrt(2 / (i + o)),
        "2 and fan_in belong under the root": lambda i, o: 2 / np.sqrt(i),
        "half of LeCun's": lambda i, o: np.sqrt(1 / (2 * i)),
        "a uniform distribution": lambda i, o: np.sqrt(6 / i),
        "the more terms are added up": lambda i, o: np.sqrt(2 * i),
        "this is for layers of 100": lambda i, o: np.sqrt(2 / 100),
        "must be one number, not 'sqrt": lambda i, o: "sqrt(2 / fan_in)",
        "must be one number, not an array": lambda i, o: np.full((i, o), np.sqrt(2 / i)),
    },
    (5, "best_rate"): {
        "left the diverged run out": lambda a: (int(np.nanmean(a, axis=0).argmax()), np.nanmean(a, axis=0).max()),
        "the best single run": lambda a: (int(np.nanmax(a, axis=0).argmax()), np.nanmax(a)),
        "argmax takes a nan for the largest": lambda a: (a.mean(axis=0).argmax(), a.mean(axis=0).max()),
        "a median does not notice": lambda a: (3, np.median(np.nan_to_num(a), axis=0).max()),
        "counted from 0": lambda a: (2, a[:, 1].mean()),
        "the number of a row": lambda a: (np.nan_to_num(a).mean(axis=1).argmax(), 0.9),
        "of the whole array counts all": lambda a: (np.argmax(a), 0.9),
        "this is the smallest": lambda a: (1, a[:, 1].min()),
        "this is the median": lambda a: (1, np.median(a[:, 1])),
        "in another order: return column, score": lambda a: (a[:, 1].mean(), 1),
        "this is the largest": lambda a: (1, a[:, 1].max()),
        "the mean over all": lambda a: (1, np.nan_to_num(a).mean()),
    },
    (5, "equivalent_rate"): {
        "the learning rate is unchanged": lambda lr, a: lr,
        "make up for the smaller gradient": lambda lr, a: lr * a,
        "larger weights get smaller gradients": lambda lr, a: lr / a,
        "with the right power": lambda lr, a: lr / a**2,
        "the two networks' outputs come to differ by": lambda lr, a: lr * 5.0,
        "the learning rate is nan or inf": lambda lr, a: np.nan,
        "return the learning rate alone": lambda lr, a: (lr, a),
    },
    (6, "layers_until"): {
        "it takes twice as many layers": lambda r, f: np.log(f) / np.log(r),
        "not half": lambda r, f: np.log(f) / np.log(r) / 2,
        "divide by its logarithm (": lambda r, f: np.log(f) / r,
        "mind the square": lambda r, f: 2 * np.log(f) / r,
        "logarithm of the quotient": lambda r, f: 2 * np.log(f / r),
        "no division by the rate gives it": lambda r, f: f**2 / r,
        "the logarithm of the rate is missing": lambda r, f: np.log(f**2),
        "upside down": lambda r, f: np.log(r) / np.log(f**2),
        "the answer is rounded": lambda r, f: np.ceil(2 * np.log(f) / np.log(r)),
        "leave it as it comes": lambda r, f: int(2 * np.log(f) / np.log(r)),
    },
    (6, "mean_noise"): {
        "the root of m divides, not m": lambda s, m: s / m,
        "this is the variance of mu": lambda s, m: s**2 / m,
        "one example's deviation": lambda s, m: s,
        "the root of m - 1": lambda s, m: s / np.sqrt(m - 1),
        "std stands outside": lambda s, m: np.sqrt(s / m),
        "a sum has this deviation": lambda s, m: s * np.sqrt(m),
    },
    (6, "layer_norm"): {
        "this is batch norm": layer_norm(lambda x, eps: (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + eps)),
        "you divided by features - 1": layer_norm(
            lambda x, eps: (x - x.mean(axis=1, keepdims=True)) / np.sqrt(x.var(axis=1, ddof=1, keepdims=True) + eps)
        ),
        "use keepdims=True": layer_norm(lambda x, eps: (x - x.mean(axis=1)) / np.sqrt(x.var(axis=1) + eps)),
        "one of mean and variance runs over the batch": layer_norm(
            lambda x, eps: (x - x.mean(axis=0)) / np.sqrt(x.var(axis=1, keepdims=True) + eps)
        ),
        "use keepdims=True there too": layer_norm(
            lambda x, eps: (x - x.mean(axis=1, keepdims=True)) / np.sqrt(x.var(axis=1) + eps)
        ),
        "changed places": layer_norm(right_ln, lambda h, gamma, beta: beta * h + gamma),
        "multiplied by the root": layer_norm(
            lambda x, eps: (x - x.mean(axis=1, keepdims=True)) * np.sqrt(x.var(axis=1, keepdims=True) + eps)
        ),
        "y is transposed": lambda x, gamma, beta, eps: (gamma * right_ln(x, eps) + beta).T,
        "you divide by the number of examples": layer_norm(
            lambda x, eps: (x - x.sum(1, keepdims=True) / len(x)) / np.sqrt(x.var(1, keepdims=True) + eps)
        ),
        "eps stands outside": layer_norm(
            lambda x, eps: (x - x.mean(axis=1, keepdims=True)) / (x.std(axis=1, keepdims=True) + eps)
        ),
        "eps is missing": layer_norm(lambda x, eps: right_ln(x, 0)),
        "gamma and beta are missing": layer_norm(right_ln, lambda h, gamma, beta: h),
        "yet: beta is missing": layer_norm(right_ln, lambda h, gamma, beta: gamma * h),
        "yet: gamma is missing": layer_norm(right_ln, lambda h, gamma, beta: h + beta),
        "no reshaping": layer_norm(right_ln, lambda h, gamma, beta: gamma[:, None] * h + beta[:, None]),
        "the mean is not subtracted": layer_norm(lambda x, eps: x / np.sqrt(x.var(axis=1, keepdims=True) + eps)),
        "the root is missing": layer_norm(
            lambda x, eps: (x - x.mean(axis=1, keepdims=True)) / (x.var(axis=1, keepdims=True) + eps)
        ),
        "over the whole array": layer_norm(lambda x, eps: (x - x.mean()) / np.sqrt(x.var() + eps)),
        "y of one example": lambda x, gamma, beta, eps: gamma * right_ln(x, eps) + beta if len(x) > 1 else gamma[None],
    },
}
