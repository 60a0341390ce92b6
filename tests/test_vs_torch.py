"""The comparison with PyTorch: its cases, both sides, its totals; and the comparison of memory. No times."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from isas import needs_kernels

import fastnet
from fastnet import backends, bench
from fastnet.geometry import Conv2dGeometry, Pool2dGeometry

FOLDER = Path(__file__).resolve().parent.parent / "benches"
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory.py is for Linux")
OTHERS = ["stride2", "large", "depthwise", "pointwise", "first", "few"]
EAGER = ["--peers", "torch NCHW", "torch NHWC"]


@pytest.fixture(autouse=True)
def benches(monkeypatch):
    """Tests import the benches' modules inside."""
    monkeypatch.syspath_prepend(str(FOLDER))


def python(*arguments):
    """Run an interpreter that imports the same fastnet, and the benches."""
    path = os.pathsep.join([str(Path(fastnet.__file__).parents[1]), str(FOLDER), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=environment)


def cases(tmp_path, *kinds, dtype="float64", quick=True):
    import workloads

    return workloads.cases(kinds or workloads.LISTS, dtype, quick, tmp_path)


# ---------------------------------------------------------------- cases


def test_cases_are_what_their_lists_say(tmp_path):
    found = cases(tmp_path, quick=False)
    assert json.loads(json.dumps(found)) and len({case["name"] for case in found}) == len(found)
    for case in found:
        if case["kind"] in ("conv3x3", "narrow"):
            _, C, _, K, *rest = case["shape"]
            low, high = (48, 320) if case["kind"] == "conv3x3" else (16, 47)
            assert low <= min(C, K) and max(C, K) <= high and rest == [3, 1, 1, 1]
        if case["kind"] in ("pool", "norm"):
            size = 4 * math.prod(case["shape"])
            assert 4e6 < size < 200e6 and size.bit_count() > 1 and case["shape"][2] % 2 == 0
    nets = [case["net"] for case in found if case["kind"] == "step" and not case["options"]]
    assert nets == ["three_layer_convnet", "lenet5", "resnet20", "vgg11_bn", "resnet9"]
    kinds = {
        "stride2": {(3, 2)},
        "large": {(5, 1), (7, 1), (7, 2)},
        "depthwise": {(3, 1), (3, 2)},
        "pointwise": {(1, 1)},
        "pointwise_block": {(1, 1)},
        "first": {(3, 1)},
        "few": {(7, 2), (3, 2), (1, 1), (3, 1)},
    }
    for kind, expected in kinds.items():
        shapes = [case["shape"] for case in found if case["kind"] == kind]
        assert {(R, stride) for *_, R, stride, _, _ in shapes} == expected
        assert all((groups > 1) == (kind == "depthwise") and groups in (1, C) for _, C, *_, groups in shapes)
        assert all((N == 1) == (kind == "few") and (C <= 3) >= (kind == "first") for N, C, *_ in shapes)
    tuned = [(case["net"], case["shape"]) for case in found if case["kind"] == "finetune"]
    assert ("resnet18", [8, 3, 224, 224]) in tuned and ("mobilenet_v2", [16, 3, 96, 96]) in tuned


def test_data_fits_and_is_the_same_each_time(tmp_path):
    import workloads

    for case in cases(tmp_path, "conv3x3", "narrow", *workloads.OTHERS, "pool", "norm", dtype="float32"):
        arrays = workloads.data(case)
        assert all(array.dtype == np.float32 for array in arrays)
        assert all(np.array_equal(a, b) for a, b in zip(arrays, workloads.data(case), strict=True))
        x, *_, dy = arrays
        if "macs" in case:
            stride, pad, groups = case["shape"][-3:]
            geometry = Conv2dGeometry.make(x.shape, arrays[1].shape, stride, pad, groups=groups)
            assert dy.shape == geometry.y_shape and case["macs"] == 3 * geometry.macs
        elif case["kind"] == "pool":
            assert dy.shape == Pool2dGeometry.make(x.shape, 2).y_shape
        else:
            assert dy.shape == x.shape


@needs_kernels
@pytest.mark.parametrize(
    "kind", ["narrow", *OTHERS, "pointwise_block", "pool", "norm", "activation", "conv_activation", "step"]
)
def test_fastnet_computes_what_the_reference_does(tmp_path, kind):
    import fastnet_worker

    case = min(cases(tmp_path, kind), key=lambda case: math.prod(case["shape"][:4]))
    case["shape"] = [2, *case["shape"][1:]]
    results = []
    for name in ("native", "reference"):
        with backends.use_backend(name):
            call, found = fastnet_worker.prepare(case)
            results.append([np.array(result) for result in found])
            call()
    assert bench.difference(*results) < 1e-9


def test_a_step_trains(tmp_path):
    import fastnet_worker

    case = next(case for case in cases(tmp_path, "step") if case["net"] == "lenet5")
    call, (first, second, moved) = fastnet_worker.prepare({**case, "shape": [2, *case["shape"][1:]]})
    assert call() < second < first and np.count_nonzero(moved) > moved.size / 4
    assert Path(case["weights"]).exists()


# ---------------------------------------------------------------- sums


@pytest.fixture
def run():
    """A run of made-up times: ratios 2 and 8 in conv3x3, 1.5 in step."""
    import peers
    import report

    def result(kind, name, mine, other, **more):
        timings = {"fastnet": mine, "torch NCHW": 2 * other, "torch NHWC": other}
        timings = {side: peers.Timing(ms, ms) for side, ms in timings.items()}
        return report.Result({"kind": kind, "name": name, **more}, timings)

    results = [
        result("conv3x3", "slow", 2.0, 4.0, macs=10**8),
        result("conv3x3", "fast", 1.0, 8.0, macs=10**8),
        result("step", "net", 2.0, 3.0),
    ]
    return report.Run("a machine", "python benches/vs_torch.py", "float32", 150.0, results)


def test_lines_say_what_was_reached(run):
    import report

    assert report.lines(run) == [
        "conv3x3: geometric mean 4.00x (to reach: 2.5x; reached), least 2.00x (to reach: 1.8x; reached) at slow",
        "conv3x3: effective 100 to 200 GFLOP/s, 1 of 2 above the FMA peak of 150 GFLOP/s measured in this run "
        "(to reach: all; not reached)",
        "step: geometric mean 1.50x (to reach: 2.5x; not reached), least 1.50x (to reach: 1.8x; not reached) at net",
    ]
    double = report.lines(run._replace(dtype="float64"))
    assert double[0] == "conv3x3: geometric mean 4.00x (to reach: 1.5x; reached), least 2.00x at slow"
    assert "1.50x (to reach: 2x; not reached), least 1.50x (to reach: 1x; reached) at net" in double[-1]


def test_markdown_has_a_row_for_each_list_and_case(run):
    import report

    text = report.markdown(run)
    assert text.startswith("a machine, ") and "`python benches/vs_torch.py`" in text
    title = "3x3 convolutions at stride 1, 48 to 320 channels"
    assert f"| {title} | 2 | 4.00x (to reach: 2.5x; reached) | 2.00x (to reach: 1.8x; reached) |" in text
    assert "| fast | 1.00 | 16.00 | 8.00 | 8.00x | 8.00x | 200 |" in text
    assert "| net | 2.00 | 6.00 | 3.00 | 1.50x | 1.50x |  |" in text
    for block in text.split("\n\n"):
        assert len({line.count("|") for line in block.splitlines() if line.startswith("|")}) <= 1


def test_the_command_in_the_table_is_what_bears_on_it():
    import vs_torch

    words = ["--only", "step", "--dtype", "float64", "--cpu-time", "--json", "a.json", "--torch-python", "python3"]
    args = vs_torch.parser().parse_args(words)
    assert vs_torch.command(args) == "python benches/vs_torch.py --only step --dtype float64 --cpu-time"
    assert vs_torch.command(vs_torch.parser().parse_args([])) == "python benches/vs_torch.py"


# ---------------------------------------------------------------- PyTorch's sides


def interpreter(tmp_path, script):
    path = tmp_path / "python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for an interpreter is a shell script")
