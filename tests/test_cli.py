"""The command line: what it prints, writes, refuses, and how it stops."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import json
import os
import re
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import fastnet
from fastnet import backends
from fastnet.cli import doctor, main
from fastnet.threads import get_num_threads, set_num_threads
from fastnet.training import saved


@pytest.fixture
def small(tmp_path):
    """An .npz file with 120 images of 8x8, light on the left or on the right."""
    rng, y = np.random.default_rng(0), np.arange(120) % 2
    X = rng.normal(0, 0.5, (120, 8, 8)).astype(np.float32)
    X[y == 0, :, :4] += 1
    X[y == 1, :, 4:] += 1
    np.savez(tmp_path / "small.npz", X=X, y=y)
    return str(tmp_path / "small.npz")


def train(small, out, *more):
    return main(["train", "--data", small, "--out", str(out), "--epochs", "2", *more])


def weights(folder):
    with np.load(next(Path(folder).glob("checkpoint-*.npz"))) as file:
        return {name: file[name] for name in file if name.startswith("model/")}


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


def test_options_reach_the_solver(small, tmp_path, capsys):
    options = "--optimizer sgd --lr 0.01 --schedule step --warmup 1 --weight-decay 1e-3 --batch-size 10 --seed 3"
    more = "--dtype float64 --val-fraction 0 --no-plot --debug nan --clip-norm 0.5 --clip-value 0.1"
    assert train(small, tmp_path / "a", *options.split(), *more.split()) == 0
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
def test_optimizers_by_name(small, tmp_path, name):
    assert train(small, tmp_path / name, "--optimizer", name, "--no-plot", "--quiet") == 0


def test_the_seed_decides_the_weights(small, tmp_path):
    for name, seed in {"a": "1", "b": "1", "c": "2"}.items():
        assert train(small, tmp_path / name, "--seed", seed, "--quiet") == 0
    a, b, c = (weights(tmp_path / name) for name in "abc")
    assert all(np.array_equal(a[key], b[key]) for key in a)
    assert not all(np.array_equal(a[key], c[key]) for key in a)


def test_quiet_prints_the_accuracy_only(small, tmp_path, capsys):
    assert train(small, tmp_path / "a", "--quiet") == 0
    assert re.fullmatch(r"test accuracy: \d\.\d{3}\n", capsys.readouterr().out)


def test_threads(small, tmp_path):
    before = get_num_threads()
    try:
        assert train(small, tmp_path / "a", "--threads", "1", "--quiet") == 0
        assert get_num_threads() == 1
    finally:
        set_num_threads(before)


def test_early_stopping_puts_the_best_back(small, tmp_path, capsys):
    assert (
        main(
            [
                "train",
                "--data",
                small,
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


def test_a_diverging_run_says_so(small, tmp_path, capsys):
    assert train(small, tmp_path / "a", "--optimizer", "sgd", "--lr", "1e30", "--batch-size", "8") == 1
    error = capsys.readouterr().err
    assert "lower the learning rate" in error and "--debug nan" in error and "Solver" not in error


@pytest.mark.parametrize("validation", ["0", "0.1"])
def test_a_run_that_diverges_in_its_last_update_leaves_no_model(small, tmp_path, capsys, validation):
    """One update: the loss before it is finite, and none follows but the validation's and the test's."""
    options = f"--optimizer sgd --schedule constant --lr 3e38 --batch-size 128 --epochs 1 --val-fraction {validation}"
    wild = options.split()
    assert train(small, tmp_path / "a", *wild) == 1
    captured = capsys.readouterr()
    assert "test accuracy" not in captured.out and "Traceback" not in captured.err
    assert "lower the learning rate (3e+38)" in captured.err
    assert not list((tmp_path / "a").glob("model.*"))
    assert main(["evaluate", str(tmp_path / "a")]) == 2
    assert train(small, tmp_path / "b") == 0 and train(small, tmp_path / "b", *wild) == 1
    assert "the model in it is an earlier run's" in capsys.readouterr().err


def test_test_images_that_are_not_finite(tmp_path, capsys):
    X, y = np.random.default_rng(0).random((40, 8, 8)), np.arange(40) % 2
    bad = X[:10].copy()
    bad[3, 2, 1] = np.nan
    np.savez(tmp_path / "bad.npz", X_train=X, y_train=y, X_test=bad, y_test=y[:10])
    assert train(str(tmp_path / "bad.npz"), tmp_path / "a") == 2
    assert "1 of 10 test images of bad hold NaN or infinite values" in capsys.readouterr().err
    assert not (tmp_path / "a" / "model.json").exists()


# ---------------------------------------------------------------- missing libraries


def test_without_scikit_learn(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    assert main(["train", "--out", str(tmp_path / "a")]) == 2
    assert 'pip install "fastnet-cnn[datasets]"' in capsys.readouterr().err


def test_without_matplotlib(monkeypatch, capsys, small, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert train(small, tmp_path / "a") == 0
    captured = capsys.readouterr()
    assert 'pip install "fastnet-cnn[plot]"' in captured.err and "curves.png" not in captured.out


def test_without_safetensors(monkeypatch, capsys, small, tmp_path):
    monkeypatch.setattr(saved.importlib.util, "find_spec", lambda name: None)
    assert train(small, tmp_path / "a") == 0
    assert (tmp_path / "a" / "model.npz").is_file() and "model.npz" in capsys.readouterr().out
    assert main(["evaluate", str(tmp_path / "a")]) == 0


# ---------------------------------------------------------------- evaluate


def test_evaluate_agrees_with_train(small, tmp_path, capsys):
    train(small, tmp_path / "a")
    trained = float(capsys.readouterr().out.split("test accuracy: ")[1])
    card = json.loads((tmp_path / "a" / "model.json").read_text())
    for what in ("", card["weights"], next((tmp_path / "a").glob("checkpoint-*")).name):
        assert main(["evaluate", str(tmp_path / "a" / what), "--batch-size", "7"]) == 0
        out = capsys.readouterr().out
        assert float(out.split("test accuracy: ")[1]) == pytest.approx(trained, abs=6e-4)
        assert float(out.split("test loss: ")[1].split()[0]) == pytest.approx(card["test"]["loss"], abs=1e-4)
        assert re.search(r"^class +images +right +accuracy", out, re.M) and len(re.findall(r"^[01] ", out, re.M)) == 2


def test_evaluate_refuses_other_images(small, tmp_path, capsys):
    train(small, tmp_path / "a")
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


def test_evaluate_refuses_damage(small, tmp_path, capsys):
    train(small, tmp_path / "a", "--quiet")
    (tmp_path / "a" / "model.json").write_text("{")
    assert main(["evaluate", str(tmp_path / "a")]) == 2
    assert "is damaged" in capsys.readouterr().err


# ---------------------------------------------------------------- mistakes

MISTAKES = {
    "train --model lenet": "did you mean lenet5",
    "train --model lenet5": "lenet5 cannot take images of shape (1, 8, 8)",
    "train --data mnist": "--data mnist:DIR",
    "train --data mnist:nowhere": "no train-images-idx3-ubyte",
    "train --data nowhere.npz": "nowhere.npz: No such file",
    "train --data nowhere": "nowhere does not exist",
    "train --data cifar10:nowhere": "cs.toronto.edu",
    "train --epochs many": "argument --epochs: expected an integer >= 1, got 'many'",
    "train --lr 0": "argument --lr: expected a number > 0",
    "train --val-fraction 1": "argument --val-fraction",
    "train --val-fraction 0 --early-stopping 2": "needs --val-fraction",
    "train --resume nowhere": "--resume nowhere: no such file",
    "train --image-size 8": "--image-size is for image files",
    "train --threads 5000": "error: --threads must be from 1 to 1024",
    "train --optimizer lbfgs": "invalid choice: 'lbfgs'",
    "train --batch 3": "unrecognized arguments: --batch 3",
    "evaluate nowhere": "nowhere does not exist",
    "evaluate .": "holds no model.json",
    "predict nowhere a.png": "nowhere does not exist",
    "predict nowhere": "the following arguments are required: IMAGES",
    "predict nowhere a.png --top 0": "argument --top: expected an integer >= 1",
    "bench --ops conv3d": "no op is named conv3d",
    "bench --json nowhere/a.json": "does not exist",
    "verify --json nowhere/a.json": "does not exist",
    "profile": "the following arguments are required: --model",
    "profile --model lenet": "did you mean lenet5",
    "profile --model lenet5 --input-shape 28x28": "argument --input-shape: expected channels x height x width",
    "profile --model lenet5 --input-shape 1x8x8": "lenet5 cannot take images of shape (1, 8, 8)",
    "profile --model lenet5 --seconds 0": "argument --seconds: expected a number > 0",
    "frobnicate": "invalid choice: 'frobnicate'",
}


@pytest.mark.parametrize("arguments", MISTAKES)
def test_a_mistake_is_told_in_one_line(arguments, tmp_path, monkeypatch, capsys):
    if arguments.split()[0] == "train" and "--data" not in arguments:
        pytest.importorskip("sklearn")
    monkeypatch.chdir(tmp_path)
    try:
        status = main(arguments.split())
    except SystemExit as stop:
        status = stop.code
    error = capsys.readouterr().err
    assert status == 2
    assert error.count("\n") == 1 and re.match(r"fastnet( \w+)?: error: ", error)
    assert MISTAKES[arguments] in error


def test_a_wrong_environment_is_told_in_one_line():
    environment = {**os.environ, "FASTNET_BACKEND": "abacus"}
    done = subprocess.run([sys.executable, "-m", "fastnet", "doctor"], capture_output=True, text=True, env=environment)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "'abacus'" in done.stderr


# ---------------------------------------------------------------- stopping and going on


def test_ctrl_c_saves_and_resume_goes_on_with_the_same_bits(small, tmp_path):
    arguments = [sys.executable, "-m", "fastnet", "train", "--data", small, "--epochs", "150", "--no-plot"]
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


def test_resume_from_a_finished_run_with_more_epochs(small, tmp_path, capsys):
    train(small, tmp_path / "a")
    checkpoint = sorted((tmp_path / "a").glob("checkpoint-*"))[-1]
    capsys.readouterr()
    arguments = ["train", "--data", small, "--out", str(tmp_path / "a"), "--epochs", "3", "--resume", str(checkpoint)]
    assert main(arguments) == 0
    epochs = re.findall(r"^ +(\d+) ", capsys.readouterr().out, re.M)
    assert epochs == ["3"]


def test_resume_of_a_finished_run_says_that_nothing_is_left(small, tmp_path, capsys):
    train(small, tmp_path / "a", "--quiet")
    capsys.readouterr()
    assert train(small, tmp_path / "a", "--quiet", "--resume", "auto") == 0
    expected = "train: nothing to do: 2 epochs are done already, --epochs 2; give more epochs to go on\n"
    assert capsys.readouterr().err == f"fastnet: warning: {expected}"
    assert train(small, tmp_path / "a", "--quiet", "--resume", "auto", "--epochs", "4") == 0
    assert re.match("fastnet: warning: train: the learning rate jumps: the last iteration had", capsys.readouterr().err)


def test_resume_refuses_another_model(small, tmp_path, capsys):
    train(small, tmp_path / "a", "--quiet")
    assert train(small, tmp_path / "a", "--resume", "auto", "--model", "resnet20") == 2
    assert "saved for another model" in capsys.readouterr().err


def test_resuming_with_another_preprocessing_names_the_option(tmp_path, capsys):
    pytest.importorskip("sklearn")
    run = ["train", "--quiet", "--no-plot", "--out", str(tmp_path)]
    assert main([*run, "--epochs", "1"]) == 0
    assert main([*run, "--epochs", "2", "--resume", "auto", "--preprocess", "center"]) == 2
    message = capsys.readouterr().err
    assert "give the same --preprocess and the same training images" in message and "without --resume" in message


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


# ---------------------------------------------------------------- help, doctor, bench


@pytest.mark.parametrize("command", ["train", "check", "evaluate", "predict", "bench", "profile", "verify", "doctor"])
def test_help_shows_examples(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    out = capsys.readouterr().out
    assert stop.value.code == 0 and "examples:" in out and f"fastnet {command}" in out
    assert max(map(len, out.splitlines())) <= 120


def test_help_lists_models_and_data_sets(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    out = capsys.readouterr().out
    assert all(name in out for name in fastnet.models.names())
    assert all(f"{name}:DIR" in out for name in ("mnist", "fashion", "cifar10", "cifar100"))


def test_version_and_python_m(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0 and capsys.readouterr().out == f"fastnet {fastnet.__version__}\n"
    done = subprocess.run([sys.executable, "-m", "fastnet"], capture_output=True, text=True)
    assert done.returncode == 0 and "examples:" in done.stdout


def test_doctor(capsys):
    status = main(["doctor"])
    out = capsys.readouterr().out
    assert status == (0 if backends.NativeOps and "clash" not in out.replace("no clash", "") else 1)
    for line in ("fastnet", "python", "numpy", "backend", "extra plot", "to build: C compiler", "import name"):
        assert re.search(f"^{line} ", out, re.M)
    if backends.NativeOps:
        assert re.search(r"^threads +\d+ \(.+\)$", out, re.M) and re.search("^openmp ", out, re.M)


def test_doctor_sees_the_unrelated_distribution(monkeypatch, capsys):
    versions = {"fastnet": "0.0.9", "fastnet-cnn": "0.1.0"}
    monkeypatch.setattr(doctor.importlib.metadata, "version", versions.__getitem__)
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "FAULT import name: the unrelated distribution fastnet 0.0.9" in out and "pip uninstall fastnet" in out


def test_doctor_sees_wrong_kernels(monkeypatch, capsys):
    if not backends.NativeOps:
        pytest.skip("there are no kernels")
    from fastnet.backends.native.arrays import KERNELS

    right = KERNELS["conv2d_backward"]
    monkeypatch.setitem(KERNELS, "conv2d_backward", lambda *given: (*right(*given)[:2], np.ones(1, np.float32)))
    assert main(["doctor"]) == 1
    assert "FAULT self-test" in capsys.readouterr().out


def test_doctor_without_kernels(monkeypatch, capsys):
    monkeypatch.setattr(backends, "NativeOps", None)
    monkeypatch.setattr(backends, "why_not_native", "not compiled")
    assert main(["doctor"]) == 1
    assert "FAULT native kernels: everything runs on NumPy" in capsys.readouterr().out


def test_bench(capsys, tmp_path):
    if not backends.NativeOps:
        assert main(["bench"]) == 2
        return
    assert main(["bench", "--quick", "--ops", "relu,conv2d", "--json", str(tmp_path / "bench.json")]) == 0
    out = capsys.readouterr().out
    for title in ("op", "shape", "naive ms", "fast ms", "speed-up", "GFLOP/s", "% peak", "ISA", "threads"):
        assert title in out
    assert "FMA peak" in out and "relu" in out and "max_pool2d" not in out
    report = json.loads((tmp_path / "bench.json").read_text())
    assert {row["op"] for row in report["rows"]} == {"relu", "conv2d"} and report["peak_gflops"] > 0


def test_profile(capsys, monkeypatch, tmp_path):
    arguments = [
        "profile",
        "--model",
        "three_layer_convnet",
        "--batch",
        "2",
        "--input-shape",
        "3x8x8",
        "--seconds",
        "1e-3",
    ]
    if not backends.NativeOps:
        assert main(arguments) == 2
        return
    before = get_num_threads()
    try:
        assert main([*arguments, "--threads", "1", "--dtype", "float64"]) == 0
    finally:
        set_num_threads(before)
    out = capsys.readouterr().out
    assert "three_layer_convnet, training step, 2x3x8x8, float64" in out and ", 1 thread, " in out
    for title in ("layer", "pass", "ms", "% step", "GFLOP/s", "% peak", "GB/s", "% mem", "bound by", "how"):
        assert title in out
    pytest.importorskip("matplotlib")
    assert main([*arguments, "--inference", "--classes", "7", "--out", str(tmp_path / "a" / "b")]) == 0
    assert "inference" in capsys.readouterr().out
    report = json.loads((tmp_path / "a" / "b" / "profile.json").read_text())
    assert (report["model"], report["batch"], report["training"]) == ("three_layer_convnet", 2, False)
    assert (tmp_path / "a" / "b" / "roofline.png").read_bytes().startswith(b"\x89PNG")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main([*arguments, "--out", str(tmp_path / "c")]) == 2
    assert 'pip install "fastnet-cnn[plot]"' in capsys.readouterr().err and not (tmp_path / "c").exists()


def test_verify(capsys, monkeypatch, tmp_path):
    if not backends.NativeOps:
        assert main(["verify"]) == 2
        return
    from fastnet import diagnose

    monkeypatch.setattr(diagnose, "variants", lambda: [(backends.native._native.isa(), count) for count in (1, 3)])
    assert main(["verify", "--json", str(tmp_path / "a.json")]) == 0
    out = capsys.readouterr().out
    assert "1 and 3 threads" in out and out.splitlines()[-1] == "the same bits in all of these"
    report = json.loads((tmp_path / "a.json").read_text())
    assert report["same"] and {"float32", "float64"} == set(report["hashes"])
    for name, value in report["hashes"]["float32"].items():
        assert re.search(f"^{name} +{value} ", out, re.M)


def test_verify_says_what_differs(capsys, monkeypatch):
    if not backends.NativeOps:
        pytest.skip("there are no kernels")
    from fastnet import diagnose

    def sometimes(isa, threads, dtype):
        return diagnose.Fingerprint(isa, threads, dtype, {"relu": "a" * 16, "tanh": ("b", "c")[threads == 3] * 16})

    monkeypatch.setattr(diagnose, "fingerprint", sometimes)
    assert main(["verify"]) == 1
    out = capsys.readouterr().out
    assert "DIFFERS tanh, float32: cccccccccccccccc" in out and "DIFFERS relu" not in out
    assert "with 3 threads" in out and "with 2 threads" not in out


def test_the_command_is_installed():
    try:
        entry = importlib.metadata.distribution("fastnet-cnn").entry_points
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("run from a source tree")
    assert [point.value for point in entry if point.name == "fastnet"] == ["fastnet.cli:main"]


@pytest.mark.parametrize(
    "command, message",
    [
        (
            "train --batchsize 32",
            "fastnet train: error: unrecognized arguments: --batchsize 32; did you mean --batch-",
        ),
        ("train --learning-rate=1", r"unrecognized arguments: --learning-rate=1 \(see fastnet train --help\)"),
        ("train photos", r"fastnet train: error: unrecognized arguments: photos \(see fastnet train --help\)"),
        (
            "predict run x.png --topk 3",
            r"fastnet predict: error: .* --topk 3; did you mean --top\? \(see fastnet pre",
        ),
        (
            "--verson",
            r"fastnet: error: unrecognized arguments: --verson; did you mean --version\? \(see fastnet --h",
        ),
    ],
)
def test_unknown_arguments_are_told_with_the_commands_own_help(command, message, capsys):
    with pytest.raises(SystemExit) as stop:
        main(command.split())
    assert stop.value.code == 2 and re.search(message, capsys.readouterr().err)
