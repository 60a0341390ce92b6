"""Run course assignments on fastnet without editing them: an import hook, CS231n's API, adapters for other courses.

Names are imported from their modules on first use, as in fastnet itself.
"""

from __future__ import annotations

import importlib

_HOME = {  # public name: its module
    "as_course_model": "fastnet.compat.interop",
    "from_course_model": "fastnet.compat.interop",
    "install": "fastnet.compat.hook",
    "uninstall": "fastnet.compat.hook",
}
_MODULES = ("check", "cs231n", "cs7643", "csci566", "deeplearning_ai", "minitorch", "mytorch", "needle", "standins")

__all__ = sorted([*_HOME, *_MODULES])


def __getattr__(name: str):
    if name in _MODULES:
        return importlib.import_module(f"fastnet.compat.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'fastnet.compat' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
