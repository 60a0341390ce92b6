"""Rows of gpu_check.py's table, and the processes that find them: one for each section, with a deadline."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from fastnet import backends

HERE = Path(__file__).resolve().parent
TESTS = HERE.parent / "tests"
ON_STANDIN = os.environ.get("FASTNET_TEST_STANDIN") == "1"  # for tests of the program itself
LAST_LINES = 60  # of what a process wrote before it failed


class Row(NamedTuple):
    """What was found.

    Attributes
    ----------
    check : str
    passed : bool or None
        None: a figure, or something that cannot be checked here.
    found : str
        In a line.
    figures : dict
        Numbers for --json.
    """

    check: str
    passed: bool | None
    found: str
    figures: dict = {}

    @property
    def result(self) -> str:
        return {True: "ok", False: "FAILED", None: "-"}[self.passed]


class Settings(NamedTuple):
    """What a section is told; `seconds` is how long it may take, and `quick` asks for tiny shapes."""

    seconds: float
    quick: bool = False
    torch_python: str = sys.executable
    torch_device: str = "cuda"
    data: str | None = None


@contextlib.contextmanager
def standin() -> Iterator[None]:
    """Within, CuPy is the tests' stand-in, if FASTNET_TEST_STANDIN=1."""
    if not ON_STANDIN:
        yield
        return
    sys.path.insert(0, str(TESTS))
    from cuda import devices

    with devices.standin():
        yield


@contextlib.contextmanager
def device() -> Iterator[backends.Ops]:
    """The backend "cupy", in use."""
    with standin(), backends.use_backend("cupy") as ops:
        yield ops


def host() -> backends.Ops:
    """The CPU's backend: compiled kernels if they are built, else NumPy."""
    return (backends.NativeOps or backends.Ops)()


# ---------------------------------------------------------------- processes


class Ended(NamedTuple):
    """How a program ended: its output, the end of what else it wrote, and why it is no success, or ""."""

    output: str
    said: str
    failure: str


def run(
    command: Sequence[str], seconds: float, environment: dict[str, str] | None = None, folder: Path | None = None
) -> Ended:
    """Run a program for so long; then it and all that it has started are killed."""
    with tempfile.TemporaryFile("w+", errors="replace") as errors:
        process = subprocess.Popen(
            list(command),
            **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": errors},
            **{"text": True, "errors": "replace", "start_new_session": True},
            **{"env": {**os.environ, **(environment or {})}, "cwd": folder},
        )
        failure = ""
        try:
            output, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            failure = f"no end after {seconds:.0f} s; it was stopped"
            output = _killed(process)
        except BaseException:
            _killed(process)
            raise
        if not failure and process.returncode:
            failure = _status(process.returncode)
        errors.seek(0)
        return Ended(output, "\n".join(errors.read().splitlines()[-LAST_LINES:]), failure)


def _killed(process: subprocess.Popen[str]) -> str:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    return process.communicate()[0]


def _status(code: int) -> str:
    if code > 0:
        return f"ended with status {code}"
    try:
        return f"ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"ended by signal {-code}"


def first_line(text: str) -> str:
    """The first line that is not blank, or ""."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def last_line(text: str) -> str:
    """The last line that is not blank, or ""."""
    return first_line("\n".join(reversed(text.splitlines())))


def section(name: str, settings: Settings) -> list[Row]:
    """The rows of a section; whatever its process did not survive is a row, too."""
    given = json.dumps(settings._asdict())
    ended = run([sys.executable, str(HERE / "gpu_section.py"), name, given], settings.seconds)
    rows = [Row(**json.loads(line)) for line in ended.output.splitlines()]
    if ended.failure:
        said = last_line(ended.said)
        rows.append(Row("the whole section", False, f"{ended.failure}{': ' if said else ''}{said}"))
    elif not rows:
        rows.append(Row("the whole section", False, "found nothing"))
    if any(row.passed is False for row in rows):
        print(textwrap.indent(ended.said, "    "), flush=True)
    return rows
