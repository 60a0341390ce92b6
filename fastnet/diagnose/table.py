"""Tables of cells that are text, for a terminal and as HTML."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from fastnet.columns import pad, width

__all__ = ["html_table", "text_table"]


def text_table(titles: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """Lines of text; the first `left` columns are aligned left, the others right."""
    lines = [list(titles), *map(list, rows)]
    widths = [max(width(line[i]) for line in lines) for i in range(len(titles))]
    cells = [[pad(cell, widths[i], "<" if i < left else ">") for i, cell in enumerate(line)] for line in lines]
    head, *body = ["  ".join(line).rstrip() for line in cells]
    return "\n".join([head, "-" * width("  ".join(cells[0])), *body])


def html_table(titles: Sequence[str], rows: Iterable[Sequence[str]], caption: str = "") -> str:
    """A <table>, for notebooks."""
    head = "".join(f"<th>{html.escape(title)}</th>" for title in titles)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    above = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    return f"<table>{above}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
