"""Fixtures for every test: backends under every instruction set, dtypes, data files."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from cuda import devices
from isas import ISAS, kernels

from fastnet import backends
from fastnet.algorithms import get_conv_algorithm, set_conv_algorithm
from fastnet.cores import default_num_threads
from fastnet.threads import get_num_threads, set_num_threads


@pytest.fixture(params=["reference", *ISAS, *(["cupy"] if devices.WHOLE_SUITE else [])])
def ops(request):
    """Ops (the reference), then NativeOps with each instruction set, in guard mode; convolutions are direct.

    With FASTNET_TEST_DEVICE=1, CupyOps too, on the stand-in for CuPy.
    """
    if request.param == "reference":
        yield backends.Ops()
    elif request.param == "cupy":
        with devices.device() as device:
            yield devices.HostOps(device)
    else:
        with kernels(request.param) as native_ops:
            yield native_ops


@pytest.fixture(params=ISAS)
def native(request):
    """NativeOps with each instruction set of this CPU, in guard mode; convolutions are direct."""
    with kernels(request.param) as native_ops:
        yield native_ops


@pytest.fixture
def best_native():
    """NativeOps with the instruction set in use, in guard mode; convolutions are direct."""
    with kernels() as native_ops:
        yield native_ops


@pytest.fixture(params=["direct", "winograd"])
def algorithm(request):
    """Each convolution algorithm; tests ask for it after `native` or `best_native`."""
    assert "ops" not in request.fixturenames, "the reference has one algorithm; ask for `native`"
    before = get_conv_algorithm()
    set_conv_algorithm(request.param)
    yield request.param
    set_conv_algorithm(before)


@pytest.fixture
def threads():
    """A function that sets the number of threads during a test."""
    if backends.NativeOps is None:
        pytest.skip(f"the extension was not built: {backends.why_not_native}")
    before = get_num_threads()
    yield set_num_threads
    set_num_threads(before)


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


@pytest.fixture
def halves(tmp_path):
    """An .npz file with 120 images of 8x8, light on the left or on the right."""
    rng, y = np.random.default_rng(0), np.arange(120) % 2
    X = rng.normal(0, 0.5, (120, 8, 8)).astype(np.float32)
    X[y == 0, :, :4] += 1
    X[y == 1, :, 4:] += 1
    np.savez(tmp_path / "halves.npz", X=X, y=y)
    return str(tmp_path / "halves.npz")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config):
    """Plain ``pytest`` uses every core if pytest-xdist is there; with files, ``-s``, ``--pdb`` or ``-n`` it does not.

    Workers take runs of adjacent tests, so that data cached between tests is mostly computed once.
    """
    option, everything = config.option, config.args_source == config.ArgsSource.TESTPATHS
    debugging = option.capture == "no" or option.usepdb or option.collectonly
    if getattr(option, "numprocesses", 0) is not None or not everything or debugging:
        return
    if "PYTEST_XDIST_WORKER" not in os.environ and (workers := min(default_num_threads(), 8)) > 1:
        option.numprocesses, option.dist = workers, "worksteal"


def pytest_configure(config):
    """Divide the cores among pytest-xdist's workers and what they start: threads would wait for each other.

    BLAS and PyTorch read the same variable.
    """
    if workers := getattr(config.option, "numprocesses", None):
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, default_num_threads() // workers)))


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session):
    """Unregister plugins that the tests do without: they take half the time of a short test."""
    plugins = session.config.pluginmanager
    for name in filter(plugins.has_plugin, ("hypothesispytest", "benchmark")):
        plugins.unregister(name=name)


def pytest_report_header():
    """Report which fastnet is tested: the source tree beside the tests may hide the installed one."""
    native = (
        f"native kernels, {backends.native._native.isa()}"
        if backends.NativeOps
        else f"reference only: {backends.why_not_native}"
    )
    return f"fastnet: {Path(backends.__file__).parents[1]} ({native})"
