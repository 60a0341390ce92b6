"""Figures and axes to draw on."""

from __future__ import annotations

from typing import Any


def figure_of(figure: Any, width: float = 6.4, height: float = 4.8) -> Any:
    """`figure`, or a new one of this size in inches."""
    if figure is not None:
        return figure
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError('pictures need matplotlib: pip install "fastnet-cnn[plot]"') from error
    return plt.figure(figsize=(width, height))


def axes_for(axes: Any) -> Any:
    """`axes`, or those of a new figure."""
    return axes if axes is not None else figure_of(None).add_subplot()
