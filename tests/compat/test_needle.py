"""The needle backend module against plain loops over flat lists."""

from __future__ import annotations

import itertools
import math
import sys
import types

import numpy as np
import pytest

from fastnet.compat import needle

NAMES = [
    "Array",
    "to_numpy",
    "from_numpy",
    "fill",
    "compact",
    "ewise_setitem",
    "scalar_setitem",
    "ewise_add",
    "scalar_add",
    "ewise_mul",
    "scalar_mul",
    "ewise_div",
    "scalar_div",
    "scalar_power",
    "ewise_maximum",
    "scalar_maximum",
    "ewise_eq",
    "scalar_eq",
    "ewise_ge",
    "scalar_ge",
    "ewise_log",
    "ewise_exp",
    "ewise_tanh",
    "matmul",
    "matmul_tiled",
    "reduce_max",
    "reduce_sum",
]


def array(values):
    values = np.ravel(np.asarray(values, np.float32))
    made = needle.Array(values.size)
    needle.from_numpy(values, made)
    return made


def values(made):
    return needle.to_numpy(made, (made.size,), (1,), 0)


def positions(shape, strides, offset):
    """The element at each index, in C order."""
    for index in itertools.product(*map(range, shape)):
        yield offset + sum(i * stride for i, stride in zip(index, strides, strict=True))


VIEWS = [
    ((4, 6), (6, 1), 0),
    ((6, 4), (1, 6), 0),
    ((2, 3), (6, 2), 7),
    ((3, 5), (0, 1), 2),  # broadcast
    ((4, 6), (-6, -1), 23),  # flipped
    ((2, 2, 2, 3), (12, 1, 6, 2), 0),  # windows
    ((), (), 5),
    ((0, 3), (3, 1), 0),
]


def test_the_module_has_the_extensions_names():
    assert all(callable(getattr(needle, name)) for name in NAMES)
    assert needle.__device_name__ == "cpu" and needle.__tile_size__ == 8


@pytest.mark.parametrize("shape, strides, offset", VIEWS)
def test_views(shape, strides, offset):
    data = np.arange(24, dtype=np.float32) * 3 + 1
    a, expected = array(data), [data[i] for i in positions(shape, strides, offset)]
    seen = needle.to_numpy(a, shape, strides, offset)
    assert seen.dtype == np.float32 and seen.shape == shape and seen.ravel().tolist() == expected

    out = array(np.full(math.prod(shape), -1))
    needle.compact(a, out, shape, strides, offset)
    assert values(out).tolist() == expected


@pytest.mark.parametrize("shape, strides, offset", [view for view in VIEWS if 0 not in view[1]])
def test_setting_a_view(shape, strides, offset):
    size = math.prod(shape)
    expected = np.arange(24, dtype=np.float32)
    for number, i in enumerate(positions(shape, strides, offset)):
        expected[i] = 100 + number
    out = array(np.arange(24))
    needle.ewise_setitem(array(100 + np.arange(size)), out, shape, strides, offset)
    assert values(out).tolist() == expected.tolist()

    needle.scalar_setitem(size, -7.5, out, shape, strides, offset)
    for i in positions(shape, strides, offset):
        expected[i] = -7.5
    assert values(out).tolist() == expected.tolist()


def test_to_numpy_copies():
    a = array([1, 2, 3])
    needle.to_numpy(a, (3,), (1,), 0)[:] = 9
    assert values(a).tolist() == [1, 2, 3]


def test_from_numpy_takes_any_dtype_and_layout():
    out = needle.Array(6)
    needle.from_numpy(np.arange(6).reshape(2, 3).T, out)
    assert values(out).tolist() == [0, 3, 1, 4, 2, 5]
    needle.from_numpy(np.array(2.5), (one := needle.Array(1)))
    assert values(one).tolist() == [2.5]


@pytest.mark.parametrize(
    "shape, strides, offset",
    [((25,), (1,), 0), ((3,), (-1,), 1), ((2, 2), (23, 1), 0), ((1,), (1,), 24), ((1,), (1,), -1)],
)
def test_a_view_outside_its_array_is_refused(shape, strides, offset):
    a, big = array(np.zeros(24)), array(np.zeros(math.prod(shape)))
    for call in (
        lambda: needle.to_numpy(a, shape, strides, offset),
        lambda: needle.compact(a, big, shape, strides, offset),
        lambda: needle.ewise_setitem(big, a, shape, strides, offset),
        lambda: needle.scalar_setitem(big.size, 1.0, a, shape, strides, offset),
    ):
        with pytest.raises(ValueError, match="exceeds an array of 24 elements"):
            call()


