"""Losses on the device: sums over blocks, labels that do not count, and exact results where they are integers."""

from __future__ import annotations

import numpy as np
import pytest
from cuda.dtypes import mostly_float32

from fastnet.backends import Ops
from fastnet.ops import REGISTRY
from fastnet.ops.target_loss import KINDS

SHAPES = [(1, 1), (7, 2), (5, 10), (3, 33), (300, 7), (2, 4, 5, 3), (2, 5, 9)]
IGNORED = [None, 2, -100]


def both(device, name, scores, others, **attributes):
    """(loss, dscores) of the device and of the reference."""
    results = []
    for ops in (device, Ops()):
        given = [None if other is None else ops.xp.asarray(other) for other in others]
        loss, dscores = getattr(ops, name)(ops.asarray(scores), *given, **attributes)
        assert isinstance(loss, float) and dscores.dtype == scores.dtype and dscores.shape == scores.shape
        results.append((loss, ops.to_numpy(dscores)))
    return results


def close(found, expected, dtype):
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(found[0], expected[0], rtol=8 * eps, atol=8 * eps)
    np.testing.assert_allclose(found[1], expected[1], rtol=16 * eps, atol=16 * eps)


def problem(shape, dtype, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, shape[1], (shape[0], *shape[2:]))
    return (3 * rng.normal(size=shape)).astype(dtype), labels, rng.random(shape[1]).astype(dtype)


@pytest.mark.parametrize("ignored", IGNORED)
@pytest.mark.parametrize("weighted", [False, True])
@mostly_float32("shape", SHAPES)
def test_softmax_cross_entropy(shape, weighted, ignored, device, dtype):
    scores, labels, weight = problem(shape, dtype)
    if ignored == -100:
        labels.reshape(-1)[::3] = ignored
    for smoothing in (0.0, 0.25):
        given = {"ignore_index": ignored, "label_smoothing": smoothing}
        results = both(device, "softmax_cross_entropy", scores, [labels, weight if weighted else None], **given)
        close(*results, dtype)


@pytest.mark.parametrize("name", ["softmax_cross_entropy", "svm_loss", "squared_hinge_loss"])
def test_no_label_counts(name, device, dtype):
    scores = problem((5, 3), dtype)[0]
    for loss, dscores in both(device, name, scores, [np.full(5, -1), None], ignore_index=-1):
        assert loss == 0 and not dscores.any()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_soft_cross_entropy(shape, weighted, device, dtype):
    scores, _, weight = problem(shape, dtype)
    targets = np.random.default_rng(1).random(shape)
    targets = (targets / targets.sum(axis=1, keepdims=True)).astype(dtype)
    results = both(device, "soft_cross_entropy", scores, [targets, weight if weighted else None], label_smoothing=0.125)
    close(*results, dtype)


def test_impossible_classes_cost_nothing(device, dtype):
    """Scores of -inf: their information is infinite, their probability 0."""
    scores = np.array([[0, -np.inf, 1.0], [2, 0, -np.inf]], dtype)
    close(*both(device, "softmax_cross_entropy", scores, [np.array([2, 0]), None]), dtype)


def test_a_certain_mistake_costs_infinity(device, dtype):
    scores = np.array([[0, -np.inf, 1.0]], dtype)
    loss, dscores = device.softmax_cross_entropy(device.asarray(scores), device.xp.asarray(np.array([1])))
    assert loss == np.inf and np.isfinite(device.to_numpy(dscores)).all()


@pytest.mark.parametrize("ignored", IGNORED)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", ["svm_loss", "squared_hinge_loss"])
@mostly_float32("shape", [shape for shape in SHAPES if len(shape) == 2])
def test_hinge_losses_of_integers_are_exact(shape, name, weighted, ignored, device, dtype):
    _, labels, _ = problem(shape, dtype)
    rng = np.random.default_rng(2)
    scores, weight = (rng.integers(0, 9, size).astype(dtype) for size in (shape, shape[1]))
    if ignored == -100:
        labels[::3] = ignored
    given = {"margin": 2.0, "ignore_index": ignored}
    found, expected = both(device, name, scores, [labels, weight if weighted else None], **given)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-15)  # the reference divides each row's share
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(found[1], expected[1], rtol=eps)
    counted = len(labels) if ignored is None else max(int((labels != ignored).sum()), 1)
    if dtype == np.float32:  # sums / counted, rounded once
        np.testing.assert_array_equal(found[1], expected[1])
    assert np.rint(found[0] * counted) == pytest.approx(found[0] * counted, abs=1e-9)


