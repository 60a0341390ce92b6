"""PyTorch's layers against fastnet's of the same name and arguments, in float64: values, gradients, signatures."""

from __future__ import annotations

import inspect

import cases
import numpy as np
import pytest

import fastnet as fn

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore:Using padding=.same.:UserWarning")]

IMAGES = (2, 4, 6, 7)
PADS = [  # left, right, top, bottom
    *((name, IMAGES, (2,), {}) for name in ("ZeroPad2d", "ReflectionPad2d", "ReplicationPad2d", "CircularPad2d")),
    *((name, IMAGES, ((1, 0, 3, 2),), {}) for name in ("ZeroPad2d", "ReflectionPad2d", "ReplicationPad2d")),
    ("CircularPad2d", IMAGES, ((7, 0, 5, 6),), {}),
    ("ReplicationPad2d", IMAGES, ((17, 8, 9, 30),), {}),
    ("ZeroPad2d", IMAGES, ((-1, 3, -2, -3),), {}),
    ("ReflectionPad2d", IMAGES, ((-1, 3, 4, -3),), {}),
    ("ConstantPad2d", IMAGES, ((1, 0, 3, 2), -1.5), {}),
]
CONVS = [
    ("Conv2d", IMAGES, (4, 6, 3, 1, 1, 1, 1, True, "reflect"), {}),
    ("Conv2d", IMAGES, (4, 6, 3, 2, (2, 1), 1, 2, False, "replicate"), {}),
    ("Conv2d", IMAGES, (4, 6, 3), {"padding": "same", "dilation": (1, 2), "padding_mode": "circular"}),
]
TRANSPOSED = [
    ("ConvTranspose2d", IMAGES, (4, 6, 2, 2), {}),
    ("ConvTranspose2d", IMAGES, (4, 6, (3, 2), (2, 3), 1, (1, 2), 2, False), {}),
    ("ConvTranspose2d", IMAGES, (4, 8, 3, 1, (2, 1), 0, 4, True, (2, 3)), {}),
    ("ConvTranspose2d", (3, 17, 5, 4), (17, 3, 4, 2, 1), {}),
    ("ConvTranspose2d", (2, 64, 9, 8), (64, 32, 3, 1, 1), {}),
    ("ConvTranspose2d", (1, 1, 1, 1), (1, 1, 1), {"stride": 3, "output_padding": 2}),
    ("ConvTranspose2d", IMAGES, (4, 6, 3, 1, 0, 1, 1, True, 2), {}),  # as much output_padding as the dilation allows
    ("ConvTranspose2d", IMAGES, (4, 6, (2, 3), (2, 1), (3, 1), (3, 2), 2, True, (4, 3)), {}),
    ("ConvTranspose2d", IMAGES, (4, 6, (1, 3), (2, 1), 0, (4, 0), 2, False, (5, 1)), {}),
]
SIZES = [
    ("Upsample", IMAGES, (), {"scale_factor": 2}),
    ("Upsample", IMAGES, (), {"scale_factor": (3, 1.5)}),
    ("Upsample", IMAGES, (), {"scale_factor": 0.4}),
    ("Upsample", IMAGES, ((11, 3),), {}),
    ("Upsample", IMAGES, (None, 2, "bilinear"), {}),
    ("Upsample", IMAGES, (None, 2, "bilinear", True), {}),
    ("Upsample", IMAGES, (None, (1.7, 0.6), "bilinear", False), {}),
    ("Upsample", IMAGES, (None, (1.7, 0.6), "bilinear", True), {}),
    ("Upsample", IMAGES, (None, (1.7, 0.6), "bilinear", False, True), {}),
    ("Upsample", IMAGES, (), {"scale_factor": 2.3, "recompute_scale_factor": True}),
    ("Upsample", IMAGES, ((1, 13), None, "bilinear", True), {}),
    ("Upsample", (2, 3, 1, 5), (None, 3, "bilinear"), {}),
    *(("AdaptiveAvgPool2d", IMAGES, (size,), {}) for size in (1, 3, (6, 7), (9, 4), (None, 2))),
    *(("AdaptiveMaxPool2d", IMAGES, (size,), {}) for size in (1, 3, (6, 7), (9, 4), (None, 2))),
    ("PixelShuffle", IMAGES, (2,), {}),
    ("PixelShuffle", (2, 18, 3, 5), (3,), {}),
    ("PixelUnshuffle", (2, 3, 4, 6), (2,), {}),
]
SIGNALS = [
    ("Conv1d", (3, 4, 11), (4, 6, 3), {}),
    ("Conv1d", (3, 4, 11), (4, 6, 3, 2, 1, 2, 2, False), {}),
    ("Conv1d", (2, 17, 40), (17, 33, (5,), (3,), (2,)), {}),
    ("Conv1d", (2, 4, 9), (4, 5, 4), {"padding": "same"}),
    ("MaxPool1d", (3, 5, 11), (3, 2, 1), {"ceil_mode": True}),
    *(("Conv1d", (3, 4, 11), (4, 6, 3, 2, 2, 2, 2, True, mode), {}) for mode in ("reflect", "replicate", "circular")),
    ("Conv1d", (2, 4, 9), (4, 5, 4), {"padding": "same", "padding_mode": "reflect"}),
    ("Conv1d", (2, 17, 40), (17, 33, 5), {"padding": (3,), "padding_mode": "circular"}),
    ("ConvTranspose1d", (3, 4, 7), (4, 6, 3), {}),
    ("ConvTranspose1d", (3, 4, 7), (4, 6, 3, 2, 1, 1, 2, False, 3), {}),
    ("ConvTranspose1d", (2, 17, 9), (17, 33, (4,), (2,), (1,), (1,)), {}),
    ("ConvTranspose1d", (2, 4, 5), (4, 3, 2), {"stride": 2, "dilation": 5, "output_padding": 4}),
    ("MaxPool1d", (3, 5, 11), ((2,),), {}),
    ("MaxPool1d", (3, 5, 11), (3, 1, 1, 4), {}),
    ("MaxPool1d", (3, 17, 20), (3, (2,), 1, (2,), False, True), {}),
    ("MaxPool1d", (3, 5, 11), (2, ()), {}),
    ("AvgPool1d", (3, 5, 11), (2, (), 1), {}),
    ("AvgPool1d", (3, 5, 11), (3, 2, 1, True, False), {}),
    ("AvgPool1d", (3, 5, 11), ((4,), (1,)), {}),
    ("BatchNorm1d", (3, 5, 11), (5,), {}),
]
NORMS = [
    *(("LayerNorm", IMAGES, (shape,), {}) for shape in (7, (6, 7), (4, 6, 7))),
    ("LayerNorm", IMAGES, ((4, 6, 7), 1e-3, True, False), {}),
    ("LayerNorm", IMAGES, ((6, 7),), {"elementwise_affine": False}),
    ("LayerNorm", (5, 300), (300,), {}),
    ("LayerNorm", (3, 11, 64), (64,), {}),
    ("GroupNorm", IMAGES, (2, 4), {}),
    ("GroupNorm", IMAGES, (1, 4, 0.1), {}),
    ("GroupNorm", (3, 64, 9, 8), (8, 64), {}),
    ("GroupNorm", (3, 6, 11), (3, 6), {"affine": False}),
    ("GroupNorm", (5, 12), (4, 12), {}),
    ("InstanceNorm2d", IMAGES, (), {"num_features": 4}),
    ("InstanceNorm2d", IMAGES, (4, 0.1, 0.2, True, True), {}),
    ("InstanceNorm1d", (3, 5, 11), (5,), {"affine": True}),
    *(("LocalResponseNorm", IMAGES, (size,), {}) for size in (1, 2, 3, 7, 20)),
    ("LocalResponseNorm", (3, 40, 5), (5, 2.0, 0.6, 1.5), {}),
]
LAYERS = [  # name, shape of x, positional arguments, keywords
    ("ReLU6", IMAGES, (), {}),
    ("Hardsigmoid", IMAGES, (), {}),
    ("Hardswish", IMAGES, (), {}),
    ("SELU", IMAGES, (), {}),
    ("SiLU", IMAGES, (), {}),
    ("GELU", IMAGES, (), {}),
    ("GELU", IMAGES, ("tanh",), {}),
    ("ELU", IMAGES, (1.5,), {}),
    ("Softplus", IMAGES, (2.0, 3.0), {}),
    ("LeakyReLU", IMAGES, (-0.3,), {}),
    ("PReLU", IMAGES, (), {}),
    ("PReLU", IMAGES, (4, -0.5), {}),
    ("PReLU", (3, 5, 11), (5, 1.5), {}),
    ("PReLU", (7, 9), (9,), {}),
    ("Softmax", (3, 8), (1,), {}),
    ("Softmax", (3, 8), (), {"dim": -1}),
    ("Softmax", IMAGES, (1,), {}),
    ("LogSoftmax", (3, 8), (-1,), {}),
    ("LogSoftmax", IMAGES, (1,), {}),
    *PADS,
    *CONVS,
    ("MaxPool2d", IMAGES, (2, 1, 1, (3, 2), False, True), {}),
    ("Unflatten", (3, 24), (1, (2, 3, 4)), {}),
    ("Unflatten", (3, 24), (1, (-1, 8)), {}),
    *TRANSPOSED,
    *SIZES,
    *SIGNALS,
    *NORMS,
]