def test_what_is_not_there_is_said(tmp_path, capsys):
    import peers
    import vs_torch

    nothing = interpreter(tmp_path, "echo 'No module named torch' >&2; exit 1")
    with pytest.raises(peers.PeerError, match=r"has no PyTorch \(No module named torch\); --torch-python names"):
        vs_torch.torch_sides(nothing, list(vs_torch.PEERS))
    with pytest.raises(peers.PeerError, match="has no PyTorch"):
        vs_torch.torch_sides(str(tmp_path / "nowhere"), list(vs_torch.PEERS))
    eager = interpreter(tmp_path, 'case "$2" in *compile*) echo "no C++ compiler" >&2; exit 1;; esac; echo 2.13')
    version, sides = vs_torch.torch_sides(eager, list(vs_torch.MODES))
    assert version == "2.13" and [side.name for side in sides] == EAGER[1:]
    assert "torch.compile is left out, it does not work here: no C++ compiler" in capsys.readouterr().out
    with pytest.raises(peers.PeerError, match="nothing is left"):
        vs_torch.torch_sides(eager, ["compiled NCHW"])


def test_allocators_are_found_or_told(monkeypatch, capsys):
    import allocators
    import vs_torch

    paths = {"libtcmalloc.so.4": "/a/libtcmalloc.so.4", "libm.so.6": "/a/libm.so.6"}
    monkeypatch.setattr(allocators, "installed", lambda: paths)
    monkeypatch.setattr(vs_torch.peers, "said", lambda python, code: "2.13")
    _, sides = vs_torch.torch_sides("python", list(vs_torch.PEERS))
    assert [side.name for side in sides] == list(vs_torch.PEERS)[:8]  # all but jemalloc's
    for side in sides:
        tuned = {"LD_PRELOAD": "/a/libtcmalloc.so.4", "THP_MEM_ALLOC_ENABLE": "1"}
        assert side.environment == (tuned if side.name.endswith("tcmalloc") else {})
        assert side.may_fail == side.name.startswith("compiled") == ("--compile" in side.command)
    assert capsys.readouterr().out.splitlines() == [
        "allocator glibc: the default",
        "allocator tcmalloc: /a/libtcmalloc.so.4",
        "allocator jemalloc is left out: ldconfig lists no libjemalloc.so.2 (on Debian: apt install libjemalloc2)",
    ]
    paths["libtcmalloc_minimal.so.4"], paths["libjemalloc.so.2"] = "/b/minimal", "/b/jemalloc"
    assert allocators.environment("tcmalloc")["LD_PRELOAD"] == "/b/minimal"
    jemalloc = allocators.environment("jemalloc")
    assert jemalloc["LD_PRELOAD"] == "/b/jemalloc" and "dirty_decay_ms:-1" in jemalloc["MALLOC_CONF"]