HARD = [-2.0, -0.5, -0.0, 0.0, 0.5, 1.0, 2.0, 3.0, 100.0, np.inf, -np.inf]
BINARY = {
    "add": lambda a, b: a + b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b if b else math.nan if a == 0 or math.isnan(a) else a * math.copysign(math.inf, b),
    "maximum": max,
    "eq": lambda a, b: float(a == b),
    "ge": lambda a, b: float(a >= b),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("op", BINARY)
def test_binary(op):
    pairs = list(itertools.product(HARD, HARD))
    expected = np.float32([BINARY[op](a, b) for a, b in pairs])
    a, b, out = array([a for a, _ in pairs]), array([b for _, b in pairs]), needle.Array(len(pairs))
    getattr(needle, f"ewise_{op}")(a, b, out)
    np.testing.assert_array_equal(values(out), expected)
    for scalar in HARD:
        out = needle.Array(len(HARD))
        getattr(needle, f"scalar_{op}")(array(HARD), scalar, out)
        np.testing.assert_array_equal(values(out), np.float32([BINARY[op](a, scalar) for a in HARD]))


def test_a_scalar_counts_as_float32():
    out = needle.Array(1)
    needle.scalar_eq(array([0.1]), 0.1, out)  # 0.1 in float64 is a different value
    assert values(out).tolist() == [1.0]
    needle.scalar_add(array([1.0]), np.float64(2.0**-25), out)
    assert values(out).tolist() == [1.0]


@pytest.mark.filterwarnings("error")
def test_powers_and_functions():
    x = [0.25, 0.5, 1.0, 2.0, 5.0]
    out = needle.Array(len(x))
    for power in (0.5, 2, 3, -1, 0):
        needle.scalar_power(array(x), power, out)
        np.testing.assert_allclose(values(out), [v**power for v in x], rtol=3e-7)
    for op in ("log", "exp", "tanh"):
        getattr(needle, f"ewise_{op}")(array(x), out)
        np.testing.assert_allclose(values(out), [getattr(math, op)(v) for v in x], rtol=3e-7)
    needle.ewise_log(array([0.0, -1.0]), (two := needle.Array(2)))  # as in C, no warning
    np.testing.assert_array_equal(values(two), [-np.inf, np.nan])


def test_an_array_may_be_its_own_output():
    a = array([1.0, 2.0, 3.0])
    needle.ewise_add(a, a, a)
    assert values(a).tolist() == [2, 4, 6]


def product(a, b):
    (m, n), p = a.shape, b.shape[1]
    return [[sum(float(a[i, k]) * float(b[k, j]) for k in range(n)) for j in range(p)] for i in range(m)]


@pytest.mark.parametrize("m, n, p", [(1, 1, 1), (3, 5, 2), (8, 8, 8), (16, 24, 8), (17, 33, 9)])
def test_matmul(m, n, p):
    rng = np.random.default_rng(0)
    a, b = (rng.integers(-9, 10, shape).astype(np.float32) for shape in ((m, n), (n, p)))
    out = needle.Array(m * p)
    needle.matmul(array(a), array(b), out, m, n, p)
    np.testing.assert_array_equal(values(out).reshape(m, p), product(a, b))


def tiles(a):
    """The tiled layout: element (i, j) is at [i // 8][j // 8][i % 8][j % 8]."""
    flat = np.zeros(a.size, np.float32)
    for i, j in np.ndindex(a.shape):
        flat[((i // 8 * (a.shape[1] // 8) + j // 8) * 8 + i % 8) * 8 + j % 8] = a[i, j]
    return flat


@pytest.mark.parametrize("m, n, p", [(8, 8, 8), (16, 24, 8), (8, 16, 32)])
def test_matmul_tiled(m, n, p):
    rng = np.random.default_rng(1)
    a, b = (rng.integers(-9, 10, shape).astype(np.float32) for shape in ((m, n), (n, p)))
    out = needle.Array(m * p)
    needle.matmul_tiled(array(tiles(a)), array(tiles(b)), out, m, n, p)
    np.testing.assert_array_equal(values(out), tiles(np.array(product(a, b))))


@pytest.mark.parametrize("outputs, size", [(1, 1), (4, 6), (24, 1), (3, 100)])
def test_reductions(outputs, size):
    data = np.random.default_rng(2).integers(-50, 50, outputs * size).astype(np.float32)
    rows = [data[i * size : (i + 1) * size] for i in range(outputs)]
    out = needle.Array(outputs)
    needle.reduce_sum(array(data), out, size)
    assert values(out).tolist() == [sum(row) for row in rows]
    needle.reduce_max(array(data), out, size)
    assert values(out).tolist() == [max(row) for row in rows]


def test_fill():
    out = needle.Array(5)
    needle.fill(out, 2.5)
    assert values(out).tolist() == [2.5] * 5 and out.size == 5 and isinstance(out.ptr(), int)


def test_mismatched_sizes_are_refused():
    a, b, one = array([1, 2, 3]), array([1, 2]), needle.Array(1)
    for call in (
        lambda: needle.ewise_add(a, one, a),  # no broadcasting
        lambda: needle.scalar_add(a, 1.0, b),
        lambda: needle.ewise_exp(a, b),
        lambda: needle.from_numpy(np.zeros(4), a),
        lambda: needle.compact(a, b, (3,), (1,), 0),
        lambda: needle.scalar_setitem(2, 0.0, a, (3,), (1,), 0),
        lambda: needle.matmul(a, b, one, 1, 3, 1),
        lambda: needle.matmul_tiled(a, a, a, 3, 1, 3),
        lambda: needle.reduce_sum(a, b, 2),
        lambda: needle.reduce_max(a, b, 1),
        lambda: needle.Array(-1),
    ):
        with pytest.raises(ValueError):
            call()


def test_install_serves_the_extension(monkeypatch, tmp_path):
    """A package with needle's structure finds the module in place of its extension."""
    for name in ("needle_like", "needle_like.backend_ndarray", "needle_like.backend_ndarray.ndarray_backend_cpu"):
        monkeypatch.setitem(sys.modules, name, None)
        monkeypatch.delitem(sys.modules, name)
    package = tmp_path / "needle_like" / "backend_ndarray"
    package.mkdir(parents=True)
    (tmp_path / "needle_like" / "__init__.py").write_text("")
    (package / "__init__.py").write_text("from . import ndarray_backend_cpu as cpu\n")
    monkeypatch.syspath_prepend(tmp_path)
    needle.install("needle_like")
    import needle_like.backend_ndarray

    assert needle_like.backend_ndarray.cpu is needle
    needle.install("needle_like")  # twice is harmless


def test_install_after_the_import_is_refused(monkeypatch):
    for name in ("old_needle", "old_needle.backend_ndarray"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    with pytest.raises(ImportError, match="is already imported; restart Python"):
        needle.install("old_needle")
