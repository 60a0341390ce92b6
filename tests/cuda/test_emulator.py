"""The emulator finds every planted fault, and computes what CUDA would."""

from __future__ import annotations

import numpy as np
import pytest
from cuda import hostcc
from cuda.emulator import Fault, compiled
from cuda.faults import FAULTS, source

pytestmark = pytest.mark.skipif(hostcc.why_not() is not None, reason=str(hostcc.why_not()))

GOOD = """
KERNEL(add)(IN(real) a, IN(real) b, OUT(real) y, Int n, double scale)
{
    for (Int i = GLOBAL_THREAD; i < n; i += GLOBAL_THREADS)
        y[i] = a[i] + (real)scale * (b ? b[i] : 1);
}

KERNEL(sums)(IN(real) x, OUT(real) y, Int n)
{
    SHARED(double, part, KERNEL_THREADS);
    int t = threadIdx.x;
    double sum = 0;
    for (Int i = GLOBAL_THREAD; i < n; i += GLOBAL_THREADS)
        sum += x[i];
    part[t] = sum;
    __syncthreads();
    for (int k = blockDim.x / 2; k; k /= 2) {
        if (t < k)
            part[t] += part[t + k];
        __syncthreads();
    }
    if (t == 0)
        y[blockIdx.x] = (real)part[0];
}

DEVICE void put(SHARED_ARG(real) tile, Int pitch, real value) { tile[threadIdx.y * pitch + threadIdx.x] = value; }

KERNEL(transpose)(IN(real) x, OUT(real) y, Int rows, Int columns)
{
    DYNAMIC_SHARED(real, tile);
    Int r = (Int)blockIdx.y * 8 + threadIdx.y, c = (Int)blockIdx.x * 8 + threadIdx.x;
    if (r < rows && c < columns)
        put(tile, 9, x[(blockIdx.z * rows + r) * columns + c]);
    __syncthreads();
    r = (Int)blockIdx.y * 8 + threadIdx.x;
    c = (Int)blockIdx.x * 8 + threadIdx.y;
    if (r < rows && c < columns)
        y[(blockIdx.z * columns + c) * rows + r] = tile[threadIdx.x * 9 + threadIdx.y];
}

KERNEL(lanes)(IN(real) x, OUT(real) y, OUT(unsigned) votes, Int width)
{
    int t = threadIdx.x, w = (int)width;
    const unsigned all = 0xffffffffu;
    y[t] = __shfl_sync(all, x[t], t * 5 + 3, w);
    y[64 + t] = __shfl_up_sync(all, x[t], 3, w);
    y[128 + t] = __shfl_down_sync(all, x[t], 3, w);
    y[192 + t] = __shfl_xor_sync(all, x[t], 5, w);
    votes[t] = __ballot_sync(all, x[t] > 0);
    votes[64 + t] = __any_sync(all, t == 40);
    votes[128 + t] = __all_sync(all, t < 32);
    if (t < 10)
        votes[192 + t] = __ballot_sync(0x3ffu, t % 2);
}

/* A warp's lanes exchange through shared memory, ordered by __syncwarp alone; several read one element. */
KERNEL(warps)(IN(real) x, OUT(real) y)
{
    SHARED(real, tile, 128);
    int t = threadIdx.x, other = t ^ 31;
    for (int k = 0; k < 3; k++) {
        tile[t] = x[t] + k;
        __syncwarp();
        y[t] = tile[other] + tile[t & ~31];
        __syncwarp();
    }
}

KERNEL_BOUNDED(fours, 2 * 4)(IN(real) x, OUT(real) y, Int n)
{
    for (Int i = 4 * GLOBAL_THREAD; i < n; i += 4 * GLOBAL_THREADS) {
        real4 v = load4(x + i);
        v.x += v.w;
        store4(y + i, v);
    }
}

CONSTANT Int weights[3] = {5, 7, 11};

KERNEL(types)(IN(unsigned char) bytes, IN(int) ints, IN(Int) longs, IN(double) doubles, IN(float) floats, OUT(double) y)
{
    Int i = threadIdx.x;
    y[i] = bytes[i] + ints[i] * (double)weights[0] + longs[i] * (double)weights[i % 3] + doubles[i] + floats[i];
}

KERNEL(numbers)(OUT(real) y, Int stride)
{
    y[0] = infinity();
    y[stride] = not_a_number();
    y[2 * stride] = fma((real)3, max((real)2, not_a_number()), min((real)1, (real)2));
}
"""


