"""Users' arguments that are not arrays, checked: integers, real numbers, flags, pairs, padding.

NumPy's numbers pass for Python's everywhere, also as arrays without axes; True and False are not numbers.
"""

from __future__ import annotations

import math
import numbers
import operator
import re
import reprlib
from typing import Any

import numpy as np

from fastnet.types import Padding

__all__ = [
    "at_least_zero",
    "flag",
    "four_sides",
    "frozen",
    "integer",
    "nonzero",
    "optional_flag",
    "padding_of",
    "pair",
    "pooling_stride",
    "positive",
    "real",
    "several",
    "shown",
    "sides",
    "torch_sides",
]


_LINE = reprlib.Repr()
_LINE.maxstring = _LINE.maxother = _LINE.maxlong = 120


def shown(value: Any) -> str:
    """A value as error messages show it, in a line: an array by its shape, a long sequence by its first elements."""
    if isinstance(shape := getattr(value, "shape", None), tuple) and shape:
        return f"an array of shape {tuple(shape)}"
    return re.sub(r"\n *", " ", _LINE.repr(value))


def integer(value: Any, name: str, minimum: int = 1, bits: int = 31) -> int:
    """An integer from `minimum` to 2**bits - 1.

    Raises
    ------
    TypeError
        Not an integer.
    ValueError
        Out of range.
    """
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {shown(value)}") from None
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be an integer, got {shown(value)}")
    if not minimum <= number < 2**bits:
        raise ValueError(f"{name} must be an integer between {minimum} and 2**{bits} - 1, got {number}")
    return number


def nonzero(value: Any, name: str) -> int:
    """An integer other than 0, also a negative one; TypeError or ValueError as :func:`integer`."""
    number = integer(value, name, 1 - 2**31)
    if number == 0:
        raise ValueError(f"{name} must be an integer other than 0")
    return number


def real(value: Any, name: str) -> float:
    """A finite real number.

    Raises
    ------
    TypeError
        Not a number.
    ValueError
        NaN or infinite.
    """
    number = frozen(value)
    if isinstance(number, (bool, np.bool_)) or not isinstance(number, numbers.Real):
        raise TypeError(f"{name} must be a finite number, got {shown(value)}")
    try:
        result = float(number)
    except OverflowError:
        result = math.inf
    if not math.isfinite(result):
        raise ValueError(f"{name} must be a finite number, got {shown(value)}")
    return result


def positive(value: Any, name: str) -> float:
    """A finite number > 0; TypeError or ValueError as :func:`real`."""
    number = real(value, name)
    if number <= 0:
        raise ValueError(f"{name} must be > 0, got {shown(value)}")
    return number


def at_least_zero(value: Any, name: str) -> float:
    """A finite number >= 0; TypeError or ValueError as :func:`real`."""
    number = real(value, name)
    if number < 0:
        raise ValueError(f"{name} must be >= 0, got {shown(value)}")
    return number


def several(value: Any, name: str, what: str = "numbers") -> list[Any]:
    """The elements of a list, tuple, range or array; any other value is a TypeError."""
    if not isinstance(value, (list, tuple, range, np.ndarray)) or np.ndim(value) == 0:
        raise TypeError(f"{name} must be a sequence of {what}, got {shown(value)}")
    return list(value)


def flag(value: Any, name: str) -> bool:
    """True or False; any other value was meant for another argument: a TypeError."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {shown(value)}")
    return bool(value)


def optional_flag(value: Any, name: str) -> bool | None:
    """True, False, or None, which leaves the choice open; any other value is a TypeError."""
    return None if value is None else flag(value, name)


def frozen(value: Any) -> Any:
    """A list as a tuple, and an array without axes as its number, which can be hashed; other values as they are."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        return value[()]
    return tuple(map(frozen, value)) if isinstance(value, list) else value


def pair(value: Any, name: str, minimum: int = 1) -> tuple[int, int]:
    """An integer, one in a sequence, or two: as (vertical, horizontal).

    Raises
    ------
    TypeError
        Not integers.
    ValueError
        More or fewer than two integers, or one below `minimum` or not below 2**31.
    """
    value = frozen(value)
    if isinstance(value, tuple):
        if len(value) not in (1, 2):
            raise ValueError(f"{name} must be an int or a pair of ints, got {shown(value)}")
        return integer(value[0], name, minimum), integer(value[-1], name, minimum)
    number = integer(value, name, minimum)
    return number, number


def pooling_stride(stride: Any, kernel: tuple[int, int], name: str) -> tuple[int, int]:
    """A pair; the kernel where the stride is None or (), PyTorch's defaults."""
    stride = frozen(stride)
    return kernel if stride is None or (isinstance(stride, tuple) and not stride) else pair(stride, name)


def padding_of(value: Any, op: str) -> Padding:
    """A padding that :func:`sides` accepts, hashable; raises what it raises."""
    padding: Padding = frozen(value)
    sides(padding, op, (1, 1), (1, 1), (1, 1))
    return padding


def _same(size: int, span: int, stride: int) -> tuple[int, int]:
    """Padding (before, after) for which the output has ceil(size / stride) positions (TensorFlow's "SAME")."""
    total = max((-(-size // stride) - 1) * stride + span - size, 0)
    return total // 2, total - total // 2


def sides(
    padding: Padding, op: str, size: tuple[int, int], span: tuple[int, int], stride: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Padding as (top, bottom, left, right), for an image of `size` under windows that cover `span` pixels.

    Raises
    ------
    TypeError, ValueError
        Neither numbers of at least 0 (one, two or four), nor "same", nor "valid".
    """
    if isinstance(padding, str):
        if padding == "valid":
            return 0, 0, 0, 0
        if padding != "same":
            raise ValueError(f'{op}: padding must be numbers, "same" or "valid", got {shown(padding)}')
        return *_same(size[0], span[0], stride[0]), *_same(size[1], span[1], stride[1])
    return four_sides(padding, f"{op}: padding", ', "same" or "valid"')


def four_sides(padding: Any, name: str, more: str = "") -> tuple[int, int, int, int]:
    """Numbers of at least 0 (one, two or four) as (top, bottom, left, right); errors name what `more` is allowed."""
    padding = frozen(padding)
    if isinstance(padding, tuple) and len(padding) == 4:
        top, bottom, left, right = (integer(side, name, 0) for side in padding)
        return top, bottom, left, right
    if isinstance(padding, tuple) and len(padding) not in (1, 2):
        raise ValueError(f"{name} must be an int, a pair, (top, bottom, left, right){more}, got {shown(padding)}")
    vertical, horizontal = pair(padding, name, 0)
    return vertical, vertical, horizontal, horizontal


def torch_sides(padding: Any, name: str) -> tuple[int, int, int, int]:
    """An int or PyTorch's (left, right, top, bottom), of any sign, as (top, bottom, left, right)."""
    if not isinstance(padding, (tuple, list)):
        padding = (padding,) * 4
    if len(padding) != 4:
        raise ValueError(f"{name} must be an int or (left, right, top, bottom), got {shown(padding)}")
    left, right, top, bottom = (integer(side, name, -(2**31) + 1) for side in padding)
    return top, bottom, left, right
