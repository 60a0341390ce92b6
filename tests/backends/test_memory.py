"""The caching allocator: bounded scratch, blocks that are reused, arrays that live as long as a reference to them."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import cases
import numpy as np
import pytest

from fastnet import backends
from fastnet.geometry import Conv2dGeometry, Pool2dGeometry
from fastnet.ops import Stream

if backends.NativeOps is None:
    pytest.skip(f"the extension was not built: {backends.why_not_native}", allow_module_level=True)
from isas import ISAS, kernels

from fastnet.backends import _native

CONVS = [
    cases.Conv(1, 16, 8, 8, 32, 3, 3, 1, 1),
    cases.Conv(1, 3, 9, 9, 32, 7, 7, 1, 3),
    cases.Conv(1, 3, 13, 13, 25, 3, 3, 2, 1),
    cases.Conv(1, 64, 6, 6, 64, 1, 1),
    cases.Conv(1, 24, 9, 9, 24, 3, 3, 1, 1, 1, 24),
    cases.Conv(1, 24, 9, 9, 24, 3, 3, 2, 1, 1, 24),
    cases.Conv(1, 8, 9, 9, 12, 3, 3, 2, 2, 2, 2),
]


@pytest.fixture(params=ISAS)
def native(request):
    """NativeOps under each instruction set, on the cache, whose blocks are not guarded."""
    with kernels(request.param, guard=False) as ops:
        yield ops


@pytest.fixture
def best_native():
    """NativeOps under the instruction set that is in use, on the cache, whose blocks are not guarded."""
    with kernels(guard=False) as ops:
        yield ops


def scratch_of(call):
    _native.reset_peak()
    call()
    return _native.memory_stats()["scratch_peak"]


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("case", CONVS, ids=str)
def test_scratch_of_a_convolution_does_not_depend_on_the_batch(best_native, algorithm, threads, dtype, case, count):
    """It grows with a small batch, up to a bound that the geometry of one image sets."""
    threads(count)
    peaks = []
    for N in (768, 1024):
        x, w = best_native.zeros((N, *case.x_shape[1:]), dtype), np.zeros(case.w_shape, dtype)
        geometry = Conv2dGeometry.make(x.shape, w.shape, **case.arguments)
        y, saved = best_native.conv2d(x, w, None, geometry)
        calls = [partial(best_native.conv2d, x, w, None, geometry)]
        calls += [partial(best_native.conv2d_backward, y, saved, needs) for needs in np.eye(3, dtype=bool)]
        peaks.append([scratch_of(call) for call in calls])
    if count == 1:  # of several threads, tasks may or may not have theirs at the same time
        assert peaks[0][:3] == peaks[1][:3]
    # 4 MiB per thread, and 2^20 elements of partial weight gradients
    assert max(peaks[1]) <= (4 * count + dtype.itemsize) * 2**20
    assert peaks[1][3] <= 1.125 * 64 * 8 * case.K + 64  # the bias gradient: 64 partial sums in float64


def test_scratch_is_far_below_an_im2col_matrix(best_native, algorithm, threads):
    """64 filters of 7x7 over (8, 16, 48, 48): the matrix would take 58 MB."""
    threads(2)
    x, w = best_native.zeros((8, 16, 48, 48), np.float32), np.zeros((64, 16, 7, 7), np.float32)
    geometry = Conv2dGeometry.make(x.shape, w.shape, 1, 3)
    y, saved = best_native.conv2d(x, w, None, geometry)
    assert scratch_of(lambda: best_native.conv2d(x, w, None, geometry)) <= 8 * 2**20
    assert scratch_of(lambda: best_native.conv2d_backward(y, saved, (True, True, True))) <= 8 * 2**20


def everything(ops):
    x = cases.normal((3, 8, 9, 9), np.float32)
    w = cases.normal((5, 8, 3, 3), np.float32)
    y, saved = ops.conv2d(x, w, None, Conv2dGeometry.make(x.shape, w.shape, 1, 1))
    ops.conv2d_backward(y, saved, (True, True, True))
    for op in ("max_pool2d", "avg_pool2d"):
        z, saved = getattr(ops, op)(y, Pool2dGeometry.make(y.shape, 2))
        getattr(ops, op + "_backward")(z, saved)
    z, saved = ops.batch_norm(y, None, None, None, None, True)
    ops.batch_norm_backward(z, saved, (True, True, True))
    flat = ops.flatten(z)
    scores, saved = ops.linear(flat, cases.normal((4, flat.shape[1]), np.float32), None)
    ops.linear_backward(scores, saved, (True, True, True))
    ops.softmax_cross_entropy(scores, np.array([0, 1, 2]))
    ops.svm_loss(scores, np.array([0, 1, 2]))
    ops.dropout(x, 0.5, Stream(1))
    ops.im2col(x, Conv2dGeometry.make(x.shape, w.shape, 1, 1))
    return y


def test_blocks_come_back_when_arrays_die(native):
    gc.collect()
    before = _native.memory_stats()["live"]
    y = everything(native)
    held = _native.memory_stats()["live"] - before
    assert y.nbytes <= held <= 1.125 * y.nbytes + 64
    del y
    assert _native.memory_stats()["live"] == before


def test_blocks_are_used_again(best_native):
    everything(best_native)
    _native.reset_peak()
    cached = _native.memory_stats()["cached"]
    for _ in range(5):
        everything(best_native)
    assert _native.memory_stats()["cached"] == cached
    _native.empty_cache()
    assert _native.memory_stats()["cached"] == 0
    everything(best_native)


def test_errors_leave_nothing_behind(best_native):
    gc.collect()
    before = _native.memory_stats()["live"]
    x, w = np.ones((2, 3, 8, 8), np.float32), np.ones((4, 3, 3, 3), np.float32)
    for _ in range(3):
        saved = best_native.conv2d(x, w, None, Conv2dGeometry.make(x.shape, w.shape))[1]
        with pytest.raises(ValueError, match="dy must have shape"):
            best_native.conv2d_backward(x, saved)
    del saved
    gc.collect()
    assert _native.memory_stats()["live"] == before


def test_arrays_live_as_long_as_a_view_of_them(native):
    """A block must not be reused while anything still points into it."""
    y, _ = native.relu(cases.normal((2, 3, 40, 40), np.float32))
    expected = y[1, 2, 3:9].copy()
    view = y[1, 2, 3:9]
    del y
    for seed in range(20):
        native.relu(cases.normal((2, 3, 40, 40), np.float32, seed))
    np.testing.assert_array_equal(view, expected)


def test_saved_arrays_outlive_their_op(native):
    x = cases.normal((2, 3, 9, 9), np.float32)
    w = cases.normal((4, 3, 3, 3), np.float32)
    dy = cases.normal((2, 4, 9, 9), np.float32)
    geometry = Conv2dGeometry.make(x.shape, w.shape, 1, 1)
    _, saved = native.conv2d(x, w, None, geometry)
    expected = [array.copy() for array in native.conv2d_backward(dy, saved, (True, True, True))]
    _, saved = native.conv2d(x.copy(), w.copy(), None, geometry)
    for seed in range(20):
        native.relu(cases.normal((2, 3, 9, 9), np.float32, seed))
    for got, wanted in zip(native.conv2d_backward(dy, saved, (True, True, True)), expected, strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_blocks_are_aligned_for_vectors(best_native):
    for shape in ((1,), (3, 5), (2, 3, 4, 5), (1000, 1000), (0,)):
        for dtype in (np.float32, np.float64):
            assert best_native.empty(shape, dtype).__array_interface__["data"][0] % 64 == 0


def test_poison_fills_what_is_handed_out(best_native, dtype):
    """The other tests rely on it: an element that a kernel forgets to write is NaN."""
    for _ in range(2):
        block = best_native.empty((50, 50), dtype)
        assert np.isnan(block).all()
        block[...] = 1
        del block


def test_more_than_there_is_raises_memory_error(best_native):
    for shape in ((2**60,), (2**30, 2**31), (2**20, 2**20, 2**10, 2**9)):
        with pytest.raises((MemoryError, OverflowError)):
            best_native.empty(shape, np.float32)
    with pytest.raises((MemoryError, OverflowError, ValueError)):
        best_native.empty((2**40, 2**40), np.float32)


def test_threads_may_share_the_allocator(best_native):
    gc.collect()
    before = _native.memory_stats()["live"]
    wrong = []

    def work(number):
        for i in range(300):
            array = best_native.empty((1 + (i * 37 + number) % 500,), np.float64)
            array[...] = number
            other = best_native.empty((1 + i % 90,), np.float64)
            other[...] = -1
            if not (array == number).all():
                wrong.append(number)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert wrong == []
    assert _native.memory_stats()["live"] == before


# ---------------------------------------------------------------- guarded blocks

DEEDS = {
    "read behind": "ctypes.string_at(start + size, 1)",
    "read before": "ctypes.string_at(start - 1, 1)",
    "write behind": "ctypes.memset(start + size, 0, 1)",
    "write before": "ctypes.memset(start - 1, 0, 1)",
    "write just behind": "ctypes.memset(start + 100, 0, 1); del block",
    "use again": "del block; ctypes.string_at(start, 1)",
    "nothing": "ctypes.memset(start, 0, 100); del block",
}


@pytest.mark.parametrize("deed", DEEDS)
def test_guarded_blocks(best_native, deed, tmp_path):
    """Of two blocks, one is at the end of its pages, the other at the beginning."""
    with kernels():
        if not _native.set_guard(True):
            pytest.skip("no guard pages here")
    died = []
    for turn in range(2):
        code = f"""
