"""The results of checks, as a table and for Gradescope."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fastnet.storage import atomic_write

__all__ = ["Report", "Result"]

_NOTHING = "nothing to check: no function or class has a name that the course gives"


@dataclass(frozen=True, repr=False)
class Result:
    """The result of checking a function.

    Attributes
    ----------
    name : str
        The function's name.
    verdict : str
        "right", "slow" or "changes" (right, but too slow, or changes its arguments), "wrong", "raises", "timeout",
        "crash", "unchecked" or "missing".
    words : str
        A description of the verdict, with the likely cause.
    error : float or None
        The largest relative error.
    seconds, limit : float or None
        The time for the largest example, and the time limit on this machine.
    score, points : float
        `score` is the share of `points` for those outputs that are right.
    details : str
        The traceback, and the end of the function's printed output.
    """

    name: str
    verdict: str
    words: str
    error: float | None
    seconds: float | None
    limit: float | None
    score: float
    points: float
    details: str = ""

    @property
    def passed(self) -> bool:
        return self.verdict == "right"

    def _cells(self) -> tuple[str, ...]:
        score = f"{self.score:.2f}".rstrip("0").rstrip(".") + f"/{self.points:g}"
        error = "" if self.error is None else f"{self.error:.0e}"
        return self.name, score, error, "" if self.seconds is None else f"{1e3 * self.seconds:.3g} ms", self.words

    def __str__(self) -> str:
        return str(Report([self]))

    __repr__ = __str__


class Report(Sequence[Result]):
    """The results of :func:`fastnet.compat.check.run`, in the order of the course; prints as a table."""

    def __init__(self, results: Sequence[Result]):
        self._results = list(results)

    def __len__(self) -> int:
        return len(self._results)

    def __getitem__(self, index):
        """A result, by position or by name."""
        if isinstance(index, str):
            for result in self._results:
                if result.name == index:
                    return result
            raise KeyError(f"no result {index!r}; there are {', '.join(result.name for result in self._results)}")
        return self._results[index]

    def __iter__(self) -> Iterator[Result]:
        return iter(self._results)

    @property
    def passed(self) -> bool:
        """Whether every function is right; False if there is none."""
        return bool(self._results) and all(result.passed for result in self._results)

    @property
    def score(self) -> float:
        return sum(result.score for result in self._results)

    @property
    def points(self) -> float:
        """The maximum of `score`."""
        return sum(result.points for result in self._results)

    def __str__(self) -> str:
        if not self._results:
            return _NOTHING
        rows = [("function", "points", "error", "time", "verdict"), *(result._cells() for result in self._results)]
        widths = [max(len(row[i]) for row in rows) for i in range(4)]
        lines = []
        for row in rows:
            name, *numbers = (cell.rjust(width) for cell, width in zip(row, widths, strict=False))
            lines.append("  ".join([name.strip().ljust(widths[0]), *numbers, row[4]]))
        for result in self._results:
            if result.details:
                lines += ["", f"{result.name}:", result.details.rstrip()]
        if len(self._results) > 1:
            lines += ["", f"{self.score:g} of {self.points:g} points"]
        return "\n".join(lines)

    __repr__ = __str__

    def gradescope(self) -> dict:
        """The content of Gradescope's ``results.json``."""
        tests = []
        for number, result in enumerate(self._results, 1):
            tests.append(
                {
                    "name": result.name,
                    "number": str(number),
                    "score": round(result.score, 4),
                    "max_score": result.points,
                    "status": "passed" if result.passed else "failed",
                    "output": "\n\n".join(filter(None, [result.words, result.details])),
                    "visibility": "visible",
                }
            )
        nothing = {} if tests else {"output": _NOTHING}
        return {"score": round(self.score, 4), "visibility": "visible", **nothing, "tests": tests}

    def save(self, path: str | os.PathLike) -> None:
        """Write Gradescope's ``results.json`` atomically."""
        data = json.dumps(self.gradescope(), indent=2).encode()
        atomic_write(path, lambda file: file.write(data))
