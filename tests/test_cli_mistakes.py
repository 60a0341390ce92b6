"""The command line: mistakes, missing libraries and a wrong environment, in one line each."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
from cli_runs import train

from fastnet.cli import main
from fastnet.training import saved


def test_without_scikit_learn(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    assert main(["train", "--out", str(tmp_path / "a")]) == 2
    assert 'pip install "fastnet-cnn[datasets]"' in capsys.readouterr().err


def test_without_matplotlib(monkeypatch, capsys, halves, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert train(halves, tmp_path / "a") == 0
    captured = capsys.readouterr()
    assert 'pip install "fastnet-cnn[plot]"' in captured.err and "curves.png" not in captured.out


def test_without_safetensors(monkeypatch, capsys, halves, tmp_path):
    monkeypatch.setattr(saved.importlib.util, "find_spec", lambda name: None)
    assert train(halves, tmp_path / "a") == 0
    assert (tmp_path / "a" / "model.npz").is_file() and "model.npz" in capsys.readouterr().out
    assert main(["evaluate", str(tmp_path / "a")]) == 0


MISTAKES = {
    "train --model lenet": "did you mean lenet5",
    "train --model lenet5": "lenet5 cannot take images of shape (1, 8, 8)",
    "train --data mnist": "--data mnist:DIR",
    "train --data mnist:nowhere": "no train-images-idx3-ubyte",
    "train --data nowhere.npz": "nowhere.npz: No such file",
    "train --data nowhere": "nowhere does not exist",
    "train --data cifar10:nowhere": "cs.toronto.edu",
    "train --epochs many": "argument --epochs: expected an integer >= 1, got 'many'",
    "train --lr 0": "argument --lr: expected a number > 0",
    "train --val-fraction 1": "argument --val-fraction",
    "train --val-fraction 0 --early-stopping 2": "needs --val-fraction",
    "train --resume nowhere": "--resume nowhere: no such file",
    "train --image-size 8": "--image-size is for image files",
    "train --threads 5000": "error: --threads must be from 1 to 1024",
    "train --optimizer lbfgs": "invalid choice: 'lbfgs'",
    "train --batch 3": "unrecognized arguments: --batch 3",
    "evaluate nowhere": "nowhere does not exist",
    "evaluate .": "holds no model.json",
    "predict nowhere a.png": "nowhere does not exist",
    "predict nowhere": "the following arguments are required: IMAGES",
    "predict nowhere a.png --top 0": "argument --top: expected an integer >= 1",
    "bench --ops conv3d": "no op is named conv3d",
    "bench --json nowhere/a.json": "does not exist",
    "verify --json nowhere/a.json": "does not exist",
    "profile": "the following arguments are required: --model",
    "profile --model lenet": "did you mean lenet5",
    "profile --model lenet5 --input-shape 28x28": "argument --input-shape: expected channels x height x width",
    "profile --model lenet5 --input-shape 1x8x8": "lenet5 cannot take images of shape (1, 8, 8)",
    "profile --model lenet5 --seconds 0": "argument --seconds: expected a number > 0",
    "frobnicate": "invalid choice: 'frobnicate'",
}


@pytest.mark.parametrize("arguments", MISTAKES)
def test_a_mistake_is_told_in_one_line(arguments, tmp_path, monkeypatch, capsys):
    if arguments.split()[0] == "train" and "--data" not in arguments:
        pytest.importorskip("sklearn")
    monkeypatch.chdir(tmp_path)
    try:
        status = main(arguments.split())
    except SystemExit as stop:
        status = stop.code
    error = capsys.readouterr().err
    assert status == 2
    assert error.count("\n") == 1 and re.match(r"fastnet( \w+)?: error: ", error)
    assert MISTAKES[arguments] in error


def test_a_wrong_environment_is_told_in_one_line():
    environment = {**os.environ, "FASTNET_BACKEND": "abacus"}
    done = subprocess.run([sys.executable, "-m", "fastnet", "doctor"], capture_output=True, text=True, env=environment)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "'abacus'" in done.stderr


@pytest.mark.parametrize(
    "command, message",
    [
        (
            "train --batchsize 32",
            "fastnet train: error: unrecognized arguments: --batchsize 32; did you mean --batch-",
        ),
        ("train --learning-rate=1", r"unrecognized arguments: --learning-rate=1 \(see fastnet train --help\)"),
        ("train photos", r"fastnet train: error: unrecognized arguments: photos \(see fastnet train --help\)"),
        (
            "predict run x.png --topk 3",
            r"fastnet predict: error: .* --topk 3; did you mean --top\? \(see fastnet pre",
        ),
        (
            "--verson",
            r"fastnet: error: unrecognized arguments: --verson; did you mean --version\? \(see fastnet --h",
        ),
    ],
)
def test_unknown_arguments_are_told_with_the_commands_own_help(command, message, capsys):
    with pytest.raises(SystemExit) as stop:
        main(command.split())
    assert stop.value.code == 2 and re.search(message, capsys.readouterr().err)