def test_ratios_with_and_without_tuned_allocators():
    import peers
    import report

    timings = {"fastnet": 1.0, "torch NCHW": 4.0, "compiled NHWC": 3.0, "torch NHWC tcmalloc": 2.0}
    result = report.Result({"name": "a case"}, {side: peers.Timing(ms, ms) for side, ms in timings.items()})
    assert result.ratio == 2 and result.untuned == 3
    only_tuned = report.Result({}, {side: result.timings[side] for side in ("fastnet", "torch NHWC tcmalloc")})
    assert only_tuned.ratio == 2 and only_tuned.untuned is None and only_tuned.untuned_text() == ""


def test_a_worker_runs_with_the_allocator():
    import allocators
    import peers

    name = "libtcmalloc_minimal.so.4"
    if name not in allocators.installed():
        pytest.skip(f"{name} is not installed")
    code = """
import os, peers
loaded = os.path.exists("/proc/self/maps") and open("/proc/self/maps").read().count("tcmalloc") > 0
peers.serve(lambda case: (lambda: None, [float(loaded), float(os.environ.get("THP_MEM_ALLOC_ENABLE", 0))]))
"""
    for allocator, expected in {"tcmalloc": 1.0, "glibc": 0.0}.items():
        environment = {"PYTHONPATH": str(FOLDER), **allocators.environment(allocator)}
        worker = peers.Worker(peers.Side("a", [sys.executable, "-c", code], environment=environment), 1)
        found = worker.ask(do="prepare", case={})["fingerprint"]
        worker.close()
        assert [norm for norm, _, _ in found] == [expected, expected]


