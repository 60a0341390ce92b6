"""Sections of benches/gpu_check.py for tests: on the stand-in, with tiny shapes."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

import pytest
from cuda import devices

import fastnet as fn

ROOT = Path(fn.__file__).parents[1]
FOLDER = Path(__file__).parents[2] / "benches"
MARKS = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="gpu_check.py is for Linux"),
    pytest.mark.usefixtures("benches"),
    pytest.mark.skipif(devices.ON_GPU, reason="gpu_check.py itself runs these tests on a GPU"),
]


@pytest.fixture
def benches(monkeypatch):
    """Tests import the benches' modules inside."""
    monkeypatch.syspath_prepend(str(FOLDER))
    import gpu_rows

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]))
    monkeypatch.setenv("FASTNET_TEST_STANDIN", "1")
    monkeypatch.setattr(gpu_rows, "ON_STANDIN", True)


def settings(**more):
    import gpu_rows

    return gpu_rows.Settings(600.0, quick=True, **more)


def rows(name, **more):
    return list(importlib.import_module(f"gpu_{name}").rows(settings(**more)))
