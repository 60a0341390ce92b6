"""The course's layers: published results, numerical gradients, the interface's quirks."""

from __future__ import annotations

import numpy as np
import oracle
import pytest
from gradients import check_gradients

from fastnet.compat.cs231n import get_year, layers, set_year
from fastnet.compat.cs231n.gradient_check import eval_numerical_gradient

RNG = np.random.default_rng(231)
normal = RNG.standard_normal


def rel_error(x, y):
    return np.max(np.abs(x - y) / np.maximum(1e-8, np.abs(x) + np.abs(y)))


def check_layer(forward, backward, arrays):
    """The gradients of ``forward(*arrays) -> (out, cache)`` against central differences."""
    out, cache = forward(*arrays)
    dout = normal(out.shape)
    gradients = backward(dout, cache)
    gradients = gradients if isinstance(gradients, tuple) else (gradients,)
    check_gradients(lambda *arrays: forward(*arrays)[0], arrays, gradients, dout)


@pytest.fixture
def year():
    before = get_year()
    yield set_year
    set_year(before)


# ---------------------------------------------------------------- affine, ReLU


def test_affine_gives_the_published_numbers():
    x, w = np.linspace(-0.1, 0.5, 240).reshape(2, 4, 5, 6), np.linspace(-0.2, 0.3, 360).reshape(120, 3)
    out, cache = layers.affine_forward(x, w, np.linspace(-0.3, 0.1, 3))
    published = [[1.49834967, 1.70660132, 1.91485297], [3.25553199, 3.5141327, 3.77273342]]
    assert rel_error(out, np.array(published)) < 1e-8
    assert cache[0] is x and cache[1] is w


def test_affine_gradients():
    check_layer(layers.affine_forward, layers.affine_backward, [normal((10, 2, 3)), normal((6, 5)), normal(5)])


def test_relu():
    x = np.array([[-1.0, 0.0, 2.0]])
    out, cache = layers.relu_forward(x)
    assert out.tolist() == [[0, 0, 2]] and cache is x
    assert layers.relu_backward(np.full((1, 3), 5.0), cache).tolist() == [[0, 0, 5]]


# ---------------------------------------------------------------- losses


@pytest.mark.parametrize("loss", [layers.svm_loss, layers.softmax_loss])
def test_losses_have_their_gradients(loss):
    x, y = 0.01 * normal((20, 10)), RNG.integers(10, size=20)
    value, dx = loss(x, y)
    assert abs(value - {layers.svm_loss: 9, layers.softmax_loss: np.log(10)}[loss]) < 0.1
    assert rel_error(dx, eval_numerical_gradient(lambda x: loss(x, y)[0], x, verbose=False)) < 1e-6


def test_losses_agree_with_their_definitions():
    x, y = normal((5, 4)), RNG.integers(4, size=5)
    hinge = [sum(max(0, x[i, j] - x[i, y[i]] + 1) for j in range(4) if j != y[i]) for i in range(5)]
    entropy = [-np.log(np.exp(x[i, y[i]]) / np.exp(x[i]).sum()) for i in range(5)]
    assert np.isclose(layers.svm_loss(x, y)[0], np.mean(hinge), rtol=1e-14)
    assert np.isclose(layers.softmax_loss(x, y)[0], np.mean(entropy), rtol=1e-14)
    loss, dx = layers.softmax_loss(1e5 * x, y)
    assert np.isfinite(loss) and np.isfinite(dx).all()


# ---------------------------------------------------------------- convolution, pooling


def test_naive_convolution_prints_the_published_error():
    """The notebook's reference values have 8 digits: an exact result differs from them by exactly this much."""
    x, w = np.linspace(-0.1, 0.5, 96).reshape(2, 3, 4, 4), np.linspace(-0.2, 0.3, 144).reshape(3, 3, 4, 4)
    out, _ = layers.conv_forward_naive(x, w, np.linspace(-0.1, 0.2, 3), {"stride": 2, "pad": 1})
    published = [
        [
            [[-0.08759809, -0.10987781], [-0.18387192, -0.2109216]],
            [[0.21027089, 0.21661097], [0.22847626, 0.23004637]],
            [[0.50813986, 0.54309974], [0.64082444, 0.67101435]],
        ],
        [
            [[-0.98053589, -1.03143541], [-1.19128892, -1.24695841]],
            [[0.69108355, 0.66880383], [0.59480972, 0.56776003]],
            [[2.36270298, 2.36904306], [2.38090835, 2.38247847]],
        ],
    ]
    assert f"{rel_error(out, np.array(published)):.7e}" == "2.2121476e-08"


