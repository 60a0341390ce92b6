"""The command train: how it stops, and goes on."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time

import pytest
from cli_runs import train

from fastnet.cli import main


def test_ctrl_c_saves_and_resume_goes_on_with_the_same_bits(halves, tmp_path):
    arguments = [sys.executable, "-m", "fastnet", "train", "--data", halves, "--epochs", "150", "--no-plot"]
    whole = subprocess.run([*arguments, "--out", str(tmp_path / "whole")], capture_output=True, text=True)
    assert whole.returncode == 0
    cut = [*arguments, "--out", str(tmp_path / "cut")]
    process = subprocess.Popen(cut, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 60
    while not list((tmp_path / "cut").glob("checkpoint-*.npz")) and time.monotonic() < end:
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    advice = re.search(r"to go on: fastnet (train .* --resume auto)\n", error)[1]
    assert "Traceback" not in error
    again = subprocess.run([sys.executable, "-m", "fastnet", *advice.split()], capture_output=True, text=True)
    assert again.returncode == 0 and again.stdout.splitlines()[-1] == whole.stdout.splitlines()[-1]
    models = [next((tmp_path / name).glob("model.[ns]*")).read_bytes() for name in ("whole", "cut")]
    assert models[0] == models[1]


def test_resume_from_a_finished_run_with_more_epochs(halves, tmp_path, capsys):
    train(halves, tmp_path / "a")
    checkpoint = sorted((tmp_path / "a").glob("checkpoint-*"))[-1]
    capsys.readouterr()
    arguments = ["train", "--data", halves, "--out", str(tmp_path / "a"), "--epochs", "3", "--resume", str(checkpoint)]
    assert main(arguments) == 0
    epochs = re.findall(r"^ +(\d+) ", capsys.readouterr().out, re.M)
    assert epochs == ["3"]


def test_resume_of_a_finished_run_says_that_nothing_is_left(halves, tmp_path, capsys):
    train(halves, tmp_path / "a", "--quiet")
    capsys.readouterr()
    assert train(halves, tmp_path / "a", "--quiet", "--resume", "auto") == 0
    expected = "train: nothing to do: 2 epochs are done already, --epochs 2; give more epochs to go on\n"
    assert capsys.readouterr().err == f"fastnet: warning: {expected}"
    assert train(halves, tmp_path / "a", "--quiet", "--resume", "auto", "--epochs", "4") == 0
    assert re.match("fastnet: warning: train: the learning rate jumps: the last iteration had", capsys.readouterr().err)


def test_resume_refuses_another_model(halves, tmp_path, capsys):
    train(halves, tmp_path / "a", "--quiet")
    assert train(halves, tmp_path / "a", "--resume", "auto", "--model", "resnet20") == 2
    assert "saved for another model" in capsys.readouterr().err


def test_resuming_with_another_preprocessing_names_the_option(tmp_path, capsys):
    pytest.importorskip("sklearn")
    run = ["train", "--quiet", "--no-plot", "--out", str(tmp_path)]
    assert main([*run, "--epochs", "1"]) == 0
    assert main([*run, "--epochs", "2", "--resume", "auto", "--preprocess", "center"]) == 2
    message = capsys.readouterr().err
    assert "give the same --preprocess and the same training images" in message and "without --resume" in message
