"""The precision of float32 products on GPUs, which `fastnet.set_float32_precision` sets; FASTNET_FLOAT32 at first."""

from __future__ import annotations

import os

__all__ = ["NAMES", "get", "set_to"]

NAMES = ("highest", "tf32")
_name = NAMES[0]


def get() -> str:
    """The name last given to :func:`set_to`."""
    return _name


def set_to(name: str, where: str) -> None:
    """Choose one of NAMES; a ValueError for any other begins with `where`."""
    global _name
    if name not in NAMES:
        raise ValueError(f"{where} must be one of {', '.join(map(repr, NAMES))}, got {name!r}")
    _name = name


set_to(os.environ.get("FASTNET_FLOAT32") or NAMES[0], "FASTNET_FLOAT32")
