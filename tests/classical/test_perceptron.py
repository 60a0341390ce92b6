"""Perceptron and Adaline: convergence with its bound, the least squares fit, what does not converge."""

from __future__ import annotations

import numpy as np
import pytest

from fastnet import data
from fastnet.classical import Adaline, Perceptron


def separable(margin=0.3, N=200, D=5, seed=0):
    """Examples at least `margin` from a hyperplane, its normal (with the bias in front), and their sides."""
    rng = np.random.default_rng(seed)
    normal = rng.normal(size=D + 1)
    normal /= np.linalg.norm(normal)
    X = rng.normal(size=(20 * N, D))
    sums = np.hstack([np.ones((len(X), 1)), X]) @ normal
    keep = np.abs(sums) > margin
    return X[keep][:N], (sums[keep][:N] > 0).astype(int)


@pytest.mark.parametrize("seed", range(5))
def test_the_perceptron_converges_within_novikoff_s_bound(seed):
    X, y = separable(seed=seed)
    model = Perceptron().fit(X, y)
    assert model.converged_ and model.mistakes_[-1] == 0 and model.score(X, y) == 1
    longest = np.sqrt(1 + (X**2).sum(axis=1).max())
    assert 0 < sum(model.mistakes_) <= (longest / 0.3) ** 2


def test_the_rule_by_hand():
    """x = 1 -> 1 is right from the start (0 >= 0 fires); x = 2 -> 0 is wrong once, and so on."""
    model = Perceptron().fit([[1.0], [2.0]], [1, 0])
    w, b, mistakes = 0.0, 0.0, []
    while not mistakes or mistakes[-1]:
        mistakes.append(0)
        for x, t in ((1.0, 1), (2.0, 0)):
            wrong = t - (w * x + b >= 0)
            w, b, mistakes[-1] = w + wrong * x, b + wrong, mistakes[-1] + abs(wrong)
    assert (model.coef_[0, 0], model.intercept_[0], model.mistakes_) == (w, b, mistakes)


def test_the_sum_of_zero_fires():
    model = Perceptron().fit([[1.0], [2.0], [-3.0]], [1, 1, 0])
    model._weight[:] = 0
    assert list(model.predict([[5.0]])) == [1]


def test_xor_never_converges_and_is_said():
    X, y = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], [0, 1, 1, 0]
    with pytest.warns(UserWarning, match="no hyperplane separates the classes, or more epochs"):
        model = Perceptron(epochs=100).fit(X, y)
    assert not model.converged_ and len(model.mistakes_) == 100 and model.score(X, y) < 1


def test_several_classes_have_a_unit_each():
    digits = data.digits()
    with pytest.warns(UserWarning, match="wrong outputs in pass 20"):
        model = Perceptron(20).fit(digits.X_train, digits.y_train)
    assert model.coef_.shape == (10, 64) and model.score(digits.X_test, digits.y_test) > 0.9


def test_adaline_approaches_the_least_squares_fit():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2000, 4))
    y = (X @ [1.0, -2.0, 0.5, 0.0] + rng.normal(size=2000) > 0.3).astype(int)
    model = Adaline(1e-3, 200, tolerance=1e-7).fit(X, y)
    best, _, _, _ = np.linalg.lstsq(np.hstack([np.ones((2000, 1)), X]), 2.0 * y - 1, rcond=None)
    np.testing.assert_allclose([model.intercept_[0], *model.coef_[0]], best, atol=0.02)
    assert model.converged_


def test_adaline_learns_separable_classes():
    X, y = separable(margin=0.8)
    model = Adaline(0.01, 200).fit(X, y)
    assert model.converged_ and model.score(X, y) > 0.98
    assert model.losses_[-1] < model.losses_[0]


def test_adaline_s_first_step_by_hand():
    model = Adaline(0.1, epochs=1).fit([[2.0], [1.0]], [1, 0])
    w, b = 0.1 * 2.0, 0.1  # error 1
    error = -1 - (w + b)
    assert np.allclose([model.coef_[0, 0], model.intercept_[0]], [w + 0.1 * error, b + 0.1 * error])


def test_what_cannot_be_is_refused():
    X, y = separable()
    with pytest.raises(FloatingPointError, match=r"must be below 2 / max\(1 \+ \|x\|\*\*2\) = "):
        Adaline(10.0, 1000).fit(X, y)
    for kind in (Adaline, Perceptron):
        with pytest.raises(ValueError, match="at least two classes"):
            kind().fit(X, y * 0)
        with pytest.raises(ValueError, match="learning_rate must be > 0"):
            kind(learning_rate=0)
        with pytest.raises(RuntimeError, match="call fit"):
            kind().predict(X)
