"""The scikit-learn estimators: scikit-learn's own checks, and tinynet by hand."""

import sys
import warnings

import numpy as np
import pytest

import tinynet as tn

pytest.importorskip("sklearn")

import joblib
from sklearn.base import clone
from sklearn.datasets import load_digits, make_friedman1
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from tinynet.sklearn import MLPClassifier, MLPRegressor

DIGITS, DIGIT = load_digits(return_X_y=True)
DIGITS /= 16
NAMES = np.array(["setosa", "versicolor", "virginica"])


CHECKED = [
    MLPClassifier(),
    MLPClassifier(norm=None, depth=0),
    MLPClassifier(norm="layer", dropout=0.3, activation="gelu", momentum=0.0, batch_size=7),
    MLPRegressor(),
    MLPRegressor(norm=None),
    MLPRegressor(norm=None, depth=0),
    MLPRegressor(norm="layer", dropout=0.3),
    MLPRegressor(norm="layer", depth=1, activation="tanh", batch_size=7),
]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks(CHECKED)
def test_scikit_learns_own_checks_pass(estimator, check):
    check(estimator)


def data(examples=50, targets=None):
    """Return features and labels, or so many targets."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(examples, 4))
    y = x @ rng.normal(size=(4, targets or 3)) * 40 + 1000
    return x, y if targets else y.argmax(axis=1)


def assert_same_network(net, other):
    for role in ("params", "state"):
        ours, theirs = getattr(net, role), getattr(other, role)
        assert ours.keys() == theirs.keys()
        for name in ours:
            np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)


# -- what it computes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("norm", ["batch", "layer", None])
def test_a_classifier_is_mlp_and_fit_and_calibrate(norm, dtype):
    x, y = data()
    x = x.astype(dtype)
    settings = {"activation": "tanh", "norm": norm, "dropout": 0.2}
    model = MLPClassifier(depth=3, width=5, lr=0.2, momentum=0.5, weight_decay=0.01, random_state=7, **settings)
    model.set_params(epochs=4, batch_size=7).fit(x, NAMES[y])

    net = tn.mlp(4, [5, 5, 5], 3, seed=7, dtype=dtype, **settings)
    per_epoch = 8  # 50 = 2 * 7 + 6 * 6
    schedule = tn.Warmup(tn.Cosine(0.2, 29), 3)  # a tenth of 4 * 8 steps, and the rest
    optimizer = tn.SGD(schedule, momentum=0.5, weight_decay=0.01, clip_norm=5.0)
    history = tn.fit(net, tn.Dataset(x, y), optimizer=optimizer, epochs=4, batch_size=7, seed=7)
    if norm == "batch":
        net.calibrate(x)

    assert model.history_ == history
    assert model.history_.steps == [per_epoch * k for k in (1, 2, 3, 4)]
    assert_same_network(model.network_, net)
    logits = net.forward(x).astype(np.float64)
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = model.predict_proba(x)
    assert probabilities.dtype == dtype
    np.testing.assert_allclose(
        probabilities, e / e.sum(axis=1, keepdims=True), rtol=1e-5 if dtype == "float32" else 1e-13
    )
    np.testing.assert_array_equal(model.predict(x), NAMES[logits.argmax(axis=1)])


@pytest.mark.parametrize("targets", [1, 3])
def test_a_regressor_trains_on_standardized_targets_and_predicts_in_their_unit(targets):
    x, y = data(targets=targets)
    model = MLPRegressor(width=5, epochs=4, lr=tn.Constant(0.1), random_state=7).fit(x, y)

    mean, scale = y.mean(axis=0), y.std(axis=0)
    net = tn.mlp(4, [5, 5], targets, norm="batch", seed=7, dtype="float64")
    standardized = tn.Dataset(x, (y - mean) / scale)
    optimizer = tn.SGD(0.1, momentum=0.9, clip_norm=5.0)
    history = tn.fit(
        net, standardized, loss=tn.MeanSquaredError(), optimizer=optimizer, epochs=4, batch_size=32, seed=7
    )
    net.calibrate(x)

    assert model.loss_curve_ == history.train_loss
    np.testing.assert_allclose(model.predict(x), net.forward(x) * scale + mean, rtol=1e-12)
    np.testing.assert_array_equal(model.network_.forward(x), model.predict(x))
    np.testing.assert_array_equal(model.fit(x, y[:, 0]).predict(x).shape, (50,))


def test_the_unit_of_the_target_changes_nothing_else():
    x, y = data(targets=1)
    model = MLPRegressor(epochs=3, random_state=0)
    np.testing.assert_allclose(
        model.fit(x, y / 1000).predict(x) * 1000, clone(model).fit(x, y * 1e6).predict(x) / 1e6, rtol=1e-9
    )


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_an_epoch_has_as_many_batches_as_fit_makes():
    for examples, size, batches in [(64, 32, 2), (65, 32, 3), (81, 32, 3), (61, 2, 30), (10, 32, 1), (1, 5, 1)]:
        x, y = data(examples)
        model = MLPClassifier(norm=None, depth=0, epochs=1, batch_size=size).fit(x, y)
        assert model.history_.steps == [batches], examples


def test_a_target_that_is_constant_is_predicted():
    x, _ = data()
    np.testing.assert_allclose(MLPRegressor(epochs=2).fit(x, np.full(50, 3.5)).predict(x), 3.5, rtol=1e-12)


def test_without_hidden_layers_it_comes_to_linear_regression():
    x, y = data(targets=1)
    y += np.random.default_rng(1).normal(0, 20, y.shape)
    model = MLPRegressor(depth=0, epochs=500, batch_size=50, random_state=0).fit(x, y)
    np.testing.assert_allclose(model.predict(x), LinearRegression().fit(x, y).predict(x), rtol=1e-9)


def test_a_prediction_does_not_depend_on_how_many_are_asked_for():
    x, y = data(2500)
    model = MLPClassifier(epochs=1, random_state=0).fit(x, y)
    alone = np.concatenate([model.predict_proba(x[k : k + 1]) for k in range(0, 2500, 100)])
    np.testing.assert_allclose(model.predict_proba(x)[::100], alone, rtol=1e-12)


# -- random_state ---------------------------------------------------------------------------------------------


def test_the_same_random_state_gives_the_same_bits_and_another_does_not():
    x, y = data()

    def trained(random_state):
        return MLPClassifier(epochs=2, dropout=0.1, random_state=random_state).fit(x, y).predict_proba(x)

    assert np.array_equal(trained(3), trained(3))
    assert not np.array_equal(trained(3), trained(4))
    assert not np.array_equal(trained(None), trained(None))
    generator = np.random.RandomState(5)
    first, second = trained(generator), trained(generator)
    assert np.array_equal(first, trained(np.random.RandomState(5)))
    assert not np.array_equal(first, second)


# -- among scikit-learn's tools -------------------------------------------------------------------------------


def test_it_works_in_a_pipeline_a_grid_search_and_cross_validation():
    x, y = DIGITS[:300], DIGIT[:300]
    pipeline = make_pipeline(StandardScaler(), MLPClassifier(width=20, epochs=10, random_state=0))
    grid = {"mlpclassifier__norm": ["batch", None], "mlpclassifier__lr": [2e-3, 0.1, tn.Constant(0.1)]}
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(x, y)
    assert search.best_params_["mlpclassifier__lr"] != 2e-3
    scores = cross_val_score(clone(pipeline).set_params(**search.best_params_), x, y, cv=2)
    assert scores.mean() == search.best_score_ > 0.8


def test_fits_in_several_threads_come_to_the_same_scores():
    x, y = DIGITS[:300], DIGIT[:300]
    model = MLPClassifier(width=20, epochs=3, random_state=0)
    with joblib.parallel_config("threading"):
        scores = [cross_val_score(model, x, y, cv=4, n_jobs=jobs) for jobs in (1, 4)]
    np.testing.assert_array_equal(*scores)


def test_the_defaults_are_good_on_digits_and_a_regression():
    x, x_test, y, y_test = train_test_split(DIGITS, DIGIT, random_state=0)
    assert MLPClassifier(random_state=0).fit(x, y).score(x_test, y_test) > 0.97
    x, x_test, y, y_test = train_test_split(*make_friedman1(1000, random_state=0), random_state=0)
    assert MLPRegressor(random_state=0).fit(x, y * 1e5).score(x_test, y_test * 1e5) > 0.9


def test_batch_normalization_trains_where_the_plain_deep_network_does_not():
    x, y = DIGITS[:600], DIGIT[:600]
    deep = MLPClassifier(depth=10, width=30, activation="sigmoid", epochs=8)
    for seed in range(3):
        normalized = clone(deep).set_params(random_state=seed).fit(x, y).score(x, y)
        with pytest.warns(ConvergenceWarning, match=r"is 2\.\d*, no better than the 2\.3 of a constant prediction: "):
            plain = clone(deep).set_params(norm=None, random_state=seed).fit(x, y).score(x, y)
        assert plain < 0.2, seed
        assert normalized > 0.8, seed


# -- messages -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"depth": -1}, "^depth must be a whole number of at least 0, not -1$"),
        ({"width": 2.5}, r"^width must be a whole number of at least 1, not 2\.5$"),
        ({"epochs": 0}, "^epochs must be a whole number of at least 1, not 0$"),
        ({"batch_size": 1}, "batch normalization must be a whole number of at least 2, not 1$"),
        ({"norm": "bach"}, "did you mean 'batch'"),
        ({"activation": "rellu"}, "did you mean 'relu'"),
        ({"lr": "fast"}, "lr must be a number or a schedule, not 'fast'"),
        ({"lr": -0.1}, "lr must be a positive number"),
        ({"random_state": -1}, "Seed must be between 0"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(settings, message):
    with pytest.raises(ValueError, match=message):
        MLPClassifier(**settings).fit(*data())


def test_training_that_diverges_says_what_to_do():
    x, y = data(targets=1)
    words = r"^training diverged at step \d+: scale the features, .*, or lower lr=1e\+300"
    with pytest.raises(tn.InputError, match=words + ", or normalize with norm='batch'$"):
        MLPRegressor(norm=None, lr=1e300).fit(x, y)
    with pytest.raises(tn.InputError, match=words + "$"):
        MLPRegressor(lr=1e300).fit(x, y)


def warned(model, x, y):
    """Whether the fit warns that it came to nothing."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(x, y)
    assert {warning.category for warning in caught} <= {ConvergenceWarning}
    return bool(caught)


