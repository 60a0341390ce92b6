"""Right solutions for the checks, and a function that breaks one of their lines."""

from __future__ import annotations

import re
from pathlib import Path

from fastnet.compat import check

WORK = Path(__file__).with_name("student_work.py")
GENEROUS = 60.0  # in seconds, so that verdicts do not depend on the machine's speed


def solutions(function=None, old=None, new=None):
    """The solutions, with `old` replaced by `new` in one function."""
    text = WORK.read_text(encoding="utf-8")
    if function:
        start = text.index(f"def {function}(")
        end = re.compile(r"^\S|^    def |\Z", re.M).search(text, text.index("\n", start)).start()
        body = text[start:end]
        assert old in body, f"{function} has no {old!r}"
        text = text[:start] + body.replace(old, new) + text[end:]
    functions = {}
    exec(compile(text, str(WORK), "exec"), functions)
    return functions


def result_of(functions, name, **more):
    (result,) = check.run(functions, [name], limit=GENEROUS, timeout=GENEROUS, **more)
    return result
