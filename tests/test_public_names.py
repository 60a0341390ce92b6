"""The public names of fastnet and its modules, and that they are loaded on first use."""

import importlib
import inspect
import re
import subprocess
import sys

import pytest

import fastnet


def test_every_public_name_is_there():
    for name in fastnet.__all__:
        value = getattr(fastnet, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert value.__name__ == name and value.__doc__, name
    assert set(fastnet.__all__) <= set(dir(fastnet))
    with pytest.raises(AttributeError, match="module 'fastnet' has no attribute 'Conv3d'"):
        fastnet.Conv3d  # noqa: B018


@pytest.mark.parametrize(
    "name", ["layers", "models", "functional", "gradients", "initializers", "interop", "layout", "storage"]
)
def test_every_name_that_a_module_lists_is_there(name):
    module = importlib.import_module(f"fastnet.{name}")
    assert len(set(module.__all__)) == len(module.__all__)
    for public in module.__all__:
        assert getattr(module, public).__doc__, public


def test_version():
    assert re.fullmatch(r"\d+\.\d+\.\d+", fastnet.__version__)


def test_import_loads_nothing_but_itself():
    """Names are looked up in their modules on first use; test_layering.py looks for heavy libraries."""
    code = "import sys, fastnet; print(*sorted(name for name in sys.modules if name.startswith('fastnet')))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["fastnet"]
