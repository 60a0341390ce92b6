"""fastnet's side of gpu_times.py: a worker process that prepares a training step on the GPU and times it on request."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from typing import Any

import gpu_rows
import nets
import numpy as np
import peers
import workloads

import fastnet as fn


def prepare(case: dict[str, Any]) -> tuple[Callable[[], None], Sequence[Any]]:
    """Blocks of steps to time; the losses of the first two steps and the change of the parameters over them."""
    gc.collect()  # the last case's arrays
    fn.set_float32_precision("tf32" if case["tf32"] else "highest")
    ops = fn.backends.current()
    x, labels = workloads.data(case)
    x, labels = ops.asarray(x), ops.xp.asarray(labels)
    model = nets.create(case["net"], case["options"], tuple(x.shape[1:]), case["dtype"])
    model.save(case["weights"])
    plan, sgd = fn.training.TrainingPlan(model), fn.optim.SGD(workloads.RATE, momentum=0.9)
    parameters = model.parameters(requires_grad=True)
    before = [np.array(ops.to_numpy(parameter.value)) for parameter in parameters]

    def step() -> float:
        model.zero_grad()
        loss, _ = plan(x, labels)
        sgd.step(parameters)
        return loss

    def block() -> None:
        for _ in range(case["steps"]):
            step()
        ops.xp.cuda.Device().synchronize()

    losses = [step(), step()]
    moved = [ops.to_numpy(parameter.value) - old for parameter, old in zip(parameters, before, strict=True)]
    return block, [*losses, np.concatenate([each.ravel() for each in moved])]


def main() -> None:
    with gpu_rows.device():
        peers.serve(prepare)


if __name__ == "__main__":
    main()
