"""Wrong answers to the exercises, by exercise: what the check must say, and the answer that deserves it."""

import numpy as np

import tinynet as tn


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def relu(x):
    return np.maximum(x, 0)


def layer(params, k, h):
    return h @ params[f"dense_{k}.weight"] + params[f"dense_{k}.bias"]


def by_hand(bend=relu, last=lambda h: h, affine=layer):
    return lambda x, p: last(affine(p, 3, bend(affine(p, 2, bend(affine(p, 1, x))))))


def bias_after(x, p):
    for k in (1, 2, 3):
        h = x @ p[f"dense_{k}.weight"]
        x = (relu(h) if k < 3 else h) + p[f"dense_{k}.bias"]
    return x


def graph(join, units=3, last=True):
    def make():
        x = tn.Input(2)
        node = join(tn.Dense(32)(x))
        return tn.Network(x, tn.Dense(units)(node)) if last else node

    return make


def three_dense(x):
    return tn.Add()(x, tn.ReLU()(tn.Dense(32)(tn.ReLU()(tn.Dense(32)(x)))))


def softmax(z, axis=1):
    e = np.exp(z)
    return e / e.sum(axis=axis, keepdims=True)


def one_hot(labels):
    return np.eye(3)[labels]


def differences(slope, move=None):
    """A numerical gradient made of f at x and at one number moved by h."""

    def gradient(f, x, h):
        result = np.empty_like(x)
        for place in np.ndindex(x.shape):
            step = np.zeros_like(x)
            step[place] = h
            result[place] = slope(f, x, step, h)
            if move:
                x = x - step
        return result

    return gradient


def never_put_back(f, x, h):
    x[0, 0] += h
    return np.zeros_like(x)


def grads(net, x, labels, select=lambda name: name.endswith("weight")):
    _, dy = tn.SoftmaxCrossEntropy()(net.forward(x, training=True), labels)
    net.backward(dy)
    return [g for name, g in net.grads.items() if select(name)]


def rms(a):
    return np.sqrt(np.mean(a**2))


def slope(z):
    return sigmoid(z) * (1 - sigmoid(z))


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


STOPPED = "your function stopped in the line"

