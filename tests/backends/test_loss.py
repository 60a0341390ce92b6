"""Losses of every backend, dtype and instruction set against the oracle."""

from __future__ import annotations

import math

import cases
import numpy as np
import oracle
import pytest

SHAPES = [(1, 1), (1, 2), (5, 3), (4, 10), (7, 17), (3, 33), (130, 10), (2, 1000), (700, 7)]


def problem(shape, dtype, spread=3.0):
    scores = (spread * cases.normal(shape, np.float64)).astype(dtype)
    return scores, np.random.default_rng(1).integers(0, shape[1], shape[0])


@pytest.mark.parametrize("spread", [1e-3, 3.0, 30.0, 1000.0])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_softmax_cross_entropy(ops, dtype, shape, spread):
    scores, labels = problem(shape, dtype, spread)
    loss, gradient = ops.softmax_cross_entropy(scores, labels)
    expected, expected_gradient = oracle.softmax_cross_entropy(scores, labels)
    eps = float(np.finfo(dtype).eps)
    # scores are shifted by their row's maximum in their own precision: half a unit in the last place of the shift
    shift = float((scores.max(axis=1) - scores.min(axis=1)).max())
    assert isinstance(loss, float) and gradient.dtype == dtype and gradient.shape == shape
    assert abs(loss - expected) <= (4 if dtype == np.float32 else 16) * eps * (abs(expected) + 1)
    error = abs(gradient - expected_gradient)
    assert (error <= eps * (4 + shift) * (abs(expected_gradient) + eps) + 4 * eps / shape[0] * (error > 0)).all()


def test_softmax_gradient_of_small_probabilities_is_relative(ops, dtype):
    """A class with a tiny probability keeps full precision, as far as exp has it."""
    scores = np.array([[0.0, -20.0, -40.0, 5.0]], dtype)
    _, gradient = ops.softmax_cross_entropy(scores, np.array([3]))
    expected = oracle.softmax_cross_entropy(scores, [3])[1]
    np.testing.assert_allclose(gradient[0, :3], expected[0, :3], rtol=50 * np.finfo(dtype).eps)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("margin", [1.0, 0.0, 2.5, -1.0])
def test_svm_loss(ops, dtype, shape, margin):
    scores, labels = problem(shape, dtype)
    loss, gradient = ops.svm_loss(scores, labels, margin=margin)
    expected, expected_gradient = oracle.svm_loss(scores, labels, margin)
    assert isinstance(loss, float) and gradient.dtype == dtype and gradient.shape == shape
    assert math.isclose(loss, expected, rel_tol=1e-12, abs_tol=1e-12)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=2 * np.finfo(dtype).eps, atol=1e-12)


def test_svm_loss_exactly_on_the_margin(ops, dtype):
    loss, gradient = ops.svm_loss(np.array([[1.0, 2.0, 0.0]], dtype), np.array([1]))
    assert loss == 0 and not gradient.any()
    loss, gradient = ops.svm_loss(np.array([[1.0, 1.0, 3.0]], dtype), np.array([0]))
    assert loss == 4
    np.testing.assert_array_equal(gradient, [[-2, 1, 1]])


def test_softmax_of_extreme_scores(ops, dtype):
    huge = np.finfo(dtype).max / 4
    for row, label, expected in (
        ([huge, -huge, 0], 0, 0.0),
        ([0, 0, 0, 0], 2, math.log(4)),
        ([1000, 1000], 0, math.log(2)),
        ([-1000, -1000, -1000], 1, math.log(3)),
        ([200, 0], 1, 200.0),
        ([5], 0, 0.0),
    ):
        loss, gradient = ops.softmax_cross_entropy(np.array([row], dtype), np.array([label]))
        assert math.isclose(loss, expected, rel_tol=1e-6, abs_tol=1e-6)
        assert np.isfinite(gradient).all() and abs(float(gradient.sum())) <= 1e-6


