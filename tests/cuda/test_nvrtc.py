"""Every kernel compiles for every GPU, without warnings, spilled registers or more registers than a block can have.

By default for the oldest architecture and one of today's; FASTNET_TEST_ARCHITECTURES=all takes all of them, at about 0.15
seconds of processor time for each kernel, dtype and architecture.
"""

from __future__ import annotations

import os
import re

import pytest
from cuda import nvrtc
from cuda.test_emulator import DIALECT

pytestmark = pytest.mark.skipif(nvrtc.library() is None, reason="nvidia-cuda-nvrtc is not installed")

ARCHITECTURES = nvrtc.ARCHITECTURES if os.environ.get("FASTNET_TEST_ARCHITECTURES") == "all" else (75, 90)
MOST_REGISTERS = 128  # times the 512 threads that a KERNEL may have, an SM's 65536


@pytest.mark.parametrize("real", nvrtc.REALS)
@pytest.mark.parametrize("file", nvrtc.sources())
def test_kernels_compile(file, real):
    text = nvrtc.sources()[file]
    bounded = re.findall(r"KERNEL_BOUNDED\((\w+)", text)  # the compiler keeps to their number of threads
    for architecture in ARCHITECTURES:
        kernels, messages = nvrtc.compile(text, f"{file}.cu", real, architecture)
        assert not messages, messages
        assert kernels, "no kernel was found"
        for kernel, resources in kernels.items():
            assert not resources.spilled, (kernel, architecture, resources)
            assert kernel in bounded or resources.registers <= MOST_REGISTERS, (kernel, architecture, resources)


def test_what_the_test_looks_for_is_seen():
    text = (
        DIALECT.read_text()
        + """
KERNEL_BOUNDED(spills, 1024)(IN(real) x, OUT(real) y, Int n)
{
    real sums[96] = {};
    for (Int i = 0; i < n; i++) {
        const real first = x[i * 128 + threadIdx.x];
#pragma unroll
        for (int k = 0; k < 96; k++) sums[k] = fma(first, x[i + k], sums[k]);
    }
#pragma unroll
    for (int k = 0; k < 96; k++) y[k * 128 + threadIdx.x] = sums[k];
}

KERNEL(shares)(OUT(real) x)
{
    SHARED(double, tile, 64);
    int unused;
    tile[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    x[threadIdx.x] = tile[63 - threadIdx.x];
}
"""
    )
    kernels, messages = nvrtc.compile(text, "seen.cu", "float", 90)
    assert kernels["spills"].spilled > 0 and kernels["spills"].registers <= 64
    assert kernels["shares"].spilled == 0 and kernels["shares"].shared == 512
    assert "unused" in messages and messages.startswith("seen.cu")
    assert "error" in nvrtc.compile("KERNEL(k)(OUT(real) x) {}", "seen.cu", "float", 90)[1]