def test_naive_pooling_prints_the_published_error():
    x = np.linspace(-0.3, 0.4, 96).reshape(2, 3, 4, 4)
    out, _ = layers.max_pool_forward_naive(x, {"pool_width": 2, "pool_height": 2, "stride": 2})
    assert f"{rel_error(out, np.round(out, 8)):.6e}" == "4.166667e-08"
    assert np.array_equal(out, x.reshape(2, 3, 2, 2, 2, 2).max(axis=(3, 5)))


@pytest.mark.parametrize("stride, pad, size", [(1, 1, (5, 5)), (2, 1, (8, 6)), (3, 0, (7, 4)), (2, 2, (4, 5))])
def test_naive_convolution_against_the_oracle(stride, pad, size):
    x, w, b = normal((2, 3, *size)), normal((2, 3, 3, 2)), normal(2)
    conv_param = {"stride": stride, "pad": pad}
    out, cache = layers.conv_forward_naive(x, w, b, conv_param)
    assert all(kept is given for kept, given in zip(cache, (x, w, b, conv_param), strict=True))
    geometry = (stride, stride), (pad, pad, pad, pad)
    np.testing.assert_allclose(out, oracle.conv2d(x, w, b, *geometry), rtol=1e-12, atol=1e-12)
    dout = normal(out.shape)
    expected = oracle.conv2d_backward(dout, x, w, *geometry)
    for got, wanted in zip(layers.conv_backward_naive(dout, cache), expected, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-12)
    check_layer(
        lambda x, w, b: layers.conv_forward_naive(x, w, b, conv_param),
        layers.conv_backward_naive,
        [x, w, b],
    )


def test_dtypes_are_promoted_and_integer_biases_taken():
    x, w = normal((1, 3, 4, 4)), normal((2, 3, 3, 3)).astype(np.float32)
    conv_param = {"stride": 1, "pad": 1}
    out, cache = layers.conv_forward_naive(x, w, np.array([0, 128]), conv_param)
    assert out.dtype == np.float64 and out[0, 1].mean() > 100
    assert all(g.dtype == np.float64 for g in layers.conv_backward_naive(out, cache))
    small = x.astype(np.float32)
    out, cache = layers.conv_forward_naive(small, w, np.zeros(2, np.float32), conv_param)
    assert out.dtype == np.float32 and all(g.dtype == np.float32 for g in layers.conv_backward_naive(out, cache))


def test_pooling_takes_the_first_of_equals_and_windows_of_any_shape():
    x = np.zeros((1, 1, 2, 2))
    out, cache = layers.max_pool_forward_naive(x, {"pool_height": 2, "pool_width": 2, "stride": 2})
    assert layers.max_pool_backward_naive(np.ones((1, 1, 1, 1)), cache)[0, 0].tolist() == [[1, 0], [0, 0]]
    pool_param = {"pool_height": 3, "pool_width": 2, "stride": 2}  # overlaps, and does not tile
    x = normal((2, 2, 8, 5))
    check_layer(lambda x: layers.max_pool_forward_naive(x, pool_param), layers.max_pool_backward_naive, [x])


@pytest.mark.parametrize(
    "arguments, message",
    [
        (((1, 2, 4, 4), (1, 3, 3, 3), (1,), {"stride": 1, "pad": 0}), "weight expects 3 input channels, x has 2"),
        (((1, 3, 4, 4), (2, 3, 3, 3), (1,), {"stride": 1, "pad": 0}), "bias must have shape"),
        (((1, 3, 2, 2), (1, 3, 3, 3), (1,), {"stride": 1, "pad": 0}), "kernel 3x3"),
        (((1, 3, 4, 4), (1, 3, 3, 3), (1,), {"stride": 0, "pad": 0}), "stride"),
    ],
)
def test_naive_convolution_refuses_mismatches(arguments, message):
    x, w, b, conv_param = arguments
    with pytest.raises(ValueError, match=message):
        layers.conv_forward_naive(np.zeros(x), np.zeros(w), np.zeros(b), conv_param)
    with pytest.raises(KeyError):
        layers.conv_forward_naive(np.zeros((1, 3, 4, 4)), np.zeros((1, 3, 3, 3)), np.zeros(1), {"stride": 1})


# ---------------------------------------------------------------- batch normalisation


