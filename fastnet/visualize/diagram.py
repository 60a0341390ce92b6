"""A network drawn as a picture (SVG)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from fastnet.columns import width
from fastnet.layers import Layer
from fastnet.layers.summary import summarize
from fastnet.storage import atomic_write
from fastnet.visualize.layout import Layout, Slot
from fastnet.visualize.markup import escape
from fastnet.visualize.structure import Box, boxes_of

__all__ = ["Drawing", "plot_model"]

_COLOURS = {
    "input": "#ffffff",
    "convolution": "#dbe8f8",
    "linear": "#dff2dd",
    "pooling": "#fdebd3",
    "join": "#eeeeee",
    "other": "#f6f0fa",
}
_LINE, _PAD, _GAP, _APART = 14.0, 7.0, 16.0, 22.0
_STYLE = (  # of this picture alone, also where it is a part of a page
    ".network text{font:11px Helvetica,Arial,sans-serif;text-anchor:middle;fill:#222}.network .t{font-weight:bold}"
    ".network .s{fill:#555;font-size:10px}.network rect{stroke:#667;stroke-width:1}"
    ".network path{fill:none;stroke:#667;stroke-width:1.3}"
)


class Drawing(NamedTuple):
    """The picture of a network, which notebooks show.

    Attributes
    ----------
    svg : str
        The whole picture, as the text of an SVG file.
    width, height : float
        In pixels.
    """

    svg: str
    width: float
    height: float

    def _repr_svg_(self) -> str:
        return self.svg


def plot_model(
    model: Layer, input_shape: Sequence[int] | None = None, path: str | os.PathLike[str] | None = None
) -> Drawing:
    """Draw a network as a picture: its layers with output shapes and parameters, branches, sums and concatenations.

    Norms, activations and dropouts stand in the box of the layer that they follow.  Boxes have the layers' names, as
    ``model.summary()`` shows them.  It needs no library.

    Parameters
    ----------
    model : Layer
    input_shape : tuple of int, optional
        Build for this shape first; needed where the model is not built yet.
    path : path, optional
        Write the picture to this file, NAME.svg, atomically.

    Returns
    -------
    Drawing

    Raises
    ------
    RuntimeError
        The model is not built.
    ValueError
        The file's name does not end in .svg.

    Examples
    --------
    >>> plot_model(fn.models.create("resnet18"), path="resnet18.svg")
    """
    if not isinstance(model, Layer):
        raise TypeError(f"plot_model: model must be a fastnet model, got {type(model).__name__}")
    if path is not None and Path(path).suffix.lower() != ".svg":
        raise ValueError(f"plot_model: the file's name must end in .svg, got {os.fspath(path)!r}")
    if input_shape is not None:
        model.build(input_shape)
    model._require_built()
    drawing = _draw(boxes_of(model), f"{type(model).__name__}, {summarize(model).parameters:,} parameters")
    if path is not None:
        atomic_write(path, lambda file: file.write(drawing.svg.encode()))
    return drawing


def _lines(box: Box) -> list[tuple[str, str]]:
    """(class of the style, text) of each line in a box."""
    lines = [("t", box.title)]
    if box.added:
        lines.append(("", ", ".join(box.added)))
    size = " x ".join(map(str, box.shape))
    lines.append(("", f"{size}; {box.parameters:,} parameters" if box.parameters else size))
    return [*lines, ("s", box.name)] if box.name else lines


def _draw(boxes: Sequence[Box], title: str) -> Drawing:
    texts = [_lines(box) for box in boxes]
    widths = [max(width(text) for _, text in lines) * 6.2 + 2 * _PAD for lines in texts]
    layout = Layout(boxes, [box.inputs for box in boxes], widths, _GAP)
    heights = {id(box): len(lines) * _LINE + _PAD for box, lines in zip(boxes, texts, strict=True)}
    tops, top = [], _PAD
    for rank in layout.ranks:
        tops.append(top)
        top += max(heights[id(slot.item)] for slot in rank if slot.item is not None) + _APART
    bottoms = [next_top - _APART for next_top in [*tops[1:], top]]
    slots = [slot for rank in layout.ranks for slot in rank]
    left = min(slot.x - slot.width / 2 for slot in slots) - _PAD
    right, bottom = max(slot.x + slot.width / 2 for slot in slots) + _PAD, top - _APART + _PAD
    parts = [_line(line, tops, bottoms, heights) for line in layout.lines]
    written = {id(box): lines for box, lines in zip(boxes, texts, strict=True)}
    for slot in slots:
        if slot.item is not None:
            parts.append(_box(slot, tops[slot.rank], heights[id(slot.item)], written[id(slot.item)]))
    size = f'width="{right - left:.0f}" height="{bottom:.0f}" viewBox="{left:.1f} 0 {right - left:.1f} {bottom:.1f}"'
    arrow = (
        '<marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0L8 4L0 8z" style="fill:#667;stroke:none"/></marker>'
    )
    svg = "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="network" {size} role="img">',
            f"<title>{escape(title)}</title><defs><style>{_STYLE}</style>{arrow}</defs>",
            *parts,
            "</svg>\n",
        ]
    )
    return Drawing(svg, right - left, bottom)


def _box(slot: Slot[Box], top: float, height: float, lines: Sequence[tuple[str, str]]) -> str:
    assert slot.item is not None
    rounded = height / 2 if slot.item.kind in ("join", "input") else 4
    parts = [
        f'<rect x="{slot.x - slot.width / 2:.1f}" y="{top:.1f}" width="{slot.width:.1f}" height="{height:.1f}" '
        f'rx="{rounded:g}" fill="{_COLOURS[slot.item.kind]}"/>'
    ]
    for n, (kind, text) in enumerate(lines, 1):
        style = f' class="{kind}"' if kind else ""
        parts.append(f'<text{style} x="{slot.x:.1f}" y="{top + n * _LINE:.1f}">{escape(text)}</text>')
    return f"<g>{''.join(parts)}</g>"


def _line(line: Sequence[Slot[Box]], tops: Sequence[float], bottoms: Sequence[float], heights: dict[int, float]) -> str:
    """A curve from a box past others to the top of one that reads it."""
    first = line[0]
    x, y = first.x, tops[first.rank] + heights[id(first.item)]
    words = [f"M{x:.1f} {y:.1f}"]
    if y < bottoms[first.rank]:
        y = bottoms[first.rank]
        words.append(f"V{y:.1f}")
    for slot in line[1:]:
        end = tops[slot.rank]
        if abs(slot.x - x) > 0.5:
            words.append(f"C{x:.1f} {(y + end) / 2:.1f} {slot.x:.1f} {(y + end) / 2:.1f} {slot.x:.1f} {end:.1f}")
        else:
            words.append(f"V{end:.1f}")
        x, y = slot.x, end
        if slot.item is None:
            y = bottoms[slot.rank]
            words.append(f"V{y:.1f}")
    return f'<path marker-end="url(#arrow)" d="{"".join(words)}"/>'
