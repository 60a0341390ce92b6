"""fastnet search."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from fastnet.cli import main
from fastnet.search import Results, load

pytest.importorskip("matplotlib")


@pytest.fixture
def small(tmp_path):
    """An .npz file with 120 images of 8x8, light on the left or on the right."""
    rng, y = np.random.default_rng(0), np.arange(120) % 2
    X = rng.normal(0, 0.5, (120, 8, 8)).astype(np.float32)
    X[y == 0, :, :4] += 1
    X[y == 1, :, 4:] += 1
    np.savez(tmp_path / "small.npz", X=X, y=y)
    return str(tmp_path / "small.npz")


@pytest.fixture
def undrawn(monkeypatch):
    """Searches without their picture and their page, which take longer than the search; the first tests draw them."""
    for name in ("page", "plot"):
        monkeypatch.setattr(Results, name, lambda results, path: None)


def words(small, out, *more):
    return ["search", "--data", small, "--out", str(out), "--epochs", "1", *more]


COARSE_TO_FINE = ("--lr", "1e-5:1e-1", "--weight-decay", "1e-5:1", "--trials", "4", "--coarse-to-fine", "2")


def test_it_prints_all_trials_and_a_command_that_trains_with_the_best(small, tmp_path, capsys, request):
    out = tmp_path / "out"
    given = words(small, out, *COARSE_TO_FINE, "--fine-epochs", "2")
    assert main(given) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("coarse: 4 trials (random) of lr: 1e-05 to 0.1, log-uniform; weight_decay: ")
    assert (
        len([line for line in lines if re.search(r"lr: [\d.e-]+, weight_decay: [\d.e+-]+, \(\d / [42]\)$", line)]) >= 7
    )
    results = load(out)
    assert {len(run.histories[0]) for run in results.ranked("fine")} == {2}
    assert {"search.html", "search.png", "journal.log", "search.json"} < set(os.listdir(out))
    command = shlex.split(lines[-1])
    assert command[:4] == ["fastnet", "train", "--data", small]
    assert command[command.index("--lr") + 1] == f"{results.best.setting['lr']:.6e}"
    assert main([*command[1:], "--out", str(tmp_path / "run"), "--epochs", "1", "--no-plot"]) == 0
    capsys.readouterr()
    request.getfixturevalue("undrawn")
    assert main(given) == 0  # once more runs nothing
    again = capsys.readouterr().out.splitlines()
    assert "4 of them done already" in again[0] and "2 of them done already" in again[1] and again[-1] == lines[-1]


def test_quiet_prints_the_command_only(small, tmp_path, capsys, undrawn):
    assert main(words(small, tmp_path / "out", "--trials", "1", "--quiet")) == 0
    assert re.fullmatch(r"fastnet train --data \S+ --lr \S+\n", capsys.readouterr().out)


def test_five_images_are_divided_as_the_search_divides_them(small, tmp_path, capsys, undrawn):
    """A fifth of five is one; the tenth that fastnet train holds out would be none."""
    assert main(words(small, tmp_path / "out", "--subset", "5", "--lr", "1e-3,1e-2", "--trials", "1")) == 0


def test_choices_folds_and_a_subset(small, tmp_path, capsys):
    more = ("--lr", "1e-2", "--optimizer", "sgd,adam", "--batch-size", "8,16", "--method", "grid", "--trials", "4")
    assert main(words(small, tmp_path / "out", *more, "--folds", "3", "--subset", "60", "--median")) == 0
    results = load(tmp_path / "out")
    tried = {(run.setting["optimizer"], run.setting["batch_size"]) for run in results.runs}
    assert tried == {("sgd", 8), ("sgd", 16), ("adam", 8), ("adam", 16)}
    assert all(len(run.folds) == 3 for run in results.ranked())
    assert "--lr 1.000000e-02 --" in capsys.readouterr().out.splitlines()[-1]


def test_augmentations_are_a_choice(tmp_path, capsys, undrawn):
    X = np.random.default_rng(0).integers(0, 256, (60, 1, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "bytes.npz", X=X, y=np.arange(60) % 2)
    given = words(str(tmp_path / "bytes.npz"), tmp_path / "out", "--method", "grid", "--trials", "2", "--lr", "1e-2")
    assert main([*given, "--augment", "none", "flip,crop:1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(any(f"augment: {name}" in line for line in lines) for name in ("none", "flip,crop:1"))
    assert ("--augment flip,crop:1" in lines[-1]) == ("augment: none" not in next(x for x in lines if "best of" in x))


def test_processes_share_the_trials(small, tmp_path, capsys, undrawn):
    assert main(words(small, tmp_path / "one", "--trials", "6")) == 0
    assert main(words(small, tmp_path / "two", "--trials", "6", "--processes", "2")) == 0
    one, two = load(tmp_path / "one"), load(tmp_path / "two")
    assert [(run.setting, run.value) for run in one.runs] == [(run.setting, run.value) for run in two.runs]
    assert capsys.readouterr().out.count(" / 6)\n") == 2 * (6 + 1)


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_ctrl_c_names_the_command_that_goes_on(small, tmp_path, capsys):
    command = words(small, tmp_path / "out", "--trials", "200", "--processes", "2")
    process = subprocess.Popen([sys.executable, "-m", "fastnet", *command], stderr=subprocess.PIPE, text=True)
    journal, deadline = tmp_path / "out" / "journal.log", time.monotonic() + 60
    while not (journal.is_file() and b"outcome" in journal.read_bytes()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.splitlines()[-1] == f"finished trials are kept; to go on: fastnet {shlex.join(command)}"
    assert "Traceback" not in err and list((tmp_path / "out" / "workers").glob(f"{process.pid}-*")) == []


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--lr", "1e-1:1e-5"], "argument --lr: expected LOW:HIGH, values between commas, or one value"),
        (["--lr", "fast"], "argument --lr: expected LOW:HIGH"),
        (["--lr", "0.1"], "all values are fixed"),
        (["--optimizer", "sgd,adamm"], "--optimizer: expected .*adagrad.*, got adamm"),
        (["--model", "lenet6"], "--model: expected .*lenet5.*, got lenet6"),
        (["--optimizer", "sgd,sgd"], "choice: expected different"),
        (["--folds", "1"], "argument --folds: expected an integer >= 2, got '1'"),
        (["--folds", "97"], r"folds=97 is more than there are samples \(96\)"),
        (["--folds", "3", "--val-fraction", "0.2"], "--val-fraction: the folds of --folds validate"),
        (["--val-fraction", "0"], "--val-fraction 0: settings are compared on validation images"),
        (["--fine-epochs", "3"], "--fine-epochs is of the second stage"),
        (["--subset", "500"], "--subset 500: small has only 96 training images"),
        (
            ["--method", "grid", "--trials", "3", "--weight-decay", "1e-4:1"],
            "a grid over lr, weight_decay needs at least 4",
        ),
        (["--model", "vgg11"], "MaxPool2d"),
    ],
)
def test_mistakes_end_with_one_line_and_status_2(more, message, small, tmp_path, capsys):
    try:
        status = main(words(small, tmp_path / "out", *more))
    except SystemExit as stop:
        status = stop.code
    err = capsys.readouterr().err
    assert status == 2 and len(err.splitlines()) == 1 and re.search(message, err), err
    assert not (tmp_path / "out").exists()


def test_a_folder_with_another_search_is_refused(small, tmp_path, capsys, undrawn):
    assert main(words(small, tmp_path / "out", "--trials", "1")) == 0
    assert main(words(small, tmp_path / "out", "--trials", "1", "--seed", "1")) == 2
    assert "holds another search: seed is 0 there and 1 here" in capsys.readouterr().err


def test_if_no_trial_finishes_the_status_is_1(small, tmp_path, capsys):
    assert main(words(small, tmp_path / "out", "--optimizer", "sgd", "--lr", "1e20,1e25", "--trials", "2")) == 1
    assert "no trial has finished: 2 of 2 pruned" in capsys.readouterr().err


def test_how_image_files_are_read_may_change(tmp_path, capsys, undrawn):
    Image = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    for i in range(24):
        (tmp_path / "data" / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (9, 10, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "data" / "ab"[i % 2] / f"{i}.png")
    given = words(str(tmp_path / "data"), tmp_path / "out", "--image-size", "8", "--trials", "1", "--lr", "1e-3:1e-1")
    for more in ([], ["--lazy"], ["--cache", str(tmp_path / "cache")]):
        assert main([*given, *more]) == 0
        out = capsys.readouterr().out
        assert not more or ("1 of them done already" in out and shlex.join(more) in out.splitlines()[-1])
    assert main([*given, "--grey"]) == 2
