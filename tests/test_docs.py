"""The documents: everything that they name exists, and their examples run."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from compat import assignment

import fastnet
from fastnet import cli

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    "README.md",
    "docs/design.md",
    "docs/methods.md",
    "docs/performance.md",
    "docs/course.md",
    "docs/search.md",
    "docs/transfer.md",
    "docs/regularizers.md",
    "docs/visualize.md",
    "docs/inspect.md",
    "docs/augmentation.md",
]
PAGES += ["CONTRIBUTING.md", "CHANGELOG.md"]
checkout = pytest.mark.skipif(not (ROOT / "csrc").is_dir(), reason="these tests need a checkout of the repository")


def text(page):
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", text(page), re.S)


def commands():
    """(page, line) of every `fastnet ...` in the pages' shell blocks and in inline code."""
    for page in (
        "README.md",
        "docs/performance.md",
        "docs/course.md",
        "docs/search.md",
        "docs/regularizers.md",
        "docs/inspect.md",
    ):
        lines = [line.split("#")[0] for block in blocks(page, "sh") for line in block.splitlines()]
        lines += [part for line in lines for part in line.split("&&")] + re.findall(r"`(fastnet [^`]+)`", text(page))
        for line in lines:
            words = line.split()
            words = words[1:] if words[:1] == ["time"] else words
            if words[:1] == ["fastnet"]:
                yield page, " ".join(words[1:])


@checkout
@pytest.mark.parametrize("page", PAGES)
def test_links_resolve(page):
    links = re.findall(r"\[[^\]]+\]\(([^)#]+)[^)]*\)", text(page))
    assert [link for link in links if "://" not in link and not (ROOT / page).parent.joinpath(link).exists()] == []


@checkout
def test_readme_lists_every_layer():
    table = text("README.md").split("The layers:")[1].split("\n\n")[1]
    listed = re.findall(r"\b[A-Z]\w+", re.sub(r"\(.*?\)", "", table))
    abstract = (fastnet.layers.Layer, fastnet.layers.Model)
    public = [getattr(fastnet.layers, name) for name in fastnet.layers.__all__]
    layers = [c for c in public if isinstance(c, type) and issubclass(c, fastnet.layers.Layer) and c not in abstract]
    assert sorted(listed) == sorted(layer.__name__ for layer in layers)


@checkout
@pytest.mark.parametrize("page", ["docs/design.md", "CONTRIBUTING.md"])
def test_files_that_are_named_exist(page):
    names = re.findall(r"`((?:csrc|fastnet|tests|benches|examples|docs)/[\w./]*)`", text(page))
    assert len(names) > 5
    assert [name for name in names if not (ROOT / name).exists()] == []
    headers = re.findall(r"`(\w+\.h)`", text(page))
    assert [name for name in headers if not any((ROOT / "csrc").rglob(name))] == []


def test_commands_parse():
    found = sorted(set(commands()))
    assert len(found) >= 6
    for page, arguments in found:
        if arguments in ("train", "evaluate", "bench", "profile", "verify", "doctor"):  # named alone, in a sentence
            continue
        parsed = cli.parser().parse_args(arguments.split())
        assert isinstance(parsed, argparse.Namespace) and parsed.command, (page, arguments)


def test_the_two_commands_stand_near_the_top():
    head = text("README.md")[:1500]
    assert 'pip install ".[demo]" && fastnet train' in head
    assert 'pip install ".[test]" && pytest' in head


@checkout
def test_extras_that_are_named_exist():
    extras = tomllib.loads(text("pyproject.toml"))["project"]["optional-dependencies"]
    named = set(re.findall(r"\.\[(\w+)\]", text("README.md") + text("CONTRIBUTING.md")))
    named |= set(re.findall(r"`(\w+)`", re.search(r"Optional extras:(.*?)\. Without", text("README.md"), re.S)[1]))
    assert named == set(extras)


def test_models_that_are_named_exist():
    sentence = re.search(r"`fn\.models\.create\(name\)` builds(.*?)\.", text("README.md"), re.S)[1]
    families = re.findall(r"[a-z]\w+", sentence)
    known = fastnet.models.names()
    assert all(family in known or family in {"with", "and", "without", "batch", "norm"} for family in families)
    assert {re.sub(r"\d.*", "", name) for name in known} == {re.sub(r"\d.*", "", f) for f in families if f in known}


def test_the_readme_runs(tmp_path, monkeypatch, capsys):
    pytest.importorskip("sklearn")
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in blocks("README.md", "python"):
        exec(compile(block, "README.md", "exec"), names)
    accuracy = re.search(r"Evaluation\(loss=.*, accuracy=([\d.]+)\)", capsys.readouterr().out)
    assert float(accuracy[1]) > 0.95
    assert (tmp_path / "runs" / "readme" / "model.npz").is_file() and names["dx"].shape == (32, 1, 8, 8)


def test_the_page_on_searching_runs(tmp_path, monkeypatch, capsys):
    for name in ("sklearn", "optuna", "matplotlib"):
        pytest.importorskip(name)
    monkeypatch.chdir(tmp_path)
    for block in blocks("docs/search.md", "python"):
        exec(compile(block, "docs/search.md", "exec"), {})
    assert capsys.readouterr().out.count("val_acc: ") == 11 and (tmp_path / "runs/search/search.html").is_file()


def test_the_page_on_regularizers_runs():
    pytest.importorskip("sklearn")
    (block,) = blocks("docs/regularizers.md", "python")
    names = {}
    exec(compile(block, "docs/regularizers.md", "exec"), names)
    assert names["mean"].shape == names["std"].shape == (359, 10) and (names["std"] > 0).any()


def test_the_page_on_looking_inside_runs(tmp_path, monkeypatch, capsys):
    for name in ("sklearn", "matplotlib"):
        pytest.importorskip(name)
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in blocks("docs/visualize.md", "python"):
        exec(compile(block, "docs/visualize.md", "exec"), names)
    first, second = (list(map(float, line.split())) for line in capsys.readouterr().out.splitlines())
    assert first[0] > 0.9 and second[1] > second[0] + 1 and (tmp_path / "maps.png").is_file()
    assert names["gradient"].shape == (8, 1, 8, 8)


def test_the_page_on_inspecting_runs(tmp_path, monkeypatch):
    for name in ("sklearn", "matplotlib"):
        pytest.importorskip(name)
    monkeypatch.chdir(tmp_path)
    (block,) = blocks("docs/inspect.md", "python")
    names = {}
    exec(compile(block, "docs/inspect.md", "exec"), names)
    assert names["patches"].patches.shape[:3] == (2, 9, 1) and (tmp_path / "digit.html").is_file()


def test_the_course_page_runs(tmp_path):
    """On an assignment's folder, in a separate Python, since the hook changes imports."""
    assignment.lay_out(tmp_path)
    paths = os.pathsep.join([str(tmp_path), str(Path(fastnet.__file__).parents[1])])
    code = "\n".join(blocks("docs/course.md", "python"))
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    first, *table, difference = (line for line in result.stdout.splitlines() if "epoch" not in line)
    assert Path(first).parts[-4:] == ("fastnet", "compat", "cs231n", "fast_layers.py")
    assert any("affine_forward" in line and "1/1" in line for line in table)
    assert float(difference) < 1e-12


@checkout
def test_the_version_has_its_changes():
    assert f"## {fastnet.__version__}\n" in text("CHANGELOG.md")
