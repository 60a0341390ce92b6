"""Optimisers against plain float64 formulas, which of the parameters they touch, and their state."""

import math

import numpy as np
import pytest

from fastnet.optim import SGD, AdaGrad, Adam, AdamW, RMSProp


class P:
    def __init__(self, value, grad=None, name="", trainable=True, decay=True):
        self.value, self.grad, self.name = value, grad, name
        self.trainable, self.decay = trainable, decay


def sgd(w, gs, lr, momentum=0, dampening=0, nesterov=False, wd=0):
    v = 0.0
    for g in gs:
        g = g + wd * w
        v = momentum * v + (1 - dampening) * g
        w = w - lr * ((g + momentum * v) if nesterov else v if momentum else g)
    return w


def adagrad(w, gs, lr, wd=0):
    h = 0.0
    for g in gs:
        g = g + wd * w
        h = h + g**2
        w = w - lr * g / (math.sqrt(h) + 1e-7)
    return w


def rmsprop(w, gs, lr, decay=0.9, wd=0):
    h = 0.0
    for g in gs:
        g = g + wd * w
        h = decay * h + (1 - decay) * g**2
        w = w - lr * g / (math.sqrt(h) + 1e-8)
    return w


def adam(w, gs, lr, b1=0.9, b2=0.999, wd=0, decoupled=False):
    m = v = 0.0
    for t, g in enumerate(gs, 1):
        if decoupled:
            w = w * (1 - lr * wd)
        else:
            g = g + wd * w
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        w = w - lr * (m / (1 - b1**t)) / (math.sqrt(v / (1 - b2**t)) + 1e-8)
    return w


CASES = {
    "sgd": (lambda: SGD(0.1), lambda w, g: sgd(w, g, 0.1)),
    "decay": (lambda: SGD(0.1, weight_decay=0.2), lambda w, g: sgd(w, g, 0.1, wd=0.2)),
    "momentum": (lambda: SGD(0.1, 0.9, weight_decay=0.2), lambda w, g: sgd(w, g, 0.1, 0.9, wd=0.2)),
    "dampening": (lambda: SGD(0.1, 0.9, 0.9), lambda w, g: sgd(w, g, 0.1, 0.9, 0.9)),
    "nesterov": (lambda: SGD(0.1, 0.9, nesterov=True), lambda w, g: sgd(w, g, 0.1, 0.9, nesterov=True)),
    "adagrad": (lambda: AdaGrad(0.1, weight_decay=0.2), lambda w, g: adagrad(w, g, 0.1, wd=0.2)),
    "rmsprop": (lambda: RMSProp(0.1, 0.9, weight_decay=0.2), lambda w, g: rmsprop(w, g, 0.1, wd=0.2)),
    "adam": (lambda: Adam(0.1, weight_decay=0.2), lambda w, g: adam(w, g, 0.1, wd=0.2)),
    "betas": (lambda: Adam(0.1, beta1=0.5, beta2=0.9), lambda w, g: adam(w, g, 0.1, 0.5, 0.9)),
    "adamw": (lambda: AdamW(0.1, weight_decay=0.2), lambda w, g: adam(w, g, 0.1, wd=0.2, decoupled=True)),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES)
def test_formula(case, dtype):
    make, formula = CASES[case]
    rng = np.random.default_rng(1)
    start = rng.standard_normal((3, 4)).astype(dtype)
    gradients = rng.standard_normal((6, 3, 4)).astype(dtype)
    p, optimizer = P(start.copy()), make()
    where = p.value
    for g in gradients:
        p.grad = g.copy()
        optimizer.step([p])
        np.testing.assert_array_equal(p.grad, g)
    assert p.value is where and p.value.dtype == dtype
    expected = [formula(float(start[i]), [float(g[i]) for g in gradients]) for i in np.ndindex(start.shape)]
    tolerance = 2e-6 if dtype == np.float32 else 1e-13
    np.testing.assert_allclose(p.value.ravel(), expected, rtol=tolerance, atol=tolerance)


