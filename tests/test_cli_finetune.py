"""``fastnet train --weights``: finetuning on a folder of images in one command, and what it remembers."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

import fastnet as fn
from fastnet import models, storage
from fastnet.cli import main

Image = pytest.importorskip("PIL.Image")


@pytest.fixture
def folder(tmp_path):
    """Reddish and bluish pictures, and weights for seven other classes."""
    rng = np.random.default_rng(0)
    for name, channel in (("red", 0), ("blue", 2)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(12):
            pixels = rng.integers(0, 120, (32, 32, 3), dtype=np.uint8)
            pixels[..., channel] += 120
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{i}.png")
    storage.write_arrays(tmp_path / "weights.npz", models.resnet20(7, seed=5).state_dict())
    return tmp_path


def finetune(folder, *more):
    words = ["train", "--data", str(folder / "photos"), "--image-size", "32", "--model", "resnet20", "--no-plot"]
    words += ["--weights", str(folder / "weights.npz"), "--out", str(folder / "run"), "--epochs", "2", *more]
    return main([*words, "--batch-size", "8"])


def test_a_new_head_on_a_frozen_body(folder, capsys):
    assert finetune(folder, "--freeze", "body") == 0, capsys.readouterr().err
    model, given = fn.load(folder / "run"), storage.read_arrays(folder / "weights.npz")
    state = model.state_dict()
    moved = {name for name in state if not np.array_equal(state[name], given[name])}
    assert moved == {"linear.weight", "linear.bias"}
    assert model.class_names == ("blue", "red")
    np.testing.assert_allclose(model.preprocessing.mean, [0.485, 0.456, 0.406])
    assert model.preprocessing.scale == 255
    capsys.readouterr()
    assert main(["predict", str(folder / "run"), str(folder / "photos" / "red" / "0.png"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["classes"][0]["class"] in ("blue", "red")
    assert main(["evaluate", str(folder / "run")]) == 0


def test_the_body_learns_a_tenth_as_fast(folder, capsys):
    assert finetune(folder, "--classes", "red,blue") == 0
    out = capsys.readouterr().out
    body, head = (float(rate) for rate in re.findall(r"'lr': ([\d.e-]+)}", out))
    assert body == pytest.approx(head / 10) and head == 0.01, out
    assert fn.load(folder / "run").class_names == ("red", "blue")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--freeze", "layer9"], "no layer is at 'layer9'; did you mean layer"),
        (["--freeze", "linear"], "freezes everything"),
        (["--weights", "nothing.pth"], "nothing.pth"),
        (["--model", "resnet32"], "are they the weights of another architecture"),
    ],
)
def test_mistakes_are_one_line(folder, capsys, words, message):
    assert finetune(folder, *words) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1, error


def test_options_that_need_weights(capsys):
    for words in (["--freeze", "body"], ["--body-rate", "0.5"]):
        assert main(["train", *words]) == 2
        assert "give --weights FILE" in capsys.readouterr().err


def test_predicting_with_published_weights(folder, capsys):
    image = str(folder / "photos" / "red" / "0.png")
    storage.write_arrays(folder / "ten.npz", models.resnet20(10, seed=5).state_dict())
    (folder / "names.txt").write_text("\n".join(f"class {n}" for n in range(10)))
    words = ["predict", str(folder / "ten.npz"), image, "--architecture", "resnet20", "--json"]
    assert main(words) == 0
    number = json.loads(capsys.readouterr().out)[0]["classes"][0]["class"]
    assert main([*words, "--class-names", str(folder / "names.txt")]) == 0
    assert json.loads(capsys.readouterr().out)[0]["classes"][0]["class"] == f"class {number}"
    (folder / "names.txt").write_text("one\ntwo")
    assert main([*words, "--class-names", str(folder / "names.txt")]) == 2
    error = capsys.readouterr().err
    assert "the weights are for 10 classes, the model has 2" in error and "--class-names has 2 names" in error
    (folder / "ten.pth").write_bytes(b"")
    assert main(["predict", str(folder / "ten.pth"), image]) == 2
    assert "of which network are these weights? Give --architecture NAME" in capsys.readouterr().err
    assert main([*words[:3], "--class-names", str(folder / "names.txt")]) == 2
    assert "give --architecture NAME" in capsys.readouterr().err


def test_inspecting_published_weights(tmp_path, monkeypatch, capsys):
    storage.write_arrays(tmp_path / "ten.npz", models.resnet20(10, seed=5).state_dict())
    (tmp_path / "names.txt").write_text("\n".join(f"crane {n // 2}" for n in range(10)))  # names may occur twice
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(tmp_path / "black.png")
    written = {}
    monkeypatch.setattr(
        "fastnet.visualize.write_page", lambda path, model, *args, **kw: written.update(kw, m=model) or []
    )
    words = ["inspect", str(tmp_path / "ten.npz"), "--architecture", "resnet20"]
    assert main([*words, str(tmp_path / "black.png"), "--class-names", str(tmp_path / "names.txt")]) == 0
    assert (
        written["m"].class_names[:3] == ("crane 0", "crane 0", "crane 1")
        and "with published weights" in written["facts"][0]
    )
    capsys.readouterr()
    assert main(words) == 2 and "give an IMAGE" in capsys.readouterr().err


def test_evaluating_published_weights(folder, capsys):
    storage.write_arrays(folder / "two.npz", models.resnet20(2, seed=5).state_dict())
    (folder / "names.txt").write_text("red\nblue")
    words = ["evaluate", str(folder / "two.npz"), "--architecture", "resnet20", "--data", str(folder / "photos")]
    assert main([*words, "--class-names", str(folder / "names.txt")]) == 0, capsys.readouterr().err
    out = capsys.readouterr().out
    photos = fn.data.image_folder(folder / "photos", size=(32, 32), test="all")
    model = fn.interop.pretrained("resnet20", folder / "two.npz", ["red", "blue"])
    loss, accuracy = model.evaluate(photos.X_test, 1 - photos.y_test)
    assert "two.npz: resnet20, published weights\n24 test images of photos\n" in out
    assert f"test loss: {loss:.4f}\ntest accuracy: {accuracy:.4f}\n" in out
    assert main([*words, "--class-names", str(folder / "names.txt"), "--views", "ten-crop:40"]) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ten.npz", "--architecture", "resnet20"], "--architecture: no test images are known"),
        (["ten.npz", "ten.npz", "--architecture", "resnet20"], "give one MODEL"),
        (["ten.npz", "--architecture", "resnet20", "--data", "photos"], "the weights are for 10 classes, photos has 2"),
        (["ten.npz", "--architecture", "resnet2", "--data", "photos"], "no model is named 'resnet2'; did you mean"),
        (["ten.npz", "--class-names", "names.txt"], "give --architecture NAME, too"),
        (["ten.npz", "--architecture", "resnet20", "--data", "floats.npz"], "published weights take images of bytes"),
    ],
)
def test_mistakes_in_evaluating_published_weights(folder, capsys, monkeypatch, words, message):
    monkeypatch.chdir(folder)
    storage.write_arrays(folder / "ten.npz", models.resnet20(10, seed=5).state_dict())
    np.savez(folder / "floats.npz", X=np.zeros((4, 3, 32, 32), np.float32), y=np.arange(4) % 2)
    assert main(["evaluate", *words]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1, error
