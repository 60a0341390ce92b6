"""The stand-in captures graphs as CUDA does: nothing is computed before a launch, nothing may wait for the device."""

from __future__ import annotations

import contextlib
import gc

import numpy as np
import pytest
from cuda.devices import ON_GPU

WAITS = {
    "get": lambda cp, x: x.get(),
    "float": lambda cp, x: float(x.sum()),
    "truth": lambda cp, x: bool((x > 0).all()),
    "item": lambda cp, x: x[0].item(),
    "set": lambda cp, x: x.set(np.zeros(4, np.float32)),
    "upload": lambda cp, x: cp.asarray(np.zeros(4, np.float32)),
    "list": lambda cp, x: cp.array([1.0, 2.0]),
    "asnumpy": lambda cp, x: cp.asnumpy(x),
    "nonzero": lambda cp, x: cp.nonzero(x),
    "mask": lambda cp, x: x[x > 0],
    "device": lambda cp, x: cp.cuda.Device().synchronize(),
    "stream": lambda cp, x: cp.cuda.get_current_stream().synchronize(),
    "module": lambda cp, x: cp.RawModule(code="KERNEL(nothing)() {}").get_function("nothing"),
}
pytestmark = pytest.mark.skipif(ON_GPU, reason="of the stand-in")


@contextlib.contextmanager
def captured(cp, found):
    stream = cp.cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        assert stream.is_capturing()
        yield
        found.append(stream.end_capture())
    assert not stream.is_capturing()


def test_work_is_done_at_each_launch_and_never_before(device):
    cp, graphs = device.xp, []
    x, total = cp.asarray(np.arange(6, dtype=np.float32)), cp.zeros(3, np.float32)
    with captured(cp, graphs):
        rows = x.reshape(2, 3)  # a view
        y = cp.exp(rows[1]) * 2
        total += y
        rows[0] = y
        z = cp.where(y > 0, y, 0).sum()
    assert all(np.isnan(each.get()).all() for each in (y, z))
    np.testing.assert_array_equal(x.get(), np.arange(6))
    np.testing.assert_array_equal(total.get(), 0)
    for launch in range(1, 3):
        graphs[0].launch()
        expected = np.exp(np.arange(3, 6, dtype=np.float32)) * np.float32(2)
        np.testing.assert_array_equal(y.get(), expected)
        np.testing.assert_array_equal(x.get(), [*expected, 3, 4, 5])
        assert z.get() == expected.sum()
        np.testing.assert_array_equal(total.get(), expected * launch)


def test_kernels_are_captured(device, dtype):
    cp, graphs = device.xp, []
    a, b = (cp.asarray(np.full(5, value, dtype)) for value in (2, 3))
    device.add(a, b)  # loads the module
    with captured(cp, graphs):
        y = device.add(a, b)
    assert np.isnan(y.get()).all()
    a.fill(10)
    graphs[0].launch()
    np.testing.assert_array_equal(y.get(), 13)


@pytest.mark.parametrize("wait", WAITS)
def test_what_waits_for_the_device_ends_the_capture(device, wait):
    cp, stream = device.xp, device.xp.cuda.Stream(non_blocking=True)
    x = cp.ones(4, np.float32)
    with stream:
        stream.begin_capture()
        with pytest.raises(cp.cuda.runtime.CUDARuntimeError, match="cudaErrorStreamCaptureUnsupported"):
            WAITS[wait](cp, x)
        with pytest.raises(RuntimeError, match="invalidated"):
            stream.is_capturing()
        with pytest.raises(cp.cuda.runtime.CUDARuntimeError, match="cudaErrorStreamCaptureInvalidated"):
            stream.end_capture()


def test_what_else_cannot_be_captured(device):
    cp, stream = device.xp, device.xp.cuda.Stream(non_blocking=True)
    x = cp.ones((2, 2), np.float32)
    with pytest.raises(RuntimeError, match="default"):
        cp.cuda.Stream.null.begin_capture()
    with pytest.raises(RuntimeError, match="IllegalState"):
        stream.end_capture()
    with stream:
        stream.begin_capture()
        with pytest.raises(NotImplementedError, match="cuBLAS"):
            x @ x
    with pytest.raises(NotImplementedError):
        cp.cuda.Graph()


def test_memory_that_is_used_again_is_overwritten(device):
    cp, graphs, pool = device.xp, [], device.xp.cuda.MemoryPool()
    x = cp.ones(4, np.float32)
    before = cp.get_default_memory_pool().used_bytes()
    with cp.cuda.using_allocator(pool.malloc), captured(cp, graphs):
        y = x + 1
        hidden = y._array  # as a table of addresses has it
        del y
        z = x + 2
        assert (pool.used_bytes(), pool.total_bytes(), pool.free_bytes()) == (512, 512, 0)
    graphs[0].launch()
    np.testing.assert_array_equal(z.get(), 3)
    assert np.isnan(hidden).all()
    del z
    assert (pool.used_bytes(), pool.free_bytes()) == (0, 512)
    assert cp.get_default_memory_pool().used_bytes() == before


def test_a_pool_takes_its_memory_with_it(device):
    cp = device.xp
    for kept in (True, False):
        pool = cp.cuda.MemoryPool()
        with cp.cuda.using_allocator(pool.malloc if not kept else lambda size, pool=pool: owned(cp, pool, size)):
            x = cp.ones(4, np.float32)
        del pool
        gc.collect()
        assert np.array_equal(x.get(), np.ones(4)) == kept


def owned(cp, pool, size):
    place = pool.malloc(size)
    return cp.cuda.MemoryPointer(cp.cuda.UnownedMemory(place.ptr, size, (place, pool), 0), 0)
