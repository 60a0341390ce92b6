"""The examples run and do what they claim."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fastnet

pytest.importorskip("sklearn")
FOLDER = Path(__file__).resolve().parent.parent / "examples"


def run(name, tmp_path):
    """The example's output, run in an empty folder."""
    package = str(Path(fastnet.__file__).parents[1])
    path = os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, str(FOLDER / name)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def accuracies(text):
    return [float(number) for number in re.findall(r": +(0\.\d{3}|1\.000)", text)]


def test_train_then_infer(tmp_path):
    pytest.importorskip("matplotlib")
    assert accuracies(run("train_digits.py", tmp_path))[-1] > 0.97
    assert {"curves.png", "model.npz"} < {path.name for path in (tmp_path / "runs" / "example").iterdir()}
    answers = re.findall(r"this is a (\d), the network says (\d)", run("inference.py", tmp_path))
    assert len(answers) == 3 and all(label == guess for label, guess in answers)


def test_finetune(tmp_path):
    clean, tuned, scratch = accuracies(run("finetune.py", tmp_path))
    assert scratch < clean < tuned


def test_custom_layer(tmp_path):
    out = run("custom_layer.py", tmp_path)
    assert float(out.split("gradients: ")[1].split()[0]) < 1e-8 and accuracies(out)[-1] > 0.95


def test_unet(tmp_path):
    pytest.importorskip("matplotlib")
    out = run("unet.py", tmp_path)
    assert float(out.split("pixels right: ")[1][:5]) > 0.96
    assert float(out.split("mean of the digits: ")[1][:5]) > 0.7
    assert {"unet.png", "model.npz"} == {path.name for path in (tmp_path / "runs" / "unet").iterdir()}


def test_every_example_is_tested():
    assert {path.name for path in FOLDER.glob("*.py")} == {
        "train_digits.py",
        "inference.py",
        "unet.py",
        "finetune.py",
        "custom_layer.py",
    }
