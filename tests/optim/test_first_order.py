"""Optimisers against the oracle's closed forms, which of the parameters they touch, and their state."""

import numpy as np
import oracle_optim
import pytest

from fastnet.optim import SGD, Adadelta, Adagrad, Adam, AdamW, NAdam, RMSprop


class P:
    def __init__(self, value, grad=None, name="", requires_grad=True, decay=True):
        self.value, self.grad, self.name = value, grad, name
        self.requires_grad, self.decay = requires_grad, decay


KINDS = [SGD, Adagrad, RMSprop, Adadelta, Adam, AdamW, NAdam]
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


OPTIONS = {  # compared with PyTorch in tests/peers/test_optimizers.py
    "steps": lambda: SGD(0.1, 0.9, velocity="steps"),
    "rmsprop centered": lambda: RMSprop(0.1, momentum=0.9, centered=True),
    "adadelta": lambda: Adadelta(),
    "amsgrad": lambda: Adam(0.1, amsgrad=True),
    "almost adam": lambda: Adam(0.1, bias_correction=False),
    "nadam": lambda: NAdam(0.1),
    "groups": lambda: NAdam(0.1, groups=[{"params": "b", "lr": 0.01, "weight_decay": 0.1}]),
}


@pytest.mark.parametrize("names", [("a", "b"), ("weight", "weight"), ("", "")])
@pytest.mark.parametrize("case", [*CASES, *OPTIONS])
def test_state_continues_bit_identically(case, names):
    if case == "groups" and names != ("a", "b"):
        pytest.skip("a group by name needs names")
    make, rng = OPTIONS.get(case) or CASES[case][0], np.random.default_rng(0)
    gradients = rng.standard_normal((8, 5)).astype(np.float32)
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
    loaded = SGD(0.1, 0.9)
    loaded.load_state_dict(optimizer.state_dict())
    with pytest.raises(ValueError, match=r"'w' is float64 \(3,\), the parameter is float32 \(4,\)"):
        loaded.step([P(np.ones(4, np.float32), np.ones(4, np.float32), "w")])
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


@pytest.mark.parametrize("kind", KINDS)
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
    assert repr(Adam()) == "Adam(lr=0.001, betas=(0.9, 0.999), eps=1e-08, weight_decay=0.0, amsgrad=False)"
    assert repr(SGD(0.1, 0.9, velocity="steps", groups=[{"params": ("a*", P(None, name="b")), "lr": 1}])) == (
        "SGD(lr=0.1, momentum=0.9, dampening=0.0, weight_decay=0.0, nesterov=False, velocity='steps', "
        "groups=[{'params': ['a*', 'b'], 'lr': 1.0}])"
    )


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, np.array])
@pytest.mark.parametrize("make", KINDS)
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


def bowl(w):
    return np.array([1.0, 30.0]) * w


def run(optimizer, steps=100, rates=None):
    """The parameters, and the point at which each gradient was computed."""
    p, points = P(np.array([1.0, -0.5]), name="w"), []
    for step in range(steps):
        scale = 1.0 if rates is None else rates(step)
        with optimizer.lookahead([p], scale):
            points.append(p.value.copy())
            p.grad = bowl(p.value)
        optimizer.step([p], scale)
    return p.value, np.array(points)


def test_look_ahead_and_rearranged_nesterov_take_the_same_steps():
    """The rearranged form keeps the point ahead, x + momentum*v, as its parameters."""
    for velocity in ("gradients", "steps"):
        ahead, form = SGD(0.02, 0.9, velocity=velocity, ahead=True), SGD(0.02, 0.9, velocity=velocity, nesterov=True)
        (x, points), (y, others) = run(ahead), run(form)
        np.testing.assert_allclose(points, others, rtol=0, atol=1e-12)
        v = ahead.state["w"]["velocity"]
        np.testing.assert_allclose(x + (0.9 * v if velocity == "steps" else -0.02 * 0.9 * v), y, rtol=0, atol=1e-12)


