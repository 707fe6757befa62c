"""scikit-learn estimators: multi-layer perceptrons with batch normalization for its pipelines and searches."""

import warnings
from numbers import Integral
from typing import Any, Literal, Self

import numpy as np

import tinynet as tn
from tinynet.datasets.dataset import division
from tinynet.errors import unknown_name
from tinynet.evaluation import EVALUATION_ROWS
from tinynet.losses import Loss
from tinynet.schedules import Schedule, as_schedule
from tinynet.settings import count
from tinynet.typing import Array

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, MultiOutputMixin, RegressorMixin
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.utils import check_random_state
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError:
    raise ImportError("tinynet.sklearn needs scikit-learn 1.6 or later: pip install 'tinynet-lab[sklearn]'") from None

CLIP_NORM = 5.0  # without it a regression on features that are not scaled would diverge
FLOATS = [np.float64, np.float32]  # X of another dtype becomes float64


class _MLP(BaseEstimator):  # type: ignore[misc]
    """The base of both estimators: settings, training, the network's outputs."""

    usual_lr: float

    def __init__(
        self,
        *,
        depth: int = 2,
        width: int = 100,
        activation: str = "relu",
        norm: Literal["batch", "layer"] | None = "batch",
        dropout: float = 0.0,
        lr: float | Schedule | None = None,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        epochs: int = 30,
        batch_size: int = 32,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.depth = depth
        self.width = width
        self.activation = activation
        self.norm = norm
        self.dropout = dropout
        self.lr = lr
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.epochs = epochs
        self.batch_size = batch_size
        self.random_state = random_state

    def _checked(self, x: Any, y: Any, **checks: Any) -> tuple[Array, Array]:
        """Return x and y as arrays, or raise what scikit-learn raises."""
        least = 2 if self.norm == "batch" else 1
        x, y = validate_data(self, x, y, dtype=FLOATS, ensure_min_samples=least, **checks)
        return x, y

    def _train(self, x: Array, y: Array, outputs: int, loss: Loss) -> None:
        """Make a network, train it, and keep it with its history."""
        depth, width = count("depth", self.depth, 0), count("width", self.width)
        epochs, batch_size = count("epochs", self.epochs), count("batch_size", self.batch_size)
        if self.norm not in ("batch", "layer", None):  # a layer, which mlp takes, could not be cloned and compared
            raise unknown_name("norm (None for none)", self.norm, ["batch", "layer"])
        seed, data = _seed(self.random_state), tn.Dataset(x, y)
        net = tn.mlp(
            x.shape[1],
            [width] * depth,
            outputs,
            activation=self.activation,
            norm=self.norm,
            dropout=self.dropout,
            seed=seed,
            dtype=x.dtype,
        )
        given = self.usual_lr if self.lr is None else self.lr
        lr = as_schedule(given)
        if lr is not given:  # a number
            lr = _warmup_and_cosine(lr(0), epochs * division(len(x), batch_size)[0])
        history = tn.fit(
            net,
            data,
            loss=loss,
            optimizer=tn.SGD(lr, momentum=self.momentum, weight_decay=self.weight_decay, clip_norm=CLIP_NORM),
            epochs=epochs,
            batch_size=batch_size,
            seed=seed,
        )
        remedy = f"scale the features, as StandardScaler does, or lower lr={given!r}"
        if self.norm != "batch":
            remedy += ", or normalize with norm='batch'"
        reached = np.nan
        if not history.diverged and all(np.isfinite(array).all() for array in net.params.values()):
            if self.norm == "batch":
                net.calibrate(x)
            reached = tn.evaluate(net, data, loss)[0]
        if not np.isfinite(reached):
            raise tn.InputError(f"training diverged at step {history.steps[-1]}: {remedy}")
        constant = _loss_of_a_constant(y)
        if reached > 0.99 * constant > 0:
            message = (
                f"the loss on the training set is {reached:.3g}, no better than the {constant:.3g} of a constant "
                f"prediction: {remedy}, or train for more epochs"
            )
            warnings.warn(message, ConvergenceWarning, stacklevel=3)
        self.network_, self.history_, self.loss_curve_ = net, history, history.train_loss

    def _outputs(self, x: Any) -> Array:
        """Return the network's outputs, (examples, outputs)."""
        check_is_fitted(self)
        x = validate_data(self, x, dtype=FLOATS, reset=False)
        rows = range(0, len(x), EVALUATION_ROWS)
        return np.concatenate([self.network_.forward(x[k : k + EVALUATION_ROWS]) for k in rows])


class MLPClassifier(ClassifierMixin, _MLP):  # type: ignore[misc]
    """Multi-layer perceptron for classification, with batch normalization, which scikit-learn's own does not have.

    Each hidden layer is Dense, normalization, activation, dropout; the output is Dense, softmax. The network is a
    `tinynet.mlp`, trained on cross-entropy by `tinynet.fit`. Standardize the features first, as for any network: put
    a StandardScaler before it in a Pipeline.

    Parameters
    ----------
    depth : int
        Number of hidden layers; 0 is softmax regression.
    width : int
        Units of each hidden layer.
    activation : str
        ``"relu"``, ``"sigmoid"``, ``"tanh"``, ``"leaky_relu"``, ``"elu"``, ``"selu"`` or ``"gelu"``.
    norm : {"batch", "layer", None}
        Normalization before each activation.
    dropout : float
        Rate of dropout after each activation.
    lr : float or schedule, optional
        Highest learning rate, by default 0.05. The rate rises to it in a straight line over the first tenth of the
        steps, without which a regression may diverge; then it falls to 0 as half a cosine (Loshchilov and Hutter
        2017). A schedule of tinynet, such as ``tn.Constant(0.05)``, is used as it is.
    momentum, weight_decay : float
        As for `tinynet.SGD`. Gradients whose global norm is above 5 are scaled down to it (Pascanu et al. 2013).
    epochs : int
        Passes over the training set.
    batch_size : int
        Examples in a batch, at most the whole training set. If it does not divide the set, no batch has less than half
        as many, as in `tinynet.fit`.
    random_state : int, RandomState or None
        An int is the seed of weights and batches: the same int gives the same bits on the same machine. From a
        RandomState (NumPy's global one for None) a seed is drawn at every `fit`.

    Attributes
    ----------
    classes_ : ndarray (classes,)
        The labels, sorted.
    network_ : tinynet.Network
        The trained network, whose outputs are logits. Its batch normalization has the statistics of the whole
        training set (`Network.calibrate`), so that a prediction depends on no other example.
        ``network_.fold()`` is the same function without these layers.
    history_ : tinynet.History
        What `tinynet.fit` recorded: one record per epoch.
    loss_curve_ : list of float
        The mean training loss of each epoch.
    n_features_in_, feature_names_in_
        As everywhere in scikit-learn.

    Notes
    -----
    A network is float32 or float64 as X is: float32 trains faster. Sample weights, sparse X and partial_fit are not
    supported.
    """

    usual_lr = 0.05

    def fit(self, X: Any, y: Any) -> Self:
        """Train a new network.

        Parameters
        ----------
        X : array_like (examples, features)
            Finite numbers.
        y : array_like (examples,)
            Labels of any kind.

        Raises
        ------
        ValueError
            If the data or a setting cannot be used, or training diverged (its loss or a weight is not finite).

        Warns
        -----
        ConvergenceWarning
            If the loss on the training set is not at least 1 % below that of the best constant prediction: the run
            nearly diverged, or never began to learn.
        """
        x, y = self._checked(X, y)
        check_classification_targets(y)
        classes, labels = np.unique(y, return_inverse=True)
        self._train(x, labels, len(classes), tn.SoftmaxCrossEntropy())
        self.classes_ = classes
        return self

    def predict(self, X: Any) -> Array:
        """Return the most probable label of each example, (examples,)."""
        numbers = self._outputs(X).argmax(axis=1)
        labels: Array = self.classes_[numbers]
        return labels

    def predict_proba(self, X: Any) -> Array:
        """Return each class's probability, (examples, classes), in the order of ``classes_``."""
        return tn.Softmax().forward(self._outputs(X))


class MLPRegressor(MultiOutputMixin, RegressorMixin, _MLP):  # type: ignore[misc]
    """Multi-layer perceptron for regression, of one target or several, with batch normalization.

    As `MLPClassifier`, but without softmax, and trained on the mean squared error. For training each target is
    standardized to mean 0 and standard deviation 1, so that the learning rate need not suit its unit. Afterwards the
    last layer is rescaled, so that predictions are in the unit of ``y``.

    Parameters
    ----------
    depth, width, activation, norm, dropout, lr, momentum, weight_decay, epochs, batch_size, random_state
        As for `MLPClassifier`, but ``lr`` is 0.02 by default, and a depth of 0 is linear regression.

    Attributes
    ----------
    network_ : tinynet.Network
        The trained network, calibrated as for `MLPClassifier`; its outputs are in the unit of ``y``.
    history_ : tinynet.History
        What `tinynet.fit` recorded: one record per epoch. The losses are those of standardized targets, for which the
        best constant prediction has a loss of 1.
    loss_curve_ : list of float
        The mean training loss of each epoch.
    n_features_in_, feature_names_in_
        As everywhere in scikit-learn.

    Notes
    -----
    If X is float32, predictions have seven digits: too few for targets whose mean is a million times their spread.
    Give X as float64 then.
    """

    usual_lr = 0.02  # lower, since the squared error's second derivative does not shrink where the network is right

    def fit(self, X: Any, y: Any) -> Self:
        """Train a new network; as for `MLPClassifier`, but ``y`` is numbers, (examples,) or (examples, targets)."""
        x, y = self._checked(X, y, multi_output=True, y_numeric=True)
        self._targets_shape = y.shape[1:]
        y = y.reshape(len(y), -1).astype(np.float64)
        mean, scale = y.mean(axis=0), y.std(axis=0)
        standardized = (y - mean) / np.where(scale > 0, scale, 1)
        self._train(x, standardized, y.shape[1], tn.MeanSquaredError())
        last = list(self.network_.layers.values())[-1].params
        last["weight"] *= scale
        last["bias"] *= scale
        last["bias"] += mean
        return self

    def predict(self, X: Any) -> Array:
        """Return the predicted targets, in the shape that ``y`` had in `fit`."""
        outputs = self._outputs(X)
        return outputs.reshape(len(outputs), *self._targets_shape)


def _warmup_and_cosine(lr: float, steps: int) -> Schedule:
    """Return a schedule that rises to ``lr`` over a tenth of the steps and falls to 0 at the last step."""
    warmup = steps // 10
    cosine = tn.Cosine(lr, steps - warmup)
    return tn.Warmup(cosine, warmup) if warmup else cosine


def _loss_of_a_constant(y: Array) -> float:
    """Return the loss of the best constant prediction: the entropy of labels, the variance of targets."""
    if y.ndim > 1:
        return float(y.var(axis=0).mean())
    counts = np.bincount(y)
    shares = counts[counts > 0] / len(y)
    return float(-(shares * np.log(shares)).sum())


def _seed(random_state: Any) -> int:
    """Return an int as it is; draw one from what scikit-learn makes of any other argument."""
    generator = check_random_state(random_state)
    return int(random_state if isinstance(random_state, Integral) else generator.randint(2**31))
