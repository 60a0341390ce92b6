"""torchvision for comparisons, also where its compiled operators do not fit the installed PyTorch."""

from __future__ import annotations

import contextlib
import importlib
from typing import Any

import pytest


def load(name: str = "torchvision") -> Any:
    """The module, or a skipped test.  Without torchvision's operators its import fails on two that nothing here calls;
    declaring them suffices."""
    torch = pytest.importorskip("torch")
    try:
        with contextlib.suppress(RuntimeError):
            return importlib.import_module(name)
        for operator in ("nms", "qnms"):
            torch.library.define(f"torchvision::{operator}", "(Tensor x) -> Tensor")
        return importlib.import_module(name)
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"no {name}: {error}", allow_module_level=True)
