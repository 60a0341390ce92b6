"""Plans compute what the model computes: every layer and model, any batch, thread count and instruction set."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from isas import ISAS, kernels

import fastnet as fn
from fastnet import backends, models

needs_kernels = pytest.mark.skipif(backends.NativeOps is None, reason="there are no native kernels")
TOLERANCE = {"float32": 2e-5, "float64": 1e-12}


def trained(model, seed=0):
    """Weights and statistics as after training, so that each affects the result."""
    rng = np.random.default_rng(seed)
    state = model.state_dict()
    for name, array in state.items():
        if "running_var" in name:
            array[...] = rng.uniform(0.5, 1.5, array.shape)
        else:
            array += rng.normal(0, 0.1, array.shape)
    model.load_state_dict(state)
    return model


def images(model, N, seed=1):
    return np.random.default_rng(seed).normal(size=(N, *model.input_shape)).astype(model.dtype)


def close(got, expected, tolerance):
    assert got.shape == expected.shape and got.dtype == expected.dtype
    assert expected.std() > 0, "a test that sees constants sees nothing"
    np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance * np.abs(expected).max())


def everything(dtype="float64", seed=3):
    """Every layer, and every way in which steps are fused, at odd sizes."""
    same = fn.Conv2d(20, 3, padding=1)  # at two places
    model = fn.Sequential(
        *(fn.BatchNorm2d(), fn.Conv2d(20, 5, padding=2), fn.BatchNorm2d(affine=False), fn.ReLU()),
        *(fn.Residual([fn.Conv2d(20, 3, padding=1, bias=False), fn.BatchNorm2d()]), fn.ReLU()),
        *(fn.GroupNorm(5), fn.ReLU(), fn.LayerNorm(), fn.InstanceNorm2d(affine=True), fn.LocalResponseNorm(5, 2.0)),
        *(fn.InstanceNorm2d(track_running_stats=True), fn.ReLU(), fn.LayerNorm(23, bias=False)),
        *(fn.Residual(same), fn.LeakyReLU(0.1), fn.Residual([same, fn.Tanh()], fn.Identity())),
        fn.Concat(
            [
                [fn.Conv2d(17, 3, padding="same"), fn.ReLU()],
                fn.Concat([fn.Identity(), fn.Conv2d(5, 1), [fn.MaxPool2d(3, 1, padding=1), fn.ReLU()]]),
                fn.Identity(),
            ]
        ),
        *(fn.Conv2d(20, 3, padding=1, padding_mode="reflect"), fn.ConstantPad2d((1, 0, 2, 0), 0.5)),
        *(fn.AdaptiveMaxPool2d((30, 22)), fn.ConvTranspose2d(20, 2, output_padding=(1, 2), dilation=3)),
        *(fn.Flatten(), fn.Unflatten(1, (20, -1, 27)), fn.AdaptiveMaxPool2d((31, 24))),
        *(fn.ConvTranspose2d(20, 3, stride=2, padding=1, output_padding=1), fn.AvgPool2d(2)),
        *(fn.Upsample(scale_factor=2, mode="bilinear"), fn.AdaptiveAvgPool2d((11, 13)), fn.Upsample((21, 17))),
        *(
            fn.Conv2d(32, 1),
            fn.PixelShuffle(2),
            fn.PixelUnshuffle(2),
            fn.PixelShuffle(2),
            fn.AdaptiveMaxPool2d((21, 17)),
        ),
        *(fn.ConvTranspose2d(20, 3, padding=1, groups=4, bias=False), fn.ReLU()),
        *(fn.ZeroPad2d((0, -1, -2, 0)), fn.Conv2d(24, 3, stride=2, padding=1, groups=2), fn.Sigmoid(), fn.Dropout(0.5)),
        fn.Residual(
            [fn.Conv2d(32, 3, stride=2, padding=(0, 2, 2, 0), bias=False), fn.BatchNorm2d()], fn.Subsample(2, 32)
        ),
        fn.Residual([fn.ReLU(), fn.Conv2d(40, 1)], [fn.Conv2d(40, 1), fn.BatchNorm2d()]),
        *(
            fn.Conv2d(40, 3, padding=2, dilation=2, groups="depthwise"),
            fn.ReLU(),
            fn.AvgPool2d(2, ceil_mode=True, divisor_override=3),
        ),
        *(fn.MaxPool2d(2), fn.Flatten(), fn.Linear(33, bias=False), fn.BatchNorm1d(), fn.ReLU()),
        fn.Concat([fn.Linear(4), [fn.Linear(3), fn.ReLU()], fn.Identity()]),
        *(fn.Residual(fn.Linear(40)), fn.BatchNorm1d(), fn.ReLU(), fn.Linear(7), fn.LogSoftmax(1)),
    )
    model.build((3, 29, 23), seed, dtype)
    return trained(model)


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
    with kernels():
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


# ---------------------------------------------------------------- the same bits


@needs_kernels
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bits_do_not_depend_on_threads_instruction_sets_or_company(dtype, threads):
    model = everything(dtype)
    x, found = images(model, 7), []
    for isa in [isa for isa in ISAS if isa != "portable"]:
        with kernels(isa, "auto"):
            for count in (1, 2, 3, 7):
                threads(count)
                plan = model.compile(4)
                found += [plan(x), np.concatenate([plan(x[:2]), plan(x[2:3]), plan(x[3:])])]
            threads(1)
            found.append(plan(x))  # made for 7 threads
    for other in found[1:]:
        np.testing.assert_array_equal(found[0], other)


@needs_kernels
@pytest.mark.parametrize("count", [1, 4])
def test_what_is_left_of_many_images_has_room(threads, count):
    """Fewer images may take another path through Winograd, which needs more scratch than before."""
    model = fn.Sequential(fn.Conv2d(64, 3, padding=1), fn.ReLU(), fn.Conv2d(64, 3, padding=1))
    model.build((64, 8, 8))
    with kernels(algorithm="auto"):  # and inaccessible pages beside the scratch
        threads(count)
        plan, x = model.compile(64), images(model, 80)
        np.testing.assert_array_equal(plan(x), np.concatenate([plan(x[:64]), plan(x[64:])]))


@needs_kernels
def test_two_python_threads_and_one_plan():
    model = trained(models.resnet20())
    plan, pieces = model.compile(4), [images(model, 3, seed) for seed in range(24)]
    expected = [plan(x) for x in pieces]
    with ThreadPoolExecutor(4) as pool:
        for got, wanted in zip(pool.map(plan, pieces), expected, strict=True):
            np.testing.assert_array_equal(got, wanted)


@needs_kernels
@pytest.mark.parametrize("algorithm", ["direct", "auto"])
def test_predict_runs_a_plan_that_does_not_depend_on_the_batch_size(algorithm):
    model = everything("float32")
    x, labels = images(model, 9), np.arange(9) % 7
    with kernels(algorithm=algorithm):
        expected = model.compile(9)(x)
        close(model(x), expected, TOLERANCE["float32"])
        for batch_size in (1, 2, 4, 100):
            np.testing.assert_array_equal(model.predict(x, batch_size), expected)
            loss = np.float64(np.exp(expected - expected.max(1, keepdims=True)))
            loss = -np.log(loss[np.arange(9), labels] / loss.sum(1)).mean()
            found = model.evaluate(x, labels, batch_size)
            assert found.accuracy == (expected.argmax(1) == labels).mean() and found.loss == pytest.approx(loss, 1e-5)


def test_predict_under_trace_shows_every_layer():
    model = everything()
    seen = []
    with fn.layers.trace(lambda name, phase, array: seen.append((name, array.shape[0]))):
        model.predict(images(model, 2))
    assert len(seen) > 40 and {count for _, count in seen} == {2}


# ---------------------------------------------------------------- what a plan is


@needs_kernels
def test_a_plan_is_a_snapshot():
    model = everything()
    x = images(model, 2)
    plan = model.compile()
    before = plan(x)
    for parameter in model.parameters() + model.buffers():
        parameter.value[...] = 0.5
    np.testing.assert_array_equal(plan(x), before)
    assert np.abs(model.compile()(x) - before).max() > 0


@needs_kernels
def test_any_memory_order_and_dtype():
    model = trained(models.lenet5(input_shape=(3, 28, 28)))
    x = images(model, 4)
    plan = model.compile()
    expected = plan(x)
    for other in (np.asfortranarray(x), x.astype(np.float64), x.astype(">f4"), x[::-1].copy()[::-1]):
        np.testing.assert_array_equal(plan(other), expected)


@needs_kernels
def test_places_are_used_again():
    """A residual block needs the block's input and one value more."""
    model = models.resnet20()
    assert model.compile()._run.arena == 2 * 16 * 32 * 32 * 4
    kinds = [step.kind for step in model.compile()._run.steps]
    assert sorted(set(kinds)) == ["avg_pool", "conv", "subsample"] and kinds.count("conv") == 20


