"""Adapters for other courses against the oracle's loops, in each course's layout and with its rule for ties."""

from __future__ import annotations

import numpy as np
import oracle
import pytest

from fastnet.compat import cs7643, csci566, deeplearning_ai, minitorch, mytorch

CONVS = [(1, 0, 3), (2, 1, 3), (3, 2, 2), (1, 0, 1), (2, 0, 4)]  # stride, pad, kernel


def integers(shape, seed, low=-3, high=4):
    return np.random.default_rng(seed).integers(low, high, shape).astype(np.float64)


def pairs(stride, pad):
    return (stride, stride), (pad,) * 4


def last(x):
    return np.ascontiguousarray(np.moveaxis(x, 1, -1))


def first(x):
    return np.ascontiguousarray(np.moveaxis(x, -1, 1))


def filters_last(w):
    return np.ascontiguousarray(w.transpose(2, 3, 1, 0))


def conv_case(stride, pad, kernel, shape=(2, 3, 7, 9), filters=4):
    """x, w, b, y, dy and (dx, dw, db) of a convolution, channels first, all integers."""
    x, w, b = integers(shape, 0), integers((filters, shape[1], kernel, kernel), 1), integers((filters,), 2)
    y = oracle.conv2d(x, w, b, *pairs(stride, pad))
    dy = integers(y.shape, 3)
    return x, w, b, y, dy, oracle.conv2d_backward(dy, x, w, *pairs(stride, pad))


def max_pool_backward(dy, x, kernel, stride, ties):
    """In loops over windows, the whole gradient for each maximum, or only for the first."""
    dx = np.zeros(x.shape)
    for n, c, p, q in np.ndindex(dy.shape):
        window = [(p * stride + r, q * stride + s) for r in range(kernel) for s in range(kernel)]
        largest = max(x[n, c, h, w] for h, w in window)
        winners = [(h, w) for h, w in window if x[n, c, h, w] == largest]
        for h, w in winners if ties == "all" else winners[:1]:
            dx[n, c, h, w] += dy[n, c, p, q]
    return dx


def pool_case(kernel, stride, seed=0):
    """x with many ties, y and dy of a pooling."""
    x = integers((2, 3, 8, 9), seed, 0, 3)
    y, _ = oracle.max_pool2d(x, (kernel, kernel), (stride, stride))
    return x, y, integers(y.shape, seed + 1, 1, 9)


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


# ---------------------------------------------------------------- CMU 11-785


def ones_row(x):
    return x[:, :, None]


@pytest.mark.parametrize("stride, pad, kernel", CONVS)
def test_mytorch_conv2d(stride, pad, kernel):
    x, w, b, y, dy, (dx, dw, db) = conv_case(stride, pad, kernel)
    layer = mytorch.Conv2d(3, 4, kernel, stride, pad, lambda *shape: w.copy(), lambda filters: b.copy())
    inner = layer.conv2d_stride1
    assert layer.downsample2d.downsampling_factor == stride and layer.pad == pad and inner.kernel_size == kernel
    np.testing.assert_array_equal(layer.forward(x), y)
    for times in (1, 2):  # gradients accumulate
        np.testing.assert_array_equal(layer.backward(dy), dx)
        np.testing.assert_array_equal(inner.dLdW, times * dw)
        np.testing.assert_array_equal(inner.dLdb, times * db)


@pytest.mark.parametrize("stride, pad, kernel", CONVS)
def test_mytorch_conv1d(stride, pad, kernel):
    x, w, b = integers((2, 3, 11), 0), integers((4, 3, kernel), 1), integers((4,), 2)
    steps, pads = (1, stride), (0, 0, pad, pad)
    y = oracle.conv2d(ones_row(x), ones_row(w), b, steps, pads)
    dy = integers(y.shape, 3)
    dx, dw, db = oracle.conv2d_backward(dy, ones_row(x), ones_row(w), steps, pads)
    layer = mytorch.Conv1d(3, 4, kernel, stride, pad, lambda *shape: w.copy(), lambda filters: b.copy())
    np.testing.assert_array_equal(layer.forward(x), y[:, :, 0])
    np.testing.assert_array_equal(layer.backward(dy[:, :, 0]), dx[:, :, 0])
    np.testing.assert_array_equal(layer.conv1d_stride1.dLdW, dw[:, :, 0])
    np.testing.assert_array_equal(layer.conv1d_stride1.dLdb, db)


def test_mytorch_backward_needs_a_forward():
    for layer in (mytorch.Conv1d_stride1(3, 4, 3), mytorch.Conv2d_stride1(3, 4, 3)):
        with pytest.raises(ValueError, match="stride1: call forward before backward"):
            layer.backward(np.ones((2, 4, 6)))


