"""The picture and the page of all runs."""

from __future__ import annotations

import html.parser
import re
import xml.etree.ElementTree as ElementTree

import pytest

import fastnet as fn
from fastnet.search import choice, log_uniform, search
from fastnet.search.page import _page
from fastnet.search.picture import draw

pytest.importorskip("matplotlib")


def build(part, lr, momentum, kind):
    if kind == "bad":
        raise ValueError("<bad> & wrong")
    model = fn.Sequential(fn.Flatten(), fn.Linear(2))
    return fn.Solver(model, part, optimizer=fn.optim.SGD(lr, momentum), batch_size=6, epochs=2)


SPACE = {"lr": log_uniform(1e-3, 1e6), "momentum": log_uniform(1e-2, 0.9), "kind": choice("good", "fine", "bad")}


@pytest.fixture(scope="module")
def results(data):
    with pytest.warns(UserWarning, match="failed"):
        found = search(build, SPACE, data=data, trials=12, fine=4, folds=2, seed=1, verbose=False)
    assert {run.state for run in found.runs} == {"finished", "pruned", "failed"}
    return found


def test_the_picture_has_every_run(results, tmp_path):
    figure = draw(results, "x.png")
    loss, metric, *scatters = figure.axes[:-1]
    with_curves = [run for run in results.runs if run.histories and run.histories[0].losses]
    assert len(loss.lines) == len(with_curves)
    assert len(metric.lines) == sum(bool(run.histories and len(run.histories[0])) for run in results.runs)
    finished = len(results.ranked())
    assert len(scatters) == 4  # three hyperparameters, and the plane of two
    for axes in scatters[:3]:
        assert sum(len(points.get_offsets()) for points in axes.collections if points.get_urls() != [None]) == finished
    assert loss.get_yscale() == "log" and scatters[0].get_xscale() == "log" and scatters[2].get_xscale() == "linear"
    assert [label.get_text() for label in scatters[2].get_xticklabels()] == ["good", "fine", "bad"]
    best = f"{results.best.stage}-{results.best.number}"
    widest = max(metric.lines, key=lambda line: line.get_linewidth())
    assert widest.get_url() == f"#{best}" and widest.get_color() == "crimson"
    text = figure.axes[-1].texts[0].get_text().splitlines()
    assert text[0] == results.lines()[0] and text[-1] == f"... and {len(results.runs) - 10} more"
    results.plot(tmp_path / "runs.png")
    assert (tmp_path / "runs.png").read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in tmp_path.iterdir()] == ["runs.png"]


def test_the_page_is_whole_and_sorted(results, tmp_path):
    results.page(tmp_path / "runs.html")
    page = (tmp_path / "runs.html").read_text(encoding="utf-8")
    assert not re.findall(r'(?:src|href)="(?!#)', page)  # no other file
    svg = ElementTree.fromstring(page[page.index("<svg") : page.index("</svg>") + 6])
    links = {value for node in svg.iter() for key, value in node.attrib.items() if key.endswith("href")}
    rows = re.findall(r'<tr id="([a-z]+-\d+)" class="(\w+)">(.*?)</tr>', page)
    assert {f"#{run.stage}-{run.number}" for run in results.ranked()} <= links
    assert {link for link in links if re.match("#(coarse|fine)-", link)} <= {f"#{name}" for name, *_ in rows}
    assert len(rows) == len(results.runs)
    order = [f"{run.stage}-{run.number}" for run in results.ranked()]
    assert [name for name, *_ in rows][: len(order)] == order and rows[0][1] == "best"
    assert "ValueError: &lt;bad&gt; &amp; wrong" in page and "<bad>" not in page
    assert f"{results.best.value:.4f}" in rows[0][2] and f"{results.best.spread:.4f}" in rows[0][2]

    class Balanced(html.parser.HTMLParser):
        open: list[str] = []

        def handle_starttag(self, tag, attrs):
            if tag != "meta":
                self.open.append(tag)

        def handle_endtag(self, tag):
            assert self.open.pop() == tag

    Balanced().feed(page)
    assert Balanced.open == [] and page == _page(results)  # the same page each time


def test_numbers_without_curves_have_a_picture(tmp_path):
    results = search(lambda lr: lr, {"lr": log_uniform(1e-4, 1)}, trials=3, verbose=False)
    figure = results.plot(tmp_path / "runs.svg")
    assert len(figure.axes) == 2  # lr against the result, and the lines
    results.page(tmp_path / "runs.html")


def test_a_search_without_a_finished_run_has_a_page(tmp_path, data):
    folder = tmp_path / "search"
    with pytest.raises(RuntimeError):
        search(lambda lr: float("nan"), {"lr": log_uniform(1e-4, 1)}, trials=2, folder=folder, verbose=False)
    from fastnet.search import load

    load(folder).page(tmp_path / "runs.html")
    assert "no trial has finished" in (tmp_path / "runs.html").read_text()
