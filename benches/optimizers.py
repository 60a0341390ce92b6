"""Optimisers' steps, clipping and averages of weights at 10 million parameters against PyTorch's, on this machine.

    python benches/optimizers.py [--quick] [--only Adam SGD] [--torch-python PATH] [--allocator tcmalloc]

Two lists of parameters: ResNet-18's 62 tensors, and one tensor.  PyTorch runs in its fused, foreach and plain variants;
ratios are to the best of them.  The parameters after three steps are compared before anything is timed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import allocators
import numpy as np
import peers

CASES = {  # a class of both libraries and its settings, or a function that clips, or Polyak's average
    "SGD": {},
    "SGD, momentum": {"momentum": 0.9},
    "SGD, nesterov": {"momentum": 0.9, "nesterov": True},
    "Adagrad": {},
    "Adadelta": {},
    "RMSprop": {},
    "RMSprop, momentum": {"momentum": 0.9},
    "RMSprop, centered": {"momentum": 0.9, "centered": True},
    "Adam": {},
    "Adam, amsgrad": {"amsgrad": True},
    "AdamW": {},
    "NAdam": {},
    "clip_grad_norm": {},
    "clip_grad_value": {},
    "average": {},
}
KINDS = ("fused", "foreach", "plain")
RATE, DECAY = 1e-3, 0.995


def arrays(case: dict) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Parameters and gradients."""
    rng = np.random.default_rng(0)
    made = [
        [aligned(rng.standard_normal(shape, np.float32), case["dtype"]) for shape in case["shapes"]] for _ in range(2)
    ]
    return made[0], made[1]


def aligned(array: np.ndarray, dtype: str) -> np.ndarray:
    """A copy at a multiple of 64 bytes, as both libraries' own arrays are."""
    size = array.size * np.dtype(dtype).itemsize
    memory = np.empty(size + 64, np.uint8)
    start = -memory.ctypes.data % 64
    copy = memory[start : start + size].view(dtype).reshape(array.shape)
    copy[...] = array
    return copy


def clipping(norm, value, case: dict, gradients):
    """A call that clips, each time to less than before."""
    limit = 100.0

    def call():
        nonlocal limit
        limit *= 0.999
        (norm if case["kind"] == "clip_grad_norm" else value)(
            limit if case["kind"] == "clip_grad_norm" else limit / 100
        )

    return call, gradients


def fastnet_side(case: dict):
    import fastnet as fn
    from fastnet.ops import REGISTRY

    parameters = [fn.Parameter(value, f"p{i}") for i, value in enumerate(arrays(case)[0])]
    for p, gradient in zip(parameters, arrays(case)[1], strict=True):
        p.grad = gradient
    optim, kind = fn.optim, case["kind"]
    if kind.startswith("clip"):
        norm, value = (lambda x: optim.clip_grad_norm(parameters, x)), (lambda x: optim.clip_grad_value(parameters, x))
        return clipping(norm, value, case, [p.grad for p in parameters])
    if kind == "average":
        op, pairs = fn.backends.current().update_each, [(p.value, p.grad) for p in parameters]
        return lambda: op(REGISTRY["average_step"], pairs, {"decay": DECAY}), [p.value for p in parameters]
    optimizer = getattr(optim, kind)(RATE, **case["settings"])
    return lambda: optimizer.step(parameters), [p.value for p in parameters]


