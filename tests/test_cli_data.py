"""The options that say what the data are, and which images evaluate takes."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from pictures import write_images

import fastnet
from fastnet.cli import main


def run(capsys, *arguments):
    """(status, standard output, standard error) of a command."""
    try:
        status = main([str(argument) for argument in arguments])
    except SystemExit as stop:
        status = stop.code
    out, error = capsys.readouterr()
    return status, out, error


def train(capsys, data, out, *more):
    return run(capsys, "train", "--data", data, "--out", out, "--epochs", 1, "--no-plot", *more)


def save(path, N=30, shape=(8, 8), **more):
    rng = np.random.default_rng(0)
    np.savez(path, X=rng.integers(0, 256, (N, *shape), np.uint8), y=np.arange(N) % 2, **more)


def test_bad_files_are_told_with_the_option_that_skips_them(tmp_path, capsys):
    write_images(tmp_path / "photos", 10, size=(8, 8))
    for name in ("cat/666.jpg", "dog/11702.jpg"):
        (tmp_path / "photos" / name).touch()
    status, _, error = train(capsys, tmp_path / "photos", tmp_path / "run")
    assert status == 2 and "666.jpg (the file is empty)" in error and "11702.jpg" in error
    assert "use --skip-bad to leave them out" in error and "--image-size" not in error and error.count("\n") == 1
    status, out, error = train(capsys, tmp_path / "photos", tmp_path / "run", "--skip-bad")
    assert status == 0 and "left out 2 of 22 images, unreadable" in error and "4 to test" in out
    status, out, error = run(capsys, "evaluate", tmp_path / "run")
    assert status == 0 and "4 test images of photos; its 16 training images are left out" in out


def test_sizes_are_told_with_the_option_that_scales(tmp_path, capsys):
    write_images(tmp_path / "photos", 5, ("cat",), size=(8, 8))
    write_images(tmp_path / "photos", 5, ("dog",), size=(8, 9))
    status, _, error = train(capsys, tmp_path / "photos", tmp_path / "run")
    assert status == 2 and "2 sizes" in error and "use --image-size HxW" in error and "--skip-bad" not in error


def test_grey(tmp_path, capsys):
    write_images(tmp_path / "scans", 10, size=(8, 8), mode="L")
    status, _, error = train(capsys, tmp_path / "scans", tmp_path / "run")
    assert status == 2 and "use --grey for one channel, or --no-grey for three equal ones" in error
    for option, shape in {"--grey": "1 x 8 x 8", "--no-grey": "3 x 8 x 8", "--gray": "1 x 8 x 8"}.items():
        status, out, _ = train(capsys, tmp_path / "scans", tmp_path / option, option)
        assert status == 0 and f"14 images of {shape}" in out
        write_images(tmp_path / "new", 3, size=(8, 8), mode="RGB")
        for data in ([], ["--data", tmp_path / "scans"], ["--data", tmp_path / "new"]):
            assert run(capsys, "evaluate", tmp_path / option, *data)[0] == 0


def test_channels_last(tmp_path, capsys):
    save(tmp_path / "a.npz", shape=(8, 8, 8))
    status, _, error = train(capsys, tmp_path / "a.npz", tmp_path / "run")
    assert status == 2 and "use --no-channels-last or --channels-last" in error
    save(tmp_path / "b.npz", shape=(16, 12, 6))
    for option in ("--channels-last", "--no-channels-last"):
        status, out, _ = train(capsys, tmp_path / "b.npz", tmp_path / option, option)
        shape = "6 x 16 x 12" if option == "--channels-last" else "16 x 12 x 6"
        assert status == 0 and f"images of {shape}" in out
        assert run(capsys, "evaluate", tmp_path / option)[0] == 0


def test_classes(tmp_path, capsys):
    save(tmp_path / "a.npz")
    status, out, _ = train(capsys, tmp_path / "a.npz", tmp_path / "run", "--classes", "cat, dog")
    assert status == 0 and json.loads((tmp_path / "run" / "model.json").read_text())["classes"] == ["cat", "dog"]
    assert re.search("^cat ", run(capsys, "evaluate", tmp_path / "run")[1], re.M)
    write_images(tmp_path / "photos", 10, ("ant", "bee", "cat"), size=(8, 8))
    status, out, error = train(capsys, tmp_path / "photos", tmp_path / "two", "--classes", "cat,ant")
    assert status == 0 and "left out 1 entry: bee/ (10 images)" in error and "2 classes" in out
    for wrong in ("cat,cat", "cat,,dog", ""):
        status, _, error = train(capsys, tmp_path / "photos", tmp_path / "run", "--classes", wrong)
        assert status == 2 and "expected different names between commas, such as cat,dog" in error


@pytest.mark.parametrize(
    "data, option, kind",
    [
        ("a.npz", "--grey", "image files"),
        ("a.npz", "--no-grey", "image files"),
        ("a.npz", "--skip-bad", "image files"),
        ("a.npz", "--image-size=8", "image files"),
        ("photos", "--channels-last", ".npz files"),
        ("photos", "--no-channels-last", ".npz files"),
        ("digits", "--classes=a,b", ".npz files and image files"),
    ],
)
def test_options_of_other_data(tmp_path, capsys, monkeypatch, data, option, kind):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    status, _, error = train(capsys, data, tmp_path / "run", option)
    assert status == 2 and f"{option.split('=')[0].replace('--no-', '--')} is for {kind}, not for {data}" in error


def test_validation_images_of_the_data_are_used(tmp_path, capsys):
    for part, count in {"train": 10, "val": 3, "test": 2}.items():
        write_images(tmp_path / "photos" / part, count, size=(8, 8))
    status, out, _ = train(capsys, tmp_path / "photos", tmp_path / "run")
    assert status == 0 and "20 images of 3 x 8 x 8 to train on, 6 to validate, 4 to test" in out
    status, _, error = train(capsys, tmp_path / "photos", tmp_path / "run", "--val-fraction", 0.2)
    assert status == 2 and "--val-fraction: photos has 6 validation images of its own" in error
    status, out, _ = run(capsys, "evaluate", tmp_path / "run")
    assert "4 test images of photos; its 20 training and 6 validation images are left out" in out


def test_a_subset_of_the_training_images(tmp_path, capsys):
    save(tmp_path / "a.npz", 60)
    status, out, _ = train(capsys, tmp_path / "a.npz", tmp_path / "run", "--subset", 30)
    assert status == 0 and "27 images of" in out and "3 to validate, 12 to test" in out
    status, _, error = train(capsys, tmp_path / "a.npz", tmp_path / "run", "--subset", 48)
    assert status == 2 and "--subset 48: a has only 48 training images" in error


def test_a_fraction_of_few_images_is_told_with_one_that_works(tmp_path, capsys):
    save(tmp_path / "a.npz", 6)
    status, _, error = train(capsys, tmp_path / "a.npz", tmp_path / "run")
    assert status == 2 and "--val-fraction 0.1 of 5 images is 0 after rounding; use --val-fraction 0.2" in error
    assert train(capsys, tmp_path / "a.npz", tmp_path / "run", "--val-fraction", 0.2)[0] == 0
    save(tmp_path / "b.npz", 2)
    _, _, error = train(capsys, tmp_path / "b.npz", tmp_path / "run")
    assert "b: test=0.2 of 2 images is 0 after rounding; more images are needed\n" in error


@pytest.fixture
def trained(tmp_path, capsys):
    write_images(tmp_path / "photos", 20, size=(10, 8))
    assert train(capsys, tmp_path / "photos", tmp_path / "run", "--image-size", "8")[0] == 0
    return tmp_path / "run"


def test_evaluate_takes_all_of_other_images(trained, tmp_path, capsys):
    write_images(tmp_path / "new", 10, size=(12, 9))  # scaled as in training
    status, out, _ = run(capsys, "evaluate", trained, "--data", tmp_path / "new")
    assert status == 0 and "\n20 test images of new\n" in out
    (tmp_path / "new").rename(tmp_path / "train")
    (tmp_path / "new").mkdir()
    (tmp_path / "train").rename(tmp_path / "new" / "train")
    write_images(tmp_path / "new" / "test", 3, size=(12, 9))
    out = run(capsys, "evaluate", trained, "--data", tmp_path / "new")[1]
    assert "\n6 test images of new; its 20 training images are left out\n" in out
    out = run(capsys, "evaluate", trained, "--data", tmp_path / "new" / "train")[1]
    assert "\n20 test images of train\n" in out


def test_evaluate_divides_the_model_s_own_images_as_in_training(trained, tmp_path, capsys, monkeypatch):
    _, default, _ = run(capsys, "evaluate", trained)
    assert "\n8 test images of photos; its 32 training images are left out\n" in default
    monkeypatch.chdir(tmp_path)
    for spelling in (tmp_path / "photos", "photos", "./photos/"):
        assert run(capsys, "evaluate", trained, "--data", spelling)[1] == default


def test_images_of_another_size_are_told_with_the_option_that_scales_them(tmp_path, capsys):
    write_images(tmp_path / "photos", 10, size=(10, 8))
    write_images(tmp_path / "new", 3, size=(12, 9))
    train(capsys, tmp_path / "photos", tmp_path / "run")
    status, _, error = run(capsys, "evaluate", tmp_path / "run", "--data", tmp_path / "new")
    assert status == 2 and "takes images of 10x8 pixels, new has 12x9; use --image-size 10x8" in error
    assert run(capsys, "evaluate", tmp_path / "run", "--data", tmp_path / "new", "--image-size", "10x8")[0] == 0


def test_evaluate_takes_all_of_an_npz_file_and_of_digits(tmp_path, capsys):
    save(tmp_path / "a.npz")
    save(tmp_path / "b.npz", 50)
    train(capsys, tmp_path / "a.npz", tmp_path / "run")
    assert "50 test images of b\n" in run(capsys, "evaluate", tmp_path / "run", "--data", tmp_path / "b.npz")[1]


def test_runs_beside_the_classes_are_no_class(tmp_path, capsys, monkeypatch):
    write_images(tmp_path, 10, size=(8, 8))
    monkeypatch.chdir(tmp_path)
    for more in ([], ["--no-plot"]):  # the plot of the first is an image in its folder
        status, out, error = run(capsys, "train", "--data", ".", "--epochs", 1, *more)
        assert status == 0 and "2 classes" in out
    assert "left out 1 entry: runs/" in error
    assert run(capsys, "train", "--data", ".", "--epochs", 1, "--out", "mine")[0] == 0
    status, out, error = run(capsys, "train", "--data", ".", "--epochs", 1, "--no-plot")
    assert status == 0 and "2 classes" in out and "left out 2 entries: mine/" in error


@pytest.mark.parametrize(
    "options, message",
    [
        (["--out", ""], "argument --out: expected a folder, got ''"),
        (["--data", ""], "--data: expected a data set, got ''"),
        (["--warmup", 1], "--warmup 1 must be shorter than the run, which has 1 epochs"),
        (["--warmup", 2.5], "--warmup 2.5 must be shorter than the run, which has 1 epochs"),
    ],
)
def test_what_a_run_cannot_be_meant_to_do(tmp_path, capsys, monkeypatch, options, message):
    """An empty path, such as an unset variable, is not the working directory."""
    monkeypatch.chdir(tmp_path)
    save("a.npz")
    status, _, error = train(capsys, "a.npz", "run", *options)
    assert status == 2 and message in error and sorted(tmp_path.iterdir()) == [tmp_path / "a.npz"]


def test_a_run_resumed_from_nothing_says_so(tmp_path, capsys):
    save(tmp_path / "a.npz")
    again = "has no checkpoint to resume from: this run begins with the first epoch"
    for epochs in (1, 2):
        status, out, _ = train(capsys, tmp_path / "a.npz", tmp_path / "run", "--resume", "auto", "--epochs", epochs)
        assert status == 0 and (again in out) == (epochs == 1)


@pytest.mark.parametrize(
    "first, then, message",
    [
        (
            ["--early-stopping", 3],
            [],
            r"callbacks \['EarlyStopping'\].*; give the same, with --early-stopping N",
        ),
        (
            ["--optimizer", "sgd"],
            ["--optimizer", "adam"],
            "saved with optimizer SGD, Solver has Adam; give the same",
        ),
        ([], ["--seed", 1], r"saved with seed 0 \(here 1\), other labels; use the same data and settings"),
        ([], ["--val-fraction", 0.3], r"saved with samples \d+ \(here \d+\), .* use the same data and settings"),
    ],
)
def test_a_run_resumed_with_other_settings_is_told_which(tmp_path, capsys, first, then, message):
    save(tmp_path / "a.npz", 60)
    assert train(capsys, tmp_path / "a.npz", tmp_path / "run", *first)[0] == 0
    status, _, error = train(capsys, tmp_path / "a.npz", tmp_path / "run", "--epochs", 2, "--resume", "auto", *then)
    assert status == 2 and re.search(message, error)


@pytest.mark.parametrize("first, then", [("dog,emu,cat", None), (None, "emu,cat,dog"), ("dog,emu,cat", "cat,dog,emu")])
def test_a_run_resumed_with_classes_in_another_order_goes_on(tmp_path, capsys, first, then):
    """The images of training and test are the same, and so are the bits."""
    write_images(tmp_path / "photos", 12, ("cat", "dog", "emu"), size=(8, 8))
    classes = [["--classes", names] if names else [] for names in (first, then)]
    train(capsys, tmp_path / "photos", tmp_path / "whole", *classes[0], "--epochs", 4, "--schedule", "constant")
    train(capsys, tmp_path / "photos", tmp_path / "run", *classes[0], "--epochs", 2, "--schedule", "constant")
    options = ["--epochs", 4, "--schedule", "constant", "--resume", "auto"]
    status, _, error = train(capsys, tmp_path / "photos", tmp_path / "run", *classes[1], *options)
    assert status == 0 and "left out" not in error
    whole, run_ = (json.loads((tmp_path / name / "model.json").read_text()) for name in ("whole", "run"))
    assert run_["classes"] == whole["classes"] and run_["test"] == whole["test"]
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "run")]
    assert weights[0] == weights[1]
    assert (
        run(capsys, "evaluate", tmp_path / "run")[1].split("test loss")[1]
        == (run(capsys, "evaluate", tmp_path / "whole")[1].split("test loss")[1])
    )


def test_paths_of_the_home_folder(tmp_path, capsys, monkeypatch):
    """A shell leaves the tilde of --out=~/run."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    save(tmp_path / "a.npz")
    assert train(capsys, "~/a.npz", "~/run")[0] == 0 and (tmp_path / "run" / "model.json").is_file()
    assert train(capsys, "~/a.npz", "~/other", "--resume=~/run", "--epochs", 2)[0] == 0


