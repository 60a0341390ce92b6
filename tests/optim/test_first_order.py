"""Optimisers against the oracle's closed forms, which of the parameters they touch, and their state."""

import numpy as np
import oracle_optim
import pytest

from fastnet.optim import SGD, Adagrad, Adam, AdamW, RMSprop


class P:
    def __init__(self, value, grad=None, name="", requires_grad=True, decay=True):
        self.value, self.grad, self.name = value, grad, name
        self.requires_grad, self.decay = requires_grad, decay


MOMENTUM = {"momentum": 0.9}
CASES = {  # the optimiser, what the oracle calls it, the settings that it must hand on
    "sgd": (lambda: SGD(0.1), "sgd", {}),
    "decay": (lambda: SGD(0.1, weight_decay=0.2), "sgd", {"weight_decay": 0.2}),
    "momentum": (lambda: SGD(0.1, 0.9, weight_decay=0.2), "sgd", {**MOMENTUM, "weight_decay": 0.2}),
    "dampening": (lambda: SGD(0.1, 0.9, 0.9), "sgd", {**MOMENTUM, "dampening": 0.9}),
    "nesterov": (lambda: SGD(0.1, 0.9, nesterov=True), "sgd", {**MOMENTUM, "nesterov": True}),
    "adagrad": (lambda: Adagrad(0.1, weight_decay=0.2), "adagrad", {"weight_decay": 0.2, "eps": 1e-10}),
    "adagrad eps": (lambda: Adagrad(0.1, eps=0.5), "adagrad", {"eps": 0.5}),
    "rmsprop": (lambda: RMSprop(0.1, 0.9, weight_decay=0.2), "rmsprop", {"alpha": 0.9, "weight_decay": 0.2}),
    "rmsprop eps": (lambda: RMSprop(0.1, 0.9, eps=0.5), "rmsprop", {"alpha": 0.9, "eps": 0.5}),
    "adam": (lambda: Adam(0.1, weight_decay=0.2), "adam", {"weight_decay": 0.2}),
    "adam eps": (lambda: Adam(0.1, eps=0.5), "adam", {"eps": 0.5}),
    "betas": (lambda: Adam(0.1, betas=(0.5, 0.9)), "adam", {"beta1": 0.5, "beta2": 0.9}),
    "adamw": (lambda: AdamW(0.1, weight_decay=0.2), "adam", {"weight_decay": 0.2, "decoupled": True}),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES)
def test_six_steps_against_the_closed_form(case, dtype):
    make, name, settings = CASES[case]
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
    zeros = np.zeros((3, 4))
    state = {"sgd": zeros if "momentum" in settings else None, "adam": [zeros, zeros]}.get(name, zeros)
    expected, *_ = getattr(oracle_optim, name)(start, list(gradients), state, lr=0.1, **settings)
    tolerance = 2e-6 if dtype == np.float32 else 1e-13
    np.testing.assert_allclose(p.value, expected.astype(np.float64), rtol=tolerance, atol=tolerance)


def test_scale_multiplies_the_rate():
    p = P(np.ones(2), np.ones(2))
    SGD(0.5).step([p], scale=0.1)
    np.testing.assert_allclose(p.value, 0.95)


@pytest.mark.parametrize("make", [lambda: SGD(0.1, 0.9, weight_decay=0.5), lambda: AdamW(0.1, weight_decay=0.5)])
def test_frozen_and_idle_parameters_stay_and_decay_is_selective(make):
    ones = np.ones(3)
    frozen, idle = P(ones.copy(), ones.copy(), requires_grad=False), P(ones.copy())
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
    late = P(np.zeros(1), np.ones(1), requires_grad=False)
    optimizer = Adam(0.1)
    for _ in range(5):
        optimizer.step([late])
    late.requires_grad = True
    optimizer.step([late])
    np.testing.assert_allclose(late.value, -0.1, rtol=1e-7)  # Adam's first step is the rate


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
        (lambda: SGD(float("nan")), "lr must be a finite number, got nan"),
        (lambda: SGD(0.1, momentum=1.5), "momentum must be >= 0 and < 1, got 1.5"),
        (lambda: SGD(0.1, nesterov=True), "momentum > 0"),
        (lambda: SGD(0.1, 0.9, 0.1, nesterov=True), "dampening = 0"),
        (lambda: Adam(betas=(1.0, 0.9)), r"Adam: betas\[0\] must be >= 0 and < 1, got 1.0"),
        (lambda: AdamW(betas=(0.9, -0.1)), r"AdamW: betas\[1\]"),
        (lambda: RMSprop(alpha=1), "alpha"),
        (lambda: Adagrad(eps=0), "eps must be > 0"),
        (lambda: Adagrad(lr_decay=-1), "lr_decay"),
        (lambda: Adagrad(initial_accumulator_value=-1), "initial_accumulator_value"),
        (lambda: SGD(0.1, weight_decay=-1), "weight_decay"),
    ],
)
def test_argument_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("kind", [SGD, Adagrad, RMSprop, Adam, AdamW])
def test_calls_as_in_torch_are_answered_with_the_right_one(kind):
    parameters = [P(np.ones(3))]
    for wrong in (lambda: kind(parameters, lr=0.1), lambda: kind(parameters), lambda: kind(params=parameters)):
        with pytest.raises(TypeError, match=rf"{kind.__name__}\(lr=0.01\).step\(model.parameters\(\)\)"):
            wrong()


@pytest.mark.parametrize("betas", [0.9, (0.9,), (0.9, 0.99, 0.999)])
def test_betas_are_a_pair(betas):
    with pytest.raises(TypeError, match="betas must be a pair"):
        Adam(1e-3, betas)


def test_repr_names_the_settings():
    assert repr(SGD(0.1, 0.9)) == "SGD(lr=0.1, momentum=0.9, dampening=0.0, weight_decay=0.0, nesterov=False)"
    assert repr(Adam()) == "Adam(lr=0.001, betas=(0.9, 0.999), eps=1e-08, weight_decay=0.0)"


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, np.array])
@pytest.mark.parametrize("make", [SGD, Adagrad, RMSprop, Adam, AdamW])
def test_numpy_numbers_are_numbers(make, kind):
    """Also in repr, which checkpoints compare."""
    assert repr(make(kind(0.5), weight_decay=kind(0.25))) == repr(make(0.5, weight_decay=0.25))
    assert repr(SGD(kind(0.5), momentum=kind(0.75), dampening=kind(0))) == repr(SGD(0.5, 0.75, 0))
    assert repr(Adam(kind(0.5), (kind(0.5), kind(0.75)), kind(0.25))) == repr(Adam(0.5, (0.5, 0.75), 0.25))


@pytest.mark.parametrize("wrong", [True, np.bool_(True), None, 1j, [0.1]])
def test_what_is_not_a_number_is_refused(wrong):
    for make in (lambda w: SGD(lr=w), lambda w: Adam(eps=w), lambda w: Adam(betas=(0.9, w))):
        with pytest.raises(TypeError, match="must be a finite number, got"):
            make(wrong)
