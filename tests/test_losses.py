"""Losses against plain float64 formulas and centred differences."""

import math
from functools import partial

import numpy as np
import pytest
from gradients import check_gradients

import fastnet as fn
from fastnet import losses
from fastnet.losses.names import call_of, op_name


def scores_and_labels(dtype=np.float64, N=7, C=5):
    rng = np.random.default_rng(3)
    return rng.standard_normal((N, C)).astype(dtype) * 3, rng.integers(0, C, N)


@pytest.mark.parametrize("loss", [losses.softmax_cross_entropy, losses.svm])
def test_gradient_matches_centred_differences(loss):
    scores, labels = scores_and_labels()
    check_gradients(lambda scores: loss(scores, labels)[0], [scores], [loss(scores, labels)[1]], rtol=0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values(dtype):
    scores, labels = scores_and_labels(dtype)
    tolerance = 1e-6 if dtype == np.float32 else 1e-13
    softmax = hinge = 0.0
    for row, label in zip(scores.astype(np.float64), labels, strict=True):
        softmax -= math.log(math.exp(row[label]) / sum(math.exp(s) for s in row)) / len(labels)
        hinge += sum(max(0.0, s - row[label] + 0.5) for j, s in enumerate(row) if j != label) / len(labels)
    loss, dscores = losses.softmax_cross_entropy(scores, labels)
    assert loss == pytest.approx(softmax, rel=tolerance)
    assert dscores.dtype == dtype and np.abs(dscores.sum(axis=1)).max() < 1e-6
    assert losses.svm(scores, labels, margin=0.5)[0] == pytest.approx(hinge, rel=tolerance)


def test_loss_at_initialisation():
    labels = np.arange(10)
    assert losses.softmax_cross_entropy(np.zeros((10, 10)), labels)[0] == pytest.approx(math.log(10), rel=1e-14)
    assert losses.svm(np.zeros((10, 10)), labels)[0] == 9


def test_softmax_is_stable_for_large_scores():
    loss, dscores = losses.softmax_cross_entropy(np.array([[1e4, 0.0], [0.0, 1e4]]), np.array([0, 0]))
    assert loss == pytest.approx(5e3) and np.isfinite(dscores).all()


def test_get():
    assert losses.get("softmax") is losses.softmax_cross_entropy
    assert losses.get("svm") is losses.svm
    assert losses.get(max) is max
    assert losses.get("mse") is losses.mse and losses.get("bce") is losses.bce_with_logits
    with pytest.raises(
        ValueError, match=r"\['bce', 'binary_hinge', 'huber', 'l1', 'mse', 'softmax', 'squared_hinge', 'svm'\].*'hinge'"
    ):
        losses.get("hinge")


@pytest.mark.parametrize(
    "loss", [losses.mse, losses.l1, losses.huber, partial(losses.huber, delta=0.3), losses.bce_with_logits]
)
def test_losses_of_targets_match_centred_differences(loss):
    scores = np.random.default_rng(3).standard_normal((7, 5)) * 2
    targets = np.random.default_rng(4).random((7, 5))
    check_gradients(lambda scores: loss(scores, targets)[0], [scores], [loss(scores, targets)[1]], rtol=1e-6)


def test_targets_are_cast_and_columns_take_vectors():
    scores = np.array([[1.0], [2.0], [4.0]], np.float32)
    loss, dscores = losses.mse(scores, [1, 0, 1])
    assert loss == pytest.approx(13 / 3) and dscores.shape == (3, 1) and dscores.dtype == np.float32
    assert losses.bce_with_logits(scores, np.array([True, False, True]))[0] > 0
    with pytest.raises(ValueError, match=r"targets must have shape \(3, 2\), got \(3,\)"):
        losses.mse(np.zeros((3, 2)), [1, 0, 1])
    with pytest.raises(TypeError, match=r"mse: targets\[0\] must be an array of real numbers, got str"):
        losses.mse(scores, ["a", "b", "c"])


def test_every_loss_has_a_metric_that_fits():
    scores = np.array([[2.0, 0.0], [0.0, 1.0]])
    assert losses.metric(losses.svm).name == losses.metric(losses.bce_with_logits).name == "accuracy"
    assert losses.metric(partial(losses.huber, delta=2)).name == losses.metric(losses.mse).name == "mae"
    assert losses.metric(lambda scores, labels: (0.0, scores)).name == "accuracy"
    assert losses.measure(losses.softmax_cross_entropy, scores, [0, 0]) == 0.5
    assert losses.measure(partial(losses.softmax_cross_entropy, ignore_index=7), scores, [0, 7]) == 1.0
    assert losses.measure(losses.bce_with_logits, scores, [[1, 0], [1, 1]]) == 0.75
    assert losses.measure(losses.l1, scores, [[1, 0], [0, 4]]) == 1.0


@pytest.mark.parametrize("loss", [losses.softmax_cross_entropy, losses.svm])
def test_errors(loss):
    scores = np.zeros((3, 4))
    with pytest.raises(ValueError, match="0..3, got 0..4"):
        loss(scores, np.array([0, 1, 4]))
    with pytest.raises(TypeError, match="integers"):
        loss(scores, np.array([0.0, 1.0, 2.0]))
    with pytest.raises(ValueError, match=r"\(3,\), got \(2,\)"):
        loss(scores, np.array([0, 1]))


CLASSES = [losses.softmax_cross_entropy, losses.svm, losses.squared_hinge]


@pytest.mark.parametrize("loss", CLASSES, ids=lambda loss: loss.__name__)
@pytest.mark.parametrize("ignored", [1.5, 1.0, True, "1", [1]], ids=repr)
def test_an_ignored_label_is_an_integer(loss, ignored):
    with pytest.raises(TypeError, match="ignore_index must be an integer, got"):
        loss(np.zeros((2, 3)), np.array([0, 1]), ignore_index=ignored)


@pytest.mark.parametrize("loss", CLASSES, ids=lambda loss: loss.__name__)
@pytest.mark.parametrize("more", [{}, {"weight": [0.5, 2.0, 1.0, 0.0]}, {"ignore_index": 2}], ids=str)
def test_losses_of_classes_match_centred_differences(loss, more):
    if loss is losses.softmax_cross_entropy:
        more = {**more, "label_smoothing": 0.15}
    scores, labels = np.random.default_rng(5).standard_normal((6, 4)), np.array([0, 1, 2, 3, 1, 0])
    _, dscores = loss(scores, labels, **more)
    for i in np.ndindex(scores.shape):
        moved = scores.copy()
        sides = []
        for h in (1e-6, -1e-6):
            moved[i] = scores[i] + h
            sides.append(loss(moved, labels, **more)[0])
        assert dscores[i] == pytest.approx((sides[0] - sides[1]) / 2e-6, abs=1e-8)


def test_soft_labels_match_centred_differences():
    scores = np.random.default_rng(6).standard_normal((5, 3))
    soft = np.array([[1, 0, 0], [0.5, 0.5, 0], [0.2, 0.3, 0.5], [0, 0, 1], [1 / 3] * 3])
    more = {"weight": [1.0, 0.5, 3.0], "label_smoothing": 0.2}
    _, dscores = losses.softmax_cross_entropy(scores, soft, **more)
    for i in np.ndindex(scores.shape):
        sides = []
        for h in (1e-6, -1e-6):
            moved = scores.copy()
            moved[i] += h
            sides.append(losses.softmax_cross_entropy(moved, soft, **more)[0])
        assert dscores[i] == pytest.approx((sides[0] - sides[1]) / 2e-6, abs=1e-8)


def test_one_hot_rows_are_the_classes_they_name():
    scores, labels = np.random.default_rng(7).standard_normal((9, 5)), np.arange(9) % 5
    hard, soft = (losses.softmax_cross_entropy(scores, given) for given in (labels, np.eye(5)[labels]))
    assert soft[0] == pytest.approx(hard[0], rel=1e-14)
    np.testing.assert_allclose(soft[1], hard[1], rtol=1e-13, atol=1e-16)


def test_a_score_of_minus_infinity_has_no_part_in_a_class_of_no_probability():
    scores, soft = np.array([[0.0, 1.0, -np.inf]]), np.array([[0.5, 0.5, 0.0]])
    loss, dscores = losses.softmax_cross_entropy(scores, soft)
    assert loss == pytest.approx(np.log(1 + np.e) - 0.5) and np.isfinite(dscores).all() and dscores[0, 2] == 0


@pytest.mark.parametrize(
    "call, error, words",
    [
        (lambda s: losses.softmax_cross_entropy(s, np.full((4, 3), 0.5)), ValueError, "must sum to 1, got 1.5"),
        (lambda s: losses.softmax_cross_entropy(s, np.array([[1.5, -0.5, 0]] * 4)), ValueError, "negative or NaN"),
        (lambda s: losses.softmax_cross_entropy(s, np.ones((3, 3)) / 3), ValueError, "targets must have shape"),
        (lambda s: losses.softmax_cross_entropy(s, np.ones((4, 3)) / 3, 1), ValueError, "are probabilities"),
        (
            lambda s: losses.softmax_cross_entropy(s, [0] * 4, label_smoothing=1.5),
            ValueError,
            r"lie in \[0, 1\]",
        ),
        (
            lambda s: losses.softmax_cross_entropy(s, [0] * 4, weight=[1, 2]),
            ValueError,
            r"weight must have shape \(3,\)",
        ),
        (lambda s: losses.svm(s, [0] * 4, weight=[1, -2, 0]), ValueError, "not negative, got -2"),
        (lambda s: losses.squared_hinge(s, [0, 1, 2, 3]), ValueError, r"labels must lie in 0\.\.2"),
        (lambda s: losses.binary_hinge(s, np.full((4, 3), 0.5)), ValueError, "1 for yes and one of 0 and -1 for no"),
        (lambda s: losses.binary_hinge(s, [[0, 1, -1]] * 4), ValueError, "1 for yes and one of 0 and -1 for no"),
    ],
)
def test_labels_that_a_loss_cannot_take(call, error, words):
    with pytest.raises(error, match=words):
        call(np.zeros((4, 3)))


def test_weights_and_ignored_labels_of_no_class():
    """Nothing counts: 0, as without labels."""
    for more in ({"weight": [0.0, 0.0, 1.0]}, {"ignore_index": 0, "label_smoothing": 0.1}):
        loss, dscores = losses.softmax_cross_entropy(np.ones((2, 3)), np.array([0, 0]), **more)
        assert loss == 0 and not dscores.any()


def test_accuracy_of_soft_labels_is_that_of_the_largest():
    scores, soft = np.array([[1.0, 0], [0, 1], [1, 0]]), np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    assert losses.measure(losses.softmax_cross_entropy, scores, soft) == pytest.approx(1 / 3)


def test_scores_of_other_libraries():
    class Tensor:
        """An array that NumPy can only read, with a dtype of its own."""

        def __init__(self, array):
            self.array, self.shape, self.ndim, self.dtype = array, array.shape, array.ndim, "float of another library"

        def __array__(self, dtype=None, copy=None):
            return self.array

    scores = np.random.default_rng(0).standard_normal((4, 3))
    soft = np.full((4, 3), 1 / 3)
    for call in (
        lambda s: losses.softmax_cross_entropy(s, soft),
        lambda s: losses.softmax_cross_entropy(s, np.array([0, 1, 2, 0]), weight=np.ones(3)),
        lambda s: losses.svm(s, np.array([0, 1, 2, 0]), weight=np.ones(3)),
        lambda s: losses.mse(s, soft),
    ):
        assert call(Tensor(scores))[0] == call(scores)[0]


def test_a_graphs_node_passes_for_scores():
    """TrainingPlan and Solver choose the op of a loss before there are scores."""
    model = fn.Sequential(fn.Linear(3))
    model.build((4,))
    node = model.graph((2, 4)).output
    for name, labels in (("softmax", [0, 1]), ("svm", [0, 1]), ("mse", np.ones((2, 3))), ("bce", np.ones((2, 3)))):
        call = call_of(losses.get(name), node, np.asarray(labels))
        assert call.op.name == op_name(losses.get(name)), name
