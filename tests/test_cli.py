"""The commands train and check: what they print, write and refuse."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import re
import struct

import numpy as np
import pytest
from cli_runs import train, weights

import fastnet
from fastnet import backends, cli
from fastnet.backends import current
from fastnet.cli import main
from fastnet.threads import get_num_threads

# ---------------------------------------------------------------- train


def test_without_arguments_it_trains_on_digits(tmp_path, monkeypatch, capsys):
    pytest.importorskip("sklearn")
    monkeypatch.chdir(tmp_path)
    assert main(["train"]) == 0
    out = capsys.readouterr().out
    assert "val acc" in out and "1,294 images of 1 x 8 x 8" in out
    accuracy = re.fullmatch(r"test accuracy: (\d\.\d{3})", out.splitlines()[-1])
    assert float(accuracy[1]) >= 0.98
    folder = tmp_path / "runs" / "digits-three_layer_convnet"
    written = {path.name for path in folder.iterdir()}
    assert {"history.csv", "model.json"} < written
    assert "model.safetensors" in written or "model.npz" in written
    assert any(name.startswith("checkpoint-") for name in written)
    if importlib.util.find_spec("matplotlib"):
        assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    for name in written - {"model.json"}:
        assert name in out or name.startswith("checkpoint-")


def test_options_reach_the_solver(halves, tmp_path, capsys):
    options = "--optimizer sgd --lr 0.01 --schedule step --warmup 1 --weight-decay 1e-3 --batch-size 10 --seed 3"
    more = "--dtype float64 --val-fraction 0 --no-plot --debug nan --clip-norm 0.5 --clip-value 0.1"
    assert train(halves, tmp_path / "a", *options.split(), *more.split()) == 0
    out = capsys.readouterr().out
    assert "SGD(lr=0.01, momentum=0.9" in out and "weight_decay=0.001, nesterov=True" in out
    assert (
        "LinearWarmup(length=1.0, schedule=StepDecay(every=(1, 1))), batches of 10, 2 epochs" in out
        and "float64 on" in out
    )
    assert "validate" not in out and "val loss" not in out
    assert not (tmp_path / "a" / "curves.png").exists()
    assert all(array.dtype == np.float64 for array in weights(tmp_path / "a").values())
    settings = fastnet.training.load_checkpoint(tmp_path / "a").metadata["settings"]
    assert (settings["clip_norm"], settings["clip_value"]) == ("0.5", "0.1")


@pytest.mark.parametrize("name", ["adadelta", "nadam"])
def test_optimizers_by_name(halves, tmp_path, name):
    assert train(halves, tmp_path / name, "--optimizer", name, "--no-plot", "--quiet") == 0


def test_the_seed_decides_the_weights(halves, tmp_path):
    for name, seed in {"a": "1", "b": "1", "c": "2"}.items():
        assert train(halves, tmp_path / name, "--seed", seed, "--quiet") == 0
    a, b, c = (weights(tmp_path / name) for name in "abc")
    assert all(np.array_equal(a[key], b[key]) for key in a)
    assert not all(np.array_equal(a[key], c[key]) for key in a)


def test_quiet_prints_the_accuracy_only(halves, tmp_path, capsys):
    assert train(halves, tmp_path / "a", "--quiet") == 0
    assert re.fullmatch(r"test accuracy: \d\.\d{3}\n", capsys.readouterr().out)


def test_threads_and_the_backend_are_as_before_when_a_command_ends(monkeypatch, threads):
    threads(2)
    before, seen = (get_num_threads(), current().name), []
    monkeypatch.setattr(cli.train, "run", lambda args: seen.append((get_num_threads(), current().name)) or 0)
    monkeypatch.setattr(backends, "of_device", {"cpu": "reference"}.get)
    assert main(["train", "--threads", "1", "--device", "cpu"]) == 0
    assert seen == [(1, "reference")] and (get_num_threads(), current().name) == before
    monkeypatch.setattr(cli.train, "run", lambda args: 1 // 0)
    for more in (["--device", "cpu"], []):
        with backends.use_backend("reference"), pytest.raises(ZeroDivisionError):
            main(["train", "--threads", "1", *more])
        assert (get_num_threads(), current().name) == before


def test_early_stopping_puts_the_best_back(halves, tmp_path, capsys):
    assert (
        main(
            [
                "train",
                "--data",
                halves,
                "--out",
                str(tmp_path / "a"),
                "--epochs",
                "60",
                "--early-stopping",
                "1",
                "--lr",
                "0.05",
            ]
        )
        == 0
    )
    assert "stopped after epoch" in capsys.readouterr().out


def test_mnist_files_train_lenet(tmp_path, capsys):
    rng = np.random.default_rng(0)
    for part, count in {"train": 40, "t10k": 12}.items():
        images, labels = rng.integers(0, 256, (count, 28, 28), np.uint8), np.arange(count, dtype=np.uint8) % 10
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(
            struct.pack(">4B3I", 0, 0, 8, 3, *images.shape) + images.tobytes()
        )
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">4BI", 0, 0, 8, 1, count) + labels.tobytes())
    assert main(["train", "--data", f"fashion:{tmp_path}", "--epochs", "1", "--out", str(tmp_path / "run")]) == 0
    assert "lenet5: 61,706 parameters" in capsys.readouterr().out
    assert main(["evaluate", str(tmp_path / "run")]) == 0
    assert "Ankle boot" in capsys.readouterr().out


def test_a_folder_of_images(tmp_path, capsys):
    image = pytest.importorskip("PIL.Image")
    for number, colour in enumerate(("red", "blue")):
        (tmp_path / "photos" / colour).mkdir(parents=True)
        for i in range(10):
            image.new("RGB", (20 + i, 24), colour).save(tmp_path / "photos" / colour / f"{number}{i}.png")
    arguments = ["train", "--data", str(tmp_path / "photos"), "--epochs", "1", "--out", str(tmp_path / "run")]
    assert main(arguments) == 2
    assert "use --image-size HxW" in capsys.readouterr().err
    assert main([*arguments, "--image-size", "12x16"]) == 0
    assert "3 x 12 x 16" in capsys.readouterr().out
    assert main(["evaluate", str(tmp_path / "run")]) == 0


def test_a_diverging_run_says_so(halves, tmp_path, capsys):
    assert train(halves, tmp_path / "a", "--optimizer", "sgd", "--lr", "1e30", "--batch-size", "8") == 1
    error = capsys.readouterr().err
    assert "lower the learning rate" in error and "--debug nan" in error and "Solver" not in error


@pytest.mark.parametrize("validation", ["0", "0.1"])
def test_a_run_that_diverges_in_its_last_update_leaves_no_model(halves, tmp_path, capsys, validation):
    """One update: the loss before it is finite, and none follows but the validation's and the test's."""
    options = f"--optimizer sgd --schedule constant --lr 3e38 --batch-size 128 --epochs 1 --val-fraction {validation}"
    wild = options.split()
    assert train(halves, tmp_path / "a", *wild) == 1
    captured = capsys.readouterr()
    assert "test accuracy" not in captured.out and "Traceback" not in captured.err
    assert "lower the learning rate (3e+38)" in captured.err
    assert not list((tmp_path / "a").glob("model.*"))
    assert main(["evaluate", str(tmp_path / "a")]) == 2
    assert train(halves, tmp_path / "b") == 0 and train(halves, tmp_path / "b", *wild) == 1
    assert "the model in it is an earlier run's" in capsys.readouterr().err


def test_test_images_that_are_not_finite(tmp_path, capsys):
    X, y = np.random.default_rng(0).random((40, 8, 8)), np.arange(40) % 2
    bad = X[:10].copy()
    bad[3, 2, 1] = np.nan
    np.savez(tmp_path / "bad.npz", X_train=X, y_train=y, X_test=bad, y_test=y[:10])
    assert train(str(tmp_path / "bad.npz"), tmp_path / "a") == 2
    assert "1 of 10 test images of bad hold NaN or infinite values" in capsys.readouterr().err
    assert not (tmp_path / "a" / "model.json").exists()


# ---------------------------------------------------------------- check, train --diagnose


def test_check(tmp_path, capsys):
    assert main(["check", "--iterations", "30", "--out", str(tmp_path / "check")]) == 0
    printed = capsys.readouterr().out
    assert "three_layer_convnet on digits: 1,438 training images" in printed
    for line in ("1  initial loss, without", "= log(10)", "2  overfit 20 examples", "3  all data", "take about"):
        assert line in printed, line
    assert {path.name for path in (tmp_path / "check").iterdir()} == {"check.png", "rates.png"}


def test_check_says_what_is_wrong(capsys, monkeypatch):
    zeros = functools.partial(fastnet.Linear, initializer="zeros")
    monkeypatch.setattr("fastnet.models.convnet.Linear", lambda n, **options: zeros(n))
    assert main(["check", "--iterations", "10", "--loss", "svm"]) == 1
    printed = capsys.readouterr().out
    assert "= 10 - 1" in printed and "not ready to train" in printed and "all rows are equal of fc1.weight" in printed


def test_train_diagnose(tmp_path, capsys):
    command = ["train", "--epochs", "2", "--lr", "1e-9", "--out", str(tmp_path / "run"), "--no-plot", "--diagnose"]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "far under 1e-3: the learning rate is probably too low" in printed