@pytest.fixture(autouse=True, params=fn.available_backends())
def backend(request):
    with fn.use_backend(request.param):
        yield request.param


def title(case):
    name, shape, args, given = case
    return f"{name}({', '.join([*map(str, args), *(f'{k}={v}' for k, v in given.items())])}) of {shape}"


@pytest.mark.parametrize("case", LAYERS, ids=title)
def test_values_and_gradients(case):
    """Parameters are copied under their names, which must be PyTorch's."""
    name, shape, args, given = case
    mine, theirs = getattr(fn, name)(*args, **given), getattr(torch.nn, name)(*args, **given).double()
    mine.build(shape[1:], seed=1, dtype="float64")
    mine.load_state_dict({key: value.detach().numpy() for key, value in theirs.state_dict().items()})
    x = 3 * cases.normal(shape, np.float64)
    given_x = torch.tensor(x, requires_grad=True)
    expected = theirs(given_x)
    dy = cases.normal(tuple(expected.shape), np.float64, 5)
    expected.backward(torch.from_numpy(dy))
    y, backward = mine.forward(x, training=True)
    dx = backward(dy)
    wanted = {name: parameter.grad for name, parameter in theirs.named_parameters()}
    got = {name: parameter.grad for name, parameter in mine.named_parameters()}
    assert set(got) == set(wanted)
    tolerance = 1e-7 if name == "Hardsigmoid" else 1e-11  # PyTorch's gradient takes 1/6 in float32
    for ours, other in ((y, expected), (dx, given_x.grad), *((got[key], wanted[key]) for key in wanted)):
        np.testing.assert_allclose(ours, other.detach().numpy(), rtol=tolerance, atol=tolerance)
    if name not in ("BatchNorm1d", "InstanceNorm2d"):
        np.testing.assert_allclose(mine(x), y, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("kind", ["InstanceNorm1d", "InstanceNorm2d"])
def test_running_statistics_of_instance_norm(kind):
    """Training moves them as PyTorch does; inference normalises with them."""
    shape = (3, 5, 6, 7)[: int(kind[-2]) + 2]
    mine, theirs = (
        getattr(fn, kind)(affine=True, track_running_stats=True),
        getattr(torch.nn, kind)(5, 1e-5, 0.1, True, True),
    )
    mine.build(shape[1:], dtype="float64")
    theirs.double()
    for seed in range(3):
        x = 3 * cases.normal(shape, np.float64, seed)
        np.testing.assert_allclose(mine.forward(x, training=True)[0], theirs(torch.from_numpy(x)).detach(), atol=1e-12)
    state = {name: value.numpy() for name, value in theirs.state_dict().items()}
    for name, value in mine.state_dict().items():
        np.testing.assert_allclose(value, state[name], rtol=1e-12)
    theirs.eval()
    np.testing.assert_allclose(mine(x), theirs(torch.from_numpy(x)).detach(), rtol=1e-11, atol=1e-12)
    other = getattr(fn, kind)(affine=True, track_running_stats=True)
    other.build(shape[1:], dtype="float64")
    other.load_state_dict(state)  # with num_batches_tracked
    np.testing.assert_allclose(other(x), mine(x), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("name", sorted({name for name, *_ in LAYERS}))
def test_positional_arguments(name):
    """PyTorch's arguments in its order, with its names and defaults; fastnet may have fewer."""
    mine, theirs = (
        [p for p in inspect.signature(kind).parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
        for kind in (getattr(fn, name), getattr(torch.nn, name))
    )
    assert [p.name for p in theirs[: len(mine)]] == [p.name for p in mine]
    for p, q in zip(mine, theirs, strict=False):
        left_out = ("num_features", "num_channels", "normalized_shape")
        assert p.default == q.default or p.name in left_out, p.name


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_sizes_that_round(mode, backend):
    """Positions follow PyTorch's rounding at sizes that do not divide each other, and for scales that are not exact."""
    for size in range(1, 40, 3):
        x = cases.normal((1, 1, size, size), np.float64)
        for other in range(1, 60, 7):
            expected = torch.nn.functional.interpolate(torch.from_numpy(x), other, mode=mode)
            np.testing.assert_allclose(fn.functional.interpolate(x, other, mode=mode)[0], expected, atol=1e-12)
        for scale in (0.3, 0.7, 1.1, 1.9, 2.6, 3.3):
            if int(size * scale):
                expected = torch.nn.functional.interpolate(torch.from_numpy(x), scale_factor=scale, mode=mode)
                got = fn.functional.interpolate(x, scale_factor=scale, mode=mode)[0]
                np.testing.assert_allclose(got, expected, atol=1e-12, err_msg=f"{size} {scale}")
