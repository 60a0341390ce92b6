"""The layers of CMU 11-785's mytorch against the oracle's loops."""

from __future__ import annotations

import numpy as np
import oracle
import pytest
from compat.courses import CONVS, conv_case, integers, max_pool_backward, pool_case

from fastnet.compat import mytorch


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
