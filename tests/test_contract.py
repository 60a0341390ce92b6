"""Every backend has the contract's methods with the contract's signatures, and says what it does not override."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest

import fastnet
from fastnet import backends, functional
from fastnet.backends import NativeOps, Ops

# What the native backend takes from the reference as it is: neither hot nor numerical.
NOT_OVERRIDDEN_BY_NATIVE = {"to_numpy", "subsample_backward"}


def methods(cls):
    return {
        name: function
        for name, function in inspect.getmembers(cls, callable)
        if not name.startswith("_") and name not in ("name", "xp")
    }


def native():
    if NativeOps is None:
        pytest.skip(f"the extension was not built: {backends.why_not_native}")
    return NativeOps


def test_native_has_every_op_with_the_same_signature():
    for name, function in methods(Ops).items():
        other = getattr(native(), name)
        expected, got = inspect.signature(function), inspect.signature(other)
        plain = [[(p.name, p.kind, p.default) for p in signature.parameters.values()] for signature in (expected, got)]
        assert plain[0] == plain[1], f"{name}{expected} in the contract, {name}{got} in native"


def test_native_adds_no_public_methods():
    assert set(methods(native())) - set(methods(Ops)) == set()


def test_what_native_does_not_override_is_listed():
    inherited = {name for name, function in methods(Ops).items() if getattr(native(), name) is function}
    assert inherited == NOT_OVERRIDDEN_BY_NATIVE


def test_every_forward_has_its_backward():
    names = set(methods(Ops))
    forwards = {name.removesuffix("_backward") for name in names if name.endswith("_backward")}
    assert {
        "linear",
        "conv2d",
        "max_pool2d",
        "max_pool2d_planes",
        "avg_pool2d",
        "batch_norm",
        "relu",
        "dropout",
    } <= forwards
    for name in forwards:
        assert {name, name + "_backward"} <= names
        parameters = list(inspect.signature(getattr(Ops, name + "_backward")).parameters)
        assert parameters[:3] == ["self", "dy", "saved"] and set(parameters[3:]) <= {"needs", "add"}


def test_every_op_of_a_public_call_exists():
    """functional's calls are ops of the contract."""
    assert set(functional.__all__) <= set(methods(Ops))


def test_every_op_that_the_package_calls_exists():
    """``ops.name`` and ``current().name`` in the layers, losses and optimisers above the backends."""
    root, called = Path(fastnet.__file__).parent, set()
    for path in root.rglob("*.py"):
        if path.parent.name == "backends":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute):
                owner = node.value
                direct = isinstance(owner, ast.Name) and owner.id == "ops"
                current = isinstance(owner, ast.Call) and getattr(owner.func, "id", None) == "current"
                if direct or current:
                    called.add(node.attr)
    assert len(called) > 20
    assert called - set(methods(Ops)) - {"name", "xp", "threads"} == set()


def test_backends_are_chosen_by_name():
    names = backends.available_backends()
    assert "reference" in names
    before = backends.current()
    for name in names:
        with backends.use_backend(name) as ops:
            assert backends.current() is ops and ops.name == name
        assert backends.current() is before
    with pytest.raises(ValueError, match="backend must be one of .*, got 'cuda9'"):
        backends.use_backend("cuda9")
    assert backends.current() is before