@pytest.mark.parametrize("value", ["16x", "x16", "16,8", "0", "8x0", "axb", "", "8x8x3", "8.5"])
def test_sizes_that_are_none(tmp_path, capsys, value):
    status, _, error = train(capsys, tmp_path, tmp_path, "--image-size", value)
    assert status == 2 and f"expected one integer >= 1 or two, such as 64 or 48x64, got {value!r}" in error


def test_sizes(tmp_path, capsys):
    write_images(tmp_path / "photos", 10, size=(8, 8))
    for value, expected in {"7": "3 x 7 x 7", "6X9": "3 x 6 x 9"}.items():
        assert expected in train(capsys, tmp_path / "photos", tmp_path / "run", "--image-size", value)[1]


def test_a_folder_called_digits(tmp_path, capsys, monkeypatch):
    pytest.importorskip("sklearn")
    monkeypatch.chdir(tmp_path)
    write_images(tmp_path / "digits", 10, size=(8, 8))
    status, out, error = train(capsys, "digits", tmp_path / "run")
    assert status == 0 and "10 classes" in out and "scikit-learn's data set; give ./digits for the folder" in error
    status, out, error = train(capsys, "./digits", tmp_path / "run")
    assert status == 0 and "2 classes" in out and "scikit-learn" not in error


def test_evaluation_without_a_finite_loss_fails(tmp_path, capsys):
    save(tmp_path / "a.npz")
    train(capsys, tmp_path / "a.npz", tmp_path / "run")
    X = np.zeros((4, 8, 8), np.float32)
    X[2, 3, 3] = np.inf
    np.savez(tmp_path / "b.npz", X=X, y=[0, 1, 0, 1])
    status, out, error = run(capsys, "evaluate", tmp_path / "run", "--data", tmp_path / "b.npz")
    assert status == 2 and "1 of 4 test images of b hold NaN or infinite values" in error and out == ""
    with np.errstate(all="ignore"):
        model = fastnet.load(tmp_path / "run")
        model.parameters()[0].value[:] = np.nan
        model.save(tmp_path / "run" / "model.safetensors")
    status, out, error = run(capsys, "evaluate", tmp_path / "run")
    assert status == 2 and "the model's outputs are not finite; was it trained to the end?" in error and out == ""
