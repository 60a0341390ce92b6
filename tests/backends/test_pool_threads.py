"""The thread pool alone, compiled here: every task runs exactly once, even with late threads."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

CSRC = Path(__file__).resolve().parents[2] / "csrc"
COMPILER = shutil.which("cc") or shutil.which("gcc")


@pytest.mark.skipif(not CSRC.is_dir(), reason="needs a checkout of the repository")
@pytest.mark.skipif(COMPILER is None, reason="needs a C compiler")
@pytest.mark.parametrize("sanitizer", [[], ["-fsanitize=thread"]], ids=["plain", "thread sanitizer"])
def test_each_task_runs_once(tmp_path, sanitizer):
    program = tmp_path / "stress"
    sources = [Path(__file__).with_name("pool_stress.c"), *(CSRC / "runtime").glob("*.c")]
    command = [COMPILER, "-std=gnu11", "-O1", "-g", "-pthread", *sanitizer, f"-I{CSRC}", *sources, "-o", program]
    built = subprocess.run(command, capture_output=True, text=True)
    if built.returncode and sanitizer:
        pytest.skip(f"no thread sanitizer here: {built.stderr.splitlines()[-1]}")
    assert built.returncode == 0, built.stderr
    done = subprocess.run([program], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "each task ran once\n"), done.stdout + done.stderr[:4000]
