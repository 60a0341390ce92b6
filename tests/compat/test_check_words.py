"""Exceptions and reports of fastnet.compat.check, in words."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import numpy as np
import pytest
from compat.handed_in import RELU, command, environment, write
from compat.solutions import GENEROUS

from fastnet.compat import check

pytestmark = pytest.mark.usefixtures("frozen")


def raises(error):
    def relu_forward(x):
        raise error

    return relu_forward


@pytest.mark.parametrize(
    "error",
    [
        ValueError("first\nsecond\n\nthird"),
        ValueError("x" * 10_000),
        ValueError("\n\n"),
        ValueError("a\tb\rc\x1b[31m\x07d\x85e\u2028f"),
        AssertionError(),
        KeyError("a\nb"),
        type("Odd", (Exception,), {"__str__": lambda self: 1 / 0})(),
    ],
    ids=range(7),
)
def test_the_table_keeps_its_lines(error):
    result = check.relu_forward(raises(error), timeout=GENEROUS)
    table = str(result).split("\n\nrelu_forward:")[0]
    assert len(table.splitlines()) == 2 and len(table) < 600, table
    assert result.verdict == "raises" and table.replace("\n", "").isprintable()


WIDE = "def relu_forward(x):\n    print('größer → 測試')\n    raise ValueError('größer als 0 → 測試')\n"


def test_any_output_encoding(tmp_path):
    write(tmp_path, {"größe/layers.py": WIDE})
    for encoding in ("ascii", "latin-1", "cp1252", "utf-8"):
        code, out, err = command(tmp_path, "größe/layers.py", PYTHONIOENCODING=encoding)
        assert code == 1 and "raises ValueError: gr" in out and "Traceback" not in err, err


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux's full device")
def test_a_report_that_cannot_be_written(tmp_path):
    write(tmp_path, {"layers.py": WIDE})
    line = f"{sys.executable} -m fastnet.compat check layers.py"
    for shell, code in ((f"{line} > /dev/full", 2), (f"{line} | true; exit ${{PIPESTATUS[0]}}", 1)):
        done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, cwd=tmp_path, env=environment())
        assert done.returncode == code and "Traceback" not in done.stderr, done
        assert ("cannot write the report: No space left on device" in done.stderr) == (code == 2)


def divides(x):
    return np.zeros(x.shape[0] / 2), x


def slices(x):
    return x[: x.shape[0] / 2], x


def unpacks(x):
    out, cache = None
    return out, cache


def old_alias(x):
    return np.maximum(0, x).astype(np.float), x


def old_name(x):
    return np.maximum(0, x).astype(long), x  # noqa: F821


def old_method(x):
    for _ in {}.iteritems():
        pass


def old_library(x):
    import cPickle  # noqa: F401


def unwritten(x):
    raise NotImplementedError


def integer(x):
    out = np.zeros(x.shape, int)
    out += x
    return out, x


@pytest.mark.parametrize(
    "function, words",
    [
        (divides, "write //"),
        (slices, "write //"),
        (unpacks, r"not written yet\?"),
        (
            old_alias,
            "raises AttributeError: module 'numpy' has no attribute 'float': this NumPy has no np.float, write float",
        ),
        (old_name, "that is Python 2, write int"),
        (old_method, "that is Python 2, write items"),
        (old_library, "that is Python 2, write pickle"),
        (unwritten, r"raises NotImplementedError: not written yet\?"),
        (integer, r"write x = x \+ \.\.\."),
    ],
)
def test_exceptions_are_explained(function, words):
    result = check.relu_forward(function, timeout=GENEROUS)
    assert result.verdict == "raises"
    assert re.search(words, result.words), result.words


def test_a_file_of_python_2_is_explained(tmp_path):
    write(tmp_path, {"layers.py": RELU + "\nprint 'loaded'\n"})
    (result,) = check.run(tmp_path / "layers.py", timeout=GENEROUS)
    assert "cannot be imported: SyntaxError" in result.words and "that is Python 2: write print(...)" in result.words
