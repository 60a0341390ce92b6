"""What optimisers, clipping and regularizers take as parameters."""

import copy
import pickle

import numpy as np
import pytest

import fastnet as fn
from fastnet.optim import SGD, clip_grad_norm, clip_grad_value
from fastnet.regularizers import L1, L2, MaxNorm

TAKE = {
    "SGD.step": SGD(0.1).step,
    "SGD.lookahead": SGD(0.1, momentum=0.9, ahead=True).lookahead,
    "Adam.step": fn.optim.Adam().step,
    "clip_grad_norm": lambda parameters: clip_grad_norm(parameters, 1.0),
    "clip_grad_value": lambda parameters: clip_grad_value(parameters, 1.0),
    "L2": L2(0.1).loss,
    "L1": L1(0.1).add_gradients,
    "MaxNorm": MaxNorm(1.0).project,
    "Combined": (L1(0.1) + L2(0.1)).loss,
}


@pytest.mark.parametrize("caller", TAKE)
def test_anything_but_parameters_is_an_error_that_says_so(caller):
    model = fn.Sequential(fn.Linear(2))
    model.build((3,))
    with pytest.raises(TypeError, match=rf"{caller}: parameters .* got a model; give model.parameters\(\)"):
        TAKE[caller](model)
    for wrong in ([np.zeros(3)], ["0.weight"], 3, None, model.named_parameters(), model.parameters()[0]):
        with pytest.raises(TypeError, match=rf"{caller}: parameters must be a list of Parameter, such as"):
            TAKE[caller](wrong)


@pytest.mark.parametrize("scale", [np.nan, -1.0, np.inf, "a", None])
@pytest.mark.parametrize("call", ["step", "lookahead"])
def test_a_scale_is_a_finite_number_that_is_not_negative(call, scale):
    optimizer = SGD(0.1, momentum=0.9, ahead=call == "lookahead")
    model = fn.Sequential(fn.Linear(2))
    model.build((3,))
    before = model.state_dict()
    with pytest.raises((ValueError, TypeError), match=rf"SGD.{call}: scale must be .* got"):
        getattr(optimizer, call)(model.parameters(), scale)
    assert all((value == before[name]).all() for name, value in model.state_dict().items())


def test_a_group_of_a_layer_s_path_has_all_below_it():
    model = fn.Sequential(a=[fn.Linear(2), fn.Linear(2)], ab=fn.Linear(2))
    model.build((3,))
    for p in model.parameters():
        p.grad = np.ones_like(p.value)
    before = model.state_dict()
    SGD(0.0, groups=[{"params": "a", "lr": 0.5}]).step(model.parameters())
    moved = {name for name, value in model.state_dict().items() if (value != before[name]).any()}
    assert moved == {"a.0.weight", "a.0.bias", "a.1.weight", "a.1.bias"}


def test_state_belongs_to_a_model():
    """An optimiser that has trained another model trains the next one as a new optimiser does; a copy goes on."""
    x, labels = np.random.default_rng(0).standard_normal((6, 4)).astype("f4"), np.arange(6) % 3

    def net():
        model = fn.Sequential(fn.Linear(5), fn.ReLU(), fn.Linear(3))
        model.build((4,), seed=0)
        return model

    def steps(model, optimizer, count):
        for _ in range(count):
            model.zero_grad()
            with optimizer.lookahead(model.parameters()):
                scores, backward = model.forward(x, training=True)
                backward(fn.losses.softmax_cross_entropy(scores, labels)[1])
            optimizer.step(model.parameters())
        return [p.value.copy() for p in model.parameters()]

    for make in (fn.optim.Adam, lambda: fn.optim.SGD(0.1, momentum=0.9, ahead=True)):
        used, model = make(), net()
        steps(net(), used, 3)
        begun = steps(model, used, 2)
        for copied in (copy.deepcopy(used), pickle.loads(pickle.dumps(used))):
            other = net()
            other.load_state_dict(model.state_dict())
            whole = steps(other, copied, 1)
        expected = net()
        optimizer = make()
        for found, wanted in zip(begun, steps(expected, optimizer, 2), strict=True):
            np.testing.assert_array_equal(found, wanted)
        for found, wanted in zip(whole, steps(expected, optimizer, 1), strict=True):
            np.testing.assert_array_equal(found, wanted)
