"""The benches verify before they time, and their harness is correct."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from isas import needs_kernels

import fastnet
from fastnet import backends, bench

FOLDER = Path(__file__).resolve().parent.parent / "benches"


@pytest.fixture
def peers(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import peers

    return peers


def python(*arguments, **more):
    """Run an interpreter that imports the same fastnet."""
    package = str(Path(fastnet.__file__).parents[1])
    path = os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=environment, **more)


# ---------------------------------------------------------------- fastnet.bench


@needs_kernels
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", bench.cases(quick=True), ids=lambda case: f"{case.op} {case.shape}")
def test_cases_agree_between_backends(case, dtype):
    results = []
    for name in ("native", "reference"):
        with backends.use_backend(name) as ops:
            results.append(case.prepare(ops, 2, dtype)())
    assert bench.difference(*results) < (2e-2 if case.op == "step" else 1e-3 if dtype == "float32" else 1e-9)


def test_every_case_fits_its_columns():
    widths = {title: width for title, _, width, _ in bench._COLUMNS}
    for case in bench.cases(quick=False):
        assert len(case.op) <= widths["op"] and len(case.shape) <= widths["shape"], case


@needs_kernels
def test_a_wrong_kernel_is_not_timed(monkeypatch):
    relu = backends.NativeOps.relu

    def wrong(self, x):
        y, saved = relu(self, x)
        return y * 1.01, saved

    monkeypatch.setattr(backends.NativeOps, "relu", wrong)
    with pytest.raises(RuntimeError, match="relu .* differ by 1.0e-02"):
        bench.run(["relu"], quick=True, show=lambda line: None)


@needs_kernels
def test_rows_add_up():
    lines = []
    report = bench.run(["conv2d", "softmax_loss"], quick=True, show=lines.append)
    assert len(lines) == 5 + len(report.rows)
    macs = {(case.op, case.shape): case.macs for case in bench.cases(quick=True)}
    for row in report.rows:
        assert row.speed_up == pytest.approx(row.naive_ms / row.fast_ms) and 1 <= row.naive_batch <= row.batch
        if row.op == "conv2d":
            assert row.gflops == pytest.approx(2e-6 * macs[row.op, row.shape] * row.batch / row.fast_ms)
            assert row.percent_of_peak == pytest.approx(100 * row.gflops / report.peak_gflops)
        else:
            assert row.gflops is None and row.naive_batch == row.batch
    assert json.loads(report.to_json())["rows"][0]["isa"] == report.rows[0].isa


def test_difference_sees_shapes_values_and_nan():
    a = np.arange(1.0, 7.0).reshape(2, 3)
    assert bench.difference([a, 2.0], [a.copy(), 2.0]) == 0
    assert bench.difference([a * 1.5], [a]) == pytest.approx(0.5)
    assert np.isnan(bench.difference([a], [a.T]))
    a[0, 0] = np.nan
    assert not bench.difference([a], [np.ones((2, 3))]) <= 1


def test_unknown_ops_and_missing_kernels(monkeypatch):
    with pytest.raises(ValueError, match="no op is named conv3d; known: conv2d"):
        bench.run(["conv3d"])
    monkeypatch.setattr(backends, "NativeOps", None)
    with pytest.raises(RuntimeError, match="no native kernels"):
        bench.run()


# ---------------------------------------------------------------- benches/ with pytest-benchmark


def test_plain_pytest_does_not_collect_benches():
    done = python(
        "-m",
        "pytest",
        "--collect-only",
        "-q",
        "-p",
        "no:cacheprovider",
        str(FOLDER.parent / "tests" / "test_benches.py"),
    )
    assert "bench_conv.py" not in done.stdout and done.returncode == 0


def test_benches_verify():
    pytest.importorskip("pytest_benchmark")
    done = python("-m", "pytest", str(FOLDER), "-q", "-p", "no:cacheprovider", "--benchmark-disable")
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout


# ---------------------------------------------------------------- the harness of peers

WORKER = """
import sys, time
sys.path.insert(0, {folder!r})
import peers
def prepare(case):
    if case.get("fail"):
        raise ValueError("no such case")
    print("noise of a library")
    return (lambda: time.sleep({seconds})), [[case["value"] * {factor}, 2.0]]
