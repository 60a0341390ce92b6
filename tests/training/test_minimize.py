"""Second-order methods: a quadratic in one step, the reference minimum, what is refused, what stays on failure."""

import numpy as np
import pytest

import fastnet as fn
from fastnet.optim import Adam
from fastnet.regularizers import L2, MaxNorm
from fastnet.training import Objective, minimize

scipy = pytest.importorskip("scipy")
METHODS = ["newton", "newton-cg", "bfgs", "l-bfgs"]


def regression(N=40, D=5):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((N, D)) * np.logspace(0, 1, D)
    return x, x @ rng.standard_normal((D, 2)) + 0.1 * rng.standard_normal((N, 2)) + 3


def classes(N=60, D=4):
    rng = np.random.default_rng(1)
    y = rng.integers(0, 3, N)
    return rng.standard_normal((N, D)) + np.eye(3, D)[y] * 1.5, y


def linear(D, K, dtype="float64"):
    model = fn.Sequential(fn.Linear(K))
    model.build((D,), seed=0, dtype=dtype)
    return model


def hidden(D=4, K=3, dtype="float64"):
    model = fn.Sequential(fn.Linear(6), fn.Tanh(), fn.Linear(K))
    model.build((D,), seed=0, dtype=dtype)
    return model


def least_squares(x, y):
    design = np.hstack([x, np.ones((len(x), 1))])
    best = np.linalg.lstsq(design, y, rcond=None)[0]
    return best, ((design @ best - y) ** 2).mean()


@pytest.mark.parametrize("method", METHODS)
def test_least_squares(method):
    x, y = regression()
    best, loss = least_squares(x, y)
    found = minimize(model := linear(5, 2), "mse", x, y, method, iterations=300, tolerance=1e-7)
    assert found.loss == pytest.approx(loss, rel=1e-9)
    np.testing.assert_allclose(model.parameters()[0].value.T, best[:-1], atol=1e-5)
    np.testing.assert_allclose(model.parameters()[1].value, best[-1], atol=1e-5)
    assert found.converged and found.gradient_norm < 1e-5
    assert len(found.losses) == len(found.evaluations) == found.iterations + 1


def test_newton_minimises_a_quadratic_in_one_step():
    x, y = regression()
    found = minimize(linear(5, 2), "mse", x, y, "newton", iterations=1)
    assert found.iterations == 1 and found.loss == pytest.approx(least_squares(x, y)[1], rel=1e-12)


def test_the_hessian_is_the_one_of_least_squares():
    x, y = regression()
    objective = Objective(linear(5, 1), "mse", x, y[:, :1])
    design = np.hstack([x, np.ones((len(x), 1))])
    np.testing.assert_allclose(objective.hessian(), 2 * design.T @ design / len(x), rtol=1e-7, atol=1e-7)


def test_the_hessian_of_softmax_against_its_formula():
    x, y = classes()
    model = linear(4, 3)
    objective = Objective(model, "softmax", x, y)
    scores = model(x)
    p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    expected = np.zeros((15, 15))
    for row, q in zip(x, p, strict=True):
        curve = np.diag(q) - np.outer(q, q)
        expected[:12, :12] += np.kron(curve, np.outer(row, row))
        expected[:12, 12:] += np.kron(curve, row[:, None])
        expected[12:, 12:] += curve
    expected[12:, :12] = expected[:12, 12:].T
    np.testing.assert_allclose(objective.hessian(), expected / len(x), atol=1e-8)


@pytest.mark.parametrize("method", ["newton-cg", "bfgs", "l-bfgs"])
def test_they_beat_adam_at_equal_passes(method):
    x, y = classes()
    found = minimize(hidden(), "softmax", x, y, method, iterations=40)
    model, adam, objective = hidden(), Adam(0.05), Objective(hidden(), "softmax", x, y)
    for _ in range(found.evaluations[-1]):
        model.zero_grad()
        scores, backward = model.forward(x, training=True)
        backward(fn.losses.softmax_cross_entropy(scores, y)[1])
        adam.step(model.parameters())
    loss = objective(np.concatenate([p.value.ravel() for p in model.parameters()]))[0]
    assert found.loss < loss and all(np.diff(found.losses) <= 1e-12)


