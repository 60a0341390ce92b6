"""Image files that are decoded when a batch needs them: the bits of those in memory, on any number of threads."""

from __future__ import annotations

import argparse
import gc
import pickle
import tarfile
import threading
import warnings
import zipfile

import numpy as np
import pytest
from photos import Image, same, write

import fastnet as fn
from fastnet.cli import main
from fastnet.cli.data import Source, add_data
from fastnet.data import Loader, Rows, Standardize, files, image_csv, image_folder
from fastnet.data.files import Files


@pytest.fixture
def opened(monkeypatch):
    """The files that were decoded lazily, and on which threads: a list that grows."""
    calls, real = [], files.decode

    def decode(file, *options):
        calls.append((file, threading.current_thread().name))
        return real(file, *options)

    monkeypatch.setattr(files, "decode", decode)
    return calls


def test_the_images_of_memory(photos, tmp_path, opened):
    lazy = image_folder(photos, (8, 6), test=0.25, seed=3, lazy=True)
    plain = image_folder(photos, (8, 6), test=0.25, seed=3)
    assert [file.name for file, _ in opened] == ["0.png"]
    assert isinstance(lazy.X_train, Rows) and isinstance(lazy.X_train.base, Files)
    assert (lazy.X_train.shape, lazy.X_train.dtype) == (plain.X_train.shape, np.uint8)
    same(lazy, plain)
    same(lazy.split(0.2, 1), plain.split(0.2, 1))
    for key in (0, np.int64(-1), slice(2, 9, 3), [3, 1], slice(4, 4), (slice(0, 4), 1), (2, 0, 1)):
        np.testing.assert_array_equal(lazy.X_train[key], plain.X_train[key])
    rows = [f"{file.relative_to(photos)},{file.parent.name}" for file in sorted(photos.rglob("*.png"))]
    (tmp_path / "list.csv").write_text("\n".join(rows))
    given = {"root": photos, "gray": True}
    same(image_csv(tmp_path / "list.csv", **given, lazy=True), image_csv(tmp_path / "list.csv", **given))


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz"])
def test_archives_on_many_threads(photos, tmp_path, name):
    if name == "a.zip":
        with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as made:
            for file in photos.rglob("*.png"):
                made.write(file, file.relative_to(photos))
    else:
        with tarfile.open(tmp_path / name, "w:gz" if name.endswith("gz") else "w") as made:
            made.add(photos, "photos")
    X = image_folder(tmp_path / name, test=0, lazy=True).X_train
    expected, wrong = np.asarray(image_folder(photos, test=0).X_train), []

    def read(seed):
        for i in np.random.default_rng(seed).permutation(len(X)):
            wrong.extend([i] * (not np.array_equal(X[i], expected[i])))

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(X))[:], expected)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        image_folder(tmp_path / name, test=0, lazy=True)
        gc.collect()
    assert not said  # files are closed


def trained(dataset, folder=None, workers=1, epochs=2, resume=None):
    model = fn.Sequential(fn.Conv2d(4, 3), fn.BatchNorm2d(), fn.ReLU(), fn.Flatten(), fn.Linear(3))
    solver = fn.Solver(
        model,
        dataset,
        epochs=epochs,
        batch_size=4,
        preprocess="standardize",
        augment=[fn.augment.RandomCrop(8, padding=1)],
        sampling="balanced",
        workers=workers,
        checkpoint=folder,
        verbose=False,
    )
    losses = solver.train(resume).history["loss"]
    model.preprocessing = solver.preprocess
    found = [model.evaluate(dataset.X_test, dataset.y_test, views=views) for views in (None, "flips")]
    found.append(solver.evaluate(dataset.X_test, dataset.y_test))
    return losses, found, model.predict(dataset.X_test).tobytes()


def test_training_has_the_same_bits(photos, tmp_path, monkeypatch, opened):
    """At any number of workers, and after a resume; no part of it makes an array of all images."""
    plain, lazy = image_folder(photos, 8).split(0.25), image_folder(photos, 8, lazy=True).split(0.25)
    monkeypatch.setattr(Rows, "__array__", lambda *_: pytest.fail("all images were read at once"))
    expected = trained(plain)
    for workers in (0, 1, 2):
        assert trained(lazy, workers=workers) == expected, workers
    assert any(name.startswith("fastnet-data") for _, name in opened)
    trained(lazy, tmp_path / "run", epochs=1)
    assert trained(lazy, tmp_path / "run", workers=2, resume="auto") == expected


def test_workers_decode(photos, opened):
    loader = Loader(image_folder(photos, test=0, lazy=True).X_train, np.arange(24) % 3, 6, workers=2)
    opened.clear()
    batches = list(loader)
    assert len(opened) == 24 and len(batches) == 4
    assert {name.split("_")[0] for _, name in opened} == {"fastnet-data"}
    assert len({name for _, name in opened}) <= 2  # each decodes its own batch, alone