peers.serve(prepare)
"""


def side(peers, name, seconds, factor=1.0):
    code = WORKER.format(folder=str(FOLDER), seconds=seconds, factor=factor)
    return peers.Side(name, [sys.executable, "-c", code])


def test_compare_times_all_sides_in_turn(peers):
    sides = [side(peers, "quick", 0.001), side(peers, "slow", 0.004)]
    seen = []
    (found,) = peers.compare(sides, [{"value": 3.0}], 1, 2, 0.01, show=lambda case, timings: seen.append(case))
    assert found["quick"].best >= 1 and found["slow"].best >= 4 and found["slow"].median >= found["slow"].best
    assert peers.ratio(found, "quick") == found["slow"].best / found["quick"].best > 1
    assert seen == [{"value": 3.0}]


def test_who_may_fail_is_left_out_of_a_case(peers, capsys):
    may_fail = side(peers, "b", 0, 1.1)._replace(may_fail=True)
    sides = [side(peers, "a", 0), may_fail, side(peers, "c", 0)]
    table = peers.Table([each.name for each in sides], "a")
    case = {"name": "a case", "value": 3.0}
    (found,) = peers.compare(sides, [case], 1, 1, 0.0, show=table.row)
    assert list(found) == ["a", "c"] and peers.ratio(found, "a") == found["c"].best / found["a"].best
    told, row = capsys.readouterr().out.splitlines()[1:]
    assert "b is left out" in told and "b and a compute different results" in told
    assert row.split()[:2] == ["a", "case"] and row.split()[3] == "-"
    with pytest.raises(peers.PeerError, match="nobody is left to compare a with"):
        peers.compare([sides[0], may_fail], [case], 1, 1, 0.0)


def test_sleeping_takes_no_processor_time(peers):
    (found,) = peers.compare([side(peers, "asleep", 0.05)], [{"value": 3.0}], 1, 1, 0.0, cpu_time=True)
    assert found["asleep"].best < 25


def test_compare_refuses_different_results_and_failures(peers):
    with pytest.raises(peers.PeerError, match="b and a compute different results"):
        peers.compare([side(peers, "a", 0), side(peers, "b", 0, 1.1)], [{"value": 3.0}], 1, 1, 0.0)
    with pytest.raises(peers.PeerError, match="a: ValueError: no such case"):
        peers.compare([side(peers, "a", 0)], [{"fail": True}], 1, 1, 0.0)
    with pytest.raises(peers.PeerError, match="gone: the worker has ended with status 3"):
        peers.compare([peers.Side("gone", [sys.executable, "-c", "raise SystemExit(3)"])], [{"value": 1.0}], 1)


def test_fingerprints(peers):
    a = np.random.default_rng(0).standard_normal((4, 5))
    mine = [peers.fingerprint(a)]
    assert peers.agree([peers.fingerprint(a * (1 + 1e-4))], mine, 1e-3)
    for other in (a * 1.1, a[::-1], a[:, :4], a * np.nan):
        assert not peers.agree([peers.fingerprint(other)], mine, 1e-3)
    assert not peers.agree([], mine, 1e-3)
    assert peers.geometric_mean([1.0, 4.0]) == pytest.approx(2)


@pytest.mark.peers
@needs_kernels
@pytest.mark.parametrize(
    "peer, module, batch",
    [
        ("onnxruntime", "onnxruntime", 2),
        ("openvino", "openvino", 2),
        ("ncnn", "ncnn", 1),
        ("MNN", "MNN", 2),
        ("torch NHWC", "torch", 2),
    ],
)
def test_inference(peer, module, batch):
    pytest.importorskip(module)
    if peer in ("onnxruntime", "openvino", "MNN"):
        pytest.importorskip("onnx")
    options = ["--quick", "--batches", str(batch), "--threads", "1", "--peers", peer]
    done = python(str(FOLDER / "inference.py"), *options)
    assert done.returncode == 0, done.stderr
    assert f"batch {batch}: geometric mean" in done.stdout and "mobilenet_v2-224" in done.stdout
    assert "predict" in done.stdout.split(f"\nbatch {batch},")[1].splitlines()[1].split()


def test_inference_leaves_out_what_is_not_installed(tmp_path):
    nothing = tmp_path / "python"
    nothing.write_text("#!/bin/sh\nexit 1\n")
    nothing.chmod(0o755)
    done = python(str(FOLDER / "inference.py"), "--peer-python", str(nothing), "--torch-python", str(nothing))
    assert done.returncode == 1 and "no peer is installed" in done.stderr
    assert f"ncnn is left out: {nothing} cannot import ncnn" in done.stdout
    assert f"MNN is left out: {nothing} cannot import MNN, onnx" in done.stdout
    assert "pip install MNN onnx" in done.stdout


@needs_kernels
def test_overhead():
    done = python(str(FOLDER / "overhead.py"), "--rounds", "1")
    assert done.returncode == 0, done.stderr
    assert "import fastnet" in done.stdout and "functional.conv2d" in done.stdout


@needs_kernels
def test_growth(tmp_path):
    pytest.importorskip("matplotlib")
    files = ["--out", str(tmp_path / "a.png"), "--json", str(tmp_path / "a.json")]
    done = python(str(FOLDER / "growth.py"), "--quick", "--threads", "2", *files)
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "a.json").read_text())["rows"]
    assert [row["series"] for row in rows] == ["batch"] * 3 + ["channels"] * 3 + ["size"] * 3 + ["threads"] * 2
    assert all(row["ms_per_image"] == row["ms"] / row["batch"] for row in rows)
    one, two = rows[-2:]
    assert one["efficiency"] == 1 and two["efficiency"] == pytest.approx(one["ms"] / two["ms"] / 2)
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_growth_does_not_time_wrong_gradients(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import growth

    right = growth.gradients
    answers = iter([1.1, 1.0])

    def wrong(**case):
        factor = next(answers)
        return [factor * part for part in right(**case)]

    monkeypatch.setattr(growth, "gradients", wrong)
    with pytest.raises(RuntimeError, match="differ from the reference's by .*; nothing was timed"):
        growth.verify({"batch": 2, "channels": 8, "size": 8})


@needs_kernels
@pytest.mark.parametrize("arguments", [(), ("--train", "--iterations", "1")], ids=["layers", "training"])
def test_course(arguments):
    done = python(str(FOLDER / "course.py"), "--quick", *arguments)
    assert done.returncode == 0, done.stderr
    assert "fastnet " in done.stdout and "to reach" in done.stdout


@needs_kernels
def test_course_does_not_time_wrong_results(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import course

    pool = course.FASTNET.max_pool_backward
    monkeypatch.setattr(course.FASTNET, "max_pool_backward", lambda dout, cache: pool(dout, cache) * (1 + 1e-15))
    course.verify(course.CASES[0], 1)
    with pytest.raises(RuntimeError, match="2x2 max pool, 100x3x32x32: the sides differ by .*e-16; nothing was timed"):
        course.verify(course.CASES[1], 1)


# ---------------------------------------------------------------- papers.py


@pytest.fixture
def papers(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import papers

    return papers


def test_time_to_accuracy(papers):
    run = [{"seconds": 2.0, "accuracy": accuracy} for accuracy in (90.0, 99.1, 98.9)]
    assert papers.seconds_to(99.0, run) == 4 and papers.seconds_to(99.5, run) is None
    recipe = papers.recipes.RECIPES["lenet5"]
    (row,) = papers.rows(recipe, {"fastnet": [run, run[::-1]]})
    assert row["accuracy"] == pytest.approx((98.9 + 90.0) / 2) and row["seconds_to_goal"] == 4
    assert row["seconds_per_epoch"] == 2 and row["deviation"] == pytest.approx(8.9 / 2**0.5)
    never = papers.rows(recipe, {"fastnet": [run, run[:1]]})
    assert never[0]["seconds_to_goal"] is None
    assert papers.recipes.factor(0, 10) == 1 and papers.recipes.factor(5, 10) == pytest.approx(0.5)


@pytest.mark.parametrize(
    "net, size", [("lenet5", 28), ("two_conv", 28), ("resnet18", 28), ("resnet18", 96), ("mobilenet_v2", 64)]
)
def test_both_sides_train_one_network(papers, net, size):
    torch = pytest.importorskip("torch")
    import torch_nets

    model = papers.nets.create(net, {}, (1, size, size), "float32", seed=3)
    x = np.random.default_rng(0).standard_normal((2, 1, size, size), dtype=np.float32)
    twin = torch_nets.load(net, model.state_dict(), channels=1, size=size).eval()
    with torch.inference_mode():
        expected = twin(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(model(x), expected, rtol=1e-3, atol=1e-4)
