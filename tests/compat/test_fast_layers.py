"""The starter code's fast layers on fastnet: names, caches, plain loops to 1e-9, and its broken cases."""

from __future__ import annotations

import inspect
import sys

import cases
import numpy as np
import oracle
import pytest

from fastnet import backends
from fastnet.compat.cs231n import fast_layers, im2col, im2col_cython

PAIRS = ["im2col", "strides", "fast"]


@pytest.fixture(params=backends.available_backends(), autouse=True)
def backend(request):
    """Every test here runs on each backend."""
    with backends.use_backend(request.param):
        yield request.param


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def rel_error(x, y):
    """The notebooks' measure."""
    return np.max(np.abs(x - y) / np.maximum(1e-8, np.abs(x) + np.abs(y)))


def conv(name):
    return getattr(fast_layers, f"conv_forward_{name}"), getattr(fast_layers, f"conv_backward_{name}")


def oracle_conv(x, w, b, stride, pad):
    return oracle.conv2d(x, w, b, (stride, stride), (pad,) * 4)


def oracle_gradients(dout, x, w, stride, pad):
    return oracle.conv2d_backward(dout, x, w, (stride, stride), (pad,) * 4)


def pool_param(height, width, stride):
    return {"pool_height": height, "pool_width": width, "stride": stride}


# ---------------------------------------------------------------- names


def test_a_star_import_gives_the_names_of_the_starter_code():
    names = {}
    exec("from fastnet.compat.cs231n.fast_layers import *", names)
    for method in ("im2col", "strides", "fast", "pytorch"):
        assert {f"conv_forward_{method}", f"conv_backward_{method}"} <= set(names)
    for method in ("reshape", "im2col", "fast"):
        assert {f"max_pool_forward_{method}", f"max_pool_backward_{method}"} <= set(names)
    assert names["np"] is np
    for module in (im2col, im2col_cython):
        for name in module.__all__:
            assert names[name] is getattr(module, name)
    assert "kernels" not in names


def test_signatures():
    for name in fast_layers.__all__:
        if name.startswith(("conv_forward", "max_pool_forward", "conv_backward", "max_pool_backward")):
            function = getattr(fast_layers, name)
            expected = ["dout", "cache"] if "backward" in name else ["x", "w", "b", "conv_param"]
            expected = ["x", "pool_param"] if name.startswith("max_pool_forward") else expected
            assert list(inspect.signature(function).parameters) == expected and function.__doc__
    assert fast_layers.conv_forward_fast is fast_layers.conv_forward_strides
    assert fast_layers.conv_backward_fast is fast_layers.conv_backward_strides


# ---------------------------------------------------------------- convolution

NOTEBOOK = [  # x, w, stride, pad
    ((10, 3, 31, 31), (25, 3, 3, 3), 2, 1),
    ((2, 3, 40, 40), (2, 3, 3, 3), 1, 1),
    ((3, 3, 16, 16), (32, 3, 7, 7), 1, 3),
    ((2, 3, 16, 16), (3, 3, 3, 3), 1, 1),
    ((2, 3, 4, 4), (3, 3, 4, 4), 2, 1),
    ((4, 3, 5, 5), (2, 3, 3, 3), 1, 1),
]


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("x_shape, w_shape, stride, pad", NOTEBOOK, ids=str)
def test_fast_against_naive_as_in_the_notebooks(name, x_shape, w_shape, stride, pad):
    forward, backward = conv(name)
    x, w, b = normal(*x_shape), normal(*w_shape, seed=1), normal(w_shape[0], seed=2)
    out, cache = forward(x, w, b, {"stride": stride, "pad": pad})
    assert rel_error(out, oracle_conv(x, w, b, stride, pad)) <= 1e-9
    dout = normal(*out.shape, seed=3)
    for result, expected in zip(backward(dout, cache), oracle_gradients(dout, x, w, stride, pad), strict=True):
        assert rel_error(result, expected) <= 1e-9
        assert result.dtype == np.float64 and result.flags.c_contiguous and result.shape == expected.shape


