"""Figures of matplotlib, for a window, a notebook or a file."""

from __future__ import annotations

import os
import re
import warnings
from typing import TYPE_CHECKING, Any

from fastnet.wording import name_some

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["new_figure", "save"]


def new_figure(path: str | os.PathLike[str] | None, width: float, height: float) -> Figure:
    """An empty figure of `width` x `height` inches.

    With a path, it is for that file alone and needs no display (:func:`save` writes it); without one it is pyplot's
    current figure, which ``plt.show()`` and notebooks show.

    Raises
    ------
    ImportError
        matplotlib is not installed.
    """
    options: Any = {"figsize": (width, height), "layout": "constrained"}
    try:
        if path is None:
            from matplotlib import pyplot

            return pyplot.figure(**options)
        from matplotlib.figure import Figure

        return Figure(**options)
    except ImportError as error:
        raise ImportError('plots need matplotlib: pip install "fastnet-cnn[plot]"') from error


def save(figure: Figure, path: str | os.PathLike[str] | None) -> Figure:
    """`figure`, written to `path` (PNG, PDF, SVG by the suffix) if there is one; warns of letters that no font has."""
    if path is None:
        return figure
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        figure.savefig(path, dpi=120)
    lacking = set()
    for each in caught:
        if glyph := re.match(r"Glyph (\d+) .* missing from", str(each.message)):
            lacking.add(chr(int(glyph[1])))
        else:
            warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)
    if lacking:
        warnings.warn(
            f"boxes stand for {name_some(sorted(lacking))}, which the font of plots lacks; install one that has such "
            "letters and name it in matplotlib.rcParams['font.family']",
            stacklevel=3,
        )
    return figure
