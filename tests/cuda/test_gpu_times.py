"""benches/gpu_times.py: cases, ratios, and both sides on the CPU. No times."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from cuda.sections import MARKS, benches, rows, settings  # noqa: F401

pytestmark = MARKS


def test_ratios_are_of_medians_for_a_step():
    import gpu_times
    import peers

    case = gpu_times.cases(False, Path("weights"))[0]
    assert case["steps"] == 20 and case["shape"] == [50, 3, 32, 32] and not case["tf32"]
    ms = {"fastnet": 40.0, "eager": 70.0, "graph": 36.0}
    (row,) = gpu_times.compared(case, {name: peers.Timing(1.0, each) for name, each in ms.items()})
    assert row.figures["of_best"] == pytest.approx(0.9) and row.figures["of_eager"] == pytest.approx(1.75)
    assert row.found == (
        "fastnet 2.000 ms; eager 3.500, graph 1.800; of the best, graph: 0.90x (to reach: 1x; not reached); "
        "of eager: 1.75x (to reach: 1.5x; reached)"
    )
    pair = {"fastnet": peers.Timing(1.0, 40.0), "fastnet with cuDNN": peers.Timing(1.0, 20.0)}
    alone, other = gpu_times.compared(case, pair)
    assert (alone.found, other.found) == ("fastnet 2.000 ms", "fastnet with cuDNN 1.000 ms")
    assert other.check == alone.check + ", cuDNN"


def test_cases_are_the_six_networks_in_both_precisions():
    import gpu_times

    found = gpu_times.cases(False, Path("weights"))
    nets = ["three_layer_convnet", "lenet5", "resnet20", "vgg11_bn", "resnet9", "resnet18"]
    assert [case["net"] for case in found] == 2 * nets and [case["tf32"] for case in found] == 6 * [False] + 6 * [True]
    assert found[5]["shape"] == [64, 3, 224, 224] and json.dumps(found)


def test_what_has_no_time_or_no_peer_is_said():
    import gpu_times

    given = settings(torch_python="/nowhere/python")._replace(seconds=20.0)
    found = list(gpu_times.rows(given))
    assert found[0].found.startswith("none to compare with: /nowhere/python: ")
    assert [row.found for row in found[1:]] == 2 * ["no time was left"]


@pytest.mark.peers
def test_both_sides_agree_before_they_are_timed():
    pytest.importorskip("torch")
    about, *found = rows("times", torch_device="cpu")
    assert about.found.endswith(f" of {sys.executable}")
    assert [row.check.split(", ")[-1] for row in found] == ["float32", "TF32"]
    for row in found:
        assert row.passed and list(row.figures["ms"]) == ["fastnet", "eager", "channels_last"], row


@pytest.mark.peers
def test_a_captured_step_begins_where_the_others_do(monkeypatch, tmp_path):
    torch = pytest.importorskip("torch")
    import gpu_times
    import nets
    import torch_worker

    class Nothing:
        """What is captured runs."""

        def __init__(self, *_): ...
        def __enter__(self): ...
        def __exit__(self, *_): ...
        def wait_stream(self, other): ...

    for name in ("Stream", "stream", "current_stream", "graph", "CUDAGraph"):
        monkeypatch.setattr(torch.cuda, name, Nothing)
    capture = torch_worker.captured
    monkeypatch.setattr(torch_worker, "captured", lambda call, *more: capture(call, *more) and call)
    case = gpu_times.cases(True, tmp_path)[0]
    nets.create(case["net"], case["options"], (1, 32, 32), "float32").save(case["weights"])
    found = [torch_worker.Torch("NCHW", False, graphed=graphed).prepare_step(case)[1] for graphed in (False, True)]
    assert all(map(np.array_equal, *found)) and found[0][0] > found[0][1]
