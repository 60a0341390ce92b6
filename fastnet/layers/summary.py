"""The table that ``model.summary()`` shows."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, NamedTuple

from fastnet.tables import html_table, text_table
from fastnet.types import Shape

if TYPE_CHECKING:
    from fastnet.layers.base import Layer

__all__ = ["Summary", "Row", "summarize"]

_HEAD = ("name", "layer", "output shape", "parameters", "MACs")


class Row(NamedTuple):
    """One layer; parameters are weights and biases, without statistics."""

    name: str
    layer: str
    output_shape: tuple[int, ...]
    parameters: int
    macs: int


class Summary(NamedTuple):
    """Rows and totals; prints as a table, and as HTML in a notebook.

    Attributes
    ----------
    rows : list of Row
    parameters, trainable : int
        Totals; a shared parameter counts once.
    macs : int
        Multiply-accumulates of a forward pass of one image.
    input_shape : tuple of int
    """

    rows: list[Row]
    parameters: int
    trainable: int
    macs: int
    input_shape: tuple[int, ...]

    def _cells(self) -> list[tuple[str, ...]]:
        return [
            (row.name, row.layer, _shape(row.output_shape), f"{row.parameters:,}", f"{row.macs:,}") for row in self.rows
        ]

    def _totals(self) -> str:
        frozen = self.parameters - self.trainable
        note = f" ({frozen:,} frozen)" if frozen else ""
        return f"input {_shape(self.input_shape)}; {self.parameters:,} parameters{note}; {self.macs:,} MACs an image"

    def __str__(self) -> str:
        table = text_table(_HEAD, self._cells(), left=3)
        return "\n".join([table, table.splitlines()[1], self._totals()])

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return f"{html_table(_HEAD, self._cells())}<p>{html.escape(self._totals())}</p>"


def _shape(shape: Shape) -> str:
    return " x ".join(map(str, shape))


def summarize(model: Layer) -> Summary:
    """The Summary of a built model."""
    rows, parameters, trainable, macs = [], 0, 0, 0
    for path, layer in model.named_layers():
        if layer.children():
            continue
        own = [parameter for parameter in layer.own.values() if not parameter.buffer]
        size = sum(parameter.size for parameter in own)
        for use, (output_shape, of_use) in enumerate(layer.uses):  # a shared layer has a row for each
            name = f"{path} (use {use + 1})" if use else path
            rows.append(Row(name, type(layer).__name__, output_shape, 0 if use else size, of_use))
            macs += of_use
        parameters += size
        trainable += sum(parameter.size for parameter in own if parameter.requires_grad)
    return Summary(rows, parameters, trainable, macs, model.input_shape)
