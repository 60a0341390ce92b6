"""What an experiment of the lectures found: printed as it is found, and written as results.json and pictures."""

from __future__ import annotations

import math
import textwrap
from argparse import Namespace
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet.columns import pad
from fastnet.drawing import new_figure, save
from fastnet.storage import write_json
from fastnet.tables import aligned
from fastnet.types import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from fastnet.data import Dataset

__all__ = ["Report", "Unsuitable", "as_bytes"]

_TEXT = 52  # cells for what was measured


class Unsuitable(Exception):
    """An option that turns out not to fit; `fastnet lecture` prints the message."""


class Report:
    """The findings of one experiment.

    Parameters
    ----------
    name : str
        The experiment's.
    args : Namespace
        The values of its options: `full`, `seed` and its own.
    folder : path
        Where :meth:`finish` writes results.json and the pictures.
    data : function () -> Dataset, optional
        Loads the data set of ``--data``; None for an experiment without.
    source : str
        Who printed the numbers that are given as `slide`.

    Attributes
    ----------
    passed : bool
        Whether every comparison and claim holds so far.
    full : bool
        Whether the lecture's own sizes are wanted, however long they take.
    seed : int
    """

    def __init__(
        self,
        name: str,
        args: Namespace,
        folder: Path,
        data: Callable[[], Dataset] | None = None,
        source: str = "",
        show: Callable[[str], object] = print,
    ) -> None:
        self.name, self.args, self.folder, self.source = name, args, folder, source
        self.full: bool = args.full
        self.seed: int = args.seed
        self.rows: list[dict[str, Any]] = []
        self.tables: list[dict[str, Any]] = []
        self.kept: dict[str, Any] = {}
        self._load, self._show, self._block = data, show, ""
        self._figures: dict[str, Figure] = {}
        self._files: list[Path] = []

    @property
    def passed(self) -> bool:
        return all(row["holds"] for row in self.rows)

    def data(self) -> Dataset:
        """The data set of ``--data``, for an experiment with DATA = True."""
        if self._load is None:
            raise TypeError(f"the experiment {self.name} takes no data: set DATA = True in its module")
        return self._load()

    def say(self, text: str) -> None:
        """Print a sentence, wrapped."""
        self._separate("text")
        self._show(textwrap.fill(text, 110))

    def compare(
        self,
        what: str,
        ours: float,
        slide: float | str | None = None,
        *,
        low: float = -math.inf,
        high: float = math.inf,
        digits: int = 6,
    ) -> bool:
        """Report a measured number, which holds if low <= ours <= high.

        Parameters
        ----------
        what : str
        ours : float
        slide : float or str, optional
            What the lecture printed; None if no lecture did.
        low, high : float
            At least one of them must be given.
        digits : int
            Significant digits in the table.

        Returns
        -------
        bool
            Whether it holds; NaN never does.
        """
        if low == -math.inf and high == math.inf:
            raise ValueError(f"compare({what!r}): a number that cannot be wrong belongs into say, table or keep")
        ours, holds = float(ours), bool(low <= ours <= high)
        accepted = f"{_number(low, digits)} to {_number(high, digits)}"
        if high == math.inf:
            accepted = f">= {_number(low, digits)}"
        elif low == -math.inf:
            accepted = f"<= {_number(high, digits)}"
        elif low == high:
            accepted = _number(low, digits)
        self._row(what, "" if slide is None else _number(slide, digits), _number(ours, digits), accepted, holds)
        self.rows.append({"what": what, "lecture": slide, "ours": ours, "low": low, "high": high, "holds": holds})
        return holds

    def claim(self, what: str, holds: bool, ours: str = "", slide: str | None = None) -> bool:
        """Report whether a statement holds.

        Parameters
        ----------
        what : str
            The statement.
        holds : bool
        ours : str
            What was measured, in a few characters.
        slide : str, optional
            What the lecture says in its place.
        """
        holds = bool(holds)
        self._row(what, slide or "", ours, "", holds)
        self.rows.append({"what": what, "lecture": slide, "ours": ours, "holds": holds})
        return holds

    def table(self, titles: Sequence[str], rows: Iterable[Sequence[Any]], digits: int = 4) -> None:
        """Print a table; floats with `digits` significant digits."""
        kept = [list(row) for row in rows]
        cells = [list(titles)] + [[_number(cell, digits) for cell in row] for row in kept]
        self._separate("table")
        for line in aligned(cells):
            self._show(line)
        self._block = ""
        self.tables.append({"titles": list(titles), "rows": kept})

    def keep(self, name: str, value: Any) -> None:
        """Write numbers, arrays or plain containers into results.json without printing them."""
        self.kept[name] = value

    def figure(
        self, rows: int = 1, columns: int = 1, *, name: str = "", size: tuple[float, float] | None = None
    ) -> tuple[Figure, Any]:
        """A new picture, NAME.png or NAME-name.png.

        Returns
        -------
        figure, axes
            As of ``matplotlib.pyplot.subplots``: one Axes, or an array of them.
        """
        wide, high = size or (min(5.5 * columns, 16), 4.2 * rows)
        figure = new_figure(self.folder, wide, high)
        self._figures[self._titled(name)] = figure
        return figure, figure.subplots(rows, columns)

    def file(self, name: str = "") -> Path:
        """Where something else writes a picture, NAME.png or NAME-name.png; the folder exists."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._files.append(self.folder / f"{self._titled(name)}.png")
        return self._files[-1]

    def finish(self, seconds: float) -> list[Path]:
        """Write the pictures and results.json; returns the files."""
        from fastnet import __version__
        from fastnet.diagnose.machine import cpu_name

        self.folder.mkdir(parents=True, exist_ok=True)
        written = list(self._files)
        for name, figure in self._figures.items():
            written.append(self.folder / f"{name}.png")
            save(figure, written[-1])
        written.append(self.folder / "results.json")
        options = {key: value for key, value in vars(self.args).items() if isinstance(value, str | int | float | bool)}
        result = {
            "experiment": self.name,
            "source": self.source,
            "passed": self.passed,
            "seconds": seconds,
            "options": options,
            "rows": self.rows,
            "tables": self.tables,
            "kept": self.kept,
            "fastnet": __version__,
            "cpu": cpu_name(),
        }
        write_json(written[-1], result)
        return written

    def _titled(self, name: str) -> str:
        return f"{self.name}-{name}" if name else self.name

    def _row(self, what: str, slide: str, ours: str, accepted: str, holds: bool) -> None:
        self._separate("rows")
        lines = textwrap.wrap(what, _TEXT) or [""]
        for line in lines[:-1]:
            self._show(line)
        verdict = "yes" if holds else "NO"
        self._show(f"{pad(lines[-1], _TEXT)}  {slide:>12}  {ours:>12}  {accepted:>24}  {verdict:>5}")

    def _separate(self, block: str) -> None:
        """An empty line between blocks of different kinds, and titles above rows."""
        if self._block != block:
            self._show("")
            if block == "rows":
                self._show(f"{'':{_TEXT}}  {'lecture':>12}  {'fastnet':>12}  {'accepted':>24}  {'holds':>5}")
        self._block = block


def _number(value: Any, digits: int) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.{digits}g}"


def as_bytes(X: Array) -> Array:
    """Images for fastnet.augment: uint8 as they are, numbers in [0, 1] as 0 to 255."""
    if X.dtype == np.uint8:
        return X
    found: Array = np.rint(255 * X.clip(0, 1)).astype(np.uint8)
    return found
