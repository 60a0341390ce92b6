"""The command evaluate."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from cli_runs import train

from fastnet.cli import main


def test_evaluate_agrees_with_train(halves, tmp_path, capsys):
    train(halves, tmp_path / "a")
    trained = float(capsys.readouterr().out.split("test accuracy: ")[1])
    card = json.loads((tmp_path / "a" / "model.json").read_text())
    for what in ("", card["weights"], next((tmp_path / "a").glob("checkpoint-*")).name):
        assert main(["evaluate", str(tmp_path / "a" / what), "--batch-size", "7"]) == 0
        out = capsys.readouterr().out
        assert float(out.split("test accuracy: ")[1]) == pytest.approx(trained, abs=6e-4)
        assert float(out.split("test loss: ")[1].split()[0]) == pytest.approx(card["test"]["loss"], abs=1e-4)
        assert re.search(r"^class +images +right +accuracy", out, re.M) and len(re.findall(r"^[01] ", out, re.M)) == 2


def test_evaluate_refuses_other_images(halves, tmp_path, capsys):
    train(halves, tmp_path / "a")
    np.savez(tmp_path / "other.npz", X=np.zeros((10, 9, 9)), y=np.arange(10) % 2)
    assert main(["evaluate", str(tmp_path / "a"), "--data", str(tmp_path / "other.npz")]) == 2
    assert "the model takes images of 1 x 8 x 8, other has 1 x 9 x 9" in capsys.readouterr().err


def test_evaluate_knows_classes_by_name(tmp_path, capsys):
    """Of another folder, with some of the classes: not by their position."""
    image = pytest.importorskip("PIL.Image")
    colours = {"bird": "red", "cat": "lime", "dog": "blue", "wolf": "blue"}
    for folder, names in {"all": ("bird", "cat", "dog"), "some": ("cat", "dog"), "other": ("cat", "wolf")}.items():
        for name in names:
            for part, count in (("train", 12), ("test", 5)):
                (tmp_path / folder / part / name).mkdir(parents=True)
                for i in range(count):
                    image.new("RGB", (8, 8), colours[name]).save(tmp_path / folder / part / name / f"{i}.png")
    data, run = ["--data", str(tmp_path / "all")], str(tmp_path / "run")
    assert main(["train", *data, "--epochs", "4", "--quiet", "--no-plot", "--out", run]) == 0
    assert main(["evaluate", run, "--data", str(tmp_path / "some")]) == 0
    out = capsys.readouterr().out
    assert "test accuracy: 1.0000" in out and re.findall(r"^(\w+) +5 +5 ", out, re.M) == ["cat", "dog"]
    assert main(["evaluate", run, "--data", str(tmp_path / "other")]) == 2
    error = capsys.readouterr().err
    assert "the model's classes are 'bird', 'cat', 'dog'; the data set has 'wolf', which are not among them" in error
    again = ["--epochs", "5", "--quiet", "--out", run, "--resume", "auto"]
    assert main(["train", "--data", str(tmp_path / "other"), *again]) == 2
    error = capsys.readouterr().err
    assert "has 'wolf', which are not among them; --resume auto goes on with that model" in error
    assert main(["train", "--data", str(tmp_path / "some"), *again]) == 2
    assert "saved with" in capsys.readouterr().err  # the data are not those of the run


def test_evaluate_refuses_damage(halves, tmp_path, capsys):
    train(halves, tmp_path / "a", "--quiet")
    (tmp_path / "a" / "model.json").write_text("{")
    assert main(["evaluate", str(tmp_path / "a")]) == 2
    assert "is damaged" in capsys.readouterr().err
