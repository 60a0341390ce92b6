"""What is not understood is refused: every layer, function, optimiser and model, every argument."""

from __future__ import annotations

import inspect
import re
import warnings

import numpy as np
import pytest

import fastnet as fn
from fastnet import functional, initializers, layers, models, optim, regularizers
from fastnet.arguments import flag, integer, nonzero, real

X = np.arange(2 * 3 * 8 * 8, dtype=np.float32).reshape(2, 3, 8, 8)
W = X[:, :, :3, :3].copy()

# Arguments without which a call cannot be made; {} for the others.
GIVEN = {
    "AdaptiveAvgPool2d": {"output_size": 2},
    "AdaptiveMaxPool2d": {"output_size": 2},
    "AvgPool1d": {"kernel_size": 2},
    "AvgPool2d": {"kernel_size": 2},
    "CircularPad2d": {"padding": 1},
    "ConstantPad2d": {"padding": 1, "value": 0.5},
    "Conv1d": {"in_channels": 3, "out_channels": 4, "kernel_size": 3},
    "Conv2d": {"in_channels": 3, "out_channels": 4, "kernel_size": 3},
    "ConvTranspose1d": {"in_channels": 3, "out_channels": 4, "kernel_size": 3},
    "ConvTranspose2d": {"in_channels": 3, "out_channels": 4, "kernel_size": 3},
    "AuxiliaryHeads": {"body": fn.Sequential(a=fn.ReLU()), "heads": {"b": ("a", fn.ReLU())}},
    "GroupNorm": {"num_groups": 1},
    "Linear": {"in_features": 3, "out_features": 4},
    "LocalResponseNorm": {"size": 5},
    "MaxPool1d": {"kernel_size": 2},
    "MaxPool2d": {"kernel_size": 2},
    "PixelShuffle": {"upscale_factor": 2},
    "PixelUnshuffle": {"downscale_factor": 2},
    "ReflectionPad2d": {"padding": 1},
    "ReplicationPad2d": {"padding": 1},
    "Subsample": {"stride": 2, "channels": 4},
    "Unflatten": {"dim": 1, "unflattened_size": (3, 1, 1)},
    "Upsample": {"scale_factor": 2},
    "ZeroPad2d": {"padding": 1},
    "Concat": {"branches": [fn.ReLU()]},
    "Residual": {"body": fn.ReLU()},
    "adaptive_avg_pool2d": {"x": X, "output_size": 2},
    "adaptive_max_pool2d": {"x": X, "output_size": 2},
    "avg_pool2d": {"x": X, "kernel_size": 2},
    "batch_norm": {"x": X, "training": True},
    "col2im": {"columns": np.ones((2, 27, 36), np.float32), "x_shape": X.shape, "kernel_size": 3},
    "conv2d": {"x": X, "w": W},
    "conv_transpose2d": {"x": X, "w": X[:1, :, :3, :3].swapaxes(0, 1)},
    "group_norm": {"x": X, "num_groups": 3},
    "im2col": {"x": X, "kernel_size": 3},
    "interpolate": {"x": X, "scale_factor": 2},
    "layer_norm": {"x": X, "normalized_shape": 8},
    "linear": {"x": X[0, 0], "w": X[0, 0]},
    "local_response_norm": {"x": X, "size": 5},
    "log_softmax": {"x": X, "dim": 1},
    "matmul": {"a": X[0, 0], "b": X[0, 0]},
    "max_pool2d": {"x": X, "kernel_size": 2},
    "maxout": {"x": X, "pieces": 3},
    "pad": {"x": X, "pad": (1, 1)},
    "prelu": {"x": X, "weight": [0.25]},
    "pixel_shuffle": {"x": X[:, :1].repeat(4, axis=1), "upscale_factor": 2},
    "pixel_unshuffle": {"x": X, "downscale_factor": 2},
    "softmax": {"x": X, "dim": 1},
    "DropConnect": {"layer": fn.Linear(3)},
    "FractionalMaxPool2d": {"output_size": 3},
    "MaxNorm": {"limit": 2.0},
    "L1": {"strength": 0.1},
    "L2": {"strength": 0.1},
    "ElasticNet": {"l1": 0.1, "l2": 0.1},
    "StochasticDepth": {"p": 0.1},
    "fractional_max_pool2d": {"x": X, "output_size": 3},
    "StepDecay": {"every": 3},
    "ExponentialDecay": {"k": 0.1},
    "InverseTimeDecay": {"k": 0.1},
    "LinearWarmup": {"length": 3},
    "ConstantWarmup": {"length": 3},
    "CosineRestarts": {"T_0": 3},
    "CyclicRate": {"up": 3},
    "FunctionSchedule": {"function": len},
    "ProductSchedule": {"schedules": [optim.ConstantLR()]},
    "SequentialSchedule": {"schedules": [optim.ConstantLR()], "milestones": ()},
    "WithMomentum": {"schedule": optim.ConstantLR(), "momentum": optim.ConstantLR()},
}
WITHOUT = {
    "Layer",
    "Model",
    "Parameter",
    "Plan",
    "Optimizer",
    "Regularizer",
    "Schedule",
    "Sequential",
}  # bases; Sequential has names


