"""Plans for inference: they agree with the model."""

from __future__ import annotations

import numpy as np
import pytest
from isas import ISAS, kernels, needs_kernels, speed
from plan_nets import TOLERANCE, close, everything, images, trained

import fastnet as fn
from fastnet import backends, models


def grown(rng, depth=3):
    """A random tree of layers that keeps (C, 9, 7): places of values overlap in every order."""
    kind = rng.integers(8) if depth else rng.integers(5)
    if kind < 3:
        return [fn.Conv2d(int(rng.integers(1, 20)), 3, padding=1), fn.ReLU()][: int(rng.integers(1, 3))]
    if kind == 3:
        return [fn.BatchNorm2d(), fn.Tanh(), fn.Softmax(1)][int(rng.integers(3)) :]
    if kind == 4:
        return [fn.Identity(), fn.MaxPool2d(3, 1, padding=1)][int(rng.integers(2)) :]
    branches = [grown(rng, depth - 1) + grown(rng, depth - 1) for _ in range(int(rng.integers(1, 4)))]
    if kind == 5:
        return [fn.Concat(branches)]
    width = int(rng.integers(1, 12))
    ends = [fn.Conv2d(width, 1), [fn.Conv2d(width, 1), fn.BatchNorm2d()][: int(rng.integers(1, 3))]]
    sides = [[*branches[0], ends[int(rng.integers(2))]], [*branches[-1], ends[int(rng.integers(2))]]]
    return [fn.Residual(sides[0], sides[1] if sides[0][-1] is not sides[1][-1] else fn.Conv2d(width, 1)), fn.ReLU()]


# ---------------------------------------------------------------- equal to the model


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("algorithm", ["direct", "winograd", "auto"])
def test_everything_agrees_with_the_reference(dtype, isa, algorithm):
    model = everything(dtype)
    x = images(model, 5)
    with backends.use_backend("reference"):
        expected = everything("float64")(x.astype(np.float64)).astype(dtype)
    with kernels(isa, algorithm):
        for batch_size in (1, 2, 8):
            plan = model.compile(batch_size)
            for N in (5, 1):
                close(plan(x[:N]), expected[:N], TOLERANCE[dtype])
            assert plan(x[:0]).shape == (0, 7)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("isa", ISAS)
def test_activations_inside_and_outside_of_convolutions(dtype, isa):
    """Tiles, edges of tiles, depthwise and narrow convolutions, Winograd, groups, sums, norms, linear layers."""
    model = fn.Sequential(
        *(fn.PReLU(3), fn.Conv2d(20, 5, padding=2), fn.PReLU(20), fn.Conv2d(20, 3, padding=1), fn.GELU()),
        *(fn.Residual([fn.Conv2d(20, 3, padding=1), fn.PReLU()]), fn.SELU(), fn.BatchNorm2d(), fn.ELU(0.7)),
        *(fn.Residual([fn.Conv2d(20, 1), fn.BatchNorm2d()]), fn.PReLU(20), fn.Conv2d(24, 3, groups=4), fn.Softplus(2)),
        fn.Concat([[fn.Conv2d(3, 3, padding=1), fn.PReLU(3)], [fn.Conv2d(24, 1, groups=24), fn.GELU("tanh")]]),
        *(fn.Conv2d(27, 3, padding=1, groups=27), fn.PReLU(27), fn.BatchNorm2d(track_running_stats=False), fn.SiLU()),
        *(fn.Maxout(3), fn.Conv2d(1, 3), fn.Hardswish(), fn.Flatten(), fn.Linear(12), fn.Softplus(3, 1), fn.Maxout(2)),
        *(fn.Linear(7), fn.PReLU(7)),
    )
    model.build((3, 17, 15), 3, dtype)
    trained(model)
    x = images(model, 5)
    with backends.use_backend("reference"):
        expected = model(x)
    with kernels(isa):
        for batch_size in (1, 5):
            close(model.compile(batch_size)(x), expected, TOLERANCE[dtype])


@needs_kernels
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_signals(dtype):
    model = fn.Sequential(
        *(fn.Conv1d(20, 3, padding=1), fn.BatchNorm1d(), fn.ReLU(), fn.MaxPool1d(2), fn.Conv1d(17, 5, stride=2)),
        *(fn.Residual(fn.Conv1d(17, 3, padding="same")), fn.BatchNorm1d(), fn.Concat([fn.Identity(), fn.AvgPool1d(1)])),
        *(fn.Conv1d(12, 3, padding=2, padding_mode="reflect"), fn.MaxPool1d(2, 1, dilation=3)),
        *(fn.ConvTranspose1d(5, 3, stride=2, output_padding=1), fn.ReLU()),
        *(fn.Flatten(), fn.Linear(24), fn.Unflatten(1, (4, 6)), fn.Conv1d(9, 3)),
    )
    model.build((3, 41), 1, dtype)
    model = trained(model)
    x = images(model, 5)
    close(model.compile(2)(x), model(x), TOLERANCE[dtype])
    features = fn.Sequential(*list(model)[:5])
    features.build((3, 41), 1, dtype)
    close(features.compile(2)(x), features(x), TOLERANCE[dtype])


# Also in float64: one of each family, the smallest.
DOUBLE = ["alexnet_2012", "efficientnet_lite0", "fixup_resnet20", "googlenet", "lenet5", "mobilenet_v2", "resnet18"]
DOUBLE += ["resnet20", "squeezenet1_1", "vgg11_bn"]


