"""Compare a student's results with the right ones: the size of the error, its position, and the likely cause."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from fastnet.compat.check.mistakes import ANY
from fastnet.compat.check.task import Task

__all__ = ["Case", "explain", "rel_error", "wrong"]


class Case(NamedTuple):
    """One output of one example: the example, the right value, the student's (None if not numeric), and its type."""

    g: object
    right: np.ndarray
    got: np.ndarray | None
    type: str


def rel_error(x: ArrayLike, y: ArrayLike) -> float:
    """The course's relative error, the maximum of |x - y| / max(1e-8, |x| + |y|), infinite if only one is finite.

    The denominator is at least a millionth of the largest |y|.
    """
    return float(np.max(_errors(x, y), initial=0.0))


def _errors(x, y) -> np.ndarray:
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    same = (x == y) | (np.isnan(x) & np.isnan(y))
    least = max(1e-8, 1e-6 * np.max(np.abs(y[np.isfinite(y)]), initial=0.0))
    with np.errstate(all="ignore"):
        error = np.abs(x - y) / np.maximum(least, np.abs(x) + np.abs(y))
    return np.where(same, 0.0, np.where(np.isfinite(error), error, np.inf))


def wrong(case: Case, tolerance: float) -> str:
    """What is wrong with an output; "" if nothing is."""
    right, got = case.right, case.got
    if got is None:
        what = "an ndarray of real numbers" if right.ndim else "a number"
        return (
            "it is None: not written yet?" if case.type == "NoneType" else f"it has type {case.type}, expected {what}"
        )
    if got.shape != right.shape:
        return f"it has shape {got.shape}, expected {right.shape}"
    if right.ndim and case.type != "ndarray":
        return f"it has type {case.type}, expected an ndarray"
    bad = ~np.isfinite(got) if got.dtype.kind == "f" else np.zeros(got.shape, bool)
    if bad.any():
        what = "NaN" if np.isnan(got).any() else "infinite"
        return f"it is {what}" if not got.ndim else f"it is {what} in {int(bad.sum())} of {got.size} elements"
    if rel_error(got, right) > tolerance:
        return _where(got, right, tolerance)
    if right.ndim and right.dtype == np.float64 and got.dtype != np.float64:
        return f"it has dtype {got.dtype}, expected float64 like its inputs"
    return ""


def _where(got, right, tolerance: float) -> str:
    if not right.ndim:
        return f"it is {got:.6g}, expected {right:.6g}"
    off = _errors(got, right) > tolerance
    at = tuple(int(i[0]) for i in np.nonzero(off))
    border = right.ndim == 4 and min(right.shape[2:]) > 2 and not off[:, :, 1:-1, 1:-1].any()
    return (
        f"{int(off.sum())} of {off.size} elements are wrong{', all at the border' if border else ''}, "
        f"the first at {list(at)}: {got[at]:.6g}, expected {right[at]:.6g}"
    )


def explain(task: Task, output: str, cases: Sequence[Case]) -> str:
    """The description of the mistake that explains all of these wrong answers; "" if there is none."""
    if any(case.got is None for case in cases):
        return ""
    mistakes = [
        *((sentence, lambda case, make=make: make(case.g)) for sentence, make in task.outputs[output].items()),
        *((sentence, lambda case, make=make: make(case.right, case.g)) for sentence, make in ANY.items()),
    ]
    with np.errstate(all="ignore"):
        for sentence, make in mistakes:
            if all(_equals(case, make(case), task.tolerance) for case in cases):
                return sentence
        factor = _factor(cases[0])
        if np.isfinite(factor) and all(_equals(case, factor * case.right, task.tolerance) for case in cases):
            return f"it is {factor:.6g} times what it should be"
    return ""


def _equals(case: Case, mistake, tolerance: float) -> bool:
    """Whether the answer equals this mistake's result, unless that happens to be right in this example."""
    assert case.got is not None
    mistake = np.asarray(mistake, np.float64)
    if mistake.shape != case.got.shape:
        return False
    if mistake.shape == case.right.shape and rel_error(mistake, case.right) <= tolerance:
        return False
    return rel_error(case.got, mistake) <= tolerance


def _factor(case: Case) -> float:
    assert case.got is not None
    if case.got.shape != case.right.shape:
        return np.nan
    return float(np.sum(case.got * case.right) / np.sum(case.right * case.right))
