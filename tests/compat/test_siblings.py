"""Adapters for other courses against the oracle's loops, in each course's layout and with its rule for ties."""

from __future__ import annotations

import numpy as np
import oracle
import pytest
from compat.courses import CONVS, conv_case, filters_last, integers, last, max_pool_backward, pool_case

from fastnet.compat import cs7643, csci566, deeplearning_ai

# ---------------------------------------------------------------- deeplearning.ai


@pytest.mark.parametrize("stride, pad, kernel", CONVS)
def test_deeplearning_ai_convolution(stride, pad, kernel):
    x, w, b, y, dy, (dx, dw, db) = conv_case(stride, pad, kernel)
    hparameters = {"stride": stride, "pad": pad}
    A, W, bias = last(x), filters_last(w), b.reshape(1, 1, 1, -1)
    Z, cache = deeplearning_ai.conv_forward(A, W, bias, hparameters)
    assert Z.flags.c_contiguous and cache[0] is A and cache[1] is W and cache[2] is bias and cache[3] is hparameters
    np.testing.assert_array_equal(Z, last(y))
    dA, dW, dbias = deeplearning_ai.conv_backward(last(dy), cache)
    np.testing.assert_array_equal(dA, last(dx))
    np.testing.assert_array_equal(dW, filters_last(dw))
    np.testing.assert_array_equal(dbias, db.reshape(1, 1, 1, -1))


def test_deeplearning_ai_strides_and_dtypes():
    """A transposed view of channels-first images in float32, with float64 weights."""
    x, w, b, y, *_ = conv_case(2, 1, 3)
    A = np.asfortranarray(last(x)).astype(np.float32)[::-1]
    Z, _ = deeplearning_ai.conv_forward(A, filters_last(w), b.reshape(1, 1, 1, -1), {"stride": 2, "pad": 1})
    assert Z.dtype == np.float64
    np.testing.assert_array_equal(Z, last(y)[::-1])


def test_deeplearning_ai_numbers_that_the_course_publishes():
    np.random.seed(1)
    A, W, b = np.random.randn(10, 5, 7, 4), np.random.randn(3, 3, 4, 8), np.random.randn(1, 1, 1, 8)
    Z, cache = deeplearning_ai.conv_forward(A, W, b, {"pad": 1, "stride": 2})
    assert np.mean(Z) == pytest.approx(0.692360880758, abs=1e-12)
    published = [-1.28912231, 2.27650251, 6.61941931, 0.95527176, 8.25132576, 2.31329639, 13.00689405, 2.34576051]
    np.testing.assert_allclose(Z[3, 2, 1], published, atol=5e-9)
    np.testing.assert_allclose(cache[0][1][2][3], [-1.1191154, 1.9560789, -0.3264995, -1.34267579], atol=5e-9)

    np.random.seed(1)
    A, W, b = np.random.randn(10, 4, 4, 3), np.random.randn(2, 2, 3, 8), np.random.randn(1, 1, 1, 8)
    gradients = deeplearning_ai.conv_backward(*deeplearning_ai.conv_forward(A, W, b, {"pad": 2, "stride": 2}))
    means = [np.mean(gradient) for gradient in gradients]
    np.testing.assert_allclose(means, [1.45243777754, 1.72699145831, 7.83923256462], atol=5e-12)


@pytest.mark.parametrize("f, stride", [(2, 2), (3, 1), (3, 2), (2, 3)])
def test_deeplearning_ai_pooling(f, stride):
    x, y, dy = pool_case(f, stride)
    A, cache = deeplearning_ai.pool_forward(last(x), {"f": f, "stride": stride})
    np.testing.assert_array_equal(A, last(y))
    dA = deeplearning_ai.pool_backward(last(dy), cache)
    np.testing.assert_array_equal(dA, last(max_pool_backward(dy, x, f, stride, "all")))

    A, cache = deeplearning_ai.pool_forward(last(x), {"f": f, "stride": stride}, mode="average")
    np.testing.assert_allclose(A, last(oracle.avg_pool2d(x, (f, f), (stride, stride))), rtol=1e-14)
    expected = oracle.avg_pool2d_backward(dy, x.shape, (f, f), (stride, stride))
    np.testing.assert_allclose(deeplearning_ai.pool_backward(last(dy), cache, "average"), last(expected), rtol=1e-13)
    with pytest.raises(ValueError, match='"max" or "average", got \'mean\''):
        deeplearning_ai.pool_forward(last(x), {"f": f, "stride": stride}, mode="mean")


