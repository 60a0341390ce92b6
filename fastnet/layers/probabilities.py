"""Probabilities of classes, from a model's outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastnet.functional import softmax
from fastnet.types import Array

if TYPE_CHECKING:
    from fastnet.layers.model import Model

__all__ = ["probabilities"]


def probabilities(model: Model, scores: Array) -> Array:
    """The softmax over C of a built model's outputs; of a softmax or sigmoid at its end, the outputs themselves."""
    if model.graph((1, *model.input_shape)).output.name in ("sigmoid", "softmax"):
        return scores
    return softmax(scores, 1)[0]