def test_against_scipy_on_the_bare_function():
    """L-BFGS gets exactly the loss and gradient that the formula gives."""
    x, y = classes()

    def formula(w):
        W, b = w[:12].reshape(3, 4), w[12:]
        scores = x @ W.T + b
        shifted = scores - scores.max(axis=1, keepdims=True)
        p = np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True)
        loss = -np.log(p[np.arange(len(y)), y]).mean() + 0.05 * (W**2).sum()
        p[np.arange(len(y)), y] -= 1
        return loss, np.concatenate([(p.T @ x / len(y) + 0.1 * W).ravel(), p.mean(axis=0)])

    model = linear(4, 3)
    start = np.concatenate([p.value.ravel() for p in model.parameters()])
    expected = scipy.optimize.minimize(formula, start, jac=True, method="L-BFGS-B", options={"gtol": 1e-10, "ftol": 0})
    found = minimize(model, "softmax", x, y, regularizer=fn.regularizers.L2(0.1), tolerance=1e-10)
    assert found.loss == pytest.approx(expected.fun, rel=1e-12)
    np.testing.assert_allclose(np.concatenate([p.value.ravel() for p in model.parameters()]), expected.x, atol=1e-6)


def test_parts_give_the_same_loss_and_gradient():
    x, y = classes()
    whole, parts = (Objective(hidden(), "softmax", x, y, size) for size in (None, 7))
    at = whole.vector
    for one, other in zip(whole(at), parts(at), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-14)


def test_float32_and_frozen_parameters():
    x, y = classes()
    model = hidden(dtype="float32")
    model.freeze("0.weight")
    kept = model.parameters()[0].value.copy()
    found = minimize(model, "softmax", x.astype(np.float32), y, iterations=20)
    assert found.loss < 0.9 * found.losses[0]
    np.testing.assert_array_equal(model.parameters()[0].value, kept)
    assert model.parameters()[1].dtype == np.float32


@pytest.mark.parametrize("method", METHODS)
def test_a_callback_sees_and_stops(method):
    x, y = classes()
    seen = []

    def callback(iteration, loss):
        seen.append((iteration, loss))
        return iteration == 2

    found = minimize(hidden(), "softmax", x, y, method, callback=callback, damping=1.0 if method == "newton" else 0.0)
    assert [i for i, _ in seen] == [1, 2] and [loss for _, loss in seen] == found.losses[1:]
    assert not found.converged and "callback" in found.message


# ---------------------------------------------------------------- what is refused


def test_noise_layers_are_named():
    x, y = classes()
    model = fn.Sequential(fn.Linear(6), fn.ReLU(), fn.Dropout(0.5), fn.Linear(3), fn.Dropout(0.0))
    with pytest.raises(ValueError, match=r"layers draw random numbers: 2 \(Dropout\); remove them"):
        minimize(model, "softmax", x.astype(np.float32), y)
    assert model.rng_state()["2"]["offset"] == 0
    assert minimize(model, "softmax", x.astype(np.float32), y, training=False, iterations=5).loss < 1.5


def test_any_other_noise_is_found():
    x, y = classes()
    rng = np.random.default_rng(0)

    def noisy(scores, labels):
        loss, dscores = fn.losses.softmax_cross_entropy(scores, labels)
        return loss + rng.random(), dscores

    with pytest.raises(ValueError, match="two evaluations at the same parameters differ"):
        minimize(linear(4, 3), noisy, x, y)


def test_batch_norm_is_allowed():
    x, y = classes()
    model = fn.Sequential(fn.Linear(6), fn.BatchNorm1d(), fn.ReLU(), fn.Linear(3))
    model.build((4,), dtype="float64")
    found = minimize(model, "softmax", x, y, iterations=30)
    assert found.loss < 0.5 * found.losses[0]


