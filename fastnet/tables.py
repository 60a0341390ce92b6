"""Tables of cells that are text: lines for a terminal, and HTML for notebooks."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from fastnet.columns import pad, width

__all__ = ["aligned", "html_table", "text_table"]


def aligned(rows: Iterable[Sequence[str]], left: int = 1) -> list[str]:
    """A line for each row; the first `left` columns are aligned left, the others right."""
    rows = list(rows)
    widths = [max(map(width, column)) for column in zip(*rows, strict=True)]
    cells = [[pad(cell, widths[i], "<" if i < left else ">") for i, cell in enumerate(row)] for row in rows]
    return ["  ".join(row).rstrip() for row in cells]


def text_table(titles: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """The rows as :func:`aligned` has them, under their titles and a line as wide as the table."""
    head, *body = aligned([titles, *rows], left)
    return "\n".join([head, "-" * max(map(width, [head, *body])), *body])


def html_table(titles: Sequence[str], rows: Iterable[Sequence[str]], caption: str = "") -> str:
    """A <table>."""
    head = "".join(f"<th>{html.escape(title)}</th>" for title in titles)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    above = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    return f"<table>{above}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