@pytest.mark.parametrize("name", PAIRS)
def test_conv_caches(name):
    forward, _ = conv(name)
    x, w, b = cases.integers((2, 3, 7, 7), np.float64), cases.integers((4, 3, 3, 3), np.float64, 1), np.arange(4)
    param = {"stride": 2, "pad": 1}
    out, cache = forward(x, w, b, param)
    assert cache[0] is x and cache[1] is w and cache[2] is b and cache[3] is param and len(cache) == 5
    x_cols = np.asarray(cache[4])
    if name == "im2col":  # columns ordered by position, then image
        np.testing.assert_array_equal(x_cols, im2col.im2col_naive(x, 3, 3, 1, 2))
        product = (w.reshape(4, -1) @ x_cols + b[:, None]).reshape(4, 4, 4, 2).transpose(3, 0, 1, 2)
    else:  # by image, then position
        product = (w.reshape(4, -1) @ x_cols + b[:, None]).reshape(4, 2, 4, 4).transpose(1, 0, 2, 3)
    np.testing.assert_array_equal(product, out)
    assert np.asarray(cache[4], np.float32).dtype == np.float32


def test_strides_that_do_not_divide():
    x, w, b = normal(2, 3, 8, 8), normal(4, 3, 3, 3, seed=1), normal(4, seed=2)
    param = {"stride": 2, "pad": 1}
    out, cache = fast_layers.conv_forward_fast(x, w, b, param)
    assert out.shape == (2, 4, 4, 4) and rel_error(out, oracle_conv(x, w, b, 2, 1)) <= 1e-9
    dout = normal(*out.shape, seed=3)
    gradients = fast_layers.conv_backward_fast(dout, cache)
    for result, expected in zip(gradients, oracle_gradients(dout, x, w, 2, 1), strict=True):
        assert rel_error(result, expected) <= 1e-9
    with pytest.raises(AssertionError, match="width does not work"):
        fast_layers.conv_forward_im2col(x, w, b, param)
    with pytest.raises(AssertionError, match="height does not work"):
        fast_layers.conv_forward_im2col(x[..., :7], w, b, param)


def test_images_in_float64_and_weights_in_float32():
    """As in every training run of the notebooks."""
    x, w = normal(4, 3, 9, 9), normal(5, 3, 3, 3, seed=1).astype(np.float32)
    b = np.zeros(5, np.float32)
    out, cache = fast_layers.conv_forward_fast(x, w, b, {"stride": 1, "pad": 1})
    assert out.dtype == np.float64 and rel_error(out, oracle_conv(x, w, b, 1, 1)) <= 1e-9
    dout = normal(*out.shape, seed=2)
    for result, expected in zip(
        fast_layers.conv_backward_fast(dout, cache), oracle_gradients(dout, x, w, 1, 1), strict=True
    ):
        assert result.dtype == np.float64 and rel_error(result, expected) <= 1e-9
    everything = fast_layers.conv_forward_fast(x.astype(np.float32), w, b, {"stride": 1, "pad": 1})
    assert everything[0].dtype == np.float32


def test_the_bias_of_the_image_cell_is_an_integer_array():
    x, w, b = normal(2, 3, 20, 20), normal(2, 3, 3, 3, seed=1), np.array([0, 128])
    out, _ = fast_layers.conv_forward_fast(x, w, b, {"stride": 1, "pad": 1})
    assert out.dtype == np.float64 and rel_error(out, oracle_conv(x, w, b, 1, 1)) <= 1e-9


@pytest.mark.parametrize("how", cases.HOSTILE)
def test_arrays_in_any_memory_order(how):
    make = cases.HOSTILE[how]
    x, w, b = normal(3, 4, 7, 6), normal(5, 4, 3, 2, seed=1), normal(5, seed=2)
    out, cache = fast_layers.conv_forward_fast(make(x), make(w), make(b), {"stride": 1, "pad": 1})
    assert out.flags.c_contiguous and rel_error(out, oracle_conv(x, w, b, 1, 1)) <= 1e-9
    dout = normal(*out.shape, seed=3)
    gradients = fast_layers.conv_backward_fast(make(dout), cache)
    for result, expected in zip(gradients, oracle_gradients(dout, x, w, 1, 1), strict=True):
        assert result.flags.c_contiguous and rel_error(result, expected) <= 1e-9
    for param in (pool_param(2, 2, 2), pool_param(2, 3, 1)):
        kernel = param["pool_height"], param["pool_width"]
        out, cache = fast_layers.max_pool_forward_fast(make(x[:, :, :6]), param)
        expected, winners = oracle.max_pool2d(x[:, :, :6], kernel, (param["stride"],) * 2)
        np.testing.assert_array_equal(out, expected)
        dout = cases.integers(out.shape, np.float64, 4)
        dx = fast_layers.max_pool_backward_fast(make(dout), cache)
        assert out.flags.c_contiguous and dx.flags.c_contiguous
        np.testing.assert_array_equal(dx, oracle.max_pool2d_backward(dout, winners, (3, 4, 6, 6)))