@pytest.mark.parametrize("axes", [1, 2])
def test_mytorch_a_strided_layer_is_its_parts(axes):
    """Conv = padding, then the layer at stride 1, then downsampling, as in the homework; also transposed."""
    shape, stride, pad = (2, 3, 11, 8)[: 2 + axes], 2, 1
    x = integers(shape, 0)
    layer = getattr(mytorch, f"Conv{axes}d")(3, 4, 3, stride, pad)
    plain = getattr(layer, f"conv{axes}d_stride1")
    down = getattr(layer, f"downsample{axes}d")
    padded = np.pad(x, [(0, 0), (0, 0)] + [(pad, pad)] * axes)
    expected = down.forward(plain.forward(padded))
    np.testing.assert_allclose(layer.forward(x), expected, rtol=0, atol=1e-12)

    transposed = getattr(mytorch, f"ConvTranspose{axes}d")(3, 4, 3, 2)
    up = getattr(mytorch, f"Upsample{axes}d")(2)
    inner = getattr(transposed, f"conv{axes}d_stride1")
    z = transposed.forward(x)
    images = (lambda a: a) if axes == 2 else ones_row
    weights = images(inner.W)
    np.testing.assert_allclose(images(z), oracle.conv2d(images(up.forward(x)), weights), rtol=0, atol=1e-12)
    dz = integers(z.shape, 5)
    dx = transposed.backward(dz)
    whole, dw, _ = oracle.conv2d_backward(images(dz), images(up.forward(x)), weights)
    np.testing.assert_allclose(images(dx), whole[..., ::2] if axes == 1 else whole[..., ::2, ::2], rtol=0, atol=1e-12)
    np.testing.assert_allclose(images(inner.dLdW), dw, rtol=0, atol=1e-12)


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_mytorch_resampling(factor):
    signal, image = integers((2, 3, 7), 0), integers((2, 3, 7, 4), 1)
    up, down = mytorch.Upsample1d(factor), mytorch.Downsample1d(factor)
    raised = up.forward(signal)
    assert raised.shape == (2, 3, factor * 6 + 1) and raised.sum() == signal.sum()
    for w in range(7):
        np.testing.assert_array_equal(raised[:, :, w * factor], signal[:, :, w])
    np.testing.assert_array_equal(up.backward(raised), signal)
    kept = down.forward(signal)
    assert kept.shape[2] == int((7 - 1) / factor + 1)
    for i in range(kept.shape[2]):
        np.testing.assert_array_equal(kept[:, :, i], signal[:, :, i * factor])
    assert down.backward(kept).shape == signal.shape and down.backward(kept).sum() == kept.sum()

    up, down = mytorch.Upsample2d(factor), mytorch.Downsample2d(factor)
    raised = up.forward(image)
    assert raised.shape == (2, 3, factor * 6 + 1, factor * 3 + 1) and raised.sum() == image.sum()
    np.testing.assert_array_equal(mytorch.Downsample2d(factor).forward(raised), image)
    kept = down.forward(image)
    back = down.backward(kept)
    for n, c, h, w in np.ndindex(image.shape):
        on_grid = h % factor == 0 and w % factor == 0
        assert back[n, c, h, w] == (image[n, c, h, w] if on_grid else 0)


@pytest.mark.parametrize("kernel, stride", [(2, 2), (3, 1), (3, 2)])
def test_mytorch_pooling(kernel, stride):
    x, y, dy = pool_case(kernel, stride)
    layers = [mytorch.MaxPool2d(kernel, stride)] + [mytorch.MaxPool2d_stride1(kernel)] * (stride == 1)
    for layer in layers:
        np.testing.assert_array_equal(layer.forward(x), y)
        np.testing.assert_array_equal(layer.backward(dy), max_pool_backward(dy, x, kernel, stride, "first"))
    sides = (kernel, kernel), (stride, stride)
    for layer in [mytorch.MeanPool2d(kernel, stride)] + [mytorch.MeanPool2d_stride1(kernel)] * (stride == 1):
        np.testing.assert_allclose(layer.forward(x), oracle.avg_pool2d(x, *sides), rtol=1e-14)
        expected = oracle.avg_pool2d_backward(dy, x.shape, *sides)
        np.testing.assert_allclose(layer.backward(dy), expected, rtol=1e-13)


def test_mytorch_flatten():
    x = integers((2, 3, 4, 5), 0)
    layer = mytorch.Flatten()
    flat = layer.forward(x)
    assert flat.shape == (2, 60)
    np.testing.assert_array_equal(layer.backward(flat), x)


# ---------------------------------------------------------------- minitorch