def test_batchnorm_normalises_and_keeps_running_moments_of_the_old_value():
    x = 3 + 2 * normal((50, 4))
    bn_param = {"mode": "train", "momentum": 0.8}
    out, _ = layers.batchnorm_forward(x, np.ones(4), np.zeros(4), bn_param)
    np.testing.assert_allclose(out.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(out.std(axis=0), 1, atol=1e-5)
    np.testing.assert_allclose(bn_param["running_mean"], 0.2 * x.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(bn_param["running_var"], 0.2 * x.var(axis=0), rtol=1e-12)  # biased
    layers.batchnorm_forward(x, np.ones(4), np.zeros(4), bn_param)
    np.testing.assert_allclose(bn_param["running_mean"], 0.36 * x.mean(axis=0), rtol=1e-12)


def test_batchnorm_in_test_mode_uses_the_running_moments_and_writes_them_back():
    x = normal((6, 3)).astype(np.float32)
    bn_param = {"mode": "test"}
    out, _ = layers.batchnorm_forward(x, np.ones(3), np.zeros(3), bn_param)
    assert bn_param["running_mean"].dtype == np.float32 and not bn_param["running_mean"].any()
    np.testing.assert_allclose(out, x / np.sqrt(1e-5), rtol=1e-5)
    bn_param.update(running_mean=np.ones(3), running_var=np.full(3, 4.0), eps=0.0)
    out, _ = layers.batchnorm_forward(x, np.array([3, 4, 5]), np.array([6, 7, 8]), bn_param)
    np.testing.assert_allclose(out, (x - 1.0) / 2 * [3, 4, 5] + [6, 7, 8], rtol=1e-6)
    assert bn_param["running_mean"].tolist() == [1, 1, 1]


def test_batchnorm_refuses_other_modes_in_the_courses_words():
    for bn_param, mode in (({"mode": "eval"}, "eval"), ({}, "None")):
        with pytest.raises(ValueError, match=f'^Invalid forward batchnorm mode "{mode}"$'):
            layers.batchnorm_forward(np.ones((2, 2)), np.ones(2), np.zeros(2), bn_param)


@pytest.mark.parametrize("backward", [layers.batchnorm_backward, layers.batchnorm_backward_alt])
def test_batchnorm_gradients(backward):
    arrays = [5 * normal((4, 5)) + 12, normal(5), normal(5)]
    check_layer(lambda x, g, b: layers.batchnorm_forward(x, g, b, {"mode": "train"}), backward, arrays)


def test_both_backwards_take_one_cache_and_agree():
    out, cache = layers.batchnorm_forward(normal((100, 50)), normal(50), normal(50), {"mode": "train", "eps": 1e-3})
    dout = normal(out.shape)
    for one, other in zip(
        layers.batchnorm_backward(dout, cache), layers.batchnorm_backward_alt(dout, cache), strict=True
    ):
        assert rel_error(one, other) < 1e-7


def test_spatial_batchnorm():
    x, gamma, beta = 4 * normal((2, 3, 4, 5)) + 10, np.asarray([3, 4, 5]), np.asarray([6, 7, 8])
    out, _ = layers.spatial_batchnorm_forward(x, gamma, beta, {"mode": "train"})
    np.testing.assert_allclose(out.mean(axis=(0, 2, 3)), beta, rtol=1e-12)
    np.testing.assert_allclose(out.std(axis=(0, 2, 3)), gamma, rtol=1e-5)
    arrays = [x, normal(3), normal(3)]
    check_layer(
        lambda x, g, b: layers.spatial_batchnorm_forward(x, g, b, {"mode": "train"}),
        layers.spatial_batchnorm_backward,
        arrays,
    )


# ---------------------------------------------------------------- layer and group normalisation


def test_layernorm():
    x, gamma, beta = normal((4, 6)), np.full(6, 3), np.full(6, 5)
    out, _ = layers.layernorm_forward(x, gamma, beta, {"mode": "train"})
    np.testing.assert_allclose(out.mean(axis=1), 5, rtol=1e-12)
    np.testing.assert_allclose(out.std(axis=1), 3, rtol=1e-4)
    arrays = [x, normal(6), normal(6)]
    check_layer(lambda x, g, b: layers.layernorm_forward(x, g, b, {"eps": 1e-3}), layers.layernorm_backward, arrays)


@pytest.mark.parametrize("shape", [(1, 6, 1, 1), (6,)])
@pytest.mark.parametrize("G", [1, 2, 6])
def test_groupnorm(shape, G):
    x = 3 * normal((2, 6, 4, 5)) + 2
    out, _ = layers.spatial_groupnorm_forward(x, np.ones(shape), np.zeros(shape), G, {})
    groups = out.reshape(2, G, -1)
    np.testing.assert_allclose(groups.mean(axis=2), 0, atol=1e-12)
    np.testing.assert_allclose(groups.std(axis=2), 1, atol=1e-5)
    arrays = [x, normal(shape), normal(shape)]
    check_layer(
        lambda x, g, b: layers.spatial_groupnorm_forward(x, g, b, G, {"eps": 1e-4}),
        layers.spatial_groupnorm_backward,
        arrays,
    )


def test_layer_and_group_norm_promote_as_numpy_does():
    """And a change of x after the forward pass does not change the gradients; eps may be 0."""
    x = normal((3, 6, 2, 2))
    for forward, backward, given, more in (
        (layers.layernorm_forward, layers.layernorm_backward, x[:, :, 0, 0], ()),
        (layers.spatial_groupnorm_forward, layers.spatial_groupnorm_backward, x, (2,)),
    ):
        for dtype, gamma, expected in (
            (np.float32, np.float64, np.float64),
            (np.float32, np.float32, np.float32),
            (np.float32, np.int64, np.float64),
        ):
            array, scale = given.astype(dtype), np.full(6, 2, gamma)
            out, cache = forward(array, scale, scale, *more, {"eps": 0})
            kept = backward(out, cache)
            assert out.dtype == kept[0].dtype == expected
            assert out.flags.c_contiguous and kept[0].flags.c_contiguous
            array[...] = 0
            for one, other in zip(kept, backward(out, cache), strict=True):
                np.testing.assert_array_equal(one, other)


def test_groups_must_divide_the_channels():
    with pytest.raises(ValueError, match="G must divide the 6 channels of x, got 4"):
        layers.spatial_groupnorm_forward(normal((1, 6, 2, 2)), np.ones(6), np.zeros(6), 4, {})


# ---------------------------------------------------------------- dropout


def test_dropout_keeps_with_probability_p():
    x = normal((500, 500)) + 10
    out, (dropout_param, mask) = layers.dropout_forward(x, {"p": 0.25, "mode": "train", "seed": 7})
    np.random.seed(7)
    assert np.array_equal(out, np.where(np.random.rand(500, 500) < 0.25, x / 0.25, 0))
    assert abs(out.mean() - 10) < 0.2 and abs((out == 0).mean() - 0.75) < 0.01
    assert np.array_equal(layers.dropout_backward(x, (dropout_param, mask)), x * mask)


def test_dropout_up_to_2017_drops_with_probability_p(year):
    year(2017)
    out, _ = layers.dropout_forward(np.ones((500, 500)), {"p": 0.25, "mode": "train"})
    assert abs((out == 0).mean() - 0.25) < 0.01 and set(np.unique(out)) == {0.0, 1 / 0.75}
    out, _ = layers.dropout_forward(np.ones((2, 2)), {"p": 0, "mode": "train"})
    assert (out == 1).all()
    with pytest.raises(ValueError, match=r"probability of dropping an element, in \[0, 1\), got 1"):
        layers.dropout_forward(np.ones((2, 2)), {"p": 1, "mode": "train"})


def test_dropout_in_test_mode_is_the_identity():
    x = normal((3, 4)).astype(np.float32)
    out, (dropout_param, mask) = layers.dropout_forward(x, {"p": 0.3, "mode": "test"})
    assert np.array_equal(out, x) and mask is None and layers.dropout_backward(x, (dropout_param, mask)) is x


def test_dropout_keeps_the_dtype_and_refuses_nonsense():
    x = normal((3, 4)).astype(np.float32)
    assert layers.dropout_forward(x, {"p": 0.5, "mode": "train"})[0].dtype == np.float32
    with pytest.raises(ValueError, match="mode must be 'train' or 'test', got 'eval'"):
        layers.dropout_forward(x, {"p": 0.5, "mode": "eval"})
    with pytest.raises(ValueError, match=r"probability of keeping an element, in \(0, 1\], got 0"):
        layers.dropout_forward(x, {"p": 0, "mode": "train"})


def test_years_are_checked(year):
    for wrong in (2014, 2027):
        with pytest.raises(ValueError, match=f"2015 to 2026, got {wrong}"):
            year(wrong)
    with pytest.raises(TypeError, match="must be an integer, got '2016'"):
        year("2016")
    year(np.int64(2020))
    assert get_year() == 2020
