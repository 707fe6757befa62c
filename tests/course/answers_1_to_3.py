"""Wrong answers to the exercises of lessons 1 to 3: what the check must say, and the answer that deserves it."""

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


def graph(join, units=3, last=True, width=32):
    def make():
        x = tn.Input(2)
        node = join(tn.Dense(width)(x))
        return tn.Network(x, tn.Dense(units)(node)) if last else node

    return make


def from_the_input():
    x = tn.Input(2)
    return tn.Network(x, tn.Dense(3)(tn.Add()(tn.Dense(32)(x), tn.ReLU()(tn.Dense(32)(x)))))


def sum_at_the_end():
    x = tn.Input(2)
    h = tn.Dense(3)(tn.Dense(32)(x))
    return tn.Network(x, tn.Add()(h, tn.ReLU()(tn.Dense(3)(h))))


def three_dense(x):
    return tn.Add()(x, tn.ReLU()(tn.Dense(32)(tn.ReLU()(tn.Dense(32)(x)))))


def softmax(z, axis=1):
    e = np.exp(z)
    return e / e.sum(axis=axis, keepdims=True)


def less_one(where):
    """Softmax less one at some place."""

    def gradient(logits, labels):
        p = softmax(logits)
        p[where(p, labels)] -= 1
        return p / len(p)

    return gradient


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


def one_number(f, x, h):
    result = np.empty_like(x)
    for place in np.ndindex(x.shape):
        result[place] = (f(x[place] + h) - f(x[place] - h)) / (2 * h)
    return result


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


