"""The page of a search: its picture and the table of all runs in one HTML file."""

from __future__ import annotations

import html
import io
import os
from typing import TYPE_CHECKING, Any

from fastnet.search.picture import draw, mark
from fastnet.search.space import show
from fastnet.storage import atomic_write

if TYPE_CHECKING:
    from fastnet.search.results import Results, Run

__all__ = ["write"]

_STYLE = """
body { font: 15px/1.4 system-ui, sans-serif; margin: 2em auto; max-width: 1200px; padding: 0 1em; color: #222 }
svg { width: 100%; height: auto }
svg a:hover path { stroke-width: 4 !important }
table { border-collapse: collapse; width: 100% }
th, td { text-align: right; padding: 3px 10px; border-bottom: 1px solid #ddd; font-variant-numeric: tabular-nums }
th { border-bottom: 2px solid #888 }
.text { text-align: left }
.best { color: crimson; font-weight: bold }
.pruned, .failed, .unfinished { color: #888 }
tr:hover { background: #f2f2f2 }
tr:target { background: #ffe9b0 }
"""


def write(results: Results, path: str | os.PathLike[str]) -> None:
    """Write the page, atomically."""
    text = _page(results).encode()
    atomic_write(path, lambda file: file.write(text))


def _page(results: Results) -> str:
    ranked = results.ranked()
    names = list(dict.fromkeys(name for run in results.runs for name in run.setting))
    titles = ["", "trial", results.monitor, *(["spread"] if any(run.spread is not None for run in ranked) else [])]
    head = "".join(f"<th>{html.escape(title)}</th>" for title in [*titles, *names, "seconds"])
    others = [run for run in results.runs if run.state != "finished"]
    body = "\n".join(_row(run, place, names, len(titles) > 3) for place, run in enumerate(ranked + others, 1))
    said = [f"best: {results.line(ranked[0])}", *results.advice()] if ranked else ["no trial has finished"]
    spaces = [
        f"{stage}: " + "; ".join(f"{name}: {dimension}" for name, dimension in space.items())
        for stage, space in results.spaces.items()
    ]
    notes = "\n".join(f"<p>{html.escape(line)}</p>" for line in said + spaces)
    return f"""<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>fastnet search</title><style>{_STYLE}</style></head>
<body>
<h1>All runs of the search</h1>
{notes}
<p>A click on a curve or point marks its row.</p>
{_svg(results)}
<table>
<thead><tr>{head}<th class="text">notes</th></tr></thead>
<tbody>
{body}
</tbody>
</table>
</body>
</html>
"""


def _row(run: Run, place: int, names: list[str], spread: bool) -> str:
    finished = run.state == "finished"
    cells: list[Any] = [place if finished else "", f"{run.stage} {run.number}"]
    cells.append(f"{run.value:.4f}" if run.value is not None else run.state)
    if spread:
        cells.append("" if run.spread is None else f"{run.spread:.4f}")
    cells += [show(run.setting.get(name, "")) for name in names]
    cells.append(f"{run.seconds:.1f}")
    kind = "best" if finished and place == 1 else run.state
    row = "".join(f"<td>{html.escape(str(cell))}</td>" for cell in cells)
    return f'<tr id="{mark(run)}" class="{kind}">{row}<td class="text">{html.escape(run.reason)}</td></tr>'


def _svg(results: Results) -> str:
    figure = draw(results, "page.svg", lines=0)
    from matplotlib import rc_context

    text = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "fastnet"}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue().partition("<svg")[1] + text.getvalue().partition("<svg")[2]
