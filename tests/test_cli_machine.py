"""The commands about this machine and installation: help, doctor, bench, profile, verify."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import re
import subprocess
import sys

import numpy as np
import pytest

import fastnet
from fastnet import backends
from fastnet.cli import doctor, main
from fastnet.threads import get_num_threads, set_num_threads


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