@pytest.fixture
def good(dtype):
    """The kernels without faults."""
    return compiled(GOOD, dtype)


@pytest.mark.parametrize("name", FAULTS)
def test_planted_fault_is_found(name, dtype):
    planted, text = FAULTS[name], source()
    module = compiled(text, dtype, "faults.cu")
    x, plus = np.arange(1, 103).astype(dtype), np.zeros(102, dtype)
    message = planted.message.replace("SIZE", str(x.itemsize))
    for seed in (None, 1, 2, 3):
        y = np.zeros(102, dtype)
        with pytest.raises(Fault, match=message) as found:
            module.launch(name, planted.blocks, planted.threads, [x, y, plus, y, None, 102], planted.shared, seed)
        assert str(found.value).startswith(f"kernel {name}, block (")
        assert "//!" not in planted.code or _marked_line(text, name) in str(found.value)
    y = np.zeros(102, dtype)  # the next launch is sound
    compiled(GOOD, dtype).launch("add", 3, 32, [x, x, y, 102, 1.0])
    np.testing.assert_array_equal(y, 2 * x)


def _marked_line(text, name):
    lines = text.splitlines()
    first = lines.index(next(line for line in lines if f"({name})" in line))
    return f"faults.cu:{next(i for i in range(first, len(lines)) if '//!' in lines[i]) + 1}:"


def test_wrong_arguments_are_refused(good, dtype):
    other = np.float64 if dtype == np.float32 else np.float32
    x, y, wrong = np.ones(10, dtype), np.ones(10, dtype), np.ones(10, other)
    locked = np.ones(10, dtype)
    locked.flags.writeable = False
    both = np.ones(20, dtype)
    for arguments, message in [
        ([x, x, y, 10], r"takes 5 arguments \(a, b, y, n, scale\), not 4"),
        ([x, x, y, 10, 1.0, 1.0], r"takes 5 arguments \(a, b, y, n, scale\), not 6"),
        ([wrong, x, y, 10, 1.0], "argument a: expected an array of float(32|64), got float(64|32)"),
        ([x, x.tolist(), y, 10, 1.0], "argument b: expected an array of float(32|64) or None, got list"),
        ([5, x, y, 10, 1.0], "argument a: expected an array of float(32|64) or None, got int"),
        ([x, x, y, 10.0, 1.0], "argument n: expected an int, got float"),
        ([x, x, y, np.int32(10), 1.0], "argument n: expected an int, got int32"),
        ([x, x, y, x, 1.0], "argument n: expected an int, got ndarray"),
        ([x, x, y, 10, 1], "argument scale: expected a float, got int"),
        ([x, x, y, 10, np.float32(1)], "argument scale: expected a float, got float32"),
        ([x, x, locked, 10, 1.0], "argument y: the kernel writes it, and the array is read-only"),
        ([x[::-1], x, y, 10, 1.0], "argument a: negative strides"),
        ([both[:10], x, both[5:15], 10, 1.0], "arguments a and y overlap"),
    ]:
        with pytest.raises(Fault, match=message):
            good.launch("add", 1, 32, arguments)