import ctypes, numpy as np
from fastnet.backends import _native
_native.set_guard(True)
blocks = [_native.Block(100) for _ in range(2)]
block = blocks.pop({turn})
array = np.frombuffer(block, np.uint8)
start, size = array.__array_interface__["data"][0], 128
assert start % 64 == 0 and np.isnan(np.frombuffer(block, np.float32)).all()
del array
{DEEDS[deed]}
"""
        environment = {
            **os.environ,
            "PYTHONPATH": str(Path(backends.__file__).parents[2]),
        }  # the fastnet under test
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        died.append(done.returncode)
        assert done.returncode in (0, -signal.SIGSEGV, -signal.SIGBUS, -signal.SIGABRT), done.stderr
        assert (done.returncode == -signal.SIGABRT) == ("a kernel wrote at byte" in done.stderr)
    # reads between block and page are seen only by their NaN; writes there are detected later
    assert sum(code != 0 for code in died) == {"nothing": 0, "read behind": 1, "read before": 1}.get(deed, 2)


def test_guarded_and_cached_blocks_may_outlive_the_mode(best_native, dtype):
    arrays = []
    for on in (True, False, True, False):
        _native.set_guard(on)
        arrays.append(best_native.empty((50, 50), dtype))
    for array in arrays:
        array[...] = 1
    while arrays:
        arrays.pop(0)