@needs_kernels
def test_another_size_of_image():
    model = trained(models.resnet18(5, (3, 32, 32)))
    x = np.random.default_rng(0).normal(size=(2, 3, 41, 37)).astype(np.float32)
    plan = model.compile(2, (3, 41, 37))
    close(plan(x), model(x), TOLERANCE["float32"])
    assert plan.input_shape == (3, 41, 37) and plan.output_shape == (5,)
    assert repr(plan) == "Plan((3, 41, 37) -> (5,), float32, batch_size=2)"


def test_errors():
    model = fn.Sequential(fn.Flatten(), fn.Linear(3))
    with pytest.raises(RuntimeError, match="is not built"):
        model.compile()
    model.build((1, 4, 4))
    for wrong in (0, 2.0, True, 2**61):
        with pytest.raises((TypeError, ValueError), match="batch_size must be an integer"):
            model.compile(wrong)
    with pytest.raises(ValueError, match=r"linear: x must be \(N, in\) and weight \(out, in\)"):
        model.compile(1, (1, 5, 5))
    plan = model.compile()
    with pytest.raises(ValueError, match=r"plan: x must have shape \(N, 1, 4, 4\), got \(2, 4, 4\)"):
        plan(np.zeros((2, 4, 4), np.float32))
    with pytest.raises(TypeError, match="real numbers"):
        plan(np.zeros((2, 1, 4, 4), complex))