@pytest.mark.parametrize("name", ["svm_loss", "squared_hinge_loss"])
def test_scores_that_are_not_finite(name, device, dtype):
    scores = np.array([[0, np.inf, 1], [1, 2, 0]], dtype)
    loss, dscores = device.svm_loss(device.asarray(scores), device.xp.asarray(np.array([0, 1])))
    assert loss == np.inf
    np.testing.assert_array_equal(device.to_numpy(dscores), [[-1, 0.5, 0.5], [0, 0, 0]])
    scores[0, 1] = np.nan
    loss, _ = getattr(device, name)(device.asarray(scores), device.xp.asarray(np.array([0, 1])))
    assert np.isnan(loss)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("shape", [(1, 1), (7, 37), (3, 2, 9, 8), (2, 3, 100)], ids=str)
def test_losses_of_targets(name, shape, device, dtype):
    rng = np.random.default_rng(0)
    scores, targets = (3 * rng.normal(size=shape)).astype(dtype), rng.normal(size=shape).astype(dtype)
    if name in ("bce_with_logits", "binary_hinge_loss"):
        targets = (targets > 0).astype(dtype)
    close(*both(device, name, scores, [targets]), dtype)


@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "huber_loss", "binary_hinge_loss"])
def test_losses_of_integers_are_exact(name, device, dtype):
    """Kinks are among them."""
    rng = np.random.default_rng(0)
    scores, targets = (rng.integers(-4, 5, (32, 16)).astype(dtype) for _ in range(2))
    if name == "binary_hinge_loss":
        targets = np.where(targets > 0, 1, -1).astype(dtype)
    found, expected = both(device, name, scores, [targets])
    assert found[0] == expected[0]
    np.testing.assert_array_equal(found[1], expected[1])


@pytest.mark.parametrize("name", KINDS)
def test_nan_reaches_the_loss(name, device, dtype):
    scores = np.array([[1, np.nan, 0.5]], dtype)
    loss, dscores = getattr(device, name)(device.asarray(scores), device.asarray(np.ones_like(scores)))
    dscores = device.to_numpy(dscores)
    assert np.isnan(loss) and np.isnan(dscores[0, 1]) and np.isfinite(dscores[0, ::2]).all()


def test_fewer_threads_than_rows(device, dtype, few_blocks):
    scores, labels, weight = problem((300, 5), dtype)
    close(*both(device, "softmax_cross_entropy", scores, [labels, weight], ignore_index=1), dtype)
    close(*both(device, "svm_loss", scores, [labels, weight]), dtype)
    close(*both(device, "l1_loss", scores, [-scores]), dtype)


@pytest.mark.parametrize("dtype_of_labels", [np.int8, np.int32, np.uint8, np.int64])
def test_labels_of_any_integer_type(dtype_of_labels, device):
    scores, labels, _ = problem((6, 4), np.float32)
    close(*both(device, "softmax_cross_entropy", scores, [labels.astype(dtype_of_labels), None]), np.float32)


def test_while_a_step_is_captured_a_loss_stays_on_the_device(device, monkeypatch):
    from fastnet.backends.device import loss as module

    scores, labels, _ = problem((6, 4), np.float32)
    given = device.asarray(scores), device.xp.asarray(labels)
    expected, _ = device.softmax_cross_entropy(*given)
    monkeypatch.setattr(type(module.cupy.cuda.get_current_stream()), "is_capturing", lambda stream: True)
    found, _ = device.kernel(REGISTRY["softmax_cross_entropy"])(*given)
    assert isinstance(found, device.xp.ndarray) and device.to_numpy(found).tolist() == [expected]
