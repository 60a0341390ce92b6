"""What the exceptions mean that old or unfinished files of students typically raise."""

from __future__ import annotations

import re

__all__ = ["hint"]

# names that NumPy had, and what to write
_NUMPY = {name: name for name in ("float", "int", "bool", "object", "complex", "str")} | {
    "long": "int",
    "unicode": "str",
    "float_": "np.float64",
    "complex_": "np.complex128",
    "infty": "np.inf",
    "Inf": "np.inf",
    "NaN": "np.nan",
    "product": "np.prod",
    "cumproduct": "np.cumprod",
    "in1d": "np.isin",
    "trapz": "np.trapezoid",
}
# names that Python 2 had, and what to write
_PYTHON_2 = {
    "unicode": "str",
    "long": "int",
    "raw_input": "input",
    "reduce": "functools.reduce",
    "unichr": "chr",
    "basestring": "str",
    "iteritems": "items",
    "iterkeys": "keys",
    "itervalues": "values",
    "has_key": "in",
    "cPickle": "pickle",
    "StringIO": "io.StringIO",
    "urllib2": "urllib.request",
    "Queue": "queue",
}
_OLD_NAME = re.compile(r"name '(\w+)' is not defined|object has no attribute '(\w+)'|No module named '(\w+)'")
# (the message as a regular expression, what it means)
_MEANINGS = (
    (r"Missing parentheses in call to 'print'", "that is Python 2: write print(...)"),
    (
        r"'float' object cannot be interpreted as an integer|slice indices must be integers|"
        r"only integers, slices .* are valid indices|expected a sequence of integers",
        "in Python 3, / of integers gives a float: write //",
    ),
    (r"NotImplementedError|cannot unpack non-iterable NoneType|'NoneType' object is not", "not written yet?"),
    (r"TabError|IndentationError", "mend the indentation"),
    (r"Non-UTF-8 code|can't decode byte", "save the file as UTF-8"),
    (r"(destination|output array) is read-only", "work on a copy: x = x.copy()"),
    (r"Cannot cast ufunc .* output", "x += ... cannot change the dtype of x: write x = x + ..."),
)


def hint(error: str) -> str:
    """What the exception `error`, "Type: message", probably means; "" if that is unknown."""
    gone = re.search(r"module 'numpy' has no attribute '(\w+)'", error)
    if gone:
        instead = _NUMPY.get(gone[1])
        return f"this NumPy has no np.{gone[1]}{f', write {instead}' if instead else ''}"
    old = _OLD_NAME.search(error)
    name = next(filter(None, old.groups())) if old else ""
    if name in _PYTHON_2:
        return f"that is Python 2, write {_PYTHON_2[name]}"
    return next((words for pattern, words in _MEANINGS if re.search(pattern, error)), "")