def anchored(x, w, sizes, reverse):
    """The course's definition in loops: tap (r, s) multiplies pixel (i + r, j + s), in reverse (i - r, j - s)."""
    sign = -1 if reverse else 1
    out = np.zeros((len(x), len(w), *sizes))
    for i, j, r, s in np.ndindex(*sizes, *w.shape[2:]):
        h, v = i + sign * r, j + sign * s
        if 0 <= h < x.shape[2] and 0 <= v < x.shape[3]:
            out[:, :, i, j] += x[:, :, h, v] @ w[:, :, r, s].T
    return out


def flat(x, order):
    """Storage, shape and strides, in elements; `order` is the order of the axes in memory."""
    storage = np.ascontiguousarray(x.transpose(order))
    strides = [storage.strides[order.index(axis)] // x.itemsize for axis in range(x.ndim)]
    return storage.reshape(-1), np.array(x.shape, np.int32), np.array(strides, np.int32)


SIZES = [(6, 5), (3, 4), (8, 9), (1, 1)]  # the size of the input, smaller (a weight's gradient), larger


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("kernel", [(1, 1), (2, 3), (6, 5), (7, 2)])
def test_minitorch_conv2d(sizes, kernel, reverse):
    x, w = integers((2, 3, 6, 5), 0), integers((4, 3, *kernel), 1)
    out = np.full((2, 4, *sizes), 7.0)
    storage, *layout = flat(out, (1, 0, 2, 3))
    minitorch.tensor_conv2d(storage, *layout, out.size, *flat(x, (1, 0, 3, 2)), *flat(w, (1, 0, 2, 3)), reverse)
    written = storage.reshape(4, 2, *sizes).swapaxes(0, 1)
    np.testing.assert_array_equal(written, anchored(x, w, sizes, reverse))


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("size, kernel", [(7, 3), (3, 7), (9, 2), (7, 1)])
def test_minitorch_conv1d(size, kernel, reverse):
    x, w = integers((2, 3, 7), 0), integers((4, 3, kernel), 1)
    out = np.zeros((2, 4, size))
    storage, *layout = flat(out, (0, 1, 2))
    minitorch.tensor_conv1d(storage, *layout, out.size, *flat(x, (1, 0, 2)), *flat(w, (2, 0, 1)), reverse)
    expected = anchored(x[:, :, None], w[:, :, None], (1, size), reverse)
    np.testing.assert_array_equal(storage.reshape(out.shape), expected[:, :, 0])


def test_minitorch_refuses_mismatches():
    x, w, out = integers((2, 3, 7), 0), integers((4, 2, 3), 1), np.zeros((2, 4, 7))
    with pytest.raises(ValueError, match="do not fit together"):
        minitorch.tensor_conv1d(*flat(out, (0, 1, 2)), 56, *flat(x, (0, 1, 2)), *flat(w, (0, 1, 2)), False)
    with pytest.raises(ValueError, match="out: shape .* does not lie within a storage of 10 elements"):
        minitorch.tensor_conv1d(
            np.zeros(10), (2, 4, 7), (28, 7, 1), 56, *flat(x, (0, 1, 2)), *flat(x, (0, 1, 2)), False
        )


def test_minitorch_pooling():
    x, kernel = integers((2, 3, 6, 8), 0, 0, 3), (2, 4)
    tiles, height, width = minitorch.tile(x, kernel)
    assert tiles.shape == (2, 3, 3, 2, 8) and (height, width) == (3, 2)
    dy = integers((2, 3, 3, 2), 1)
    largest, mean, dmax, dmean = np.zeros(dy.shape), np.zeros(dy.shape), np.zeros(x.shape), np.zeros(x.shape)
    for n, c, p, q in np.ndindex(dy.shape):
        window = x[n, c, 2 * p : 2 * p + 2, 4 * q : 4 * q + 4]
        np.testing.assert_array_equal(tiles[n, c, p, q], window.ravel())
        largest[n, c, p, q], mean[n, c, p, q] = max(window.ravel()), sum(window.ravel()) / 8
        for r, s in np.ndindex(2, 4):
            dmax[n, c, 2 * p + r, 4 * q + s] = dy[n, c, p, q] * (window[r, s] == largest[n, c, p, q])
            dmean[n, c, 2 * p + r, 4 * q + s] = dy[n, c, p, q] / 8
    np.testing.assert_array_equal(minitorch.maxpool2d(x, kernel), largest)
    np.testing.assert_array_equal(minitorch.avgpool2d(x, kernel), mean)
    np.testing.assert_array_equal(minitorch.maxpool2d_backward(dy, x, kernel), dmax)
    np.testing.assert_array_equal(minitorch.avgpool2d_backward(dy, x, kernel), dmean)
    with pytest.raises(ValueError, match="must divide"):
        minitorch.tile(x, (4, 4))
