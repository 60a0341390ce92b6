"""benches/gpu_check.py on the stand-in: what its sections find, and say of faults, hangs and crashes. No times."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from cuda.sections import FOLDER, MARKS, ROOT, benches, rows  # noqa: F401
from isas import needs_kernels

import fastnet as fn
from fastnet.ops import REGISTRY

pytestmark = MARKS


@pytest.fixture
def section(monkeypatch, tmp_path):
    """A function that runs a section, given as lines of its `rows`."""
    import gpu_rows

    def run(body):
        lines = ["def rows(settings):", "import os", "from gpu_rows import Row", *body]
        (tmp_path / "gpu_made.py").write_text("\n    ".join(lines))
        return gpu_rows.section("made", gpu_rows.Settings(60.0))

    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ['PYTHONPATH']}")
    return run


def check(*words, **environment):
    command = [sys.executable, str(FOLDER / "gpu_check.py"), "--quick", *words]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})


# ---------------------------------------------------------------- the program


def test_without_a_gpu_it_says_so_in_a_line(tmp_path):
    (tmp_path / "cupy.py").write_text('raise ImportError("libcudart.so.13: cannot open shared object file")')
    done = check(PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}", FASTNET_TEST_STANDIN="")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "gpu_check: no GPU to check: CuPy cannot be imported: libcudart.so.13: cannot open shared object file; "
        "--only threads needs none\n"
    )


@needs_kernels
def test_one_table_and_its_numbers_as_json(tmp_path):
    file = tmp_path / "found.json"
    done = check("--only", "threads", "exact", "--json", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "emulator, CuPy 0 (stand-in)" in done.stdout and "all checks passed in " in done.stdout
    _, table = done.stdout.split("\n\nexact: integers give exactly the CPU's numbers\n")
    assert "ok      5 examples of 3 of 4 ops" in table and "\n\nthreads: " in table
    found = json.loads(file.read_text())
    assert found["passed"] and {row["section"] for row in found["rows"]} == {"exact", "threads"}
    assert all(row["passed"] and row["figures"] for row in found["rows"])


def test_deadlines_share_what_is_left(monkeypatch):
    import gpu_check

    names = list(gpu_check.SECTIONS)
    assert sum(section.seconds for section in gpu_check.SECTIONS.values()) + gpu_check.LEFT == 9 * 60
    assert gpu_check.deadline(names[0], names, 530) == gpu_check.SECTIONS[names[0]].seconds
    assert gpu_check.deadline(names[-1], names, 100) == 100 and gpu_check.deadline("times", ["times"], 500) == 500
    used = 265.0
    for name in names:
        used -= gpu_check.deadline(name, names, used)
    assert used == pytest.approx(0)


# ---------------------------------------------------------------- processes


def test_what_hangs_is_stopped_with_all_that_it_started():
    import gpu_rows

    ended = gpu_rows.run(["sh", "-c", "sleep 60 & echo $!; echo said >&2; wait"], 1.0)
    assert (ended.said, ended.failure) == ("said", "no end after 1 s; it was stopped")
    state, deadline = Path("/proc", ended.output.strip(), "stat"), time.monotonic() + 30
    while state.exists() and state.read_text().split()[2] != "Z":  # a signal takes its time on a busy machine
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_crash_an_error_and_silence_are_rows(section):
    first, second = section(['yield Row("first", True, "found", {"ms": 1.5})', "os.abort()"])
    assert first.passed and first.figures == {"ms": 1.5}
    assert second.passed is False and second.found.startswith("ended by SIGABRT")
    (row,) = section(["print('noise of a library')", "raise MemoryError('no GPU memory')", "yield"])
    assert row.passed is False and row.found == "ended with status 1: MemoryError: no GPU memory"
    (row,) = section(["yield from ()"])
    assert row.passed is False


# ---------------------------------------------------------------- kernels and exact


def test_kernels_are_compiled_and_errors_named(monkeypatch):
    import gpu_kernels

    monkeypatch.setattr(gpu_kernels, "QUICK", ["sums", "nothing"])
    (row,) = rows("kernels")
    assert row.passed is False and "; 2 failed: nothing, float" in row.found and "No such file" in row.found
    assert sorted(row.figures["seconds"]) == ["sums, float32", "sums, float64"]
    assert {"sums", "pool"} < set(gpu_kernels.names())


def test_what_only_moves_and_adds_is_compared():
    import gpu_exact

    def exact(name):
        return any(gpu_exact.exact(REGISTRY[name], example) for example in REGISTRY[name].examples)

    assert all(map(exact, ("conv2d", "im2col", "col2im", "linear", "matmul", "max_pool2d", "add", "relu")))
    assert not any(map(exact, ("tanh", "softmax", "batch_norm", "adam_step", "bce_with_logits")))
    assert set(gpu_exact.whole(np.float32([0.3, -0.9]))) == {1, -4} and set(gpu_exact.whole(-np.ones(2))) == {-1}


def test_a_number_that_differs_is_found(device, monkeypatch):
    import gpu_exact

    assert gpu_exact.differing(device, ["relu6", "tanh"]) == ({"relu6": 1}, [])
    backward = device.relu6_backward
    monkeypatch.setattr(type(device), "relu6_backward", lambda self, dy, saved: backward(dy, saved) * (1 + 1e-6))
    _, wrong = gpu_exact.differing(device, ["relu6"])
    assert len(wrong) == 2 and "relu6 of float32" in wrong[0]
    assert gpu_exact.listed("5 examples", 2 * wrong).endswith("and 1 more")


def test_larger_layers_are_sums_that_float32_holds():
    import gpu_exact

    for dtype in gpu_exact.DTYPES:
        case = {**gpu_exact.workloads.conv(2, 5, 7, 3, 3, 2, 1, 1), "kind": "exact"}
        found = gpu_exact.layers(case, dtype, fn.backends.Ops())
        assert len(found) == 6 and all((array == np.rint(array)).all() for array in found)
        assert found[0].shape == (2, 3, 4, 4) and found[4].shape == (2, 3, 2, 2)
    for N, _, H, K, R, _, _, _ in gpu_exact.LARGER:
        assert max(N * H * H, K * R * R) * 18**2 < 2**24, "normal numbers times four are below 18"


# ---------------------------------------------------------------- suite and sanitizer


def test_the_suite_is_counted(tmp_path):
    import gpu_suite

    file = tmp_path / "test_made.py"
    file.write_text("import os\ndef test_right(): pass\ndef test_gone(): os.abort()\n")
    row = gpu_suite.suite([str(file)], 60)
    assert row.passed is False and row.figures["PASSED"] == 1
    assert row.found.startswith("1 passed, ended by SIGABRT, in or after ") and row.found.endswith("::test_gone")


VERBOSE = """
tests/cuda/test_a.py::test_one[a b-float32] PASSED                [ 25%]
tests/cuda/test_a.py::test_one[c-float32] FAILED                  [ 50%]
tests/cuda/test_b.py::test_two SKIPPED (needs a file)             [ 75%]
tests/cuda/test_b.py::test_three """


def test_tests_are_counted_from_lines():
    import gpu_suite

    counts, failed, last = gpu_suite.report(VERBOSE)
    assert counts == {"PASSED": 1, "FAILED": 1, "SKIPPED": 1} and last == "tests/cuda/test_b.py::test_three"
    assert failed == ["tests/cuda/test_a.py::test_one[c-float32]"]


@pytest.fixture
def tool(monkeypatch, tmp_path):
    """A function that puts a script of this text in the place of compute-sanitizer."""

    def install(text):
        path = tmp_path / "compute-sanitizer"
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    return install


WATCHED = 'tool=$2; shift 4; [ $tool = memcheck ] && shift 2; "$@"\n'


def test_the_sanitizer_is_read(tool):
    import gpu_sanitizer

    tool(WATCHED + 'case $tool in memcheck) echo "== ERROR SUMMARY: 2 errors"; exit 9;; esac')
    tool_says = "== RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)"
    path = gpu_sanitizer.shutil.which("compute-sanitizer")
    row = gpu_sanitizer.row("memcheck", path, ["relu6"], 60)
    assert row.passed is False and row.found.startswith("2 errors, 1 of 1 examples of 1 of 1 ops; ended with status 9")
    tool(WATCHED + f'echo "{tool_says}"')
    assert gpu_sanitizer.row("racecheck", path, ["relu6"], 60).passed
    tool('echo "========= Error: Device not supported"; exit 1')
    row = gpu_sanitizer.row("memcheck", path, ["relu6"], 60)
    assert row.passed is None and row.found == "cannot run here: Error: Device not supported"


def test_without_a_sanitizer_it_says_where_it_looked(monkeypatch, tmp_path):
    import gpu_sanitizer

    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CUDA_HOME", "/opt/mine")
    monkeypatch.setattr(gpu_sanitizer, "NAME", "no-sanitizer")
    (row,) = rows("sanitizer")
    assert row.passed is None and row.found.startswith(f"not found; looked in {tmp_path}, /opt/mine/bin, ")


# ---------------------------------------------------------------- replay, training, threads


def test_steps_are_the_same_however_they_run(monkeypatch):
    import gpu_replay

    with gpu_replay.gpu_rows.device():
        captured = gpu_replay.train("lenet5", True)
        monkeypatch.setenv("FASTNET_GPU_GRAPHS", "0")
        by_op = gpu_replay.train("lenet5", True)
    first = captured[0]
    assert captured == (first, "") and by_op == (first, "FASTNET_GPU_GRAPHS=0") and len(first) == 64
    run = {"net": captured}
    (row,) = gpu_replay.compared({"net": by_op}, run, run)
    assert row.passed
    (row,) = gpu_replay.compared({"net": ("other", "off")}, run, {"net": ("third", "")})
    assert row.passed is False and "other bits than steps op by op; two runs differ" in row.found
    (row,) = gpu_replay.compared(run, {"net": (first, "no recorder")}, run)
    assert (row.passed, row.found) == (False, "not captured: no recorder")


def test_both_devices_learn_the_same(monkeypatch):
    import gpu_training

    (row,) = rows("training")
    assert row.passed and row.figures["gpu"]["accuracy"] == row.figures["cpu"]["accuracy"]
    assert len(row.figures["gpu"]["losses"]) == 2
    found = [{"losses": [2.3, 1.0], "accuracy": accuracy, "seconds": 1.0} for accuracy in (0.50, 0.44)]
    monkeypatch.setattr(gpu_training, "train", lambda *_: found.pop())
    (row,) = rows("training")
    assert row.passed is False and row.found.startswith("GPU 44.0% in 1.0 s, CPU 50.0%")


def test_images_without_files_and_libraries(monkeypatch):
    import gpu_training

    monkeypatch.setattr(fn.data, "digits", lambda test: (_ for _ in ()).throw(ImportError("no scikit-learn")))
    name, arrays = gpu_training.images("/nowhere", quick=False)
    assert name == "drawn images" and arrays["X_train"].shape == (2000, 3, 16, 16)
    assert arrays["X_train"].dtype == np.uint8 and len(arrays["y_test"]) == 400


@needs_kernels
def test_threads_are_timed_and_their_bits_compared():
    before = fn.get_num_threads()
    try:
        found = rows("threads")
    finally:
        fn.set_num_threads(before)
    assert all(row.passed for row in found) and found[0].figures["efficiency"] == 1
