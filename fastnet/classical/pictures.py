"""Axes to draw on."""

from __future__ import annotations

from typing import Any


def axes_for(axes: Any) -> Any:
    """`axes`, or those of a new figure."""
    if axes is not None:
        return axes
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError('pictures need matplotlib: pip install "fastnet-cnn[plot]"') from error
    return plt.subplots()[1]
