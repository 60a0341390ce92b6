"""Memory order: shapes are (N, C, H, W) whatever the strides; copies on entry, and only there."""

from __future__ import annotations

import cases
import numpy as np
import pytest

from fastnet import functional
from fastnet.backends import use_backend
from fastnet.geometry import Conv2dGeometry

SHAPES = [
    (1, 1, 1, 1),
    (2, 3, 4, 5),
    (1, 16, 8, 8),
    (3, 17, 7, 5),
    (2, 33, 9, 31),
    (1, 8, 16, 16),
    (2, 64, 5, 3),
    (1, 3, 70, 65),
    (4, 1, 6, 6),
    (3, 100, 1, 1),
    (0, 3, 4, 4),
    (2, 0, 4, 4),
    (2, 3, 0, 4),
]


def is_channels_last(x):
    return x.transpose(0, 2, 3, 1).flags.c_contiguous


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_images_are_copied_to_channels_last_and_back(native, dtype, shape):
    x = cases.normal(shape, dtype)
    y = native.asarray(x, dtype)
    assert y.shape == shape and y.dtype == dtype and is_channels_last(y)
    np.testing.assert_array_equal(y, x)
    flat = native.flatten(y)
    np.testing.assert_array_equal(flat, x.reshape(flat.shape))
    back = native.unflatten(flat, shape[1:])
    assert is_channels_last(back)
    np.testing.assert_array_equal(back, x)


@pytest.mark.parametrize("shape", [(5,), (4, 6), (2, 3, 4), (2, 3, 4, 5), (2, 3, 2, 2, 2)], ids=str)
@pytest.mark.parametrize("how", cases.HOSTILE)
def test_asarray_takes_anything(ops, how, shape):
    x = cases.normal(shape, np.float32)
    odd = cases.HOSTILE[how](x)
    for dtype in (None, np.float32, np.float64):
        y = ops.asarray(odd, dtype)
        assert y.dtype == (np.float32 if dtype is None else dtype) and y.dtype.isnative
        np.testing.assert_array_equal(y, x)
        np.testing.assert_array_equal(ops.to_numpy(y), x)
    np.testing.assert_array_equal(odd, x)


@pytest.mark.parametrize("kind", ["?", "i1", "u1", "i2", "u2", "i4", "i8", "f2"])
@pytest.mark.parametrize("axes", [(0, 2, 1), (0, 3, 1, 2)], ids=["signals", "images"])
def test_contiguous_of_dtypes_without_kernels(native, axes, kind):
    """An array whose strides say channels-last, such as a map of labels in bytes with its axes swapped."""
    sizes = (2, 7, 5, 3)[: len(axes)]
    x = np.arange(np.prod(sizes)).astype(kind).reshape(sizes).transpose(axes)
    y = native.contiguous(x)
    assert y.flags.c_contiguous and y.dtype == x.dtype
    np.testing.assert_array_equal(y, x)


def test_asarray_of_other_types(ops):
    for given in ([[1, 2], [3, 4]], np.array([[1, 2], [3, 4]], np.uint8), np.array([[1, 2], [3, 4]], np.float16)):
        y = ops.asarray(given)
        assert y.dtype == np.float32
        np.testing.assert_array_equal(y, [[1, 2], [3, 4]])
    assert ops.asarray(np.ones((2, 2))).dtype == np.float64
    assert ops.asarray(3.0).dtype in (np.float32, np.float64)


@pytest.mark.parametrize("given", [np.array(["a"]), np.array([1 + 2j]), np.array([object()])])
def test_asarray_refuses_what_is_no_number(native, given):
    with pytest.raises(TypeError, match="real numbers"):
        native.asarray(given)


def test_arrays_in_the_kernels_order_are_not_copied(native, dtype):
    x = native.empty((2, 5, 4, 3), dtype)
    assert is_channels_last(x) and native.asarray(x) is x
    flat = native.empty((4, 6), dtype)
    assert flat.flags.c_contiguous and native.asarray(flat) is flat
    assert native.zeros((2, 3, 2, 2), dtype).sum() == 0


def test_what_goes_in_channels_last_comes_out_channels_last(native, dtype):
    x, w = native.asarray(cases.normal((2, 5, 6, 7), dtype)), cases.normal((4, 5, 3, 3), dtype)
    y, saved = native.conv2d(x, w, None, Conv2dGeometry.make(x.shape, w.shape, 1, 1))
    dx, dw, _ = native.conv2d_backward(y, saved)
    assert is_channels_last(y) and is_channels_last(dx) and dw.flags.c_contiguous
    for op in ("relu", "leaky_relu", "sigmoid", "tanh"):
        assert is_channels_last(getattr(native, op)(x)[0])
    assert is_channels_last(native.add(x, x)) and is_channels_last(native.concat([x, x]))
    assert all(map(is_channels_last, native.split(x, (2, 3))))


@pytest.mark.parametrize("shape", [(3, 1, 5, 4), (1, 5, 1, 1), (1, 1, 4, 4), (2, 4, 1, 1), (1, 3, 1, 6)], ids=str)
def test_axes_of_length_one_make_strides_ambiguous(ops, dtype, shape):
    """NumPy lets an axis of length 1 have any stride; only the memory counts."""
    x = cases.normal(shape, dtype)
    strange = np.lib.stride_tricks.as_strided(
        x, shape, [s if n > 1 else 12345 for n, s in zip(shape, x.strides, strict=True)]
    )
    for op in (ops.relu, ops.flatten, lambda a: ops.global_avg_pool2d(a)[0]):
        np.testing.assert_array_equal(op(strange), op(x)) if op == ops.flatten else np.testing.assert_array_equal(
            op(strange)[0], op(x)[0]
        )


@pytest.mark.parametrize("how", cases.HOSTILE)
@pytest.mark.parametrize("backend", ["native", "reference"])
def test_functional_gives_the_right_answer_for_every_array(how, backend, best_native):
    """The public calls also take foreign byte order."""
    x, w, b = (cases.integers(s, np.float32, i) for i, s in enumerate(((2, 4, 5, 6), (6, 4, 3, 3), (6,))))
    with use_backend(backend):
        y, backward = functional.conv2d(x, w, b, padding=1)
        dy = cases.integers(y.shape, np.float32, 3)
        gradients = backward(dy)
        odd = [cases.HOSTILE[how](array) for array in (x, w, b, dy)]
        odd_y, odd_backward = functional.conv2d(*odd[:3], padding=1)
        for got, expected in zip((odd_y, *odd_backward(odd[3])), (y, *gradients), strict=True):
            np.testing.assert_array_equal(got, expected)
            assert got.dtype == np.float32 and got.dtype.isnative
        for call in (functional.relu, functional.flatten, lambda a: functional.max_pool2d(a, 2)):
            expected, backward = call(x)
            got, odd_backward = call(odd[0])
            np.testing.assert_array_equal(got, expected)
            step = cases.integers(expected.shape, np.float32, 4)
            np.testing.assert_array_equal(odd_backward(cases.HOSTILE[how](step)), backward(step))
        for given, kept in zip(odd, (x, w, b, dy), strict=True):
            np.testing.assert_array_equal(given, kept)