WRONG = {
    (1, "forward_by_hand"): {
        "no activation after the last": by_hand(last=relu),
        "the activations are missing": by_hand(bend=lambda h: h),
        "the biases are missing": by_hand(affine=lambda p, k, h: h @ p[f"dense_{k}.weight"]),
        "added before the ReLU": bias_after,
        STOPPED: lambda x, p: x @ p["dense_1.weight"].T,
        "y has shape (4, 2) where (6, 2) (batch, outputs) is meant": lambda x, p: by_hand()(x[:4], p),
        "y has shape (2, 6) where (6, 2) (batch, outputs) is meant; it is the transpose": lambda x, p: (
            by_hand()(x, p).T
        ),
        "y has the wrong sign everywhere": lambda x, p: -by_hand()(x, p),
        "y is 2 times what it should be": lambda x, p: 2 * by_hand()(x, p),
        "12 of 12 numbers of y are nan or inf": lambda x, p: by_hand()(x, p) / 0,
        "y is not right (y[3, 1] is": lambda x, p: by_hand()(x, p) + np.eye(6)[3][:, None] * np.array([0, 1]),
        "y must be an array of numbers, not 'nothing'": lambda x, p: "nothing",
        "takes your function itself, not 3": 3,
    },
    (1, "collapse"): {
        "in the wrong order": lambda w1, b1, w2, b2: (w2 @ w1, b1 @ w2 + b2),
        "a product number by number": lambda w1, b1, w2, b2: (w1 * w2, b1 @ w2 + b2),
        "your weight is a sum": lambda w1, b1, w2, b2: (w1 + w2, b1 @ w2 + b2),
        "your bias is b1 + b2": lambda w1, b1, w2, b2: (w1 @ w2, b1 + b2),
        "your bias leaves out b1": lambda w1, b1, w2, b2: (w1 @ w2, b2),
        "own b2": lambda w1, b1, w2, b2: (w1 @ w2, b1 @ w2),
        "from the left": lambda w1, b1, w2, b2: (w1 @ w2, w2 @ b1 + b2),
        "return 2 values, weight, bias; yours returned an array of shape (3, 3)": lambda w1, b1, w2, b2: w1 @ w2,
    },
    (1, "skip_connection"): {
        "Concat puts": graph(lambda h: tn.Concat()(h, tn.ReLU()(tn.Dense(32)(h)))),
        "it is a chain, Dense - ReLU - Dense": graph(lambda h: tn.ReLU()(h)),
        "the same node twice": graph(lambda h: tn.Add()(h, h)),
        "one Add of two nodes": graph(lambda h: tn.Add()(tn.Add()(h, tn.ReLU()(tn.Dense(32)(h))), h)),
        "the branch has no ReLU": graph(lambda h: tn.Add()(h, tn.Dense(32)(h))),
        "the ReLU stands after the Add": graph(lambda h: tn.ReLU()(tn.Add()(h, tn.Dense(32)(h)))),
        "yours reads Tanh and ReLU": graph(lambda h: tn.Add()(tn.Tanh()(h), tn.ReLU()(tn.Dense(32)(h)))),
        "yours has 2 and 4": graph(lambda h: tn.Add()(h, tn.ReLU()(tn.Dense(32)(h))), units=4),
        "three Dense layers are meant": graph(three_dense),
        "you returned a node": graph(lambda h: tn.Add()(h, tn.ReLU()(tn.Dense(32)(h))), last=False),
        "return a tn.Network, not 3": lambda: 3,
    },
    (2, "sigmoid_backward"): {
        "dy is missing": lambda dy, x: slope(x),
        "x (1 - x) is not the slope": lambda dy, x: dy * x * (1 - x),
        "this is dy y": lambda dy, x: dy * sigmoid(x),
        "this is dy (1 - y)": lambda dy, x: dy * (1 - sigmoid(x)),
        "sigmoid of the sigmoid": lambda dy, x: dy * slope(sigmoid(x)),
        "dx is 4 times what it should be": lambda dy, x: 4 * dy * slope(x),
    },
    (2, "dense_backward"): {
        "must be transposed in dx": lambda dy, x, w: (dy @ w, x.T @ dy, dy.sum(axis=0)),
        "dx is divided by the batch size": lambda dy, x, w: (dy @ w.T / len(x), x.T @ dy, dy.sum(axis=0)),
        "dweight is transposed": lambda dy, x, w: (dy @ w.T, dy.T @ x, dy.sum(axis=0)),
        "dweight is the mean": lambda dy, x, w: (dy @ w.T, x.T @ dy / len(x), dy.sum(axis=0)),
        "dbias is the mean": lambda dy, x, w: (dy @ w.T, x.T @ dy, dy.mean(axis=0)),
        "runs over the units (axis 1)": lambda dy, x, w: (dy @ w.T, x.T @ dy, dy.sum(axis=1)),
        "summed over everything": lambda dy, x, w: (dy @ w.T, x.T @ dy, dy.sum()),
        "dbias is not summed": lambda dy, x, w: (dy @ w.T, x.T @ dy, dy),
        "return 3 values, dx, dweight, dbias; yours returned 2 values": lambda dy, x, w: (dy @ w.T, x.T @ dy),
    },
    (2, "numerical_gradient"): {
        "is 2 h: divide by that": differences(lambda f, x, s, h: (f(x + s) - f(x - s)) / h),
        "this is (f(x + h) - f(x)) / h": differences(lambda f, x, s, h: (f(x + s) - f(x)) / h),
        "this is (f(x) - f(x - h)) / h": differences(lambda f, x, s, h: (f(x) - f(x - s)) / h),
        "x drifts away": differences(lambda f, x, s, h: (f(x + s) - f(x - s)) / (2 * h), move=True),
        "all numbers are moved at once": lambda f, x, h: np.full_like(x, (f(x + h) - f(x - h)) / (2 * h)),
        "one slope for all numbers": lambda f, x, h: (f(x + h) - f(x - h)) / (2 * h),
        "your function leaves x changed": never_put_back,
    },
    (2, "cross_entropy_gradient"): {
        "the 1/m is missing": lambda z, y: softmax(z) - one_hot(y),
        "the sign is wrong": lambda z, y: (one_hot(y) - softmax(z)) / len(z),
        "one-hot label is missing": lambda z, y: softmax(z) / len(z),
        "softmax is missing": lambda z, y: (z - one_hot(y)) / len(z),
        "sums over the batch (axis 0)": lambda z, y: (softmax(z, 0) - one_hot(y)) / len(z),
        "mean over batch and classes": lambda z, y: (softmax(z) - one_hot(y)) / z.size,
    },
    (3, "gradient_rms"): {
        "this is the norm": lambda *a: [np.linalg.norm(g) for g in grads(*a)],
        "the root is missing": lambda *a: [np.mean(g**2) for g in grads(*a)],
        "positive and negative gradients cancel": lambda *a: [g.mean() for g in grads(*a)],
        "mean of the absolute values": lambda *a: [np.abs(g).mean() for g in grads(*a)],
        "these are the weights": lambda net, x, y: [rms(net.params[f"dense_{k}.weight"]) for k in (1, 2, 3)],
        "the order is reversed": lambda *a: [rms(g) for g in grads(*a)][::-1],
        "the biases are among them": lambda *a: [rms(g) for g in grads(*a, select=lambda name: True)],
    },
    (3, "factor_per_layer"): {
        "the root is the 4th, not the 5th": lambda s: (s[0] / s[-1]) ** (1 / 5),
        "the direction is reversed": lambda s: (s[-1] / s[0]) ** (1 / 4),
        "through all layers": lambda s: s[0] / s[-1],
        "this is the arithmetic one": lambda s: np.mean(s[:-1] / s[1:]),
        "the factor of the gradient": lambda s: (s[0] / s[-1]) ** (1 / 8),
        "divided by the number of steps": lambda s: s[0] / s[-1] / 4,
    },
    (3, "one_layer"): {
        "the square of the mean slope": lambda z, w: slope(z).mean() ** 2 * len(w) * np.mean(w**2),
        "a term for each input": lambda z, w: np.mean(slope(z) ** 2) * w.shape[1] * np.mean(w**2),
        "the Dense is missing": lambda z, w: np.mean(slope(z) ** 2),
        "the slope at 0": lambda z, w: 1 / 16 * len(w) * np.mean(w**2),
        "the slope is not squared": lambda z, w: np.mean(slope(z)) * len(w) * np.mean(w**2),
        "stands for one of them": lambda z, w: np.mean(slope(z) ** 2) * np.mean(w**2),
        "slope of the sigmoid is missing": lambda z, w: len(w) * np.mean(w**2),
    },
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
        "24 of 24 numbers of dx are nan": backward_4(lambda dy, mean, along, s, g, i: dy / 0),
    },
    (4, "running"): {
        "PyTorch's momentum": running(mean=lambda old, mu, decay: (1 - decay) * old + decay * mu),
        "nothing of the old is kept": running(mean=lambda old, mu, decay: mu),
        "1 - decay is missing": running(mean=lambda old, mu, decay: decay * old + mu),
        "takes the unbiased variance": running(
            var=lambda old, v, decay, m: decay * old + (1 - decay) * v * (m - 1) / m
        ),
        "decay is what is kept": running(var=lambda old, v, decay, m: (1 - decay) * old + decay * v),
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
        "belongs under the root": lambda i, o: np.sqrt(2) / i,
    },
    (5, "best_rate"): {
        "left the diverged run out": lambda a: (int(np.nanmean(a, axis=0).argmax()), np.nanmean(a, axis=0).max()),
        "the best single run": lambda a: (int(np.nanmax(a, axis=0).argmax()), np.nanmax(a)),
        "this is the largest": lambda a: (1, a[:, 1].max()),
        "the mean over all": lambda a: (1, np.nan_to_num(a).mean()),
    },
    (5, "equivalent_rate"): {
        "the learning rate is unchanged": lambda lr, a: lr,
        "make up for the smaller gradient": lambda lr, a: lr * a,
        "larger weights get smaller gradients": lambda lr, a: lr / a,
        "with the right power": lambda lr, a: lr / a**2,
        "the two networks' outputs come to differ by": lambda lr, a: lr * 5.0,
    },
    (6, "layers_until"): {
        "it takes twice as many layers": lambda r, f: np.log(f) / np.log(r),
        "not half": lambda r, f: np.log(f) / np.log(r) / 2,
        "divide by its logarithm (": lambda r, f: np.log(f) / r,
        "mind the square": lambda r, f: 2 * np.log(f) / r,
        "logarithm of the quotient": lambda r, f: 2 * np.log(f / r),
        "upside down": lambda r, f: np.log(r) / np.log(f**2),
        "the answer is rounded": lambda r, f: np.ceil(2 * np.log(f) / np.log(r)),
        "leave it as it comes": lambda r, f: int(2 * np.log(f) / np.log(r)),
    },
    (6, "mean_noise"): {
        "the root of m divides, not m": lambda s, m: s / m,
        "this is the variance of mu": lambda s, m: s**2 / m,
        "one example's deviation": lambda s, m: s,
        "the root of m - 1": lambda s, m: s / np.sqrt(m - 1),
        "a sum has this deviation": lambda s, m: s * np.sqrt(m),
    },
    (6, "layer_norm"): {
        "this is batch norm": layer_norm(lambda x, eps: (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + eps)),
        "you divided by features - 1": layer_norm(
            lambda x, eps: (x - x.mean(axis=1, keepdims=True)) / np.sqrt(x.var(axis=1, ddof=1, keepdims=True) + eps)
        ),
        "use keepdims=True": layer_norm(lambda x, eps: (x - x.mean(axis=1)) / np.sqrt(x.var(axis=1) + eps)),
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