def calls():
    """(name, callable, arguments) of every public layer, function and optimiser."""
    for module in (layers, functional, optim, regularizers):
        for name in module.__all__:
            function = getattr(module, name)
            if name in WITHOUT or not callable(function):
                continue
            given = GIVEN.get(name, {"x": X} if module is functional else {})
            try:
                function(**given)
            except TypeError:
                if inspect.isclass(function) and issubclass(function, (fn.Layer, optim.Optimizer)) or name in GIVEN:
                    raise
                continue  # neither a layer nor a function of an array, or one whose arguments GIVEN lacks
            yield pytest.param(function, given, id=name)


CALLS = list(calls())


def test_calls_are_found():
    assert {"Conv2d", "relu", "conv2d", "SGD", "L2", "GlobalAvgPool2d"} <= {case.id for case in CALLS}


@pytest.mark.parametrize(("function", "given"), CALLS)
def test_unknown_and_surplus_arguments_are_refused(function, given):
    with pytest.raises(TypeError, match="typo|expects layers"):  # Concat has names for its branches
        function(**given, typo=1)
    with pytest.raises(TypeError):
        function(*given.values(), *[None] * 20)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "nonsense", ["nonsense", object(), {}, float("nan"), 10**400, -(10**400), b"1", 1j], ids=range(8)
)
@pytest.mark.parametrize(("function", "given"), CALLS)
def test_nonsense_is_refused_in_every_argument(function, given, nonsense):
    """With a message that is about the argument, not about Python's inside."""
    numbers = ("x", "a", "b", "columns", "weight")  # arrays may hold any number
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if isinstance(nonsense, (int, float)) and name in numbers:
            continue
        if isinstance(nonsense, dict) and name in ("body", "shortcut"):  # an empty dict of layers
            continue
        if nonsense == "nonsense" and name == "monitor":  # the name of any column
            continue
        try:
            function(**{**given, name: nonsense})
        except (TypeError, ValueError) as error:
            assert not re.search("object (is not|has no|cannot be)", str(error)), (name, error)
        else:
            raise AssertionError(f"{name}={nonsense!r} is accepted")


def flags():
    for case in CALLS:
        function, given = case.values
        for name, parameter in inspect.signature(function).parameters.items():
            if isinstance(parameter.default, bool):
                yield pytest.param(function, given, name, id=f"{case.id}-{name}")


@pytest.mark.parametrize(("function", "given", "name"), list(flags()))
def test_flags_are_true_or_false(function, given, name):
    for wrong in (0, 1, "yes", None):
        with pytest.raises(TypeError, match="must be True or False, got"):
            function(**{**given, name: wrong})


