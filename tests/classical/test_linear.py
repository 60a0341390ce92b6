"""Linear classifiers: against the optimum that SciPy finds, their strategies, templates, wrong arguments."""

from __future__ import annotations

import numpy as np
import pytest

from fastnet import data
from fastnet.classical import FollowTheSlope, LinearSVM, RandomSearch, SoftmaxClassifier

CLASSIFIERS = [LinearSVM, SoftmaxClassifier]


def objective(kind, X, numbers, W, b, reg):
    """The loss in float64, spelled out."""
    scores = X @ W.T + b
    right = scores[np.arange(len(X)), numbers]
    if kind is LinearSVM:
        losses = np.maximum(0, scores - right[:, None] + 1).sum(axis=1) - 1
    else:
        high = scores.max(axis=1)
        losses = high + np.log(np.exp(scores - high[:, None]).sum(axis=1)) - right
    return losses.mean() + reg * (W**2).sum()


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_the_optimum_is_scipy_s(kind):
    optimize = pytest.importorskip("scipy.optimize")
    rng, reg = np.random.default_rng(0), 0.05
    X, y = rng.normal(size=(300, 6)), rng.integers(0, 3, 300)
    X[np.arange(300), y] += 2
    model = kind(0.05, reg, epochs=300, batch_size=60).fit(X, y)
    mean, scale = X.mean(axis=0), (X - X.mean(axis=0)).std()
    standard = (X - mean) / scale

    def of(w):
        return objective(kind, standard, y, w[:18].reshape(3, 6), w[18:], reg)

    best = optimize.minimize(
        of, np.zeros(21), method="Powell" if kind is LinearSVM else "BFGS", options={"maxiter": 200}
    )
    W = model.coef_ * scale
    assert of(np.concatenate([W.ravel(), model.intercept_ + model.coef_ @ mean])) < best.fun + 2e-3
    np.testing.assert_allclose(model.decision_function(X), standard @ W.T + model.intercept_ + model.coef_ @ mean)


@pytest.mark.parametrize("kind", CLASSIFIERS)
@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_digits(kind, dtype):
    digits = data.digits()
    X, Q = (images.astype(dtype) for images in (digits.X_train, digits.X_test))
    model = kind().fit(X, digits.y_train)
    assert model.score(Q, digits.y_test) > 0.93
    assert model.templates().shape == (10, 1, 8, 8)
    np.testing.assert_allclose(model.templates().reshape(10, 64), model.coef_)
    again = kind().fit(X, digits.y_train)
    np.testing.assert_array_equal(model.coef_, again.coef_)


def test_the_scale_of_the_data_does_not_matter():
    digits = data.digits()
    X = np.float32(digits.X_train) / 255
    one, other = (SoftmaxClassifier().fit(X * factor, digits.y_train) for factor in (1, 1000))
    np.testing.assert_allclose(one.coef_, other.coef_ * 1000, rtol=0.02, atol=1e-3)


def test_probabilities_and_text_labels():
    model = SoftmaxClassifier(epochs=200).fit([[0.0], [1.0], [3.0], [4.0]], ["low", "low", "high", "high"])
    np.testing.assert_array_equal(model.classes_, ["high", "low"])
    proba = model.predict_proba([[0.0], [4.0]])
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    assert proba[0, 1] > 0.5 > proba[1, 1]
    assert list(model.predict([[-1.0], [9.0]])) == ["low", "high"]


def test_random_search_is_better_than_chance_and_much_worse_than_the_slope():
    digits = data.digits()
    X, y = digits.X_train, digits.y_train
    luck = RandomSearch(100).fit(X, y)
    assert 0.1 < luck.score(X, y) < 0.5
    assert luck.losses_ == sorted(luck.losses_, reverse=True)
    slope = FollowTheSlope(40).fit(X, y)
    assert slope.score(X, y) > 0.9 and slope.losses_[-1] < slope.losses_[0] / 10
    assert slope.evaluations_ == 40


@pytest.mark.parametrize("loss", ["svm", "softmax"])
def test_both_gradients_lead_the_same_way(loss):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(50, 4)), rng.integers(0, 3, 50)
    calculus, differences = (
        FollowTheSlope(5, gradient=kind, loss=loss).fit(X, y) for kind in ("analytic", "numerical")
    )
    np.testing.assert_allclose(calculus.coef_, differences.coef_, atol=2e-4)
    assert differences.evaluations_ == 5 * (1 + 3 * 4 + 3)


def test_pictures(tmp_path):
    pytest.importorskip("matplotlib")
    digits = data.digits()
    model = LinearSVM(epochs=1).fit(digits.X_train, digits.y_train)
    assert len(model.plot(tmp_path / "templates.png").axes) == 10
    assert (tmp_path / "templates.png").read_bytes().startswith(b"\x89PNG")
    colour = LinearSVM(epochs=1).fit(np.repeat(digits.X_train, 3, axis=1), digits.y_train)
    assert colour.plot(tmp_path / "colour.png").axes[3].images[0].get_array().shape == (8, 8, 3)
    assert model.plot_losses(tmp_path / "losses.png").axes[0].get_xlabel() == "step"
    with pytest.raises(ValueError, match="templates are pictures for images"):
        LinearSVM(epochs=1).fit(digits.X_train.reshape(-1, 64), digits.y_train).plot(tmp_path / "rows.png")


@pytest.mark.parametrize("kind", [*CLASSIFIERS, RandomSearch, FollowTheSlope])
def test_what_cannot_be_is_refused(kind):
    X, y = np.random.default_rng(0).normal(size=(20, 3)), np.arange(20) % 2
    with pytest.raises(ValueError, match=r"at least two classes, got only [^(]+$"):
        kind().fit(X, y * 0)
    with pytest.raises(ValueError, match="holds NaN or infinity in 1 of 20"):
        kind().fit(np.where(np.arange(60).reshape(20, 3) == 7, np.nan, X), y)
    with pytest.raises(ValueError, match="at least one example"):
        kind().fit(X[:0], y[:0])
    with pytest.raises(TypeError, match="must hold numbers or text"):
        kind().fit(X, [None] * 20)
    with pytest.raises(RuntimeError, match="call fit"):
        kind().templates()
    with pytest.raises(TypeError, match="must be an integer"):
        kind(seed="one")
    model = kind().fit(X, y)
    with pytest.raises(ValueError, match="2 numbers in each example, but fit was given 3"):
        model.predict(X[:, :2])


def test_a_rate_that_is_too_high_is_said():
    X, y = np.random.default_rng(0).normal(size=(50, 3)), np.arange(50) % 2
    with pytest.raises(FloatingPointError, match="lower learning_rate"):
        SoftmaxClassifier(1e6, reg=1.0).fit(X, y)
    with pytest.raises(ValueError, match="reg must be >= 0"):
        LinearSVM(reg=-1)
    with pytest.raises(ValueError, match="gradient must be"):
        FollowTheSlope(gradient="exact")
    with pytest.raises(ValueError, match="loss must be one of"):
        RandomSearch(loss="mse")