@pytest.mark.parametrize("op", ["softmax_cross_entropy", "svm_loss"])
def test_nan_reaches_the_loss(ops, dtype, op):
    for column in range(11):
        scores = cases.normal((3, 11), dtype)
        scores[1, column] = np.nan
        with np.errstate(invalid="ignore"):
            loss, _ = getattr(ops, op)(scores, np.array([0, 4, 10]))
        assert math.isnan(loss), column


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int16, np.int32, np.int64, np.uint64, ">i4", ">i8"])
def test_labels_of_any_integer_type(ops, kind):
    scores, labels = problem((9, 5), np.float32)
    for op in (ops.softmax_cross_entropy, ops.svm_loss):
        loss, gradient = op(scores, labels)
        odd_loss, odd_gradient = op(scores, labels.astype(kind))
        assert odd_loss == loss
        np.testing.assert_array_equal(odd_gradient, gradient)
    loss, _ = ops.svm_loss(scores, np.repeat(labels.astype(kind), 2)[::2])
    assert loss == ops.svm_loss(scores, labels)[0]
    assert ops.svm_loss(scores, labels.tolist())[0] == loss


@pytest.mark.parametrize("op", ["softmax_cross_entropy", "svm_loss"])
@pytest.mark.parametrize("how", cases.HOSTILE)
def test_hostile_arrays(ops, op, how):
    scores, labels = problem((9, 5), np.float32)
    odd, odd_labels = cases.HOSTILE[how](scores), cases.HOSTILE[how](labels)
    if how == "byte-swapped":
        with pytest.raises(TypeError, match="float32"):
            getattr(ops, op)(odd, odd_labels)
        return
    loss, gradient = getattr(ops, op)(scores, labels)
    odd_loss, odd_gradient = getattr(ops, op)(odd, odd_labels)
    assert odd_loss == loss
    np.testing.assert_array_equal(odd_gradient, gradient)
    np.testing.assert_array_equal(odd, scores)
    np.testing.assert_array_equal(odd_labels, labels)


@pytest.mark.parametrize("op", ["softmax_cross_entropy", "svm_loss"])
def test_wrong_arguments_are_refused(ops, op):
    call, scores = getattr(ops, op), np.ones((3, 4), np.float32)
    for labels, error, text in (
        (np.array([0, 1, 4]), ValueError, r"labels must lie in 0\.\.3, got 0\.\.4"),
        (np.array([-1, 1, 3]), ValueError, r"labels must lie in 0\.\.3, got -1\.\.3"),
        (np.array([0, 1, 2**62]), ValueError, r"labels must lie in 0\.\.3"),
        (np.array([0, 1, 2**64 - 1], np.uint64), ValueError, r"labels must lie in 0\.\.3"),
        (np.array([0.0, 1, 2]), TypeError, "labels must be integers .class numbers., got float64"),
        (np.array([True, False, True]), TypeError, "labels must be integers"),
        (np.array([0, 1]), ValueError, r"labels must have shape \(3,\), got \(2,\)"),
        (np.zeros((3, 4), int), ValueError, r"labels must have shape \(3,\), got \(3, 4\)"),
        (np.zeros((3, 1), int), ValueError, r"labels must have shape \(3,\), got \(3, 1\)"),
    ):
        with pytest.raises(error, match=f"{op}: {text}"):
            call(scores, labels)
    for shape in ((0, 4), (3, 0), (3,), *(((3, 4, 1),) if op == "svm_loss" else ())):
        with pytest.raises(ValueError, match=rf"{op}: scores must have shape \(N, C\) with N, C >= 1"):
            call(np.ones(shape, np.float32), np.zeros(shape[:1], int))
    with pytest.raises(TypeError, match=f"{op}: arrays must be float32 or float64"):
        call(scores.astype(int), np.zeros(3, int))


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (1, 21, 3, 2), (3, 2, 7), (2, 37, 1, 9)], ids=str)
def test_softmax_over_maps(ops, dtype, shape):
    """Each pixel is a row; labels that are ignored count for nothing."""
    scores = (3 * cases.normal(shape, np.float64)).astype(dtype)
    labels = np.random.default_rng(1).integers(0, shape[1], (shape[0], *shape[2:]))
    labels[labels == 1] = 255
    loss, gradient = ops.softmax_cross_entropy(scores, labels, ignore_index=255)
    rows, kept = np.moveaxis(scores, 1, -1).reshape(-1, shape[1]), labels.ravel() != 255
    expected, some = oracle.softmax_cross_entropy(rows[kept], labels.ravel()[kept])
    wanted = np.zeros(rows.shape)
    wanted[kept] = some
    eps = float(np.finfo(dtype).eps)
    assert gradient.shape == shape and gradient.dtype == dtype
    assert abs(loss - expected) <= 16 * eps * (expected + 1)
    np.testing.assert_allclose(np.moveaxis(gradient, 1, -1).reshape(-1, shape[1]), wanted, rtol=0, atol=16 * eps)
    assert not np.moveaxis(gradient, 1, -1).reshape(-1, shape[1])[~kept].any()