def test_a_layer_that_reads_the_batch_size_is_refused():
    class Folded(fn.Layer):
        def call(self, x, training, ops):
            return ops.pad(x, (0, 0, 0, 0), value=float(x.shape[0]))

    model = fn.Sequential(fn.ReLU(), Folded())
    model.build((2, 3, 3))
    x = images(model, 5)
    with pytest.raises(TypeError, match="a layer calls pad with an argument that depends on the batch"):
        model.compile()
    np.testing.assert_array_equal(model.predict(x), np.maximum(x, 0))


@pytest.mark.parametrize("compute", [lambda x: x * 2, lambda x: x.mean(), lambda x: np.exp(x), lambda x: x[:, :1], abs])
def test_layers_that_compute_by_themselves_are_refused(compute):
    class Own(fn.Layer):
        def run(self, x, training, ops):
            return compute(x), None

    model = fn.Sequential(fn.ReLU(), Own())
    model.build((1, 4, 4))
    with pytest.raises(TypeError, match=r"compile: a layer uses .* of a symbolic array, \(N, \*\(1, 4, 4\)\)"):
        model.compile()
    x = images(model, 3)
    np.testing.assert_array_equal(model.predict(x), model(x))  # predict does without


def test_layers_of_one_s_own_that_call_ops_are_compiled():
    class Swish(fn.Layer):
        def run(self, x, training, ops):
            return ops.add(ops.sigmoid(x)[0], x), None

    model = fn.Sequential(fn.Conv2d(4, 3), Swish(), Swish())
    model.build((2, 6, 6), dtype="float64")
    x = images(model, 3)
    close(model.compile()(x), model(x), 1e-14)
