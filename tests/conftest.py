"""Fixtures for every test: backends under every instruction set, dtypes, data files."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from fastnet import backends

if backends.NativeOps:
    from fastnet.backends import _native

    ISAS = [isa for isa in ("portable", "avx2", "avx512", "neon") if _native.isa_supported(isa)]
else:
    ISAS = []


@pytest.fixture(params=ISAS)
def native(request):
    """NativeOps under each instruction set of this CPU; each block that it hands out is full of NaN at first."""
    before = _native.isa()
    assert _native.set_isa(request.param) and _native.isa() == request.param
    _native.set_poison(True)
    yield backends.NativeOps()
    _native.set_poison(False)
    _native.set_isa(before)


@pytest.fixture(params=["reference", *ISAS])
def ops(request):
    """Ops (the reference), then NativeOps under each instruction set, poisoned."""
    if request.param == "reference":
        yield backends.Ops()
        return
    before = _native.isa()
    assert _native.set_isa(request.param)
    _native.set_poison(True)
    yield backends.NativeOps()
    _native.set_poison(False)
    _native.set_isa(before)


@pytest.fixture
def best_native():
    """NativeOps under the instruction set that is in use, poisoned."""
    if backends.NativeOps is None:
        pytest.skip(f"the extension was not built: {backends.why_not_native}")
    _native.set_poison(True)
    yield backends.NativeOps()
    _native.set_poison(False)


@pytest.fixture
def threads():
    """A function that sets the number of threads for the length of a test."""
    if backends.NativeOps is None:
        pytest.skip(f"the extension was not built: {backends.why_not_native}")
    before = _native.threads()
    yield _native.set_threads
    _native.set_threads(before)


@pytest.fixture(params=[np.float32, np.float64], ids=["float32", "float64"])
def dtype(request):
    return np.dtype(request.param)


@pytest.fixture(scope="session")
def data_folder():
    """The folder with mnist/, cifar10/ and weights/: FASTNET_TEST_DATA, else ../shared/data beside the repository."""
    given = os.environ.get("FASTNET_TEST_DATA")
    folder = Path(given) if given else Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no real data here: set FASTNET_TEST_DATA to a folder with mnist/, cifar10/ and weights/")
    return folder