def test_numerical_gradients_that_change_arrays_in_place():
    """Central differences as in the notebooks: one element at a time, in place."""
    x, w, b = normal(2, 2, 4, 5), normal(3, 2, 3, 2, seed=1), normal(3, seed=2)
    param = {"stride": 1, "pad": 1}
    out, cache = fast_layers.conv_forward_fast(x, w, b, param)
    dout = normal(*out.shape, seed=3)
    gradients = fast_layers.conv_backward_fast(dout, cache)
    for array, gradient in zip((x, w, b), gradients, strict=True):
        numerical = np.zeros_like(array)
        for index in np.ndindex(array.shape):
            kept, h = array[index], 1e-5
            array[index] = kept + h
            above = fast_layers.conv_forward_fast(x, w, b, param)[0].copy()
            array[index] = kept - h
            below = fast_layers.conv_forward_fast(x, w, b, param)[0].copy()
            array[index] = kept
            numerical[index] = ((above - below) * dout).sum() / (2 * h)
        assert rel_error(gradient, numerical) < 1e-6
    np.testing.assert_array_equal(out, fast_layers.conv_forward_fast(x, w, b, param)[0])


def test_a_cache_of_another_forward_function_is_refused():
    x, w, b, param = normal(1, 2, 4, 4), normal(3, 2, 3, 3), normal(3), {"stride": 1, "pad": 1}
    out, cache = fast_layers.conv_forward_fast(x, w, b, param)
    for other in (cache[:4], (*cache[:4], np.asarray(cache[4]))):
        with pytest.raises(TypeError, match="naive with naive, fast with fast"):
            fast_layers.conv_backward_fast(out, other)


@pytest.mark.peers
def test_pytorch_pair():
    pytest.importorskip("torch")
    x, w, b = normal(2, 3, 8, 8), normal(4, 3, 3, 3, seed=1).astype(np.float32), np.arange(4)
    out, cache = fast_layers.conv_forward_pytorch(x, w, b, {"stride": 2, "pad": 1})
    assert len(cache) >= 4 and rel_error(out, oracle_conv(x, w, b, 2, 1)) <= 1e-9
    dout = normal(*out.shape, seed=3)
    out[:] = 0  # the caller's own
    for _ in range(2):
        gradients = fast_layers.conv_backward_pytorch(dout, cache)
        for result, expected in zip(gradients, oracle_gradients(dout, x, w, 2, 1), strict=True):
            assert rel_error(result, expected) <= 1e-9


def test_without_pytorch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match="need PyTorch: pip install torch"):
        fast_layers.conv_forward_pytorch(normal(1, 1, 3, 3), normal(1, 1, 3, 3), normal(1), {"stride": 1, "pad": 1})


# ---------------------------------------------------------------- pooling


def test_tiling_windows_are_exact_as_in_the_notebooks():
    x = normal(10, 3, 32, 32)
    out, cache = fast_layers.max_pool_forward_fast(x, pool_param(2, 2, 2))
    expected, winners = oracle.max_pool2d(x, (2, 2), (2, 2))
    assert rel_error(out, expected) == 0
    dout = normal(*out.shape, seed=1)
    assert (
        rel_error(fast_layers.max_pool_backward_fast(dout, cache), oracle.max_pool2d_backward(dout, winners, x.shape))
        == 0
    )


def test_cache_of_tiling_windows():
    x = normal(2, 3, 6, 9)
    out, (method, cache) = fast_layers.max_pool_forward_fast(x, pool_param(3, 3, 3))
    assert method == "reshape"
    assert cache[0] is x and cache[2] is out and np.shares_memory(cache[1], x)
    np.testing.assert_array_equal(cache[1].max(axis=(3, 5)), out)


