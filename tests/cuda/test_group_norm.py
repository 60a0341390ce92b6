"""Group, layer, instance and response norm on the device: the tests of all backends, on the emulator."""

from __future__ import annotations

import cases
import numpy as np
import pytest
from backends import test_group_norm as norms
from backends import test_response_norm as responses
from cuda.devices import HostOps

from fastnet.backends import Ops

LARGE = ((3, 4099), (2, 5, 40, 30))  # in turn with the smaller ones
CASES = [case for case in norms.CASES if case[1] not in LARGE]
WIDE = [
    ("group_norm", (2, 600, 3), *norms.of_groups((2, 600, 3), 2)),  # groups of more channels than a block has threads
    ("layer_norm", (2, 700), *norms.of_layer((2, 700), 1)),
    ("group_norm", (1, 4, 40, 30), *norms.of_groups((1, 4, 40, 30), 2)),  # pixels of several blocks
]
NAMES = [f"{op} {shape} {gamma}" for op, shape, _, gamma, *_ in CASES + WIDE]


@pytest.fixture
def ops(device):
    return HostOps(device)


@pytest.mark.parametrize("case", CASES + WIDE, ids=NAMES)
def test_definition(ops, dtype, case):
    norms.test_definition(ops, dtype, case, False)


@pytest.mark.parametrize("case", CASES[::4] + WIDE, ids=NAMES[: len(CASES) : 4] + NAMES[len(CASES) :])
def test_endings_and_optional_arguments(ops, dtype, case):
    norms.test_definition(ops, dtype, case, True)
    norms.test_without_gamma_or_beta(ops, dtype, case, True, False)
    norms.test_without_gamma_or_beta(ops, dtype, case, False, True)
    norms.test_only_the_gradients_that_are_needed(ops, dtype, case)
    norms.test_constant_values_have_variance_zero(ops, dtype, case)


@pytest.mark.parametrize("case", CASES[::4], ids=NAMES[: len(CASES) : 4])
def test_extreme_values(ops, dtype, case):
    norms.test_float32_does_not_lose_the_moments(ops, case, 1e4, 1e-2)
    for bad in (np.nan, np.inf):
        norms.test_nan_and_infinity_stay_in_their_group(ops, dtype, case, bad)


@pytest.mark.parametrize("activation", [("gelu", {}), ("elu", {"alpha": 0.5})], ids=lambda given: given[0])
def test_other_activations(ops, dtype, activation):
    arrays = [cases.normal(shape, dtype, seed) for seed, shape in enumerate(((2, 6, 5), (2, 6, 5), (6,), (6,)))]
    x, dy, gamma, beta = arrays
    results = []
    for each in (ops, Ops()):
        y, saved = each.group_norm(x, gamma, beta, 2, activation=activation)
        results.append((y, *each.group_norm_backward(dy, saved)))
    for got, expected in zip(*results, strict=True):
        np.testing.assert_allclose(got, expected, 256 * norms.UNIT[dtype], 256 * norms.UNIT[dtype])


@pytest.mark.parametrize("shape", [(0, 4, 3, 3), (2, 0, 3, 3), (2, 4, 0, 3)], ids=str)
def test_empty_arrays(ops, dtype, shape):
    norms.test_empty_arrays(ops, dtype, shape)


@pytest.mark.parametrize("momentum", [0.1, 1.0])
def test_running_statistics_of_instance_norm(ops, dtype, momentum):
    norms.test_running_statistics_of_instance_norm(ops, dtype, momentum)


def test_sums_of_many_images(ops, dtype):
    norms.test_many_examples(ops, dtype, 300)


@pytest.mark.parametrize(
    "shape, numbers",
    [
        *((shape, numbers) for shape in responses.SHAPES[:4] for numbers in responses.NUMBERS[:4]),
        ((1, 300), responses.NUMBERS[0]),
        ((2, 64, 3, 2), responses.NUMBERS[4]),
    ],
    ids=str,
)
def test_response_norm(ops, dtype, shape, numbers):
    responses.test_definition(ops, dtype, shape, numbers)


def test_an_outlier_as_the_first_value_costs_no_precision(ops, dtype):
    case = ("group_norm", (2, 4, 200), *norms.of_groups((2, 4, 200), 2))
    x, dy, gamma, beta = norms.problem(case, dtype)
    x[:, ::2, 0] = 1e6
    got, wanted = norms.run(ops, case, x, dy, gamma, beta)[0], norms.expected(case, x, dy, gamma, beta)[0]
    np.testing.assert_array_less(abs(got - wanted), 16 * norms.UNIT[dtype] * (1 + abs(wanted)))


@pytest.mark.parametrize("op, given", [("group_norm", {"groups": 2}), ("layer_norm", {"normalized_shape": (4, 5)})])
def test_a_relu_has_no_gradient_at_zero(ops, dtype, op, given):
    x, zeros = cases.normal((3, 4, 5), dtype), np.zeros((4, 5) if op == "layer_norm" else 4, dtype)
    y, saved = getattr(ops, op)(x, zeros, zeros, **given, activation=norms.RELU)
    for gradient in (y, *getattr(ops, f"{op}_backward")(np.ones_like(x), saved)):
        assert not gradient.any()
