"""Fused training ops that end in a PReLU: the op <host>_prelu for each op that can, in `AFTER`; see fused.py."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from fastnet.ops import conv, dense, fused, group_norm  # noqa: F401  # they register the ops of AFTER
from fastnet.ops.channels import check_slopes
from fastnet.ops.fused import Described
from fastnet.ops.record import REGISTRY, WEIGHT, Example, Input, Op, register
from fastnet.types import Array, Shape, Shaped

__all__ = ["AFTER"]

AFTER = {
    "conv2d": "conv2d_prelu",
    "conv2d_batch_norm": "conv2d_batch_norm_prelu",
    "batch_norm_activation": "batch_norm_prelu",
    "linear": "linear_prelu",
    "group_norm": "group_norm_prelu",
    "layer_norm": "layer_norm_prelu",
    "instance_norm": "instance_norm_prelu",
}
"""The fused op for a PReLU after each op: its arrays, then the slopes; its attributes without ``activation``."""


def _register(host: Op, name: str) -> None:
    attributes = {word: default for word, default in host.attributes.items() if word != "activation"}

    def shape(*arrays: Shaped, **given: Any) -> Shape:
        made = host.shape(*arrays[:-1], **given)
        check_slopes(name, arrays[-1], made[1])
        return made

    def forward(ops: Any, *arrays: Array, **given: Any) -> tuple[Array, Any]:
        between, saved = getattr(ops, host.name)(*arrays[:-1], **given)
        y, bent = ops.prelu(between, arrays[-1])
        return y, (saved, bent)

    def backward(ops: Any, dy: Array, saved: Any, needs: Sequence[bool], **more: Any) -> tuple[Array | None, ...]:
        saved, bent = saved
        inside = any(needs[:-1])
        dy, dslopes = ops.prelu_backward(dy, bent, (inside, needs[-1]))
        if not inside:
            return *(None,) * len(needs[:-1]), dslopes
        return *getattr(ops, f"{host.name}_backward")(dy, saved, needs[:-1], **more), dslopes

    def examples() -> Iterator[Example]:
        for n, e in enumerate(host.examples[:9]):
            given = {word: value for word, value in e.attributes.items() if word != "activation"}
            arrays = [None if shape is None else Described(shape) for shape in e.shapes]
            slopes = (host.shape(*arrays, **given)[1],) if n % 2 else (1,)
            yield Example((*e.shapes, slopes), given, positive=e.positive)

    register(
        Op(
            name,
            (*host.inputs, Input("slopes", WEIGHT)),
            shape=shape,
            forward=forward,
            backward=backward,
            attributes=attributes,
            composed=True,
            accumulates=host.accumulates,
            flops=(host.flops[0] + 2, host.flops[1] + 4),
            examples=tuple(examples()),
            doc=f"prelu({host.name}(...), slopes).",
        )
    )


for _host, _name in AFTER.items():
    _register(REGISTRY[_host], _name)
