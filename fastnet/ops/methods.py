"""The ops as methods: a function for each record, with the record's signature and documentation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastnet.ops.record import REGISTRY, REQUIRED, Op

__all__ = ["op_methods"]


def _function(op: Op, arguments: str, call: str, doc: str, defaults: dict[str, Any], name: str) -> Callable[..., Any]:
    """A function from source text, as dataclasses make theirs: as fast as a hand-written one."""
    scope: dict[str, Any] = {"_op": op, **defaults}
    exec(f"def {name}(self, {arguments}):\n    return {call}\n", scope)  # noqa: S102
    function: Callable[..., Any] = scope[name]
    function.__doc__, function.__module__ = doc, __name__
    return function


def _forward(op: Op) -> Callable[..., Any]:
    defaults, words = {}, []
    for parameter in op.signature.parameters.values():
        if parameter.default is REQUIRED:
            words.append(parameter.name)
        else:
            defaults[f"_{parameter.name}"] = parameter.default
            words.append(f"{parameter.name}=_{parameter.name}")
    arrays = "tuple(arrays)" if op.variadic else "(" + "".join(f"{i.name}, " for i in op.inputs) + ")"
    attributes = "{" + ", ".join(f"{name!r}: {name}" for name in op.attributes) + "}"
    return _function(op, ", ".join(words), f"self.call(_op, {arrays}, {attributes})", op.doc, defaults, op.name)


def _backward(op: Op) -> Callable[..., Any]:
    add = ", add=None" if op.accumulates else ""
    call = f"self.call_gradient(_op, dy, saved, needs{', add' if add else ''})"
    doc = f"The gradients of {op.name}'s arrays; None where ``needs`` is False."
    doc += "  `add` is added to the first." if add else ""
    return _function(op, f"dy, saved, needs=None{add}", call, doc, {}, f"{op.name}_backward")


def op_methods(gradients: bool = True) -> Callable[[type], type]:
    """A class decorator: a method for each op, which calls ``self.call(op, arrays, attributes)``, and with `gradients`
    a ``<name>_backward``, which calls ``self.call_gradient(op, dy, saved, needs)``."""

    def decorate(cls: type) -> type:
        for op in REGISTRY.values():
            setattr(cls, op.name, _forward(op))
            if gradients and op.backward is not None and not op.plain:
                setattr(cls, f"{op.name}_backward", _backward(op))
        return cls

    return decorate