def test_a_network_that_learnt_nothing_is_reported():
    x, _ = data(200)
    rng = np.random.default_rng(0)
    noise = {1: rng.normal(size=200), 3: rng.choice(3, 200, p=[0.7, 0.2, 0.1])}
    for kind, y in ((MLPRegressor, noise[1]), (MLPClassifier, noise[3])):
        still = kind(lr=tn.Constant(1e-9), random_state=0)
        assert warned(still, x, y)
        # without inputs that vary only the bias is left: the best constant
        assert warned(kind(norm=None, epochs=200), np.zeros((200, 4)), y)
        assert not warned(kind(epochs=200, random_state=0), x, y)  # noise, learnt by heart
    assert not warned(MLPClassifier(random_state=0), x, np.zeros(200))  # nothing beats a constant, rightly


@pytest.mark.parametrize("norm", ["batch", "layer", None])
@pytest.mark.parametrize("depth", [2, 5])
def test_a_regression_does_not_diverge_with_the_defaults(norm, depth):
    x, x_test, y, y_test = train_test_split(*make_friedman1(1000, noise=1, random_state=0), random_state=0)
    model = make_pipeline(StandardScaler(), MLPRegressor(norm=norm, depth=depth, random_state=0))
    assert model.fit(x, y).score(x_test, y_test) > 0.8  # linear regression comes to 0.75


def test_one_example_is_too_few_for_batch_normalization_only():
    x, y = data(1)
    with pytest.raises(ValueError, match=r"1 sample.* minimum of 2 is required by MLPClassifier"):
        MLPClassifier().fit(x, y)
    assert MLPClassifier(norm=None, batch_size=1).fit(x, y).predict(x) == y


def test_without_scikit_learn_the_import_names_the_extra(monkeypatch):
    monkeypatch.delitem(sys.modules, "tinynet.sklearn")
    monkeypatch.setitem(sys.modules, "sklearn.base", None)
    with pytest.raises(ImportError, match=r"pip install 'tinynet-lab\[sklearn\]'"):
        import tinynet.sklearn  # noqa: F401


@pytest.mark.parametrize("norm", [tn.BatchNorm, tn.BatchNorm(), "batchnorm", True])
def test_a_normalization_is_given_by_name(norm):
    x, y = np.random.default_rng(0).normal(size=(20, 2)), np.arange(20) % 2
    with pytest.raises(
        tn.InputError, match=r"unknown norm \(None for none\) .*(did you mean 'batch'|known: batch, layer)"
    ):
        MLPClassifier(norm=norm).fit(x, y)
