"""The memory order of arrays, in and out of fastnet."""

import numpy as np
import pytest

import fastnet
from fastnet import backends, layout

X = np.arange(240.0).reshape(2, 4, 5, 6)
FORTRAN, SWAPPED = np.asfortranarray(X), X.astype(">f8")


@pytest.mark.parametrize(
    "x", [X, FORTRAN, SWAPPED, X[..., ::2], X.astype(int)], ids=["C", "F", "swapped", "strided", "integers"]
)
@pytest.mark.parametrize("dtype", [None, np.float32, "f8"])
def test_values_stay_and_the_order_is_the_one_asked_for(x, dtype):
    wanted = dtype or (np.float64 if x.dtype.kind == "f" else np.float32)
    inside, outside = layout.channels_last(x, dtype), layout.contiguous(x, dtype)
    assert inside.dtype == outside.dtype == wanted and inside.dtype.isnative and outside.dtype.isnative
    assert outside.flags.c_contiguous
    if backends.current().name == "native":
        assert inside.transpose(0, 2, 3, 1).flags.c_contiguous
    np.testing.assert_array_equal(inside, x)
    np.testing.assert_array_equal(outside, x)
    np.testing.assert_array_equal(layout.contiguous(inside), x)


def test_an_array_that_fits_is_not_copied():
    inside = layout.channels_last(X)
    if backends.current().name == "native":
        assert not np.shares_memory(inside, X)
    assert np.shares_memory(layout.channels_last(inside), inside)
    assert np.shares_memory(layout.contiguous(X), X) and np.shares_memory(layout.contiguous(X, np.float64), X)


def test_float16_and_lists_become_float32():
    assert layout.contiguous([[1, 2], [3, 4]]).dtype == layout.contiguous(X.astype(np.float16)).dtype == np.float32


def test_the_reference_backend_keeps_the_order():
    with fastnet.use_backend("reference"):
        assert np.shares_memory(layout.channels_last(X), X) and layout.contiguous(FORTRAN).flags.c_contiguous


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: layout.channels_last(X[0]),
            ValueError,
            r"channels_last: x must have shape \(N, C, H, W\), got \(4, 5, 6\)",
        ),
        (lambda: layout.channels_last(X + 1j), TypeError, "channels_last: x must hold real numbers .* complex128"),
        (lambda: layout.contiguous(None), TypeError, "contiguous: x must hold real numbers .* object"),
        (lambda: layout.contiguous(X, int), ValueError, "contiguous: dtype must be float32 or float64, got int64"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
