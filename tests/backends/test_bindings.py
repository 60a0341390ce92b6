"""The Cython bindings: what they derive from csrc/kernels.def, and what they reject."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from fastnet import backends
from fastnet.geometry import Conv2dGeometry, Pool2dGeometry

if backends.NativeOps is None:
    pytest.skip(f"the extension was not built: {backends.why_not_native}", allow_module_level=True)
from fastnet.backends import _native

KERNELS = Path(__file__).parents[2] / "csrc" / "kernels.def"
if not KERNELS.is_file():
    pytest.skip("csrc/ is not beside the tests", allow_module_level=True)
PLACES = dict.fromkeys(("x", "add", "y"), (0, 0))
STEP = PLACES | {"kind": "add", "begins": True, "inner": 0}


def declared(macro: str) -> list[str]:
    text = re.sub(r"/\*.*?\*/", "", KERNELS.read_text(encoding="utf-8"), flags=re.DOTALL)
    return re.findall(rf"^{macro}\((?:\w+, )?(\w+)[,)]", text, flags=re.MULTILINE)


def test_every_kernel_of_the_table_has_a_function():
    kernels = declared("KERNEL")
    assert len(kernels) > 30
    assert [name for name in kernels if not callable(getattr(_native, name, None))] == []


def test_numbers_of_elementwise_kernels_and_steps_come_from_the_table():
    assert list(_native.ELEMENTWISE) == declared("ELEMENTWISE")
    assert list(_native.STEP_KINDS) == declared("STEP")
    assert list(_native.STEP_KINDS.values()) == list(range(len(_native.STEP_KINDS)))


@pytest.mark.parametrize("change", [lambda packed: packed[:-1], lambda packed: packed + b"\0", lambda packed: b""])
def test_geometries_of_another_size_are_refused(change):
    x = np.zeros((1, 2, 4, 4), np.float32)
    w = np.zeros((3, 2, 3, 3), np.float32)
    y = np.zeros((1, 3, 2, 2), np.float32)
    conv = change(Conv2dGeometry.make(x.shape, w.shape).packed)
    with pytest.raises(ValueError, match="packed geometry of 144 bytes"):
        _native.conv_forward(conv, x, w, (None, None, None, None, None, 0, 0.0, 0.0), y)
    pool = change(Pool2dGeometry.make(x.shape, 2).packed)
    with pytest.raises(ValueError, match="packed geometry of 144 bytes"):
        _native.max_pool(pool, x, False, y, None)
    for kind in ("conv", "pool"):
        with pytest.raises(ValueError, match="packed geometry"):
            _native.Plan(0, 1, 0, [STEP | {kind: b"short"}])


@pytest.mark.parametrize("number", [-1, len(_native.ELEMENTWISE)])
def test_elementwise_kernels_that_are_not_there_are_refused(number):
    x = np.zeros(3, np.float32)
    with pytest.raises(IndexError, match="elementwise kernels"):
        _native.map_forward(number, 3, 0, 0, x, x)
    with pytest.raises(IndexError, match="elementwise kernels"):
        _native.map_backward(number, 3, 0, 0, x, x, x)


def test_steps_with_unknown_fields_and_kinds_are_refused():
    with pytest.raises(TypeError, match="no fields size"):
        _native.Plan(0, 1, 0, [STEP | {"size": 3}])
    with pytest.raises(KeyError, match="multiply"):
        _native.Plan(0, 1, 0, [STEP | {"kind": "multiply"}])


def test_read_only_arrays_are_not_written():
    x, y = np.ones(3, np.float32), np.zeros(3, np.float32)
    y.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        _native.map_forward(0, 3, 0, 0, x, y)
