"""``fastnet predict``: the classes of image files."""

import json
import re

import numpy as np
import pytest

import fastnet as fn
from fastnet.cli import main

Image = pytest.importorskip("PIL.Image")
COLOURS = {"grass": (0, 200, 0), "Hündin": (150, 100, 50), "海": (0, 0, 220)}


def picture(path, colour, size=(8, 8), noise=20, seed=0):
    pixels = np.random.default_rng(seed).normal(0, noise, (size[1], size[0], 3)) + colour
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(path)
    return str(path)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder with photos of three colours, a run trained on them, and new photos."""
    root = tmp_path_factory.mktemp("predict")
    for name, colour in COLOURS.items():
        for i in range(12):
            picture(root / "photos" / name / f"{i}.png", colour, seed=i)
        picture(root / "new" / f"{name}.png", colour, seed=99)
    out = str(root / "run")
    options = ["--epochs", "8", "--quiet", "--no-plot", "--val-fraction", "0", "--out", out]
    assert main(["train", "--data", str(root / "photos"), *options]) == 0
    return root


def predict(*arguments):
    return main(["predict", *map(str, arguments)])


def test_a_table(photos, capsys):
    new = photos / "new"
    assert predict(photos / "run", *(new / f"{name}.png" for name in COLOURS)) == 0
    out, err = capsys.readouterr()
    head, *rows = out.splitlines()
    assert head.split() == ["image", "class", "probability"] and err == ""
    for name, row in zip(COLOURS, rows, strict=True):
        file, found, probability = row.split()
        assert (file, found) == (str(new / f"{name}.png"), name) and 0.5 < float(probability) <= 1


def test_top_json_and_folders_agree_with_python(photos, capsys):
    assert predict(photos / "run", photos / "new", "--top", "9", "--json", "--batch-size", "2") == 0
    found = json.loads(capsys.readouterr().out)
    assert [entry["image"] for entry in found] == sorted(map(str, (photos / "new").iterdir()))
    model = fn.load(photos / "run")
    for entry in found:
        X = np.asarray(Image.open(entry["image"])).transpose(2, 0, 1)[None]
        expected = model.predict_proba(X)[0]
        order = expected.argsort()[::-1]
        assert [one["class"] for one in entry["classes"]] == [model.class_names[k] for k in order]
        assert [one["probability"] for one in entry["classes"]] == pytest.approx(list(expected[order]), abs=1e-5)
        assert entry["classes"][0]["class"] in entry["image"]
    assert predict(photos / "run", photos / "new", "--top", "2") == 0
    rows = capsys.readouterr().out.splitlines()[1:]
    assert len(rows) == 6 and [row.startswith(" ") for row in rows] == [False, True] * 3


def test_images_of_another_size_and_mode(photos, tmp_path, capsys):
    sea = picture(tmp_path / "sea.png", COLOURS["海"], (64, 40))
    Image.open(sea).convert("P").save(tmp_path / "palette.gif")
    Image.open(sea).convert("RGBA").save(tmp_path / "alpha.png")
    assert predict(photos / "run", tmp_path, photos / "new" / "海.png") == 0
    out, err = capsys.readouterr()
    assert len(re.findall("海  ", out)) == 4
    assert err == (
        "fastnet predict: 3 of 4 images did not have the model's 8x8 pixels: scaled to cover it, and their centres "
        "cropped\n"
    )


def test_bad_files_are_named_and_cost_the_status(photos, tmp_path, capsys):
    (tmp_path / "text.png").write_text("not a picture")
    (tmp_path / "empty.png").write_bytes(b"")
    good = picture(tmp_path / "good.png", COLOURS["grass"])
    wrong = [tmp_path / "text.png", tmp_path / "nowhere.png", tmp_path / "empty.png"]
    assert predict(photos / "run", wrong[0], good, *wrong[1:], "--json") == 1
    out, err = capsys.readouterr()
    assert [entry["image"] for entry in json.loads(out)] == [good]
    for file, line in zip(wrong, err.splitlines(), strict=True):
        assert str(file) in line
    assert predict(photos / "run", *wrong) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and all(str(file) in err for file in wrong)
    (tmp_path / "none").mkdir()
    assert predict(photos / "run", tmp_path / "none") == 2
    assert "none holds no images (.apng" in capsys.readouterr().err


def gray_run(folder, X, capsys):
    """Train on (N, 8, 8) images, lighter above or below, and write one of each as 0.png and 1.png."""
    y = (X.reshape(len(X), -1)[:, :32].mean(1) > X.reshape(len(X), -1)[:, 32:].mean(1)).astype(int)
    np.savez(folder / "data.npz", X=X, y=y)
    options = ["--epochs", "6", "--quiet", "--no-plot", "--out", str(folder / "run")]
    assert main(["train", "--data", str(folder / "data.npz"), *options]) == 0
    capsys.readouterr()
    for k, i in enumerate((np.flatnonzero(y == 0)[0], np.flatnonzero(y == 1)[0])):
        pixels = X[i] * 255.0 if X.max() <= 1 else X[i]
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(folder / f"{k}.png")


@pytest.mark.parametrize("kind", ["bytes", "floats to 1", "floats to 255", "bits"])
def test_pixel_values_are_those_of_training(tmp_path, capsys, kind):
    """Images in files have bytes; the training images had another range."""
    rng = np.random.default_rng(0)
    X = rng.integers(0, 100, (120, 8, 8))
    X[::2, :4] += 155
    X[1::2, 4:] += 155
    X = {
        "bytes": X.astype(np.uint8),
        "floats to 1": (X / 255).astype(np.float32),
        "floats to 255": X.astype(np.float32),
        "bits": (X > 128).astype(np.uint8),
    }[kind]
    gray_run(tmp_path, X, capsys)
    assert predict(tmp_path / "run", tmp_path / "0.png", tmp_path / "1.png", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [entry["classes"][0]["class"] for entry in found] == ["0", "1"]
    model = fn.load(tmp_path / "run")
    for k, entry in enumerate(found):
        pixels = np.asarray(Image.open(tmp_path / f"{k}.png"))[None, None]
        raw = pixels / 255 if X.max() <= 1 else pixels
        probability = model.predict_proba(raw.astype(np.float32))[0, k]
        assert entry["classes"][0]["probability"] == pytest.approx(float(probability), abs=1e-5)


def test_values_that_are_no_pixels_are_refused(tmp_path, capsys):
    X = np.random.default_rng(0).standard_normal((60, 8, 8)).astype(np.float32)
    gray_run(tmp_path, X, capsys)
    assert predict(tmp_path / "run", tmp_path / "0.png") == 2
    error = capsys.readouterr().err
    assert re.search(r"trained on values from -\d.* to \d.*, which are not those of image files", error)


def test_channels_that_files_do_not_have(tmp_path, capsys):
    np.savez(tmp_path / "data.npz", X=np.random.default_rng(0).random((40, 2, 8, 8)), y=np.arange(40) % 2)
    options = ["--epochs", "1", "--quiet", "--no-plot", "--out", str(tmp_path / "run")]
    assert main(["train", "--data", str(tmp_path / "data.npz"), *options]) == 0
    picture(tmp_path / "a.png", (0, 0, 0))
    assert predict(tmp_path / "run", tmp_path / "a.png") == 2
    assert "the model takes images of 2 channels" in capsys.readouterr().err


def test_without_pillow(photos, monkeypatch, capsys):
    import sys

    monkeypatch.setitem(sys.modules, "PIL", None)
    assert predict(photos / "run", photos / "new") == 2
    assert 'pip install "fastnet-cnn[images]"' in capsys.readouterr().err


def test_what_is_not_used_of_an_image_is_counted(photos, tmp_path, capsys):
    frames = [Image.open(photos / "new" / f"{name}.png") for name in COLOURS]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    frames[0].convert("RGBA").save(tmp_path / "b.png")
    clear = frames[1].convert("RGBA")
    clear.putalpha(7)
    clear.save(tmp_path / "c.png")
    assert predict(photos / "run", tmp_path) == 0
    out, err = capsys.readouterr()
    assert out.count(str(tmp_path)) == 3 and err.splitlines() == [
        f"fastnet predict: 1 of 3 images have several frames, of which the first was taken: {tmp_path / 'a.gif'}",
        "fastnet predict: 1 of 3 images have transparent pixels, which were taken with the colours that they have: "
        f"{tmp_path / 'c.png'}",
    ]
    with pytest.warns(UserWarning, match="1 of 1 images have several frames, of which the first was taken: .*a.gif"):
        fn.data.read_picture(tmp_path / "a.gif")
