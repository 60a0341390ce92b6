"""fastnet against PyTorch on this machine: convolutions, pooling, batch norm, whole training steps.

    python benches/vs_torch.py [--quick] [--torch-python PATH]

PyTorch runs in processes of its own, in NCHW and in channels_last; the ratio is fastnet against the better of the two.
Figures to reach: convolution with gradients >= 0.9x as a geometric mean, pooling and batch norm >= 3x.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import peers

CONVS = [  # N, C, H = W, K, R, stride, padding
    (64, 3, 32, 32, 3, 1, 1),
    (128, 64, 32, 64, 3, 1, 1),
    (128, 128, 16, 128, 3, 1, 1),
    (128, 256, 8, 256, 3, 1, 1),
    (100, 3, 31, 25, 3, 2, 1),
    (128, 3, 32, 32, 7, 1, 3),
    (32, 64, 56, 64, 3, 1, 1),
    (8, 64, 112, 64, 3, 1, 1),
    (128, 64, 16, 128, 1, 1, 0),
    (16, 3, 224, 64, 7, 2, 3),
    (16, 256, 14, 256, 3, 1, 1),
]
NETS = {"lenet5": (128, 1, 28), "three_layer_convnet": (50, 3, 32), "resnet20": (128, 3, 32), "vgg11_bn": (128, 3, 32)}
KINDS = ("conv", "pool", "norm", "step")
WANTED = {"conv": 0.9, "pool": 3.0, "norm": 3.0}


def cases(kinds, quick: bool, folder: Path) -> list[dict]:
    """JSON for the workers; steps take the first batch's weights from a file that fastnet writes."""
    few, result = 8 if quick else 1, []
    for N, C, H, K, R, stride, pad in CONVS if "conv" in kinds else ():
        shape = [N // few, C, H, K, R, stride, pad]
        result.append({"kind": "conv", "name": f"conv {','.join(map(str, shape))}", "shape": shape})
    for kind, title in {"pool": "2x2 max pool", "norm": "batch norm"}.items():
        if kind in kinds:
            result.append({"kind": kind, "name": f"{title} {128 // few},64,32,32", "shape": [128 // few, 64, 32, 32]})
    for net, (N, C, H) in NETS.items() if "step" in kinds else ():
        weights = str(folder / f"{net}.npz")
        step = {"net": net, "shape": [N // few, C, H, H], "weights": weights, "tolerance": 2e-2}
        result.append({"kind": "step", "name": f"step {net}, {N // few} images", **step})
    return result


def data(case: dict) -> list:
    """The same numbers on every side."""
    import numpy as np

    rng = np.random.default_rng(0)
    shapes = [case["shape"]]
    if case["kind"] == "conv":
        N, C, H, K, R, stride, pad = case["shape"]
        P = (H + 2 * pad - R) // stride + 1
        shapes = [(N, C, H, H), (K, C, R, R), (K,), (N, K, P, P)]
    elif case["kind"] == "pool":
        N, C, H, W = case["shape"]
        shapes = [(N, C, H, W), (N, C, H // 2, W // 2)]
    elif case["kind"] == "norm":
        C = case["shape"][1]
        shapes = [case["shape"], (C,), (C,), case["shape"]]
    arrays = [rng.standard_normal(shape, np.float32) for shape in shapes]
    return [*arrays, rng.integers(0, 10, case["shape"][0])] if case["kind"] == "step" else arrays


# ---------------------------------------------------------------- workers


def fastnet_side(case: dict):
    """Prepare a case for `peers.serve`."""
    import fastnet as fn

    ops = fn.backends.current()
    if case["kind"] == "step":
        x, labels = data(case)
        options = {"dropout": 0.0} if case["net"].startswith("vgg") else {}
        model = fn.models.create(case["net"], 10, tuple(x.shape[1:]), **options)
        model.save(case["weights"])
        sgd, parameters = fn.optim.SGD(1e-4, momentum=0.9), model.parameters(trainable=True)

        def call():
            model.zero_grad()
            scores, backward = model.forward(x, training=True)
            loss, dscores = fn.losses.softmax_cross_entropy(scores, labels)
            backward(dscores, input_gradient=False)
            sgd.step(parameters)
            return loss

        loss = call()
        return call, [loss, parameters[0].grad.copy(), parameters[-1].grad.copy()]
    arrays = [ops.asarray(array) for array in data(case)]
    if case["kind"] == "conv":
        x, w, b, dy = arrays
        stride, pad = case["shape"][-2:]

        def call():
            y, backward = fn.functional.conv2d(x, w, b, stride, pad)
            return y, *backward(dy)

    elif case["kind"] == "pool":
        x, dy = arrays

        def call():
            y, backward = fn.functional.max_pool2d(x, 2)
            return y, backward(dy)

    else:
        x, gamma, beta, dy = arrays

        def call():
            y, backward = fn.functional.batch_norm(x, gamma, beta, training=True)
            return y, *backward(dy)

    return call, call()


def torch_side(case: dict, layout: str):
    """Prepare a case for `peers.serve`."""
    import torch
    from torch.nn import functional as F

    memory = torch.channels_last if layout == "channels_last" else torch.contiguous_format

    def leaf(array, gradient=True):
        tensor = torch.from_numpy(array)
        tensor = tensor.to(memory_format=memory) if tensor.ndim == 4 else tensor
        return tensor.requires_grad_(gradient)

    if case["kind"] == "step":
        import numpy as np
        import torch_nets

        x, labels = data(case)
        x, labels = leaf(x, False), torch.from_numpy(labels)
        with np.load(case["weights"]) as arrays:
            net = torch_nets.load(case["net"], arrays).to(memory_format=memory).train()
        sgd = torch.optim.SGD(net.parameters(), 1e-4, momentum=0.9, fused=True)

        def call():
            sgd.zero_grad()
            loss = F.cross_entropy(net(x), labels)
            loss.backward()
            sgd.step()
            return loss

        loss, parameters = call(), list(net.named_parameters())
        names = [name for name, _ in parameters]
        with np.load(case["weights"]) as arrays:  # in fastnet's order
            order = [name for name in arrays if name in names]
        grads = [net.get_parameter(name).grad.numpy().copy() for name in (order[0], order[-1])]
        return call, [loss.item(), *grads]
    *leaves, dy = data(case)
    leaves, dy = [leaf(array) for array in leaves], leaf(dy, False)
    stride, pad = case["shape"][-2:]
    forward = {
        "conv": lambda x, w, b: F.conv2d(x, w, b, stride, pad),
        "pool": lambda x: F.max_pool2d(x, 2),
        "norm": lambda x, gamma, beta: F.batch_norm(x, None, None, gamma, beta, training=True),
    }[case["kind"]]

    def call():
        y = forward(*leaves)
        return y, *torch.autograd.grad(y, leaves, dy)

    return call, [result.detach().numpy() for result in call()]


# ---------------------------------------------------------------- the table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--torch-python", default=sys.executable, metavar="PATH", help="an interpreter that has torch")
    add("--only", nargs="+", choices=KINDS, default=KINDS)
    add("--threads", type=int, default=peers.cores(), help="of every side (default: all processors)")
    add("--rounds", type=int, default=5)
    add("--quick", action="store_true", help="an eighth of the images, 2 short rounds")
    add("--json", type=Path, metavar="FILE", help="write the times there")
    add("--worker", choices=("fastnet", "nchw", "channels_last"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker == "fastnet":
        peers.serve(fastnet_side)
        return 0
    if args.worker:
        peers.serve(lambda case: torch_side(case, args.worker))
        return 0
    me = str(Path(__file__).resolve())
    sides = [peers.Side("fastnet", [sys.executable, me, "--worker", "fastnet"])]
    for layout in ("nchw", "channels_last"):
        sides.append(
            peers.Side(f"torch {'NCHW' if layout == 'nchw' else 'NHWC'}", [args.torch_python, me, "--worker", layout])
        )
    table = peers.Table([side.name for side in sides], "fastnet")
    with tempfile.TemporaryDirectory() as folder:
        todo = cases(args.only, args.quick, Path(folder))
        rounds, seconds = (2, 0.05) if args.quick else (args.rounds, 0.3)
        try:
            results = peers.compare(sides, todo, args.threads, rounds, seconds, show=table.row)
        except peers.PeerError as error:
            print(f"vs_torch: {error}", file=sys.stderr)
            return 1
    print()
    for kind in args.only:
        ratios = [
            peers.ratio(found, "fastnet") for case, found in zip(todo, results, strict=True) if case["kind"] == kind
        ]
        wanted = f" (to reach: {WANTED[kind]:g})" if kind in WANTED else ""
        print(f"{kind}: geometric mean {peers.geometric_mean(ratios):.2f}x of PyTorch's better layout{wanted}")
    if args.json:
        args.json.write_text(json.dumps([{**case, "ms": found} for case, found in zip(todo, results, strict=True)]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
