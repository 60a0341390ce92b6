"""Every experiment runs, finds what it should, and writes its picture and numbers."""

from __future__ import annotations

import json
import os
from argparse import Namespace

import numpy as np
import pytest

from fastnet import lectures
from fastnet.cli import lecture, main
from fastnet.cli.arguments import Parser
from fastnet.cli.errors import UserError
from fastnet.lectures.report import Report


@pytest.fixture(autouse=True)
def libraries():
    for name in ("matplotlib", "sklearn"):
        pytest.importorskip(name)


def test_dog_vs_food_takes_few_photographs(tmp_path):
    np.savez(tmp_path / "few.npz", X=np.zeros((20, 3, 8, 8), np.uint8), y=np.arange(20) % 2)
    for name, takes in (("dog-vs-food", True), ("batchnorm", False)):
        module = lectures.experiment(name)
        args = lecture._parse(name, {name: module}, ["--data", str(tmp_path / "few.npz")])
        if takes:
            assert len(lecture._loader(module, args)().y_train) == 16
        else:
            with pytest.raises(UserError, match="16 training images of 2 classes.* needs at least 100"):
                lecture._loader(module, args)()


# Those that take longest run with FASTNET_LECTURES=1 only.
LONG = {
    *("batchnorm", "command-center", "deep-init", "init", "knn-timing", "lottery", "neocognitron", "optimizers"),
    *("regularizers", "relu-vs-tanh", "saddle-dimension", "search", "deepdream", "gradcam", "style", "transfer"),
    *("filters", "tsne", "ten-crop", "class-visualization", "fooling", "patches"),
}


# Others find the same with fewer and shorter trainings; with FASTNET_LECTURES=1 they run as they are shown.
SMALLER = {
    "distillation": ["--students", "2", "--epochs", "15"],
    "dog-vs-food": ["--runs", "2"],
    "ensemble": ["--groups", "2"],
    "learning-rates": ["--epochs", "8"],
    "minima": ["--nets", "3"],
    "polyak": ["--epochs", "8"],
    "saliency": ["--images", "20", "--epochs", "4"],
}


@pytest.mark.parametrize("name", lectures.names())
def test_it_finds_what_it_should(name, tmp_path, capsys):
    if name in LONG and not os.environ.get("FASTNET_LECTURES"):
        pytest.skip("takes long: FASTNET_LECTURES=1")
    smaller = [] if os.environ.get("FASTNET_LECTURES") else SMALLER.get(name, [])
    status = main(["lecture", name, *smaller, "--out", str(tmp_path)])
    out = capsys.readouterr().out
    assert status == 0, out
    results = json.loads((tmp_path / name / "results.json").read_text())
    assert results["rows"] and results["passed"] and results["options"]["seed"] == 0
    pictures = list((tmp_path / name).glob("*.png"))
    assert pictures and all(picture.read_bytes().startswith(b"\x89PNG") for picture in pictures)
    slides = [row for row in results["rows"] if row["lecture"] is not None]
    columns = [title for table in results["tables"] for title in table["titles"] if "lecture" in title]
    assert bool(slides or columns) == bool(results["source"]), "numbers of a lecture, and no source, or the reverse"
    if name == "random-search-vs-slope":
        first, _, _, accuracy = results["tables"][0]["rows"][0]
        assert first == "random search, first try" and 0 <= accuracy <= 1


def test_the_list_has_a_line_for_each(capsys):
    assert main(["lecture"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name in lectures.names():
        (line,) = [line for line in lines if line.split()[:1] == [name]]
        summary = line.removeprefix(name).strip()
        assert summary.endswith(".") and len(line) <= 120, line


@pytest.mark.parametrize("words", [["nosuch"], ["naive-vs-fast", "--sed", "1"], ["naive-vs-fast", "--data", "digits"]])
def test_mistakes_end_with_status_2(words, capsys):
    try:
        status = main(["lecture", *words])
    except SystemExit as stop:
        status = stop.code
    assert status == 2
    assert "error" in capsys.readouterr().err


@pytest.mark.parametrize("name", lectures.names())
def test_numbers_that_make_no_sense_are_refused(name, tmp_path, capsys):
    """Every option that takes a number refuses -1 and nan with one line, before anything runs."""
    parser = Parser(add_help=False)
    getattr(lectures.experiment(name), "options", lambda parser: None)(parser)
    numbers = [action for action in parser._actions if isinstance(action.default, int | float) and action.nargs != 0]
    for option in [action.option_strings[0] for action in numbers]:
        for given in ("-1", "nan"):
            with pytest.raises(SystemExit, match="2"):
                main(["lecture", name, option, given, "--out", str(tmp_path)])
            assert f"argument {option}: expected" in capsys.readouterr().err


@pytest.mark.parametrize(("images", "classes"), [(40, 2), (200, 1)])
def test_too_little_data_is_refused(images, classes, tmp_path, capsys):
    y = np.arange(images) % classes
    np.savez(tmp_path / "few.npz", X=np.zeros((images, 8, 8), np.uint8), y=y)
    words = ["lecture", "gradient-noise", "--data", str(tmp_path / "few.npz"), "--out", str(tmp_path)]
    assert main(words) == 2
    assert f"training images of {classes} classes" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_found_before_anything_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(lectures.experiment("spread"), "run", lambda report: pytest.fail("it ran"))
    (tmp_path / "file").touch()
    assert main(["lecture", "spread", "--out", str(tmp_path / "file")]) == 2
    assert "file" in capsys.readouterr().err


@pytest.fixture
def report(tmp_path):
    return Report("test", Namespace(full=False, seed=0), tmp_path, source="a lecture", show=lambda line: None)


def test_a_number_outside_fails(report, tmp_path):
    assert report.compare("one", 1.0, 1, low=0.9, high=1.1)
    assert report.passed
    assert not report.compare("nan", float("nan"), low=0)
    report.finish(0.0)
    results = json.loads((tmp_path / "results.json").read_text())
    assert not results["passed"] and [row["holds"] for row in results["rows"]] == [True, False]


def test_a_number_that_cannot_be_wrong_is_refused(report):
    with pytest.raises(ValueError, match="cannot be wrong"):
        report.compare("anything", 1.0)


def test_an_experiment_without_data_says_so(report):
    with pytest.raises(TypeError, match="DATA = True"):
        report.data()


def test_an_experiment_that_fails_ends_with_status_1(tmp_path, monkeypatch, capsys):
    module = lectures.experiment("naive-vs-fast")
    monkeypatch.setattr(module, "run", lambda report: report.claim("two is three", False))
    assert main(["lecture", "naive-vs-fast", "--out", str(tmp_path)]) == 1
    assert "1 of 1 findings do not hold" in capsys.readouterr().out


def test_all_goes_on_after_a_failure(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(lectures, "names", lambda: ["naive-vs-fast"])
    module = lectures.experiment("naive-vs-fast")

    def missing(report):
        raise ImportError("needs a library")

    monkeypatch.setattr(module, "run", missing)
    assert main(["lecture", "all", "--out", str(tmp_path)]) == 1
    assert "NOT RUN: needs a library" in capsys.readouterr().out


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match="no experiment is called 'ini'; did you mean init"):
        lectures.experiment("ini")
