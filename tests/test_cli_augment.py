"""``fastnet train --augment``: every name, a run that is resumed, what is refused."""

import json

import numpy as np
import pytest

import fastnet as fn
from fastnet.cli import main
from fastnet.cli.augmentations import AUGMENTATIONS, transforms

X = np.random.default_rng(0).integers(0, 256, (60, 3, 16, 16), dtype=np.uint8)


@pytest.fixture
def small(tmp_path):
    np.savez(tmp_path / "small.npz", X_train=X, y_train=np.arange(60) % 3)
    return str(tmp_path / "small.npz")


def train(data, folder, *more):
    chosen = ["--model", "lenet5", "--no-plot", "--quiet", "--augment", "flip,crop:2,jitter:0.3/0.3/0.3/0.1"]
    return main(["train", "--data", data, "--out", str(folder), *chosen, *more])


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_every_name(name):
    [made] = transforms(name, X, X.shape[2:])
    assert type(made).__name__ == AUGMENTATIONS[name][0]
    rng = np.random.default_rng(0)
    x = made(X, np.eye(len(X)), rng)[0] if made.mixes_labels else made(X, rng)
    assert x.shape == X.shape


def test_the_help_names_the_values(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "crop:PADDING=4," in text and "affine:DEGREES=10/MOVE=0.1/SCALE=0.1/SHEAR=5," in text


def test_the_default_data_are_augmented_too(tmp_path, capsys):
    pytest.importorskip("sklearn")
    options = ["--augment", "affine:5/0.1/0/0", "--epochs", "2", "--quiet", "--no-plot"]
    assert main(["train", *options, "--out", str(tmp_path)]) == 0
    assert float(capsys.readouterr().out.split("accuracy: ")[1]) > 0.8


def test_values_after_the_name():
    crop, erase = transforms("crop:2,erase:0.25", X, X.shape[2:])
    assert crop.size == (16, 16) and crop.padding == (2, 2, 2, 2) and erase.p == 0.25


def test_a_resumed_run_has_the_same_bits(small, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    constant = ["--schedule", "constant"]
    assert train(small, whole, "--epochs", "3", *constant) == 0
    assert train(small, parts, "--epochs", "1", *constant) == 0
    assert train(small, parts, "--epochs", "3", "--resume", "auto", *constant) == 0
    assert json.loads((whole / "model.json").read_text())["augment"].startswith("flip,crop:2")
    first, second = (fn.load(folder).state_dict() for folder in (whole, parts))
    assert all(np.array_equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    "text, message",
    [
        ("flop", "is not one of flip"),
        ("resizedcrop", "did you mean resized-crop"),
        ("flip:1.5", "between 0 and 1, got 1.5; --augment flip:1.5 is flip:P=0.5"),
        ("flip:0.5/3", "too many values; expected flip:P=0.5"),
        ("resnet:abc", "LEAST must be a number, got 'abc'; expected resnet:LEAST=256/MOST=480"),
        ("jitter:0.1/y", "CONTRAST must be a number, got 'y'"),
        ("jitter:0/0/0/0.7", "between -0.5 and 0.5"),
        ("resnet:40/60", "resnet:40/60: sides are for a network of 224 pixels"),
    ],
)
def test_refused(text, message, small, tmp_path, capsys):
    try:
        assert main(["train", "--data", small, "--out", str(tmp_path / "run"), "--augment", text]) == 2
    except SystemExit as error:
        assert error.code == 2
    assert message in capsys.readouterr().err