def test_scalars():
    for ok in (3, np.int8(3), np.uint64(3), np.array(3)):
        assert integer(ok, "n") == 3 and type(integer(ok, "n")) is int
    for ok in (0.5, np.float16(0.5), np.float64(0.5), np.array(0.5, np.float32)):
        assert real(ok, "r") == 0.5 and type(real(ok, "r")) is float
    assert real(np.int32(2), "r") == 2.0 and flag(np.False_, "f") is False and nonzero(-2, "n") == -2
    for bad in (True, np.True_, 1.0, np.float32(1), "1", None, np.array([1])):
        with pytest.raises(TypeError, match="n must be an integer, got"):
            integer(bad, "n")
    for bad in (True, "1", None, 1j, np.array([1.0])):
        with pytest.raises(TypeError, match="r must be a finite number, got"):
            real(bad, "r")
    for bad in (float("nan"), -float("inf"), np.float32("inf")):
        with pytest.raises(ValueError, match="r must be a finite number, got"):
            real(bad, "r")
    with pytest.raises(ValueError, match=r"n must be an integer between 1 and 2\*\*31 - 1, got 0"):
        integer(0, "n")


def test_errors_take_a_line_whatever_was_given():
    for given, words in (
        (X, r"an array of shape \(2, 3, 8, 8\)"),
        (["a"] * 999, r"\['a', 'a', 'a', 'a', 'a', 'a', ...\]"),
        ("b" * 999, "'b+...b+'"),
        ([np.eye(2)], r"\[array\(\[\[1., 0.\], \[0., 1.\]\]\)\]"),
        (np.ndarray, "<class 'numpy.ndarray'>"),
    ):
        with pytest.raises(TypeError, match=f"must be an integer, got {words}$") as caught:
            fn.Conv2d(given, 3)
        assert len(str(caught.value)) < 180


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: optim.SGD(True), TypeError, "SGD: lr must be a finite number, got True"),
        (lambda: optim.SGD(0.1, 0.9, nesterov=1), TypeError, "SGD: nesterov must be True or False, got 1"),
        (lambda: optim.StepDecay(()), TypeError, r"StepDecay: every must be a number or a sequence .* got \(\)"),
        (lambda: regularizers.L2(0.1, half=1), TypeError, "L2: half must be True or False, got 1"),
        (lambda: fn.Residual(fn.ReLU(), names="ab"), TypeError, "Residual: names must be a pair of str, got 'ab'"),
        (lambda: fn.Residual(fn.ReLU(), names=("a", 1)), TypeError, "Residual: names must be a pair of str"),
        (lambda: models.lenet5(classic="no"), TypeError, "lenet5: classic must be True or False, got 'no'"),
        (lambda: models.create("lenet5", 10, 28), TypeError, "model lenet5: input_shape must be a tuple like"),
        (lambda: models.create("lenet5", bogus=1), TypeError, "model lenet5 takes no option bogus"),
        (lambda: initializers.generator("0"), TypeError, "seed must be an integer, got '0'"),
        (lambda: initializers.generator(True), TypeError, "seed must be an integer, got True"),
        (lambda: initializers.generator(1.5), TypeError, "seed must be an integer, got 1.5"),
        (lambda: initializers.generator(-1), ValueError, "seed must be an integer between 0 and"),
        (lambda: fn.ReLU().forward(X, training="yes"), TypeError, "forward: training must be True or False"),
    ],
)
def test_wrong_calls(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_step_that_changes_nothing_says_so():
    model = fn.Sequential(fn.Flatten(), fn.Linear(2))
    model.build((3, 8, 8))
    for make in (optim.SGD, optim.Adam):
        with pytest.warns(UserWarning, match="step changes nothing: no parameter has a gradient: run backward first"):
            make(0.1).step(model.parameters())
        with pytest.warns(UserWarning, match="step changes nothing: no parameters were given"):
            make(0.1).step([])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.freeze()  # wanted: no warning
        optim.SGD(0.1).step(model.parameters())
        model.unfreeze()
        y, backward = model.forward(X, training=True)
        backward(y)
        optim.SGD(0.1).step(model.parameters())


def test_bounded_numbers():
    from fastnet.arguments import at_least_zero, positive

    assert positive(np.float32(0.5), "x") == 0.5 and at_least_zero(0, "x") == 0.0
    for check, value, words in ((positive, 0, "x must be > 0, got 0"), (at_least_zero, -1, "x must be >= 0, got -1")):
        with pytest.raises(ValueError, match=words):
            check(value, "x")
        with pytest.raises(TypeError, match="x must be a finite number, got True"):
            check(True, "x")