WRONG = {
    (1, "forward_by_hand"): {
        "no activation after the last": by_hand(last=relu),
        "the activations are missing": by_hand(bend=lambda h: h),
        "the biases are missing": by_hand(affine=lambda p, k, h: h @ p[f"dense_{k}.weight"]),
        "added before the ReLU": bias_after,
        "one ReLU is missing": lambda x, p: layer(p, 3, relu(layer(p, 2, layer(p, 1, x)))),
        "this bends with another function": by_hand(bend=np.tanh),
        "np.max gives the largest one": lambda x, p: layer(p, 3, np.max(layer(p, 2, np.max(layer(p, 1, x), 0)), 0)),
        "your function takes (x), it is given (x, params)": lambda x: x,
        "KeyError: 'weight'; the names here are dense_1.weight, dense_1.bias": lambda x, p: x @ p["weight"],
        "y is in whole numbers": lambda x, p: by_hand()(x, p).astype(int),
        "y is off by": lambda x, p: by_hand()(x, p).round(4),
        "the numbers of y are right, but its shape is (1, 6, 2) where (6, 2)": lambda x, p: [by_hand()(x, p)],
        "return y alone; yours returned a tuple of an array of shape (6, 2), an array of shape (6, 4)": lambda x, p: (
            by_hand()(x, p),
            x,
        ),
        "; look at the shapes: x (6, 4)": lambda x, p: x @ p["dense_1.weight"].T,
        "y has shape (4, 2) where (6, 2) (batch, outputs) is meant": lambda x, p: by_hand()(x[:4], p),
        "y has shape (2, 6) where (6, 2) (batch, outputs) is meant; it is the transpose": lambda x, p: (
            by_hand()(x, p).T
        ),
        "y has the wrong sign everywhere": lambda x, p: -by_hand()(x, p),
        "y is 2 times what it should be": lambda x, p: 2 * by_hand()(x, p),
        "y has 12 of 12 numbers that are nan or inf": lambda x, p: by_hand()(x, p) / 0,
        "y is not right in 1 of 12 numbers (y[3, 1] is": lambda x, p: (
            by_hand()(x, p) + np.eye(6)[3][:, None] * np.array([0, 1])
        ),
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
        "only b1 meets W2": lambda w1, b1, w2, b2: (w1 @ w2, (b1 + b2) @ w2),
        "it meets W2, not W1": lambda w1, b1, w2, b2: (w1 @ w2, b1 @ w1 + b2),
        "b1 * W2 multiplies number by number": lambda w1, b1, w2, b2: (w1 @ w2, b1 * w2 + b2),
        "in another order: return weight, bias": lambda w1, b1, w2, b2: (b1 @ w2 + b2, w1 @ w2),
        "weight is transposed": lambda w1, b1, w2, b2: ((w1 @ w2).T, b1 @ w2 + b2),
        "have changed places: they come as (weight_1, bias_1,": lambda bias_1, weight_1, weight_2, bias_2: None,
        "the numbers of bias are right": lambda w1, b1, w2, b2: (w1 @ w2, (b1 @ w2 + b2)[None]),
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
        "its Dense reads the input": from_the_input,
        "a ReLU too many": graph(lambda h: tn.Add()(h, tn.ReLU()(tn.Dense(32)(tn.ReLU()(h))))),
        "BatchNorm too many": graph(lambda h: tn.Add()(h, tn.ReLU()(tn.BatchNorm()(tn.Dense(32)(h))))),
        "does not read the Add": sum_at_the_end,
        "yours has 8 units": graph(lambda h: tn.Add()(h, tn.ReLU()(tn.Dense(8)(h))), width=8),
        "nodes are joined by a layer": graph(lambda h: h + tn.ReLU()(tn.Dense(32)(h))),
        "made first and then called": graph(lambda h: tn.Add(h, tn.ReLU()(tn.Dense(32)(h)))),
        "must have the same number of features": graph(lambda h: tn.Add()(h, tn.ReLU()(tn.Dense(16)(h)))),
        "you returned a node": graph(lambda h: tn.Add()(h, tn.ReLU()(tn.Dense(32)(h))), last=False),
        "return a tn.Network, not 3": lambda: 3,
    },
    (2, "sigmoid_backward"): {
        "dy is missing": lambda dy, x: slope(x),
        "x (1 - x) is not the slope": lambda dy, x: dy * x * (1 - x),
        "this is dy y": lambda dy, x: dy * sigmoid(x),
        "this is dy (1 - y)": lambda dy, x: dy * (1 - sigmoid(x)),
        "sigmoid of the sigmoid": lambda dy, x: dy * slope(sigmoid(x)),
        "dx is divided by the batch size": lambda dy, x: dy * slope(x) / len(x),
        "this is their sum": lambda dy, x: dy + slope(x),
        "this is y, the forward pass": lambda dy, x: sigmoid(x),
        "your function leaves dy changed": lambda dy, x: np.multiply(dy, slope(x), out=dy),
        "dx is 4 times what it should be": lambda dy, x: 4 * dy * slope(x),
    },
    (2, "dense_backward"): {
        "must be transposed in dx": lambda dy, x, w: (dy @ w, x.T @ dy, dy.sum(axis=0)),
        "dx is made of x": lambda dy, x, w: (x @ w.T, x.T @ dy, dy.sum(axis=0)),
        "a product of one with itself": lambda dy, x, w: (dy @ w.T, x.T @ x, dy.sum(axis=0)),
        "in another order: return dx, dweight, dbias": lambda dy, x, w: (x.T @ dy, dy.sum(axis=0), dy @ w.T),
        "they come as (dy, x, weight)": lambda x, dy, weight: (dy @ weight.T, x.T @ dy, dy.sum(axis=0)),
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
        "the division by 2 h is missing": differences(lambda f, x, s, h: f(x + s) - f(x - s)),
        "put 2 * h into brackets": differences(lambda f, x, s, h: (f(x + s) - f(x - s)) / 2 * h),
        "subtract 2 h": differences(lambda f, x, s, h: (f(x + s) - f(x)) / (2 * h)),
        "f is given one number": one_number,
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
        "divided by another row's sum": lambda z, y: (np.exp(z) / np.exp(z).sum(axis=1) - one_hot(y)) / len(z),
        "sums over everything": lambda z, y: (np.exp(z) / np.exp(z).sum() - one_hot(y)) / len(z),
        "p[labels] are whole rows": less_one(lambda p, y: y),
        "p[:, labels] are whole columns": less_one(lambda p, y: (slice(None), y)),
        "not an amount": lambda z, y: (softmax(z) - y[:, None]) / len(z),
        "only the right class": lambda z, y: (softmax(z) - 1) * one_hot(y) / len(z),
        "this is the loss": lambda z, y: tn.SoftmaxCrossEntropy()(z, y)[0],
        "divide by the number of classes": lambda z, y: (softmax(z) - one_hot(y)) / z.shape[1],
    },
    (3, "gradient_rms"): {
        "this is the norm": lambda *a: [np.linalg.norm(g) for g in grads(*a)],
        "the root is missing": lambda *a: [np.mean(g**2) for g in grads(*a)],
        "positive and negative gradients cancel": lambda *a: [g.mean() for g in grads(*a)],
        "mean of the absolute values": lambda *a: [np.abs(g).mean() for g in grads(*a)],
        "these are the weights": lambda net, x, y: [rms(net.params[f"dense_{k}.weight"]) for k in (1, 2, 3)],
        "the order is reversed": lambda *a: [rms(g) for g in grads(*a)][::-1],
        "call net.backward(dy) before": lambda net, x, y: [rms(g) for k, g in net.grads.items() if "weight" in k],
        "the norm divided by the size": lambda *a: [np.linalg.norm(g) / g.size for g in grads(*a)],
        "np.std takes out the mean": lambda *a: [np.std(g) for g in grads(*a)],
        "the largest of each": lambda *a: [np.abs(g).max() for g in grads(*a)],
        "not a list of an array of shape (4, 6), an array": grads,
        "KeyError: 'dense_4.weight'; the names here are dense_1.weight": lambda net, x, y: [
            rms(net.grads[f"dense_{k}.weight"]) for k in range(1, 12)
        ],
        "the biases are among them": lambda *a: [rms(g) for g in grads(*a, select=lambda name: True)],
    },
    (3, "factor_per_layer"): {
        "the root is the 6th, not the 7th": lambda s: (s[0] / s[-1]) ** (1 / 7),
        "the direction is reversed": lambda s: (s[-1] / s[0]) ** (1 / 6),
        "the logarithm of the factor": lambda s: np.log(s[0] / s[-1]) / 6,
        "one number is meant that stands for all": lambda s: s[:-1] / s[1:],
        "this is the power n - 1": lambda s: (s[0] / s[-1]) ** 6,
        "divide, do not subtract": lambda s: (s[0] - s[-1]) / 6,
        "the factor is not right (yours is 0.13": lambda s: (s[0] / s[-1]) ** (1 / 8),  # the lesson's nine layers
        "through all layers": lambda s: s[0] / s[-1],
        "this is the arithmetic one": lambda s: np.mean(s[:-1] / s[1:]),
        "the factor of the gradient": lambda s: (s[0] / s[-1]) ** (1 / 12),
        "divided by the number of steps": lambda s: s[0] / s[-1] / 6,
    },
    (3, "one_layer"): {
        "the square of the mean slope": lambda z, w: slope(z).mean() ** 2 * len(w) * np.mean(w**2),
        "a term for each input": lambda z, w: np.mean(slope(z) ** 2) * w.shape[1] * np.mean(w**2),
        "the Dense is missing": lambda z, w: np.mean(slope(z) ** 2),
        "the slope at 0": lambda z, w: 1 / 16 * len(w) * np.mean(w**2),
        "the slope is not squared": lambda z, w: np.mean(slope(z)) * len(w) * np.mean(w**2),
        "stands for one of them": lambda z, w: np.mean(slope(z) ** 2) * np.mean(w**2),
        "slope of the sigmoid is missing": lambda z, w: len(w) * np.mean(w**2),
        "this is the sigmoid's value": lambda z, w: np.mean(sigmoid(z) ** 2) * len(w) * np.mean(w**2),
        "z (1 - z) is not the slope": lambda z, w: np.mean((z * (1 - z)) ** 2) * len(w) * np.mean(w**2),
        "sums over the whole weight": lambda z, w: np.mean(slope(z) ** 2) * np.sum(w**2),
        "the slope is summed": lambda z, w: np.sum(slope(z) ** 2) * len(w) * np.mean(w**2),
        "the weight is not squared": lambda z, w: np.mean(slope(z) ** 2) * len(w) * np.std(w),
        "square the weight before": lambda z, w: np.mean(slope(z) ** 2) * len(w) * np.mean(w) ** 2,
        "the factor must be one number, not an array of shape (2000, 60)": lambda z, w: slope(z) ** 2,
    },
}