def test_the_definition_of_nesterov_by_hand():
    x, v = np.array([1.0, -0.5]), np.zeros(2)
    for _ in range(100):
        v = 0.9 * v - 0.02 * bowl(x + 0.9 * v)
        x = x + v
    np.testing.assert_allclose(run(SGD(0.02, 0.9, velocity="steps", ahead=True))[0], x, rtol=0, atol=1e-13)


def test_forms_of_momentum_agree_at_a_constant_rate_only():
    for more in ({}, {"nesterov": True}):
        one, other = SGD(0.02, 0.9, **more), SGD(0.02, 0.9, velocity="steps", **more)
        np.testing.assert_allclose(run(one)[1], run(other)[1], rtol=0, atol=1e-12)
        falls = lambda step: 0.9**step  # noqa: E731
        one, other = SGD(0.02, 0.9, **more), SGD(0.02, 0.9, velocity="steps", **more)
        assert abs(run(one, rates=falls)[0] - run(other, rates=falls)[0]).max() > 1e-2


def test_a_velocity_of_steps_by_hand():
    x, v = np.array([1.0, -0.5]), np.zeros(2)
    for step in range(20):
        v = 0.9 * v - 0.02 * 0.8**step * bowl(x)
        x = x + v
    np.testing.assert_allclose(run(SGD(0.02, 0.9, velocity="steps"), 20, lambda s: 0.8**s)[0], x, rtol=0, atol=1e-14)


def test_the_point_ahead_is_left_exactly_and_required():
    optimizer, p = SGD(0.1, 0.9, ahead=True), P(np.array([0.1, 0.7]), np.ones(2), "w")
    with pytest.raises(RuntimeError, match=r"inside `with optimizer.lookahead\(parameters\):`"):
        optimizer.step([p])
    for _ in range(2):
        before = p.value.copy()
        with optimizer.lookahead([p]):
            there = p.value.copy()
        np.testing.assert_array_equal(p.value, before)
        optimizer.step([p])
    assert (there != before).all()
    with pytest.raises(KeyError), optimizer.lookahead([p]):
        raise KeyError
    with pytest.raises(RuntimeError):
        optimizer.step([p])


def test_momentum_may_change_from_step_to_step():
    x, v, w = 1.0, 0.0, P(np.ones(1), name="w")
    optimizer, other, y = SGD(0.1), SGD(0.1), P(np.ones(1), name="w")
    for momentum in (0.5, 0.7, 0.0, 0.9):
        v = momentum * v + x
        x -= 0.1 * v
        w.grad, y.grad = w.value.copy(), y.value.copy()
        optimizer.step([w], momentum=momentum)
        other.momentum = momentum
        other.step([y])
    np.testing.assert_allclose([w.value[0], y.value[0]], x, rtol=1e-15)
    adam = Adam(0.1, betas=(0.8, 0.9))
    assert adam.momentum == 0.8
    adam.momentum = 0.5
    assert adam.betas == (0.5, 0.9)
    for wrong in (1.0, -0.1):
        with pytest.raises(ValueError, match="must be >= 0 and < 1"):
            adam.momentum = wrong
        with pytest.raises(ValueError, match="SGD.step: momentum must be >= 0 and < 1"):
            optimizer.step([w], momentum=wrong)
    with pytest.raises(ValueError, match="Adagrad has no momentum"):
        Adagrad(0.1).step([w], momentum=0.9)


def test_settings_are_checked_when_they_change():
    optimizer = SGD(0.1)
    with pytest.raises(ValueError, match="SGD: lr must be >= 0, got -1"):
        optimizer.lr = -1
    assert optimizer.lr == 0.1