def torch_side(kind: str):
    import torch

    def side(case: dict):
        tensors = [torch.from_numpy(value).requires_grad_() for value in arrays(case)[0]]
        for tensor, gradient in zip(tensors, arrays(case)[1], strict=True):
            tensor.grad = torch.from_numpy(gradient)
        name, variant = (
            case["kind"],
            {"fused": {"fused": True}, "foreach": {"foreach": True}, "plain": {"foreach": False}},
        )
        if name.startswith("clip"):
            if kind == "fused":
                raise ValueError("PyTorch has no fused clipping")
            utils, how = torch.nn.utils, variant[kind]
            norm = lambda x: utils.clip_grad_norm_(tensors, x, **how)  # noqa: E731
            value = lambda x: utils.clip_grad_value_(tensors, x, **how)  # noqa: E731
            return clipping(norm, value, case, [tensor.grad.numpy() for tensor in tensors])
        if name == "average":
            if kind == "fused":
                raise ValueError("PyTorch has no fused average")
            averages, weights = [t.detach() for t in tensors], [t.grad for t in tensors]
            together = torch.optim.swa_utils.get_ema_multi_avg_fn(DECAY)
            one = torch.optim.swa_utils.get_ema_avg_fn(DECAY)

            def plain():
                for average, weight in zip(averages, weights, strict=True):
                    average.copy_(one(average, weight, None))

            call = plain if kind == "plain" else lambda: together(averages, weights, None)
            return call, [average.numpy() for average in averages]
        optimizer = getattr(torch.optim, name)(tensors, RATE, **case["settings"], **variant[kind])
        return optimizer.step, [tensor.detach().numpy() for tensor in tensors]

    return side


def prepare(side):
    def prepared(case: dict):
        call, results = side(case)
        for _ in range(3):
            call()
        return call, [result.copy() for result in results]

    return prepared


def shapes(quick: bool) -> dict[str, list[tuple[int, ...]]]:
    import fastnet as fn

    model = fn.models.create("resnet18", 1000 if not quick else 10)
    many = [p.shape for p in model.parameters()]
    return {"ResNet-18": many[: 20 if quick else None], "one tensor": [(100_000 if quick else 10_000_000,)]}


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--torch-python", default=sys.executable, metavar="PATH", help="an interpreter that has torch")
    add("--allocator", choices=allocators.ALLOCATORS, default=allocators.UNTUNED, help="of PyTorch's sides")
    add("--only", nargs="+", default=list(CASES), choices=CASES, metavar="NAME", help=", ".join(CASES))
    add("--dtype", choices=("float32", "float64"), default="float32")
    add("--threads", type=int, default=peers.cores(), help="of every side (default: all processors)")
    add("--cpu-time", action="store_true", help="on one thread, processor time: for a busy machine")
    add("--rounds", type=int, default=7)
    add("--quick", action="store_true", help="small arrays, 2 short rounds")
    add("--side", choices=("fastnet", *KINDS), help=argparse.SUPPRESS)
    return parser


def main() -> int:
    args = parser().parse_args()
    if args.side:
        if args.side != "fastnet":
            import os

            import torch

            torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
        peers.serve(prepare(fastnet_side if args.side == "fastnet" else torch_side(args.side)))
        return 0
    if args.cpu_time:
        args.threads = 1
    here = str(Path(__file__).resolve())
    sides = [peers.Side("fastnet", [sys.executable, here, "--side", "fastnet"])]
    table, found = peers.Table(["fastnet", *KINDS], "fastnet", width=32), []
    cases = [
        {"name": f"{name}; {where}", "kind": name.partition(",")[0], "settings": CASES[name], "shapes": list_of}
        for name in args.only
        for where, list_of in shapes(args.quick).items()
    ]

    def show(case, timings):
        found.append(peers.ratio(timings, "fastnet"))
        table.row(case, timings)

    cases = [{**case, "dtype": args.dtype} for case in cases]
    rounds, seconds = (2, 0.05) if args.quick else (args.rounds, 0.3)
    try:
        environment = allocators.environment(args.allocator)
        sides += [peers.Side(kind, [args.torch_python, here, "--side", kind], True, environment) for kind in KINDS]
        peers.compare(sides, cases, args.threads, rounds, seconds, 1e-4, show, args.cpu_time)
    except peers.PeerError as error:
        print(f"optimizers: {error}", file=sys.stderr)
        return 1
    print(f"\ngeometric mean {peers.geometric_mean(found):.2f}x, least {min(found):.2f}x the speed of PyTorch's best")
    return 0


if __name__ == "__main__":
    sys.exit(main())
