"""Steps of training by a plan and op by op, to compare."""

from __future__ import annotations

import numpy as np

import fastnet as fn
from fastnet import losses


def batch(shape, n, seed=0, classes=10):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, *shape), dtype=np.float32), rng.integers(0, classes, n)


def by_hand(model, x, labels, loss=losses.softmax_cross_entropy):
    """What a plan does, op by op."""
    scores, backward = model.forward(x, training=True)
    value, dscores = loss(scores, labels)
    backward(dscores, input_gradient=False)
    return value, scores


def state(model):
    return [array.copy() for array in model.state_dict().values()]


def gradients(model):
    return [None if p.grad is None else p.grad.copy() for p in model.parameters()]


def zero(model):
    for parameter in model.parameters():
        parameter.zero_grad()


def same(one, other):
    return len(one) == len(other) and all(
        (a is None and b is None) or (a is not None and b is not None and np.array_equal(a, b))
        for a, b in zip(one, other, strict=True)
    )


def small():
    model = fn.Sequential(fn.Conv2d(4, 3), fn.BatchNorm2d(), fn.ReLU(), fn.Dropout(0.3), fn.Flatten(), fn.Linear(10))
    model.build((2, 6, 6), seed=3)
    return model


def linear(features=6):
    model = fn.Sequential(fn.Linear(features), fn.Tanh(), fn.Linear(features))
    model.build((features,), seed=0)
    return model


def compare(planned, plain, plan, x, labels, loss=losses.softmax_cross_entropy):
    """A step of a plan, and the same by hand."""
    zero(planned)
    zero(plain)
    value, scores = plan(x, labels)
    expected, expected_scores = by_hand(plain, x, labels, loss)
    assert value == expected and np.array_equal(scores, expected_scores)
    assert same(gradients(planned), gradients(plain)) and same(state(planned), state(plain))
