"""Layers with random numbers, fastnet against PyTorch: dropout, spatial dropout, DropConnect, fractional pooling.

    python benches/noise.py [--torch-python PATH] [--threads N] [--quick]

Forward and backward, float32, on activations of (120, 64, 32, 32).  The sides' random numbers differ, so what is
compared before timing is the share of zeros and the factors on what is kept, or the spread of outputs and gradients;
fractional pooling is given the same numbers and compared whole.  PyTorch runs in NCHW and in channels_last, and the
ratio is to the better.  DropConnect is a linear layer and a convolution, whose weight PyTorch passes through dropout.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import peers

MINE = "fastnet"
CASES = {  # PyTorch's module or function: what it is called here
    "dropout": "dropout, p = 0.5",
    "dropout2d": "dropout of channels, p = 0.5",
    "dropconnect linear": "DropConnect, linear 4096 to 1000",
    "dropconnect conv": "DropConnect, 3x3 convolution 64 to 64",
    "fractional": "fractional max pooling to 20 x 20",
}
SHAPE, SIZE, SEED = (120, 64, 32, 32), 20, 5


def arrays(kind: str, images: int) -> dict[str, np.ndarray]:
    """x, dy and perhaps a weight, the same on both sides."""
    rng = np.random.default_rng(0)
    shape = (images, 4096) if kind == "dropconnect linear" else (images, *SHAPE[1:])
    weights = {"dropconnect linear": (1000, 4096), "dropconnect conv": (64, 64, 3, 3)}
    outputs = {"dropconnect linear": (images, 1000), "fractional": (images, 64, SIZE, SIZE)}
    found = {"x": shape, "dy": outputs.get(kind, shape), **({"w": weights[kind]} if kind in weights else {})}
    return {name: rng.standard_normal(size, np.float32) for name, size in found.items()}


def comparable(kind: str, given: dict[str, np.ndarray], y, dx) -> list:
    """What both sides must agree on."""
    if kind == "fractional":
        return [y, dx]
    if kind.startswith("dropconnect"):
        return [float(np.std(y)), float(np.std(dx))]
    kept = np.asarray(y) != 0
    ratio = np.asarray(y)[kept] / given["x"][kept]
    kept &= given["dy"] != 0
    gradients = np.asarray(dx)[kept] / given["dy"][kept]
    return [float(kept.mean()), float(ratio.min()), float(ratio.max()), float(gradients.max())]


def ours(case: dict):
    import fastnet as fn

    kind, given = case["kind"], arrays(case["kind"], case["images"])
    ops = fn.backends.current()
    x, dy = ops.asarray(given["x"]), ops.asarray(given["dy"])
    layer = {
        "dropout": lambda: fn.Dropout(0.5),
        "dropout2d": lambda: fn.Dropout2d(0.5),
        "dropconnect linear": lambda: fn.DropConnect(fn.Linear(1000, bias=False), 0.5),
        "dropconnect conv": lambda: fn.DropConnect(fn.Conv2d(64, 3, padding=1, bias=False), 0.5),
        "fractional": lambda: fn.FractionalMaxPool2d(2, SIZE, seed=SEED),
    }[kind]()
    layer.build(x.shape[1:])
    if "w" in given:
        layer.layer.weight.value[:] = given["w"]

    def call():
        for parameter in layer.parameters():
            parameter.zero_grad()
        y, backward = layer.forward(x, training=True)
        return y, backward(dy)

    return call, comparable(kind, given, *call())


def theirs(layout: str):
    import torch
    from torch.nn import functional as F

    memory = torch.channels_last if layout == "NHWC" else torch.contiguous_format

    def tensor(array, gradient=True):
        made = torch.from_numpy(array)
        return (made.to(memory_format=memory) if made.ndim == 4 else made).requires_grad_(gradient)

    def samples(images: int):
        """The numbers that fastnet draws: (columns, rows) of each image, for all channels alike."""
        from fastnet.ops import philox

        rows = philox.uniform(SEED, 0, images, np.float32)
        columns = philox.uniform(SEED, -(-images // 4) * 4, images, np.float32)
        return torch.from_numpy(np.stack([columns, rows], 1)[:, None].repeat(64, 1))

    def prepare(case: dict):
        kind, given = case["kind"], arrays(case["kind"], case["images"])
        leaves, dy = [tensor(given[name]) for name in ("x", "w") if name in given], tensor(given["dy"], False)
        drawn = samples(case["images"]) if kind == "fractional" else None
        forward = {
            "dropout": lambda x: F.dropout(x, 0.5),
            "dropout2d": lambda x: F.dropout2d(x, 0.5),
            "dropconnect linear": lambda x, w: F.linear(x, F.dropout(w, 0.5)),
            "dropconnect conv": lambda x, w: F.conv2d(x, F.dropout(w, 0.5), padding=1),
            "fractional": lambda x: F.fractional_max_pool2d(x, 2, SIZE, _random_samples=drawn),
        }[kind]

        def call():
            y = forward(*leaves)
            return y, *torch.autograd.grad(y, leaves, dy)

        y, dx, *_ = call()
        return call, comparable(kind, given, y.detach().numpy(), dx.numpy())

    return prepare


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--torch-python", default=sys.executable, metavar="PATH", help="an interpreter that has torch")
    parser.add_argument("--threads", type=int, default=peers.cores())
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--quick", action="store_true", help="an eighth of the images, 2 short rounds")
    parser.add_argument("--serve", choices=("fastnet", "NCHW", "NHWC"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        peers.serve(ours if args.serve == "fastnet" else theirs(args.serve))
        return 0
    here = str(Path(__file__).resolve())
    sides = [peers.Side(MINE, [sys.executable, here, "--serve", "fastnet"])]
    sides += [
        peers.Side(f"torch {layout}", [args.torch_python, here, "--serve", layout]) for layout in ("NCHW", "NHWC")
    ]
    images = SHAPE[0] // 8 if args.quick else SHAPE[0]
    cases = [
        {"kind": kind, "name": CASES[kind], "images": images, "tolerance": 1e-4 if kind == "fractional" else 0.02}
        for kind in args.only
    ]
    table = peers.Table([side.name for side in sides], MINE, width=40)
    rounds, seconds = (2, 0.05) if args.quick else (7, 0.3)
    peers.compare(sides, cases, args.threads, rounds, seconds, show=table.row)
    return 0


if __name__ == "__main__":
    sys.exit(main())
