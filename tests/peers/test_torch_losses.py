"""PyTorch's losses against fastnet's in float64: values and gradients, for hard and soft labels and every option."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import fastnet as fn
from fastnet import losses

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.peers
F = torch.nn.functional

N, C = 23, 7


@pytest.fixture(autouse=True, params=fn.available_backends())
def backend(request):
    with fn.use_backend(request.param):
        yield request.param


def problem(shape=(N, C), seed=0):
    """Scores, labels, probabilities and weights of classes."""
    rng = np.random.default_rng(seed)
    scores, labels = 3 * rng.normal(size=shape), rng.integers(0, shape[1], (shape[0], *shape[2:]))
    soft = rng.random(shape)
    return scores, labels, soft / soft.sum(axis=1, keepdims=True), rng.random(shape[1]) + 0.1


def same(mine, theirs, scores):
    given = torch.tensor(scores, requires_grad=True)
    expected = theirs(given)
    expected.backward()
    loss, dscores = mine(scores)
    assert loss == pytest.approx(expected.item(), rel=1e-12)
    np.testing.assert_allclose(dscores, given.grad.numpy(), rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("shape", [(N, C), (4, C, 5, 3), (6, C, 9)], ids=str)
@pytest.mark.parametrize(
    "smoothing, weighted, ignored", list(itertools.product([0.0, 0.1, 1.0], [False, True], [None, 3]))
)
def test_cross_entropy_of_classes(shape, smoothing, weighted, ignored):
    scores, labels, _, weight = problem(shape)
    weight = weight if weighted else None
    same(
        lambda s: losses.softmax_cross_entropy(s, labels, ignored, smoothing, weight),
        lambda s: F.cross_entropy(
            s,
            torch.tensor(labels),
            None if weight is None else torch.tensor(weight),
            ignore_index=-100 if ignored is None else ignored,
            label_smoothing=smoothing,
        ),
        scores,
    )


@pytest.mark.parametrize("shape", [(N, C), (4, C, 5, 3), (6, C, 9)], ids=str)
@pytest.mark.parametrize("smoothing, weighted", list(itertools.product([0.0, 0.2], [False, True])))
def test_cross_entropy_of_probabilities(shape, smoothing, weighted):
    scores, _, soft, weight = problem(shape)
    weight = weight if weighted else None
    same(
        lambda s: losses.softmax_cross_entropy(s, soft, label_smoothing=smoothing, weight=weight),
        lambda s: F.cross_entropy(
            s, torch.tensor(soft), None if weight is None else torch.tensor(weight), label_smoothing=smoothing
        ),
        scores,
    )


@pytest.mark.parametrize("power, loss", [(1, losses.svm), (2, losses.squared_hinge)])
@pytest.mark.parametrize("margin, weighted", list(itertools.product([1.0, 0.5], [False, True])))
def test_hinge(power, loss, margin, weighted):
    scores, labels, _, weight = problem()
    weight = weight if weighted else None
    same(
        lambda s: loss(s, labels, margin, weight),
        lambda s: (
            C
            * F.multi_margin_loss(
                s, torch.tensor(labels), power, margin, None if weight is None else torch.tensor(weight)
            )
        ),
        scores,
    )


@pytest.mark.parametrize("no", [0.0, -1.0])
def test_binary_hinge(no):
    scores, _, soft, _ = problem()
    targets = np.where(soft > 0.15, 1.0, no)
    signs = torch.tensor(np.where(targets > 0, 1.0, -1.0))
    same(
        lambda s: losses.binary_hinge(s, targets),
        lambda s: torch.clamp(1 - signs * s, min=0).mean(),
        scores,
    )
