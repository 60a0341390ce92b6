"""gpu_check.py: the tests of the backend "cupy" against the reference and the oracle, run on the GPU."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence

import gpu_rows
from gpu_rows import Row, Settings

TESTS = ["tests/cuda", "--ignore=tests/cuda/test_emulator.py", "--ignore=tests/cuda/test_nvrtc.py"]
QUICK = ["tests/cuda/test_ops.py", "-k", "relu6 or concat"]
_LINE = re.compile(r"^(\S+::\S.*?) (PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS)\b", re.M)
BAD = {"FAILED", "ERROR", "XPASS"}


def report(output: str) -> tuple[Counter[str], list[str], str]:
    """Of pytest's verbose output: how many tests ended how, those that failed, and the last that began."""
    found = _LINE.findall(output)
    began = re.findall(r"^(\S+::\S+)", output, re.M)
    return Counter(how for _, how in found), [name for name, how in found if how in BAD], began[-1] if began else ""


def suite(arguments: Sequence[str], seconds: float) -> Row:
    """Counts of a run of pytest in the repository."""
    command = [sys.executable, "-m", "pytest", "-v", "--tb=short", "--color=no", "-p", "no:cacheprovider", *arguments]
    environment = {} if gpu_rows.ON_STANDIN else {"FASTNET_TEST_GPU": "1"}
    ended = gpu_rows.run(command, seconds, environment, gpu_rows.HERE.parent)
    counts, failed, last = report(ended.output)
    words = [f"{number} {how.lower()}" for how, number in counts.items()] or ["no test ran"]
    if failed:
        words.append(f"first: {failed[0]}")
        print(ended.output, flush=True)
    elif ended.failure:
        words.append(f"{ended.failure}, in or after {last}" if last else f"{ended.failure}: {said(ended)}")
    passed = not ended.failure and not failed and counts["PASSED"] > 0
    return Row("backend suite", passed, ", ".join(words), {**counts, "failed": failed})


def said(ended: gpu_rows.Ended) -> str:
    return gpu_rows.last_line(ended.said) or gpu_rows.last_line(ended.output)


def rows(settings: Settings) -> Iterator[Row]:
    yield suite(QUICK if settings.quick else TESTS, settings.seconds - 3)