@pytest.mark.parametrize(
    "height, width, stride", [(2, 2, 1), (3, 3, 2), (2, 3, 2), (3, 2, 3), (2, 2, 3), (4, 4, 4), (5, 7, 1)]
)
def test_windows_that_do_not_tile_or_are_not_square(height, width, stride):
    """In the starter code all these end in a NameError."""
    x = cases.integers((2, 3, 9, 11), np.float64, 0, 0, 3)
    param = pool_param(height, width, stride)
    out, (method, cache) = fast_layers.max_pool_forward_fast(x, param)
    expected, winners = oracle.max_pool2d(x, (height, width), (stride, stride))
    np.testing.assert_array_equal(out, expected)
    assert method == "im2col" and cache[0] is x and cache[3] is param
    dout = cases.integers(out.shape, np.float64, 1)
    dx = fast_layers.max_pool_backward_fast(dout, (method, cache))
    np.testing.assert_array_equal(dx, oracle.max_pool2d_backward(dout, winners, x.shape))
    x_cols, rows = np.asarray(cache[1]), np.asarray(cache[2])
    assert x_cols.shape == (height * width, out.size)
    largest = x_cols[rows, np.arange(out.size)].reshape(*out.shape[2:], *out.shape[:2]).transpose(2, 3, 0, 1)
    np.testing.assert_array_equal(largest, out)
    np.testing.assert_array_equal(x_cols[: rows[0] + 1, 0], x[0, 0, :height, :width].ravel()[: rows[0] + 1])


def test_equal_maxima():
    """The reshape method splits the gradient, the im2col method gives it to the first."""
    x = np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])[None, None]
    dout = np.array([[[[8.0]]]])
    out, cache = fast_layers.max_pool_forward_fast(x[:, :, :2, :2], pool_param(2, 2, 2))
    np.testing.assert_array_equal(fast_layers.max_pool_backward_fast(8 * out, cache), np.full((1, 1, 2, 2), 2.0))
    out, cache = fast_layers.max_pool_forward_fast(x, pool_param(2, 2, 2))
    expected = np.zeros((1, 1, 3, 3))
    expected[0, 0, 0, 0] = 8
    np.testing.assert_array_equal(fast_layers.max_pool_backward_fast(dout, cache), expected)


def test_pooling_errors():
    with pytest.raises(ValueError, match='Unrecognized method "strides"'):
        fast_layers.max_pool_backward_fast(np.ones((1, 1, 1, 1)), ("strides", ()))
    with pytest.raises(AssertionError, match="Invalid pool params"):
        fast_layers.max_pool_forward_reshape(normal(1, 1, 4, 4), pool_param(2, 2, 1))
    with pytest.raises(AssertionError, match="tile"):
        fast_layers.max_pool_forward_reshape(normal(1, 1, 5, 4), pool_param(2, 2, 2))
    with pytest.raises(ValueError, match=r"must have 4 axes, got shape \(3, 8, 8\)"):
        fast_layers.max_pool_forward_fast(normal(3, 8, 8), pool_param(2, 2, 2))
    with pytest.raises(ValueError, match="kernel 5x5 is larger"):
        fast_layers.max_pool_forward_fast(normal(1, 1, 4, 4), pool_param(5, 5, 1))


# ---------------------------------------------------------------- both together


def test_a_sandwich_of_layers():
    """conv - relu - pool, forward and backward, with the activation in the caller's NumPy code."""
    x, w, b = normal(2, 3, 16, 16), normal(3, 3, 3, 3, seed=1), normal(3, seed=2)
    a, conv_cache = fast_layers.conv_forward_fast(x, w, b, {"stride": 1, "pad": 1})
    out, pool_cache = fast_layers.max_pool_forward_fast(np.maximum(a, 0), pool_param(2, 2, 2))
    dout = normal(*out.shape, seed=3)
    gradients = fast_layers.conv_backward_fast(
        fast_layers.max_pool_backward_fast(dout, pool_cache) * (a > 0), conv_cache
    )
    a = oracle_conv(x, w, b, 1, 1)
    r = np.maximum(a, 0)
    expected = oracle.tied_max_pool2d_backward(dout, r, (2, 2), (2, 2), ties="split") * (a > 0)
    for result, gradient in zip(gradients, oracle_gradients(expected, x, w, 1, 1), strict=True):
        assert rel_error(result, gradient) <= 1e-8
