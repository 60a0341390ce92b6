"""Where Winograd beats direct convolution: the measurement behind the thresholds of Winograd in csrc/tuning.h.

    python benches/conv_algorithms.py [--kernel 5] [--dtype float64] [--threads 2]

Prints, for 3x3 (or 5x5) kernels at stride 1, the time of direct divided by the time of Winograd (above 1: Winograd is
faster) for the forward pass, the input gradient and the weight gradient.  Both run alternately; the best of several
rounds is used.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

import fastnet
from fastnet.backends import NativeOps
from fastnet.geometry import Conv2dGeometry

SIZES = ((32, 32), (16, 64), (8, 128), (4, 256), (2, 256))  # (H = W, N)
CHANNELS = (6, 8, 12, 16, 24, 32, 48, 64, 128, 256)


def passes(ops, x, w, dy, geometry):
    """The three calls to compare."""
    _, saved = ops.conv2d(x, w, None, geometry)
    return (
        lambda: ops.conv2d(x, w, None, geometry),
        lambda: ops.conv2d_backward(dy, saved, (True, False, False)),
        lambda: ops.conv2d_backward(dy, saved, (False, True, False)),
    )


def seconds(call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def compare(ops, size, batch, channels, kernel, dtype, rounds):
    """Direct over Winograd for (forward, input gradient, weight gradient)."""
    rng = np.random.default_rng(0)
    x = ops.asarray(rng.standard_normal((batch, channels, size, size)), dtype)
    w = rng.standard_normal((channels, channels, kernel, kernel)).astype(dtype)
    geometry = Conv2dGeometry.make(x.shape, w.shape, padding=kernel // 2)
    dy = ops.asarray(rng.standard_normal(geometry.y_shape), dtype)
    best = {"direct": [np.inf] * 3, "winograd": [np.inf] * 3}
    for _ in range(rounds):
        for algorithm, times in best.items():
            fastnet.set_conv_algorithm(algorithm)
            for i, call in enumerate(passes(ops, x, w, dy, geometry)):
                times[i] = min(times[i], seconds(call))
    return [d / f for d, f in zip(best["direct"], best["winograd"], strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kernel", type=int, choices=(3, 5), default=3)
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--threads", type=int, default=fastnet.get_num_threads())
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    fastnet.set_num_threads(arguments.threads)
    ops, dtype = NativeOps(), np.dtype(arguments.dtype)
    kernel = f"{arguments.kernel}x{arguments.kernel}"
    print(f"time of direct / time of Winograd, {kernel}, {dtype}, {arguments.threads} threads")
    print(f"{'images':>12} {'channels':>8} {'forward':>8} {'dX':>6} {'dW':>6}")
    for size, batch in SIZES:
        for channels in CHANNELS:
            forward, dx, dw = compare(ops, size, batch, channels, arguments.kernel, dtype, arguments.rounds)
            print(f"{f'{batch}x{size}x{size}':>12} {channels:>8} {forward:>8.2f} {dx:>6.2f} {dw:>6.2f}", flush=True)


if __name__ == "__main__":
    main()