@pytest.mark.peers
@needs_kernels
@pytest.mark.parametrize(
    "options",
    [
        ["--only", "step", "--match", "resnet20 of", "--dtype", "float64", "--peers", "torch NCHW"],
        ["--only", "step", "--match", "resnet20,", "--peers", "torch NHWC"],
        ["--only", *OTHERS, "pointwise_block", "pool", "norm", "--peers", "torch NHWC"],
        ["--only", "finetune", "--dtype", "float64", "--match", "8x3x96x96", "--peers", "torch NHWC"],
        ["--only", "narrow", "--dtype", "float64", "--algorithm", "direct", "--peers", "torch NHWC"],
        ["--only", "norm", "--match", "x24x48x48", "--peers", "compiled NHWC"],
    ],
    ids=" ".join,
)
def test_both_sides_compute_the_same(options, tmp_path):
    pytest.importorskip("torch")
    files = ["--json", str(tmp_path / "a.json"), "--markdown", str(tmp_path / "a.md")]
    done = python(str(FOLDER / "vs_torch.py"), "--quick", "--cpu-time", *options, *files)
    assert done.returncode == 0, done.stderr
    if "compile is left out" in done.stdout:
        pytest.skip(done.stdout)
    kind = options[1]
    assert f"\n{kind}: geometric mean " in done.stdout
    results = json.loads((tmp_path / "a.json").read_text())["results"]
    assert len(results[0]["timings"]) == 1 + len(options[options.index("--peers") + 1 :])
    assert (tmp_path / "a.md").read_text().count("\n| ") >= len(results)


# ---------------------------------------------------------------- memory


@linux
def test_memory_sees_what_is_taken_and_given_back():
    code = """
import memory, numpy as np
base = memory.settle()
array = np.ones(2**23)
print((memory.resident("VmHWM") - base) / 2**20)
del array
print((memory.resident("VmHWM") - base) / 2**20)
print((memory.settle() - base) / 2**20, (memory.resident("VmHWM") - base) / 2**20)
"""
    done = python("-c", code)
    assert done.returncode == 0, done.stderr
    peak, still, after, forgotten = map(float, done.stdout.split())
    assert 63 < peak < 72 and 63 < still < 72 and after < 8 and forgotten < 8


@linux
@needs_kernels
def test_memory_of_fastnet(tmp_path, monkeypatch):
    import memory

    monkeypatch.setenv("PYTHONPATH", str(Path(fastnet.__file__).parents[1]))
    case = next(case for case in cases(tmp_path, "step", quick=False) if case["net"] == "lenet5")
    found = memory.ask(sys.executable, "fastnet", case, 1)
    x = 4 * math.prod(case["shape"])
    assert len(found["losses"]) == memory.STEPS and found["losses"][-1] < found["losses"][0]
    assert 6 * x < found["used"] <= found["kept"] < 2 * found["resident"]  # conv1 alone makes six maps of x's size


def test_memory_refuses_sides_that_train_differently(monkeypatch):
    import memory
    import peers

    answers = {side: {"losses": [2.0, 1.9]} for side in memory.SIDES}
    monkeypatch.setattr(memory, "ask", lambda python, side, case, threads: answers[side])
    assert memory.compare({}, 1, "python") == answers
    answers["torch NHWC"] = {"losses": [2.0, 1.8]}
    with pytest.raises(peers.PeerError, match="torch NHWC and fastnet train differently"):
        memory.compare({}, 1, "python")


@linux
@pytest.mark.peers
@needs_kernels
def test_memory_against_torch():
    pytest.importorskip("torch")
    done = python(str(FOLDER / "memory.py"), "--quick", "--net", "lenet5")
    assert done.returncode == 0, done.stderr
    assert "torch NHWC" in done.stdout and "of PyTorch's better layout (to reach: at most 1; " in done.stdout


@needs_kernels
def test_optimizers_are_compared_before_they_are_timed():
    pytest.importorskip("torch")
    done = python(str(FOLDER / "optimizers.py"), "--quick", "--only", "SGD, nesterov", "NAdam", "clip_grad_norm")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line for line in done.stdout.splitlines() if "; " in line and "left out" not in line]
    assert len(rows) == 6 and "x the speed of PyTorch's best" in done.stdout