def test_a_hessian_of_a_million_parameters():
    model = fn.Sequential(fn.Linear(1000))
    model.build((999,), dtype="float64")
    with pytest.raises(ValueError, match=r"1,000,000 parameters have a Hessian of .* 3,725 GiB in float32.*'l-bfgs'"):
        minimize(model, "mse", np.zeros((2, 999)), np.zeros((2, 1000)), "newton")
    with pytest.raises(ValueError, match=r"bfgs: 1,000,000 parameters need a matrix .* 7,451 GiB"):
        minimize(model, "mse", np.zeros((2, 999)), np.zeros((2, 1000)), "bfgs")


@pytest.mark.parametrize("method", ["newton", "newton-cg"])
def test_float32_is_too_coarse_for_second_derivatives(method):
    x, y = classes()
    with pytest.raises(ValueError, match="too coarse; build the model with dtype='float64'"):
        minimize(hidden(dtype="float32"), "softmax", x, y, method)


def test_a_singular_hessian_is_told():
    found = minimize(linear(2, 1), "mse", np.zeros((3, 2)), np.ones((3, 1)), "newton")
    assert "the Hessian has no inverse; give damping > 0" in found.message and not found.converged
    assert minimize(linear(2, 1), "mse", np.zeros((3, 2)), np.ones((3, 1)), "newton", damping=1e-9).loss < 1e-12


def test_a_step_of_newton_that_leads_up_is_told():
    x, y = classes()
    with pytest.warns(UserWarning, match=r"newton raised the loss from 0.8\d* to .*; give damping"):
        found = minimize(hidden(), "softmax", x, y, "newton", damping=0.1, iterations=2)
    assert found.loss > found.losses[0]


def test_a_failure_leaves_the_weights():
    x, y = regression()
    model = linear(5, 2)
    before = model.parameters()[0].value.copy()

    def fails(iteration, loss):
        raise KeyError(iteration)

    with pytest.raises(KeyError):
        minimize(model, "mse", x, y, callback=fails)
    np.testing.assert_array_equal(model.parameters()[0].value, before)
    with pytest.raises(FloatingPointError, match="the loss is nan at the start"):
        minimize(model, "mse", x * np.nan, y)
    np.testing.assert_array_equal(model.parameters()[0].value, before)


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"method": "sgd"}, ValueError, "method must be one of newton, newton-cg, bfgs, l-bfgs, l-bfgs-b, got 'sgd'"),
        ({"method": 3}, ValueError, "method must be one of"),
        ({"iterations": 0}, ValueError, "iterations must be an integer between 1"),
        ({"tolerance": -1}, ValueError, "must be >= 0"),
        ({"damping": 1.0}, ValueError, "newton's damping"),
        ({"callback": 3}, TypeError, "callback must be a function"),
        ({"options": 3}, TypeError, "options must be a dict"),
        ({"batch_size": 0}, ValueError, "batch_size must be an integer between 1"),
        ({"training": 1}, TypeError, "training must be True or False"),
        ({"loss": "svn"}, ValueError, "svn"),
        ({"regularizer": "l2"}, TypeError, r"must be an object such as regularizers.L2\(1e-4\), got 'l2'"),
        ({"regularizer": MaxNorm(1)}, ValueError, r"MaxNorm\(1.0\) bounds weights after each step"),
        ({"regularizer": L2(1) + MaxNorm(1)}, ValueError, "bounds weights after each step"),
        ({"y": np.zeros((3, 2))}, ValueError, r"x \(40, 5\) and y \(3, 2\) must have one length"),
        ({"model": None}, TypeError, "model must be a fastnet.Model"),
    ],
)
def test_argument_errors(options, error, message):
    x, y = regression()
    with pytest.raises(error, match=message):
        minimize(**{"model": linear(5, 2), "loss": "mse", "x": x, "y": y, **options})


def test_all_frozen():
    model = linear(5, 2)
    model.freeze()
    with pytest.raises(ValueError, match="every parameter of the model is frozen"):
        minimize(model, "mse", *regression())


def test_repr():
    found = minimize(linear(5, 2), "mse", *regression(), "newton")
    assert repr(found).startswith("Minimum(newton: loss ") and "1 iterations" in repr(found)