def test_limits_of_a_launch(good, dtype):
    x = np.ones(10, dtype)
    for blocks, threads, shared, message in [
        (1, 1025, 0, "threads must be between 1 and"),
        (1, (1, 1, 65), 0, "threads must be between 1 and"),
        (1, 0, 0, "threads must be between 1 and"),
        (1, 257, 0, "257 threads a block; at most 256 are declared"),
        ((1, 65536), 1, 0, "blocks must be between 1 and"),
        (1, 32, 49153, "49153 bytes of shared memory"),
    ]:
        with pytest.raises(Fault, match=message):
            good.launch("add", blocks, threads, [x, x, x.copy(), 10, 1.0], shared)
    with pytest.raises(Fault, match="fours: 9 threads a block; at most 8 are declared"):
        good.launch("fours", 1, 9, [x, x.copy(), 8])
    with pytest.raises(Fault, match="no kernel 'sub'; there are add, sums"):
        good.launch("sub", 1, 1, [])
    with pytest.raises(Fault, match="SHARED part: 51200 bytes of shared memory are needed; a block has 49152"):
        good.launch("sums", 1, 32, [x, x.copy(), 10], 49152)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("KERNEL(k)(IN(real) x) { x[0] = 1; }", "read-only"),
        ("KERNEL(k)(OUT(real) x, float a) { x[0] = a; }", "a kernel's parameters are IN, OUT, Int and double"),
        ("KERNEL(k)(OUT(real) x, int n) { x[0] = n; }", "a kernel's parameters are IN, OUT, Int and double"),
        ("KERNEL(k)(OUT(short) x) { x[0] = 1; }", "arrays of real, float"),
        ("KERNEL(k)(OUT(real) x, Int n) { SHARED(real, t, n); t[0] = 1; x[0] = t[0]; }", "not a constant expression"),
        ("KERNEL(k)(OUT(real) x) { atomicAdd(&x[0], 1); }", "atomicAdd"),
        ("KERNEL(k)(OUT(real) x) { real s; x[0] = s; }", "uninitialized"),
        ("KERNEL_BOUNDED(k, 512)(OUT(real) x) { x[0] = 1; }", "no type named 'type'|enable_if"),
        ("DEVICE real f(real a) { return a; }", "the source has no KERNEL"),
    ],
)
def test_what_is_not_the_dialect_does_not_compile(code, message):
    with pytest.raises(Fault, match=message):
        compiled(code, np.float32)


def test_threads_of_a_grid(good, dtype):
    a, b, y = np.arange(1000).astype(dtype), np.arange(1000).astype(dtype) ** 2, np.zeros(1000, dtype)
    good.launch("add", 7, 96, [a, b, y, 1000, 2.0])
    np.testing.assert_array_equal(y, a + 2 * b)
    good.launch("add", 1, 32, [a, None, y, 500, 3.0])
    np.testing.assert_array_equal(y, np.where(np.arange(1000) < 500, a + 3, a + 2 * b))
    good.launch("add", 2, 64, [y, np.zeros_like(y), y, 1000, 1.0], seed=5)  # in place
    np.testing.assert_array_equal(y, np.where(np.arange(1000) < 500, a + 3, a + 2 * b))


@pytest.mark.parametrize("threads", [1, 32, 256])
def test_barriers(good, dtype, threads):
    x, y = np.arange(5000).astype(dtype), np.zeros(9, dtype)
    for seed in range(3):
        good.launch("sums", 9, threads, [x, y, 5000], seed=seed)
        expected = [x.reshape(-1)[_own(5000, block, threads, 9)].sum(dtype=np.float64) for block in range(9)]
        np.testing.assert_array_equal(y, np.array(expected, dtype))


def _own(n, block, threads, blocks):
    return np.arange(n) // threads % blocks == block


def test_three_axes_and_dynamic_shared_memory(good, dtype):
    x = np.arange(3 * 19 * 21).reshape(3, 19, 21).astype(dtype)
    y = np.zeros((3, 21, 19), dtype)
    good.launch("transpose", (3, 3, 3), (8, 8), [x, y, 19, 21], shared=72 * x.itemsize)
    np.testing.assert_array_equal(y, x.transpose(0, 2, 1))