@pytest.mark.parametrize("kind", ["u1", "i2", "i4", "i8"])
def test_maps_of_labels_in_any_order(ops, kind):
    """Masks are often bytes, and transposed."""
    scores = cases.normal((2, 4, 6, 5), np.float32)
    labels = np.random.default_rng(1).integers(0, 4, (2, 5, 6)).astype(kind).transpose(0, 2, 1)
    loss, gradient = ops.softmax_cross_entropy(scores, labels)
    expected, expected_gradient = ops.softmax_cross_entropy(scores, np.ascontiguousarray(labels, np.int64))
    assert loss == expected
    np.testing.assert_array_equal(gradient, expected_gradient)


def test_every_label_ignored(ops, dtype):
    loss, gradient = ops.softmax_cross_entropy(cases.normal((4, 3), dtype), np.full(4, -100), ignore_index=-100)
    assert loss == 0 and not gradient.any()


def test_labels_are_checked_unless_ignored(ops):
    scores = np.ones((3, 4), np.float32)
    with pytest.raises(ValueError, match=r"labels must lie in 0\.\.3 or be 9, which is ignored, got 0\.\.8"):
        ops.softmax_cross_entropy(scores, np.array([0, 9, 8]), ignore_index=9)
    with pytest.raises(ValueError, match=r"labels must have shape \(2, 4, 5\), got \(2, 4\)"):
        ops.softmax_cross_entropy(np.ones((2, 3, 4, 5), np.float32), np.zeros((2, 4), int))


TARGETS = {
    "mse_loss": (lambda x, t: (x - t) ** 2, lambda x, t: 2 * (x - t), {}),
    "l1_loss": (lambda x, t: abs(x - t), lambda x, t: float(x > t) - float(x < t), {}),
    "huber_loss": (
        lambda x, t: (x - t) ** 2 / 2 if abs(x - t) <= 0.75 else 0.75 * (abs(x - t) - 0.375),
        lambda x, t: max(-0.75, min(0.75, x - t)),
        {"delta": 0.75},
    ),
    "bce_with_logits": (
        lambda x, t: math.log1p(math.exp(-abs(x))) + max(x, 0) - x * t,
        lambda x, t: 1 / (1 + math.exp(-x)) - t,
        {},
    ),
}


@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (3, 17, 4, 5), (2, 5003), (9001,)], ids=str)
@pytest.mark.parametrize("op", TARGETS)
def test_losses_of_targets(ops, dtype, op, shape):
    formula, slope, given = TARGETS[op]
    x, t = 3 * cases.normal(shape, dtype), cases.normal(shape, dtype, 1)
    t = np.clip(t, 0, 1) if op == "bce_with_logits" else t
    t.flat[0] = np.clip(x.flat[0], 0, 1)
    loss, gradient = getattr(ops, op)(x, t, **given)
    pairs = list(zip(x.ravel().tolist(), t.ravel().tolist(), strict=True))
    expected = math.fsum(formula(a, b) for a, b in pairs) / x.size
    eps = float(np.finfo(dtype).eps)
    assert isinstance(loss, float) and abs(loss - expected) <= 8 * eps * (1 + expected)
    wanted = np.array([slope(a, b) for a, b in pairs]).reshape(shape) / x.size
    assert gradient.dtype == dtype
    np.testing.assert_allclose(gradient, wanted, rtol=8 * eps, atol=8 * eps / x.size)


@pytest.mark.parametrize("op", TARGETS)
def test_targets_that_do_not_fit_are_refused(ops, op):
    call = getattr(ops, op)
    with pytest.raises(ValueError, match=rf"{op}: targets must have shape \(3, 1\), got \(3,\)"):
        call(np.ones((3, 1), np.float32), np.ones(3, np.float32))
    with pytest.raises(ValueError, match=f"{op}: there must be at least one score"):
        call(np.ones((0, 1), np.float32), np.ones((0, 1), np.float32))
    with pytest.raises(TypeError, match=f"{op}: arrays must have one dtype"):
        call(np.ones((3, 1), np.float32), np.ones((3, 1)))
    if op == "bce_with_logits":
        with pytest.raises(ValueError, match=r"targets must lie in \[0, 1\], got 0.0\.\.2.0"):
            call(np.ones(3, np.float32), np.array([0, 1, 2], np.float32))
