"""A model that is as it was after a block of code has used it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastnet.layers.base import Layer

__all__ = ["preserved"]


@contextlib.contextmanager
def preserved(model: Layer, parameters: bool = True) -> Iterator[None]:
    """Restore a built model at the end of the ``with`` block, also after an error.

    Parameters
    ----------
    model : Layer
    parameters : bool
        Whether parameters are restored too, not only what passes change: running statistics, random streams,
        gradients.
    """
    kept = [*model.buffers(), *(model.parameters() if parameters else ())]
    values = [parameter.value.copy() for parameter in kept]
    gradients = [(parameter, parameter.grad) for parameter in model.parameters()]
    streams = model.rng_state()
    model.zero_grad()
    try:
        yield
    finally:
        for parameter, value in zip(kept, values, strict=True):
            parameter.set(value)
        for parameter, gradient in gradients:
            parameter.grad = gradient
        model.set_rng_state(streams)