@pytest.mark.parametrize("width", [4, 8, 32])
def test_shuffles_and_votes(good, dtype, width):
    x = np.where(np.arange(64) % 3 == 0, -1, 1).astype(dtype) * np.arange(1, 65)
    x = x.astype(dtype)
    y, votes = np.zeros((4, 64), dtype), np.zeros(256, np.uint32)
    good.launch("lanes", 1, 64, [x, y, votes, width])
    t = np.arange(64)
    first, last = t // width * width, t // width * width + width - 1
    np.testing.assert_array_equal(y[0], x[first + (t * 5 + 3) % width])
    np.testing.assert_array_equal(y[1], x[np.where(t - 3 < first, t, t - 3)])
    np.testing.assert_array_equal(y[2], x[np.where(t + 3 > last, t, t + 3)])
    np.testing.assert_array_equal(y[3], x[np.where((t ^ 5) > last, t, t ^ 5)])
    ballots = [sum(1 << i for i in range(32) if x[warp * 32 + i] > 0) for warp in range(2)]
    np.testing.assert_array_equal(votes[:64], np.repeat(ballots, 32))
    np.testing.assert_array_equal(votes[64:128], t >= 32)
    np.testing.assert_array_equal(votes[128:192], t < 32)
    np.testing.assert_array_equal(votes[192:], np.where(t < 10, 0b1010101010, 0))


def test_a_warp_orders_memory_with_syncwarp(good, dtype):
    x, y = np.arange(128).astype(dtype), np.zeros(128, dtype)
    for seed in range(4):
        good.launch("warps", 1, 128, [x, y], seed=seed)
        t = np.arange(128)
        np.testing.assert_array_equal(y, x[t ^ 31] + x[t & ~31] + 4)


def test_vectors_of_four(good, dtype):
    x, y = np.arange(64).astype(dtype), np.zeros(64, dtype)
    good.launch("fours", 2, 4, [x, y, 64])
    expected = x.copy()
    expected[::4] += x[3::4]
    np.testing.assert_array_equal(y, expected)
    with pytest.raises(Fault, match=r"misaligned: argument x\[0\]"):  # CuPy's views are no better aligned
        good.launch("fours", 1, 1, [x[1:5], y[:4], 4])


def test_types_of_arrays(good):
    rng = np.random.default_rng(5)
    bools, ints, longs = rng.random(30) < 0.5, rng.integers(-99, 99, 30, np.int32), rng.integers(-(2**40), 2**40, 30)
    doubles, floats, y = rng.random(30), rng.random(30).astype(np.float32), np.zeros(30)
    good.launch("types", 1, 30, [bools, ints, longs, doubles, floats, y])
    weights = np.array([5.0, 7.0, 11.0])[np.arange(30) % 3]
    np.testing.assert_array_equal(y, bools + ints * 5.0 + longs * weights + doubles + floats)


def test_views_are_left_alone_between_their_elements(good, dtype):
    whole = np.full((3, 4), 7, dtype)
    good.launch("numbers", 1, 1, [whole[:, 1], 4])
    np.testing.assert_array_equal(whole[:, 1], np.array([np.inf, np.nan, 7], dtype))
    assert (whole[:, [0, 2, 3]] == 7).all()
    with pytest.raises(Fault, match=r"kernel numbers: y\[[12]\], between the view's elements, was written"):
        good.launch("numbers", 1, 1, [whole[:, 1], 1])


def test_seeds_give_other_orders_and_the_same_again(dtype):
    module = compiled(source(), dtype, "faults.cu")
    x = np.ones(102, dtype)

    def message(seed):
        y = np.zeros(102, dtype)
        with pytest.raises(Fault) as found:
            module.launch("blocks_write_one_element", 3, 64, [x, y, np.zeros(102, dtype), y, None, 102], seed=seed)
        return str(found.value)

    messages = [message(seed) for seed in range(8)]
    assert messages == [message(seed) for seed in range(8)]
    assert len(set(messages)) > 4
