"""Decoded images on disk: the same as in memory, made once, made anew when files change, and never half-written."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from photos import same, write

import fastnet as fn
from fastnet.cli import main
from fastnet.data import Loader, Rows, Standardize, decoding, image_csv, image_folder


@pytest.fixture
def count(monkeypatch):
    """How many images were decoded: a list that grows."""
    calls, real = [], decoding.decode
    monkeypatch.setattr(decoding, "decode", lambda *given: calls.append(given) or real(*given))
    return calls


def test_the_cache_has_the_images_in_memory(photos, tmp_path, count):
    plain = image_folder(photos, (8, 6), test=0.25, seed=3)
    kept = [image_folder(photos, (8, 6), test=0.25, seed=3, cache=tmp_path / "cache") for _ in range(2)]
    assert len(count) == 48  # once in memory, once for the cache
    for dataset in kept:
        assert isinstance(dataset.X_train, Rows) and isinstance(dataset.X_train.base, np.memmap)
        same(dataset, plain)
        same(dataset.split(0.2, 1), plain.split(0.2, 1))
    same(image_folder(photos, (8, 6), test="all", cache=tmp_path / "cache"), image_folder(photos, (8, 6), test="all"))


def test_parts_and_lists(photos, tmp_path):
    rows = [f"{file.relative_to(photos)},{file.parent.name},{part}" for file, part in _parts(photos)]
    (photos.parent / "list.csv").write_text("file,label,split\n" + "\n".join(rows))
    given = {"root": photos, "gray": False}
    same(
        image_csv(photos.parent / "list.csv", **given, cache=tmp_path / "c"),
        image_csv(photos.parent / "list.csv", **given),
    )


def _parts(photos):
    files = sorted(photos.rglob("*.png"))
    return zip(files, ("train", "test", "val") * 8, strict=True)


def test_options_and_changed_files(photos, tmp_path, count):
    cache = tmp_path / "cache"
    image_folder(photos, 8, cache=cache)
    image_folder(photos, 6, cache=cache)  # beside the first
    image_folder(photos, 8, cache=cache)
    assert len(count) == 48 and len(list(cache.iterdir())) == 4
    write(photos / "cat" / "0.png", np.full((9, 7, 3), 77, np.uint8))
    os.utime(photos / "cat" / "0.png", ns=(1, 1))
    X = image_folder(photos, 8, test=0, cache=cache).X_train
    assert len(count) == 72 and (X[0] == 77).all() and len(list(cache.iterdir())) == 4
    write(photos / "eel" / "9.png", np.full((9, 7, 3), 78, np.uint8))  # one more
    assert len(image_folder(photos, 8, test=0, cache=cache).X_train) == 25


@pytest.mark.parametrize("damage", ["truncated", "no json", "not json", "another format"])
def test_damaged_files_are_made_anew(photos, tmp_path, count, damage):
    cache = tmp_path / "cache"
    expected = np.asarray(image_folder(photos, 8, test=0, cache=cache).X_train)
    (pixels,), (about,) = cache.glob("*.pixels"), cache.glob("*.json")
    if damage == "truncated":
        pixels.write_bytes(pixels.read_bytes()[:-1])
    elif damage == "no json":
        about.unlink()
    else:
        about.write_text("{" if damage == "not json" else json.dumps({**json.loads(about.read_text()), "format": 0}))
    np.testing.assert_array_equal(image_folder(photos, 8, test=0, cache=cache).X_train, expected)
    assert len(count) == 48


def test_bad_images(photos, tmp_path):
    cache = tmp_path / "cache"
    (photos / "dog" / "3.png").write_bytes(b"not an image")
    with pytest.raises(ValueError, match=r"cannot read 1 of 24 images: .*3\.png"):
        image_folder(photos, 8, cache=cache)
    assert not list(cache.iterdir())  # nothing half-written
    for _ in range(2):  # made, and read
        with pytest.warns(UserWarning, match="left out 1 of 24 images, unreadable") as caught:
            kept = image_folder(photos, 8, skip_bad=True, cache=cache)
        assert caught[0].filename == __file__
    with pytest.warns(UserWarning):
        same(kept, image_folder(photos, 8, skip_bad=True))
    with pytest.raises(ValueError, match=r"cannot read 1 of 24 images"):  # also from the cache
        image_folder(photos, 8, cache=cache)


def test_where_a_cache_may_be(photos, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="inside .*taken for a class"):
        image_folder(photos, 8, cache=photos / "cache")
    assert len(image_folder(photos, 8, test=0, cache=photos / ".cache").X_train) == 24
    with pytest.raises(ValueError, match="is a file; give a folder"):
        image_folder(photos, 8, cache=photos / "cat" / "0.png")
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 10})())
    with pytest.raises(ValueError, match="the cache's disk has 0.0 GiB free"):
        image_folder(photos, 8, cache=tmp_path / "full")
    assert not list((tmp_path / "full").iterdir())


def test_training_reads_batches(photos, tmp_path, monkeypatch):
    """No part of it makes an array of all images."""
    kept, plain = image_folder(photos, 8, cache=tmp_path / "cache"), image_folder(photos, 8)
    monkeypatch.setattr(Rows, "__array__", lambda *_: pytest.fail("all images were read at once"))
    runs = []
    for dataset in (kept, plain):
        model = fn.Sequential(fn.Conv2d(4, 3), fn.ReLU(), fn.Flatten(), fn.Linear(3))
        solver = fn.Solver(model, dataset.split(0.25), epochs=2, batch_size=4, verbose=False)
        history = solver.train()
        model = solver.model
        found = (
            model.evaluate(dataset.X_test, dataset.y_test),
            model.evaluate(dataset.X_test, dataset.y_test, views="flips"),
        )
        runs.append((history.history["loss"], found, model.predict(dataset.X_test).tobytes()))
    assert runs[0] == runs[1]


def test_rows():
    base = np.arange(2 * 3 * 40, dtype=np.uint8).reshape(40, 2, 3)
    rows = Rows(base).select(base[:, 0, 0] % 4 == 0)
    expected = base[base[:, 0, 0] % 4 == 0]
    assert (rows.shape, rows.dtype, rows.size, len(rows)) == (expected.shape, base.dtype, expected.size, len(expected))
    for key in (0, -1, slice(2, 9, 3), [3, 1], np.arange(len(expected)) < 3, (slice(0, 4), 1), (2, 0, 1)):
        np.testing.assert_array_equal(rows[key], expected[key])
    np.testing.assert_array_equal(np.asarray(rows.select([4, 2])), expected[[4, 2]])
    with pytest.raises(IndexError):
        rows[len(expected)]
    big = Rows(np.broadcast_to(np.uint8(0), (2**20, 2**10, 2**15)))
    with pytest.raises(ValueError, match=r"as one array take 32768.0 GiB.*batch by batch"):
        np.asarray(big)


def test_statistics_of_rows():
    X = np.random.default_rng(0).integers(0, 256, (3000, 2, 3, 3), dtype=np.uint8)
    rows = Rows(X)
    for fit in (Standardize.fit, Standardize.to_range, fn.data.PCA.fit):
        mine, other = fit(rows).state_dict(), fit(X).state_dict()
        assert all((mine[name] == other[name]).all() for name in mine), fit
    y = np.arange(3000) % 5
    for mine, other in zip(fn.data.hold_out(rows, y, 0.3), fn.data.hold_out(X, y, 0.3), strict=True):
        np.testing.assert_array_equal(mine, other)
    for (a, b), (c, d) in zip(Loader(rows, y, 700, seed=2), Loader(X, y, 700, seed=2), strict=True):
        assert (a == c).all() and (b == d).all()


def test_command(photos, tmp_path, capsys, count):
    run = ["--data", str(photos), "--image-size", "8", "--cache", str(tmp_path / "cache")]
    assert main(["train", *run, "--epochs", "1", "--out", str(tmp_path / "run"), "--quiet"]) == 0
    assert main(["evaluate", str(tmp_path / "run"), *run]) == 0
    assert len(count) == 24
    assert main(["evaluate", str(tmp_path / "run")]) == 0  # the model's card names the cache
    assert len(count) == 24
    assert main(["train", "--cache", str(tmp_path)]) == 2
    assert "--cache is for image files, not for digits" in capsys.readouterr().err