def test_what_reads_data_sets_reads_files(photos):
    X, y = image_folder(photos, test=0, lazy=True).X_train, np.arange(24) % 3
    plain = np.asarray(X)
    for fit in (Standardize.fit, Standardize.to_range, fn.data.PCA.fit, lambda X: Standardize.fit(X, each="feature")):
        mine, other = fit(X).state_dict(), fit(plain).state_dict()
        assert all((mine[name] == other[name]).all() for name in mine)
    for mine, other in zip(fn.data.hold_out(X, y, 0.3), fn.data.hold_out(plain, y, 0.3), strict=True):
        np.testing.assert_array_equal(mine, other)
    held = fn.data.fold_numbers(y, 3) == 1
    np.testing.assert_array_equal(np.asarray(X.select(held)), plain[held])


@pytest.mark.parametrize("workers", [0, 2])
def test_bad_files_are_named_when_they_are_met(photos, workers):
    (photos / "dog" / "3.png").write_bytes((photos / "dog" / "3.png").read_bytes()[:60])
    X = image_folder(photos, test=0, lazy=True).X_train
    loader = Loader(X, np.arange(24) % 3, 4, shuffle=False, workers=workers)
    seen = []
    with pytest.raises(ValueError, match=r"cannot read .*dog/3\.png \(.*\); repair or remove it, or use skip_bad"):
        seen.extend(loader)
    assert len(seen) == 2  # the batches before
    write(photos / "dog" / "3.png", np.zeros((5, 6, 3), np.uint8))
    with pytest.raises(ValueError, match=r"dog/3\.png has 5x6 pixels, and the first image 9x7; use size="):
        list(loader)
    write(photos / "dog" / "3.png", np.zeros((9, 7, 3), np.uint8))
    (photos / "cat" / "0.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"cat/0\.png \(the file is empty\)"):
        image_folder(photos, test=0, lazy=True)


def test_options(photos, tmp_path):
    for name, options in (("skip_bad=True", {"skip_bad": True}), ("cache=FOLDER", {"cache": tmp_path})):
        with pytest.raises(ValueError, match=f"image_folder: lazy=True .* without {name}"):
            image_folder(photos, lazy=True, **options)
    with pytest.raises(TypeError, match="lazy must be True or False"):
        image_folder(photos, lazy="yes")
    for file in photos.rglob("*.png"):
        Image.open(file).convert("L").save(file)
    with pytest.raises(ValueError, match="the 24 images that were opened are greyscale; use gray=True"):
        image_folder(photos, lazy=True)
    assert image_folder(photos, lazy=True, gray=True).image_shape == (1, 9, 7)
    write(photos / "eel" / "7.png", np.zeros((9, 7, 3), np.uint8))  # the last one has colours
    assert image_folder(photos, lazy=True).image_shape == (3, 9, 7)


def test_remarks_are_said_once(photos):
    for name in ("1", "2"):
        write(photos / "cat" / f"{name}.png", np.zeros((9, 7, 4), np.uint8))
    X = image_folder(photos, test=0, lazy=True).X_train
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            list(Loader(X, np.arange(24) % 3, 4, workers=2))
    (warning,) = caught
    assert "images have transparent pixels, which were taken with the colours that they have, such as" in str(
        warning.message
    )


def test_command(photos, tmp_path, capsys, opened):
    data = ["--data", str(photos), "--image-size", "8"]
    less = ["--subset", "15"]
    for name, options in (("lazy", ["--lazy", "--workers", "2"]), ("plain", [])):
        run = ["train", *data, *options, *less, "--epochs", "1", "--out", str(tmp_path / name), "--no-plot", "--quiet"]
        assert main(run) == 0
    assert (tmp_path / "lazy" / "model.safetensors").read_bytes() == (
        tmp_path / "plain" / "model.safetensors"
    ).read_bytes()
    lines = []
    for name in ("lazy", "plain"):
        opened.clear()
        capsys.readouterr()
        assert main(["evaluate", str(tmp_path / name)]) == 0
        assert bool(opened) == (name == "lazy")
        lines.append(capsys.readouterr().out.splitlines()[2:])
    assert lines[0] == lines[1]
    assert main(["evaluate", str(tmp_path / "lazy"), "--cache", str(tmp_path / "cache")]) == 0
    assert main(["train", *data, "--lazy", "--skip-bad"]) == 2
    assert "--lazy opens files when a batch needs them, so give it without --skip-bad" in capsys.readouterr().err
    assert main(["train", "--lazy"]) == 2
    assert "--lazy is for image files, not for digits" in capsys.readouterr().err
    parser = argparse.ArgumentParser()
    add_data(parser, None, "")
    source = Source.of_arguments(parser.parse_args([*data, "--lazy"]))
    assert source.options() == [*data[:2], "--image-size", "8x8", "--lazy"]
