"""Looking inside networks: what they see in an image, and which images they would like to see.

Functions take arrays and return arrays; those called ``plot_...`` draw them (matplotlib).  Names are looked up on first
use, so that importing the package takes no time.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

_HOME: dict[str, str] = {}  # the module of each public name; no module has the name of a function

__all__ = sorted(_HOME)

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in _HOME:
            raise AttributeError(f"module 'fastnet.visualize' has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(f"fastnet.visualize.{_HOME[name]}"), name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