def test_the_first_step_of_adam():
    """(1 - beta1) / sqrt(1 - beta2) times the rate without bias correction, the rate with it."""
    for corrected, size in ((False, 0.1 / 0.001**0.5), (True, 1.0)):
        p = P(np.zeros(3), np.array([1e-1, 1.0, 40.0]))
        Adam(0.01, bias_correction=corrected, eps=1e-12).step([p])
        np.testing.assert_allclose(p.value, -0.01 * size, rtol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_eps_inside_the_root(dtype):
    g = np.array([1.0, 1e-3, 0.0], dtype)
    for make, v in (
        (lambda: Adagrad(1.0, eps=0.01, eps_inside=True), g * g),
        (lambda: RMSprop(1.0, 0.5, 0.01, eps_inside=True), g * g / 2),
        (lambda: Adam(1.0, (0.0, 0.5), 0.01, eps_inside=True), g * g),
        (lambda: Adam(1.0, (0.0, 0.5), 0.01, eps_inside=True, bias_correction=False), g * g / 2),
        (lambda: NAdam(1.0, (0.0, 0.5), 0.01, eps_inside=True), g * g),
    ):
        p = P(np.zeros(3, dtype), g.copy())
        make().step([p])
        np.testing.assert_allclose(p.value, -g / np.sqrt(v + 0.01), rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_centered_rmsprop_survives_a_constant_gradient(dtype):
    """Rounding makes the variance negative; its root would be NaN."""
    p = P(np.zeros(100, dtype), np.linspace(0.1, 3, 100, dtype=dtype))
    optimizer = RMSprop(1e-3, 0.5, centered=True, eps=1e-3)
    for _ in range(200):
        optimizer.step([p])
    assert np.isfinite(p.value).all()


def named(*names):
    return [P(np.ones(2), np.ones(2), name, decay=not name.endswith("bias")) for name in names]


def test_groups_have_settings_of_their_own():
    made = named("conv.weight", "conv.bias", "fc.weight", "fc.bias")
    groups = [{"params": ["fc.*"], "lr": 0.5}, {"params": made[1], "weight_decay": 1.0}]
    optimizer = SGD(0.1, weight_decay=0.1, groups=groups)
    optimizer.step(made, scale=0.5)
    for p, moved in zip(made, (0.05 * 1.1, 0.05 * 2.0, 0.25 * 1.1, 0.25), strict=True):
        np.testing.assert_allclose(p.value, 1 - moved, rtol=1e-12)
    assert optimizer.state.keys() == {p.name for p in made}


def test_a_schedule_of_momentum_leaves_a_group_s_own():
    made = named("a", "b")
    optimizer = SGD(0.1, groups=[{"params": "b", "momentum": 0.5}])
    for _ in range(2):
        optimizer.step(made, momentum=0.9)
    np.testing.assert_allclose([p.value[0] for p in made], [1 - 0.1 - 0.19, 1 - 0.1 - 0.15])


@pytest.mark.parametrize(
    "groups, error, message",
    [
        ([{"params": "fc"}], ValueError, r"groups\[0\]: no parameter matches 'fc'; there are 'a', 'b'"),
        ([{"params": []}], TypeError, "params must be a name such as"),
        ([{"params": 3}], TypeError, "params must be a name such as"),
        ([{"params": P(None, name="c")}], ValueError, "no parameter is"),
        ([{"params": "a"}, {"params": "*"}], ValueError, r"'a' is in groups\[0\] and in groups\[1\]"),
        ([{"lr": 0.1}], TypeError, "must be a dict such as"),
        ({"params": "a"}, TypeError, "must be a list of dicts"),
        ([{"params": "a", "rate": 1}], ValueError, r"groups\[0\] has rate; a group may have params, lr, momentum"),
        ([{"params": "a", "lr": -1}], ValueError, r"SGD: groups\[0\]: lr must be >= 0"),
        ([{"params": "a", "nesterov": True}], ValueError, "nesterov=True needs momentum > 0"),
    ],
)
def test_errors_of_groups(groups, error, message):
    with pytest.raises(error, match=message):
        SGD(0.1, groups=groups).step(named("a", "b"))


def test_nan_gradients_stay_in_their_elements():
    for make in (*KINDS, *OPTIONS.values()):
        p = P(np.ones(4), np.array([1.0, np.nan, -1.0, 1.0]), "b")
        make().step([p])
        np.testing.assert_array_equal(np.isnan(p.value), [False, True, False, False])