def test_scale_multiplies_the_rate():
    p = P(np.ones(2), np.ones(2))
    SGD(0.5).step([p], scale=0.1)
    np.testing.assert_allclose(p.value, 0.95)


@pytest.mark.parametrize("make", [lambda: SGD(0.1, 0.9, weight_decay=0.5), lambda: AdamW(0.1, weight_decay=0.5)])
def test_frozen_and_idle_parameters_stay_and_decay_is_selective(make):
    ones = np.ones(3)
    frozen, idle = P(ones.copy(), ones.copy(), trainable=False), P(ones.copy())
    bias, weight = P(ones.copy(), 0 * ones, decay=False), P(ones.copy(), 0 * ones)
    make().step([frozen, idle, bias, weight])
    for p in (frozen, idle, bias):
        np.testing.assert_array_equal(p.value, ones)
    np.testing.assert_allclose(weight.value, 0.95)


def train(optimizer, parameters, gradients):
    for g in gradients:
        for p in parameters:
            p.grad = g.copy()
        optimizer.step(parameters)


@pytest.mark.parametrize("names", [("a", "b"), ("weight", "weight"), ("", "")])
@pytest.mark.parametrize("case", CASES)
def test_state_continues_bit_identically(case, names):
    make, gradients = CASES[case][0], np.random.default_rng(0).standard_normal((8, 5)).astype(np.float32)
    one = [P(np.ones(5, np.float32), name=name) for name in names]
    other = [P(np.ones(5, np.float32), name=name) for name in names]
    whole, first, second = make(), make(), make()
    train(whole, one, gradients)
    train(first, other, gradients[:3])
    saved = first.state_dict()
    train(first, [P(p.value.copy(), name=p.name) for p in other], gradients[3:])  # must not reach into `saved`
    second.load_state_dict(saved)
    train(second, other, gradients[3:])
    for p, q in zip(one, other, strict=True):
        np.testing.assert_array_equal(p.value, q.value)


def test_adam_counts_steps_of_each_parameter():
    late = P(np.zeros(1), np.ones(1), trainable=False)
    optimizer = Adam(0.1)
    for _ in range(5):
        optimizer.step([late])
    late.trainable = True
    optimizer.step([late])
    np.testing.assert_allclose(late.value, adam(0.0, [1.0], 0.1), rtol=1e-12)


def test_state_errors():
    optimizer = SGD(0.1, 0.9)
    optimizer.step([P(np.ones(3), np.ones(3), "w")])
    with pytest.raises(ValueError, match=r"'w' is float64 \(3,\), the parameter is float32 \(4,\)"):
        optimizer.step([P(np.ones(4, np.float32), np.ones(4, np.float32), "w")])
    with pytest.raises(ValueError, match="another optimiser"):
        Adam().load_state_dict(optimizer.state_dict())


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: SGD(-0.1), "lr must be >= 0"),
        (lambda: SGD(float("nan")), "lr must be >= 0 and finite, got nan"),
        (lambda: SGD(0.1, momentum=1.5), "momentum must be >= 0 and < 1, got 1.5"),
        (lambda: SGD(0.1, nesterov=True), "momentum > 0"),
        (lambda: SGD(0.1, 0.9, 0.1, nesterov=True), "dampening = 0"),
        (lambda: Adam(beta1=1.0), "beta1"),
        (lambda: AdamW(beta2=-0.1), "AdamW: beta2"),
        (lambda: RMSProp(decay_rate=1), "decay_rate"),
        (lambda: AdaGrad(eps=0), "eps must be > 0"),
        (lambda: SGD(0.1, weight_decay=-1), "weight_decay"),
    ],
)
def test_argument_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_repr_names_the_settings():
    assert repr(SGD(0.1, 0.9)) == "SGD(lr=0.1, momentum=0.9, dampening=0.0, nesterov=False, weight_decay=0.0)"
