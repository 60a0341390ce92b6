"""gpu_check.py: training with captured steps gives the bits of training op by op, and the same bits each time.

    python benches/gpu_replay.py [--quick]

trains on the GPU and prints for each network a digest of losses and weights, and why steps were not captured, as JSON.
The section runs it with FASTNET_GPU_GRAPHS=0 once and with 1 twice.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gpu_rows
import nets
import numpy as np
from gpu_rows import Row, Settings

import fastnet as fn

RUNS = {"op by op": "0", "captured": "1", "captured again": "1"}
TRAININGS: dict[str, tuple[tuple[int, ...], dict[str, Any], Callable[[], fn.optim.Optimizer]]] = {
    "lenet5": ((1, 28, 28), {}, lambda: fn.optim.SGD(0.02, momentum=0.9)),
    "two_conv": ((1, 28, 28), {}, lambda: fn.optim.Adam(1e-3)),  # with dropout
    "resnet20": ((3, 32, 32), {}, lambda: fn.optim.SGD(0.05, momentum=0.9, weight_decay=1e-4, nesterov=True)),
}
QUICK = {"lenet5": ((1, 28, 28), {"filters": (2, 3)}, TRAININGS["lenet5"][2])}


def train(net: str, quick: bool) -> tuple[str, str]:
    """A digest of losses, weights and running statistics after steps on batches of two sizes, and the plan's reason."""
    shape, options, optimizer = (QUICK if quick else TRAININGS)[net]
    rng, ops, sizes = np.random.default_rng(0), fn.backends.current(), (2, 1) if quick else (64, 40)
    model, sgd = nets.create(net, options, shape, "float32"), optimizer()
    plan, parameters = fn.training.TrainingPlan(model), model.parameters(requires_grad=True)
    found, reason = hashlib.sha256(), ""
    for step in range(6 if quick else 12):
        N = sizes[step // 2 % 2]
        x, labels = rng.standard_normal((N, *shape), "float32"), rng.integers(0, 10, N)
        model.zero_grad()
        loss, _ = plan(ops.asarray(x), ops.xp.asarray(labels))
        sgd.step(parameters)
        found.update(np.float64(loss).tobytes())
        reason = plan.reason
    for name, array in model.state_dict().items():
        found.update(name.encode() + np.ascontiguousarray(array).tobytes())
    return found.hexdigest(), reason


def rows(settings: Settings) -> Iterator[Row]:
    command = [sys.executable, str(Path(__file__).resolve()), *(["--quick"] if settings.quick else [])]
    found: dict[str, dict[str, tuple[str, str]]] = {}
    end = time.monotonic() + settings.seconds - 3
    for name, graphs in RUNS.items():
        ended = gpu_rows.run(command, end - time.monotonic(), {"FASTNET_GPU_GRAPHS": graphs})
        if ended.failure:
            print(ended.said, flush=True)
            yield Row(name, False, f"{ended.failure}: {gpu_rows.last_line(ended.said)}")
            return
        found[name] = json.loads(ended.output)
    yield from compared(*found.values())


def compared(*runs: dict[str, tuple[str, str]]) -> Iterator[Row]:
    """A row for each network, of runs op by op, captured, and captured again."""
    for net in runs[0]:
        (eager, _), (first, reason), (second, _) = (run[net] for run in runs)
        said = [f"not captured: {reason}"] if reason else []
        said += ["captured steps have other bits than steps op by op"] if first != eager else []
        said += ["two runs differ"] if first != second else []
        yield Row(net, not said, "; ".join(said) or "captured, captured again and op by op: the same bits")


def main() -> None:
    quick = "--quick" in sys.argv
    with gpu_rows.device():
        print(json.dumps({net: train(net, quick) for net in (QUICK if quick else TRAININGS)}))


if __name__ == "__main__":
    main()
