"""Fused training ops: a convolution, and maxout or max pooling after it; see fused.py."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from fastnet.geometry import Conv2dGeometry, Pool2dGeometry
from fastnet.ops.channels import maxout_shape
from fastnet.ops.conv import CONV_INPUTS, EXAMPLES, conv2d_shape
from fastnet.ops.fused import RELU, Described
from fastnet.ops.record import REQUIRED, Example, Op, register
from fastnet.types import Activation, Array, Shape, Shaped

# ---------------------------------------------------------------- convolution, and what reduces its outputs


def _register_reduced(
    second: str,
    shape: Callable[..., Shape],
    attributes: dict[str, Any],
    examples: Iterable[Example],
    doc: str,
) -> None:
    """The op conv2d_<second>: conv2d, then the op `second` with these attributes, in order."""

    def forward(
        ops: Any, x: Array, w: Array, b: Array | None, geometry: Conv2dGeometry, **given: Any
    ) -> tuple[Array, Any]:
        between, saved = ops.conv2d(x, w, b, geometry)
        y, reduced = getattr(ops, second)(between, *(given.get(name, value) for name, value in attributes.items()))
        return y, (saved, reduced)

    def backward(
        ops: Any, dy: Array, saved: Any, needs: Sequence[bool] = (True,) * 3, add: Array | None = None
    ) -> tuple[Array | None, ...]:
        saved, reduced = saved
        gradients: tuple[Array | None, ...] = ops.conv2d_backward(
            getattr(ops, f"{second}_backward")(dy, reduced), saved, needs, add=add
        )
        return gradients

    register(
        Op(
            f"conv2d_{second.removesuffix('2d')}",
            CONV_INPUTS,
            shape=shape,
            forward=forward,
            backward=backward,
            attributes={"geometry": REQUIRED, **attributes},
            composed=True,
            accumulates=True,
            examples=tuple(examples),
            doc=doc,
        )
    )


_FEW = (EXAMPLES[0], EXAMPLES[5], EXAMPLES[8])


def _maxout_shape(x: Shaped, w: Shaped, b: Shaped | None, geometry: Conv2dGeometry, pieces: int) -> Shape:
    return maxout_shape(Described(conv2d_shape(x, w, b, geometry)), pieces)


def _maxout_examples() -> Iterator[Example]:
    for e, pieces in zip(_FEW, (3, 2, 11), strict=True):
        yield Example(e.shapes, {"geometry": e.attributes["geometry"], "pieces": pieces})


_register_reduced("maxout", _maxout_shape, {"pieces": REQUIRED}, _maxout_examples(), "maxout(conv2d(x, w, b), pieces).")


def pool_shape(op: str, geometry: Conv2dGeometry, pool_geometry: Pool2dGeometry) -> Shape:
    """The shape after pooling a convolution's output; ValueError if the two geometries do not fit."""
    if pool_geometry.x_shape != geometry.y_shape:
        raise ValueError(
            f"{op}: the pooling must take the convolution's output {geometry.y_shape}, got {pool_geometry.x_shape}"
        )
    return pool_geometry.y_shape


def _pool_shape(
    x: Shaped,
    w: Shaped,
    b: Shaped | None,
    geometry: Conv2dGeometry,
    pool_geometry: Pool2dGeometry,
    activation: Activation | None = None,
) -> Shape:
    conv2d_shape(x, w, b, geometry)
    return pool_shape("conv2d_max_pool", geometry, pool_geometry)


def _pool_examples() -> Iterator[Example]:
    for e, window in zip(_FEW, ((2, 2, 0), (2, 2, 0), (3, 2, 1)), strict=True):
        geometry = e.attributes["geometry"]
        pooling = Pool2dGeometry.make(geometry.y_shape, *window)
        yield Example(e.shapes, {"geometry": geometry, "pool_geometry": pooling, "activation": RELU})


_register_reduced(
    "max_pool2d",
    _pool_shape,
    {"pool_geometry": REQUIRED, "activation": None},
    _pool_examples(),
    "max_pool2d(conv2d(x, w, b), activation).",
)
