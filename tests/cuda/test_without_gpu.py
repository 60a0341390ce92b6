"""Without CuPy or a GPU: one clear line; importing fastnet never imports CuPy."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import fastnet
from fastnet import backends

ROOT = Path(fastnet.__file__).parents[1]
BROKEN = 'raise ImportError("libcudart.so.13: cannot open shared object file")'
NO_DRIVER = """
__version__ = "14.2.0"
class cuda:
    class runtime:
        @staticmethod
        def getDeviceCount():
            raise RuntimeError("cudaErrorInsufficientDriver: CUDA driver version is insufficient")
"""
NO_DEVICE = """
__version__ = "14.2.0"
class cuda:
    class runtime:
        getDeviceCount = staticmethod(lambda: 0)
"""
CASES = {
    "cannot be imported: libcudart.so.13: cannot open": BROKEN,
    "CuPy 14.2.0 finds no GPU: cudaErrorInsufficientDriver": NO_DRIVER,
    "CuPy 14.2.0 finds no GPU": NO_DEVICE,
}

ONE = pytest.mark.parametrize("without", list(CASES)[:1], indirect=True)  # tests of a process that need no more


def run(folder, *words, **more):
    environment = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}", "MPLBACKEND": "Agg", **more}
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, env=environment, cwd=folder)


@pytest.fixture(params=CASES, ids=["broken", "driver", "device"])
def without(request, tmp_path):
    """A folder with a cupy that cannot be used, and what fastnet is to say about it."""
    (tmp_path / "cupy.py").write_text(CASES[request.param])
    return tmp_path, request.param


def test_the_command_says_in_one_line_why_there_is_no_gpu(without):
    folder, why = without
    done = run(folder, "-m", "fastnet", "train", "--device", "gpu", "--epochs", "1")
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("fastnet train: error: backend 'cupy' needs an NVIDIA GPU and CuPy: pip install")
    assert why in done.stderr


@ONE
def test_the_environment_variable_is_refused_in_the_same_words(without):
    folder, why = without
    done = run(folder, "-m", "fastnet", "predict", "model", "cat.jpg", FASTNET_BACKEND="cupy")
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert why in done.stderr


@ONE
def test_doctor_says_why_no_gpu_is_used_and_finds_no_fault_in_it(without):
    folder, why = without
    done = run(folder, "-m", "fastnet", "doctor")
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("gpu")]
    assert "none used: CuPy" in line and why in line
    assert "FAULT gpu" not in done.stdout


def test_use_backend_raises_a_runtime_error_and_changes_nothing(without, monkeypatch):
    folder, why = without
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    monkeypatch.setattr(backends, "_CUPY", [])
    before = backends.current()
    try:
        with pytest.raises(RuntimeError, match="backend 'cupy' needs an NVIDIA GPU and CuPy") as caught:
            backends.use_backend("cupy")
    finally:
        sys.modules.pop("cupy", None)
    assert why in str(caught.value)
    assert backends.current() is before
    assert "cupy" not in backends.available_backends() or os.environ.get("FASTNET_TEST_GPU")


def test_importing_and_using_fastnet_imports_no_cupy(tmp_path):
    (tmp_path / "cupy.py").write_text('raise SystemExit("imported")')
    code = "import fastnet as fn, numpy as np\nfor name in fn.__all__: getattr(fn, name)\n"
    code += "fn.Sequential(fn.Linear(3)).predict(np.ones((2, 4), 'float32'))"
    assert run(tmp_path, "-c", code).returncode == 0
