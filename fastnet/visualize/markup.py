"""Pieces of HTML: text that is escaped, tables, bars and pictures inside the page."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable, Sequence
from typing import Any

from fastnet.columns import visible

__all__ = ["bar", "escape", "note", "picture", "table"]

_BAR = 200  # pixels of a bar for the whole


def escape(text: str) -> str:
    """Text for HTML and SVG, in which control characters are shown, not obeyed."""
    return html.escape(visible(text))


def picture(plot: Callable[..., object], *args: Any, **options: Any) -> str:
    """What a plot function draws, as a PNG inside the page."""
    file: Any = io.BytesIO()
    plot(*args, path=file, **options)
    content = base64.b64encode(file.getvalue()).decode()
    name = plot.__name__.removeprefix("plot_").replace("_", " ")
    return f'<img alt="{html.escape(name)}" src="data:image/png;base64,{content}">'


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; its cells are HTML, its titles text."""
    head = "".join(f"<th>{escape(title)}</th>" for title in titles)
    body = "\n".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"


def bar(share: float) -> str:
    """A bar whose length shows a share, from 0 to 1."""
    return f'<span class="bar" style="width:{_BAR * share:.0f}px"></span>'


def note(text: str) -> str:
    """A paragraph that says what is missing."""
    return f'<p class="note">{escape(text)}</p>'
