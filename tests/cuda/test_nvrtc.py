"""Every kernel compiles for every GPU, without warnings and without spilled registers.

By default float's for one of today's architectures, where tiles take the most registers, and double's for the oldest,
which would refuse what it does not have; FASTNET_TEST_ARCHITECTURES=all takes all of them for both, at a quarter of a
second of processor time for each kernel, dtype and architecture.
"""

from __future__ import annotations

import os
import re

import pytest
from cuda import nvrtc
from cuda.emulator import with_dialect

pytestmark = pytest.mark.skipif(nvrtc.library() is None, reason="nvidia-cuda-nvrtc is not installed")

ARCHITECTURES = {"float": (90,), "double": (75,)}
if os.environ.get("FASTNET_TEST_ARCHITECTURES") == "all":
    ARCHITECTURES = dict.fromkeys(nvrtc.REALS, nvrtc.ARCHITECTURES)
MOST_REGISTERS = 128  # a thread; an SM has 65536, for two blocks of 256 threads
MORE_REGISTERS = r"(gemm|conv_gather|conv_weight)_\d+x\d+"  # tiles: up to 64 sums a thread, one block at a time
ALL_REGISTERS = 255


SEEN = """
KERNEL(spills)(IN(real) x, OUT(real) y, Int n)
{
    real sums[300] = {};
    for (Int i = 0; i < n; i++) {
        const real first = x[i * 256 + threadIdx.x];
#pragma unroll
        for (int k = 0; k < 300; k++) sums[k] = fma(first, x[i + k], sums[k]);
    }
#pragma unroll
    for (int k = 0; k < 300; k++) y[k * 256 + threadIdx.x] = sums[k];
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


@pytest.mark.parametrize("real", nvrtc.REALS)
@pytest.mark.parametrize("file", nvrtc.sources())
def test_kernels_compile(file, real):
    text = nvrtc.sources()[file]
    for architecture in ARCHITECTURES[real]:
        kernels, messages = nvrtc.compile(text, f"{file}.cu", real, architecture)
        assert not messages, messages
        assert kernels, "no kernel was found"
        for kernel, resources in kernels.items():
            assert not resources.spilled, (kernel, architecture, resources)
            most = ALL_REGISTERS if re.fullmatch(MORE_REGISTERS, kernel) else MOST_REGISTERS
            assert resources.registers <= most, (kernel, architecture, resources)


def test_what_the_test_looks_for_is_seen():
    text = with_dialect(SEEN, "seen.cu")
    kernels, messages = nvrtc.compile(text, "seen.cu", "float", 90)
    assert kernels["spills"].spilled > 0 and kernels["spills"].registers == ALL_REGISTERS
    assert kernels["shares"].spilled == 0 and kernels["shares"].shared == 512
    assert "unused" in messages and messages.startswith("seen.cu")
    assert "error" in nvrtc.compile("KERNEL(k)(OUT(real) x) {}", "seen.cu", "float", 90)[1]