@needs_kernels
@pytest.mark.parametrize(
    "name, dtype", [(name, "float32") for name in models.names()] + [(name, "float64") for name in DOUBLE]
)
def test_every_model(name, dtype):
    model = trained(models.create(name, 7, (1, 28, 28) if name == "lenet5" else (3, 32, 32), dtype=dtype))
    deep = name in ("efficientnet_lite0", "mobilenet_v2")  # 49 and 52 convolutions, each rounded differently
    tolerance = TOLERANCE[dtype] * (8 if deep else 1)
    x = images(model, 3)
    with kernels(algorithm="auto"):
        expected = model(x)
        for batch_size in (1, 64):
            close(model.compile(batch_size)(x), expected, tolerance)


@needs_kernels
@pytest.mark.parametrize("name", ["alexnet", "googlenet", "resnet50", "squeezenet1_1"])
def test_large_images_at_odd_sizes(name):
    model = trained(models.create(name, 7, (3, 71, 99)))
    x = images(model, 2)
    close(model.compile(2)(x), model(x), TOLERANCE["float32"])


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("channels, filters", [(8, 8), (61, 37), (259, 277)])
@pytest.mark.parametrize("size", [(2, 2), (4, 4), (3, 4), (6, 8)])
def test_no_bit_depends_on_the_batch_size(isa, channels, filters, size, dtype, threads):
    """Few images: 1 to 4 tiles of Winograd each; 259 channels are enough to transform the filters again."""
    model = fn.Sequential(fn.Conv2d(filters, 3, padding=1), fn.PReLU(filters), fn.Conv2d(9, 3, padding=1))
    model.build((channels, *size), 0, dtype)
    x = images(trained(model), 7)
    with backends.use_backend("reference"):
        expected = model(x)
    with kernels(isa, "auto"):
        usual = model.compile(128)(x)
        close(usual, expected, TOLERANCE[dtype.name])
        for batch_size in (1, 2, 5):
            plan = model.compile(batch_size)
            threads(batch_size)
            for first in range(7):
                assert plan(x[first : first + 2]).tobytes() == usual[first : first + 2].tobytes()
            assert plan(x).tobytes() == usual.tobytes()


@needs_kernels
@pytest.mark.parametrize("seed", range(40))
def test_random_trees(seed):
    rng = np.random.default_rng(seed)
    model = fn.Sequential(*(layer for _ in range(4) for layer in grown(rng)))
    model.build((2, 9, 7), seed, "float64")
    x = images(trained(model), 3)
    with kernels():
        close(model.compile(2)(x), model(x), 1e-10)


def test_the_reference_replays():
    with backends.use_backend("reference"):
        model = everything()
        x = images(model, 3)
        expected, plan = model(x), model.compile(2)
        close(plan(x), expected, 1e-13)
        for parameter in model.parameters() + model.buffers():
            parameter.value[...] = 0.5
        close(plan(x), expected, 1e-13)


@needs_kernels
@pytest.mark.parametrize("layer", [fn.Identity(), fn.Dropout(0.5), fn.Flatten(), fn.ReLU(), fn.GlobalAvgPool2d()])
def test_networks_of_one_layer(layer):
    model = fn.Sequential(layer)
    model.build((3, 5, 4))
    x = images(model, 2)
    with kernels():
        y = model.compile()(x)
        np.testing.assert_array_equal(y, model(x))
    assert not np.shares_memory(x, y)


@needs_kernels
def test_batch_norm_with_the_batch_s_own_statistics():
    """Such a batch must not be split, whatever batch_size says."""
    own = fn.BatchNorm2d(track_running_stats=False)
    model = fn.Sequential(fn.Conv2d(6, 3), own, fn.ReLU(), fn.Flatten(), fn.BatchNorm1d(track_running_stats=False))
    model.build((3, 7, 7), dtype="float64")
    x = images(trained(model), 6)
    with kernels(), speed(plan_least=1, plan_bytes=1):
        close(model.compile(2)(x), model(x), 1e-12)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("algorithm", ["direct", "winograd"])
@pytest.mark.parametrize("channels, filters", [(1, 6), (3, 35), (20, 20), (9, 3)])
@pytest.mark.parametrize("size", [(29, 23), (12, 30), (7, 45)])
def test_pooling_inside_convolutions(isa, algorithm, channels, filters, size, dtype):
    """The maximum of each 2x2 outputs, bit-identical to the unfused layers."""
    relu, pool = fn.ReLU(), fn.MaxPool2d(2)
    for after in ([pool], [relu, pool], [pool, relu]):
        model = fn.Sequential(fn.Conv2d(filters, 3, padding=1), *after)
        model.build((channels, *size), 0, dtype)
        x = images(trained(model), 3)
        with kernels(isa, algorithm):
            plan = model.compile(3)
            assert [step.kind for step in plan._run.steps] == ["conv"]
            np.testing.assert_array_equal(plan(x), model(x))


@needs_kernels
@pytest.mark.parametrize(
    "pool", [fn.MaxPool2d(2, 1), fn.MaxPool2d(3), fn.MaxPool2d(2, padding=1), fn.MaxPool2d(2, dilation=2)]
)
def test_other_pooling_stands_alone(pool):
    model = fn.Sequential(fn.Conv2d(5, 3), fn.ReLU(), pool)
    model.build((4, 11, 13))
    x = images(trained(model), 2)
    with kernels():
        plan = model.compile()
        assert [step.kind for step in plan._run.steps] == ["conv", "max_pool"]
        np.testing.assert_array_equal(plan(x), model(x))


@needs_kernels
def test_ceil_mode_is_pooled_inside_only_where_it_adds_nothing():
    for size, steps in ((12, 1), (11, 2)):
        model = fn.Sequential(fn.Conv2d(5, 3, padding=1), fn.MaxPool2d(2, ceil_mode=True))
        model.build((4, size, size))
        x = images(trained(model), 2)
        with kernels():
            plan = model.compile()
            assert len(plan._run.steps) == steps
            np.testing.assert_array_equal(plan(x), model(x))
