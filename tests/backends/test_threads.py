"""The same bits for any split of a batch and any placement of arrays; forks; calls from many threads.

test_every_op.py checks for every op that bits do not depend on the number of threads or the vector width.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

import cases
import numpy as np
import pytest
from proof import FUSED

from fastnet import backends
from fastnet.geometry import Conv2dGeometry

if backends.NativeOps is None:
    pytest.skip(f"the extension was not built: {backends.why_not_native}", allow_module_level=True)
from fastnet.backends import _native

CONVS = [
    cases.Conv(8, 16, 13, 14, 33, 3, 3, 1, 1),
    cases.Conv(6, 3, 19, 17, 32, 3, 3, 2, 1),
    cases.Conv(5, 33, 9, 9, 70, 1, 1),
    cases.Conv(9, 24, 12, 11, 24, 3, 3, 1, 1, 1, 24),
    cases.Conv(5, 20, 13, 11, 20, 5, 5, 2, 2, 1, 20),
    cases.Conv(6, 24, 11, 13, 24, 3, 3, 1, 1, 1, 6),
    cases.Conv(7, 12, 11, 12, 18, 3, 3, 2, 1, 1, 3),
    cases.Conv(4, 3, 33, 31, 8, 7, 7, 1, 3),
    cases.Conv(7, 1, 28, 28, 6, 5, 5, 1, 2),
    cases.Conv(1, 3, 61, 110, 20, 3, 3, 2, 1),
    cases.Conv(3, 64, 8, 8, 64, 3, 3, 1, 2, 2),
    cases.Conv(40, 8, 6, 6, 16, 3, 3, 1, 1),
    cases.Conv(1, 150, 7, 7, 40, 3, 3, 1, 1),
]


@pytest.fixture
def isa():
    """A function that sets the instruction set during a test."""
    before = _native.isa()
    yield lambda name: _native.set_isa(name) or pytest.fail(f"no {name} here")
    _native.set_isa(before)


@pytest.mark.parametrize("case", CONVS, ids=str)
def test_same_bits_for_any_split_of_a_batch(native, algorithm, dtype, case):
    x, w, b = (cases.normal(s, dtype, i) for i, s in enumerate((case.x_shape, case.w_shape, (case.K,))))

    def run(x, dy):
        y, saved = native.conv2d(x, w, b, Conv2dGeometry.make(x.shape, w.shape, **case.arguments))
        return y, native.conv2d_backward(y if dy is None else dy, saved, (True, False, False))[0]

    whole, whole_dx = run(x, None)
    for cut in {1, 2, 3, case.N - 1} & set(range(1, case.N)):
        parts = [run(x[piece], whole[piece]) for piece in (slice(0, cut), slice(cut, None))]
        np.testing.assert_array_equal(np.concatenate([y for y, _ in parts]), whole)
        np.testing.assert_array_equal(np.concatenate([dx for _, dx in parts]), whole_dx)


def test_linear_has_the_same_bits_for_any_split_of_a_batch(native, dtype):
    x, w, b = cases.normal((37, 530), dtype), cases.normal((70, 530), dtype, 1), cases.normal((70,), dtype, 2)
    whole, saved = native.linear(x, w, b)
    dx = native.linear_backward(whole, saved)[0]
    for start, stop in ((0, 1), (5, 6), (0, 13), (13, 37)):
        y, saved = native.linear(x[start:stop], w, b)
        np.testing.assert_array_equal(y, whole[start:stop])
        np.testing.assert_array_equal(native.linear_backward(y, saved)[0], dx[start:stop])


def test_same_bits_wherever_arrays_lie(native, algorithm, dtype):
    """Kernels must not change their order of summation with alignment."""
    case = cases.Conv(3, 16, 9, 8, 20, 3, 3, 1, 1)
    arrays = [cases.normal(s, dtype, i) for i, s in enumerate((case.x_shape, case.w_shape, (case.K,), (3, 20, 9, 8)))]
    arrays[0], arrays[3] = (np.moveaxis(np.moveaxis(a, 1, 3).copy(), 3, 1) for a in (arrays[0], arrays[3]))
    geometry = Conv2dGeometry.make(case.x_shape, case.w_shape, 1, 1)

    def run(x, w, b, dy):
        y, saved = native.conv2d(x, w, b, geometry)
        return [array.tobytes() for array in (y, *native.conv2d_backward(dy, saved))]

    expected = run(*arrays)
    for shift in range(1, 16, 3):
        moved = []
        for array in arrays:
            memory = np.empty(array.size + shift, dtype)
            flat = memory[shift:]
            order = array.transpose(0, 2, 3, 1) if array.ndim == 4 and not array.flags.c_contiguous else array
            flat[...] = order.ravel()
            moved.append(
                np.moveaxis(flat.reshape(order.shape), 3, 1) if order is not array else flat.reshape(array.shape)
            )
        assert run(*moved) == expected


def one_convolution(ops, seed=0):
    x, w = cases.normal((4, 16, 20, 20), np.float32, seed), cases.normal((32, 16, 3, 3), np.float32, seed + 1)
    y, saved = ops.conv2d(x, w, None, Conv2dGeometry.make(x.shape, w.shape, 1, 1))
    dx, dw, _ = ops.conv2d_backward(y, saved, (True, True, False))
    return y.tobytes() + dx.tobytes() + dw.tobytes()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("children", [1, 3])
def test_children_of_a_fork_compute_the_same_bits_on_one_thread(best_native, algorithm, threads, children):
    threads(2)
    expected = one_convolution(best_native)
    started = []
    for _ in range(children):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.close(reader)
                ok = one_convolution(best_native) == expected and _native.threads() == 1
                os.write(writer, b"same" if ok else b"other")
                status = 0
            finally:
                os._exit(status)
        os.close(writer)
        started.append((child, reader))
    deadline = time.monotonic() + 10 * children
    for child, reader in started:
        while (done := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < deadline:
            time.sleep(0.005)
        if done == (0, 0):
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        with os.fdopen(reader, "rb") as answer:
            assert (done, answer.read()) == ((child, 0), b"same"), "(0, 0): the child hung"
    assert one_convolution(best_native) == expected and _native.threads() == 2


@pytest.mark.parametrize("count", [1, 2, 3])
def test_calls_from_four_python_threads_at_once(best_native, algorithm, threads, count):
    threads(count)
    expected = [one_convolution(best_native, seed) for seed in range(4)]
    barrier, wrong = threading.Barrier(4), []

    def work(seed):
        barrier.wait()
        for _ in range(20):
            if one_convolution(best_native, seed) != expected[seed]:
                wrong.append(seed)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        workers = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(60)
        assert not any(worker.is_alive() for worker in workers)
    finally:
        sys.setswitchinterval(interval)
    assert wrong == []


@pytest.mark.parametrize("count", [1, 2])
def test_callers_keep_their_subnormals(best_native, threads, count):
    """Kernels flush subnormal numbers to zero; the thread that called them must not."""
    threads(count)
    for dtype, tiny in ((np.float32, 1e-39), (np.float64, 1e-310)):
        for op in ("relu", "sigmoid"):
            getattr(best_native, op)(cases.normal((300_000,), dtype))
        one_convolution(best_native)
        small = np.full(64, tiny, dtype)
        assert ((small * dtype(0.5)) != 0).all()
    half = float("0.5")  # not a literal, or Python multiplies when it compiles
    assert 1e-310 * half != 0


def test_number_of_threads_can_be_set_and_read(threads):
    from fastnet.threads import get_num_threads, set_num_threads

    expected = 1 if "single-threaded" in _native.threading() else 3
    set_num_threads(3)
    assert get_num_threads() == expected
    for bad, error in (
        (0, ValueError),
        (-1, ValueError),
        (1025, ValueError),
        (2**40, ValueError),
        (1.5, TypeError),
        ("2", TypeError),
    ):
        with pytest.raises(error, match=r"set_num_threads: count must be"):
            set_num_threads(bad)
    assert get_num_threads() == expected


def test_unknown_instruction_sets_are_refused():
    before = _native.isa()
    for name in ("", "AVX2", "sse9", "avx512 "):
        assert name not in _native.isas() and not _native.set_isa(name)
        assert _native.isa() == before


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 6, 7, 8])
@pytest.mark.skipif(len(FUSED) < 2, reason="this CPU has no AVX-512")
def test_few_output_channels_have_the_same_bits_on_narrow_and_wide_paths(best_native, isa, dtype, channels):
    """The vector width selects the path here, so the paths must agree to the last bit."""
    results = set()
    for name in FUSED:
        isa(name)
        for shape, arguments in (((3, 12, 9, 21), {"padding": 1}), ((2, 9, 8, 35), {"padding": (2, 0), "dilation": 2})):
            x, w = cases.normal(shape, dtype), cases.normal((channels, shape[1], 3, 3), dtype, 1)
            geometry = Conv2dGeometry.make(x.shape, w.shape, **arguments)
            for bias in (None, cases.normal((channels,), dtype, 2)):
                results.add((shape, bias is None, best_native.conv2d(x, w, bias, geometry)[0].tobytes()))
    assert len(results) == 4


def test_number_of_threads_may_change_while_kernels_run(best_native, threads):
    """Scratch is sized by the number of threads at the start of a call, and no more threads than that use it."""
    x, w = cases.normal((8, 16, 24, 24), np.float32), cases.normal((16, 16, 3, 3), np.float32, 1)
    geometry = Conv2dGeometry.make(x.shape, w.shape, padding=1)
    expected, wrong, stop = best_native.conv2d(x, w, None, geometry)[0].tobytes(), [], threading.Event()

    def compute():
        while not stop.is_set():
            if best_native.conv2d(x, w, None, geometry)[0].tobytes() != expected:
                wrong.append(1)

    workers = [threading.Thread(target=compute) for _ in range(3)]
    for worker in workers:
        worker.start()
    for count in range(400):
        threads(1 + 8 * (count % 2))
        time.sleep(0.001)
    stop.set()
    for worker in workers:
        worker.join()
    assert wrong == []