def test_deeplearning_ai_small_functions():
    x = np.array([[1.0, 3.0], [3.0, -1.0]])
    assert deeplearning_ai.create_mask_from_window(x).tolist() == [[False, True], [True, False]]
    assert deeplearning_ai.distribute_value(2, (2, 2)).tolist() == [[0.5, 0.5], [0.5, 0.5]]
    a, w = integers((3, 3, 2), 0), integers((3, 3, 2), 1)
    expected = sum(float(a[i]) * float(w[i]) for i in np.ndindex(a.shape)) + 2.5
    assert deeplearning_ai.conv_single_step(a, w, np.full((1, 1, 1), 2.5)) == expected
    padded = deeplearning_ai.zero_pad(np.ones((2, 3, 4, 5)), 2)
    assert padded.shape == (2, 7, 8, 5) and padded.sum() == 2 * 3 * 4 * 5 and padded[:, 2:5, 2:6].all()


# ---------------------------------------------------------------- USC CSCI 566


@pytest.mark.parametrize("stride, pad, kernel", CONVS)
def test_csci566_convolution(stride, pad, kernel):
    x, w, b, y, dy, (dx, dw, db) = conv_case(stride, pad, kernel)
    layer = csci566.ConvLayer2D(3, kernel, 4, stride, pad, name="conv1")
    assert layer.params["conv1_w"].shape == (kernel, kernel, 3, 4) and not layer.params["conv1_b"].any()
    layer.params["conv1_w"], layer.params["conv1_b"] = filters_last(w), b
    assert layer.get_output_size(last(x).shape) == list(last(y).shape)
    np.testing.assert_array_equal(layer.forward(last(x)), last(y))
    assert layer.meta is not None
    np.testing.assert_array_equal(layer.backward(last(dy)), last(dx))
    np.testing.assert_array_equal(layer.grads["conv1_w"], filters_last(dw))
    np.testing.assert_array_equal(layer.grads["conv1_b"], db)
    with pytest.raises(ValueError, match="call forward before backward"):
        layer.backward(last(dy))


def test_csci566_first_weights_are_numpys():
    np.random.seed(3)
    expected = 0.02 * np.random.randn(5, 5, 3, 2)
    np.random.seed(3)
    np.testing.assert_array_equal(csci566.ConvLayer2D(3, 5, 2).params["conv_w"], expected)


@pytest.mark.parametrize("size, stride", [(2, 2), (4, 2), (3, 1)])
def test_csci566_pooling(size, stride):
    x, y, dy = pool_case(size, stride)
    layer = csci566.MaxPoolingLayer(size, stride, "pool")
    with pytest.raises(ValueError, match=r"\(N, H, W, C\), got shape \(8, 9, 3\)"):
        layer.forward(last(x)[0])
    np.testing.assert_array_equal(layer.forward(last(x)), last(y))
    np.testing.assert_array_equal(layer.backward(last(dy)), last(max_pool_backward(dy, x, size, stride, "first")))


# ---------------------------------------------------------------- Georgia Tech CS 7643


@pytest.mark.parametrize("stride, pad, kernel", CONVS)
def test_cs7643_convolution(stride, pad, kernel):
    x, w, b, y, dy, (dx, dw, db) = conv_case(stride, pad, kernel)
    layer = cs7643.Conv2D(3, 4, kernel, stride, pad)
    np.random.seed(1024)
    np.testing.assert_array_equal(layer.weight, 1e-3 * np.random.randn(4, 3, kernel, kernel))
    assert layer.bias.tolist() == [0, 0, 0, 0] and layer.dx is None
    layer.weight, layer.bias = w, b
    np.testing.assert_array_equal(layer.forward(x), y)
    assert layer.backward(dy) is None
    for seen, expected in zip((layer.dx, layer.dw, layer.db), (dx, dw, db), strict=True):
        np.testing.assert_array_equal(seen, expected)


def test_cs7643_pooling():
    x, y, dy = pool_case(3, 2)
    layer = cs7643.MaxPooling(3, 2)
    with pytest.raises(ValueError, match="call forward before backward"):
        layer.backward(dy)
    np.testing.assert_array_equal(layer.forward(x), y)
    before = x.copy()
    x[:] = 0  # the layer keeps its own
    assert layer.backward(dy) is None
    np.testing.assert_array_equal(layer.dx, max_pool_backward(dy, before, 3, 2, "first"))
