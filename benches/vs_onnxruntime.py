"""fastnet against ONNX Runtime on this machine: inference of whole networks, batch 1 and 64.

    python benches/vs_onnxruntime.py [--quick] [--onnx-python PATH]

ONNX Runtime runs in a process of its own, on graphs that are made of fastnet's weights; needs onnxruntime and onnx.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import onnx_graph
import peers

NETS = ("three_layer_convnet", "lenet5", "resnet20")


def images(case: dict):
    import numpy as np

    return np.random.default_rng(0).standard_normal(case["shape"], np.float32)


def fastnet_side(case: dict):
    """Prepare a case for `peers.serve`; writes the network for the peer."""
    import numpy as np

    import fastnet as fn

    x = fn.backends.current().asarray(images(case))
    model = fn.models.create(case["net"], 10, tuple(x.shape[1:]))
    rng = np.random.default_rng(1)  # statistics as after training, so that batch norms do something
    state = {
        name: rng.uniform(0.5, 1.5, array.shape).astype(array.dtype) if "running" in name else array
        for name, array in model.state_dict().items()
    }
    model.load_state_dict(state)
    onnx_graph.write(model, Path(case["stem"]))
    return lambda: model(x), [model(x)]


def onnx_side(case: dict, threads: int):
    """Prepare a case for `peers.serve`."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    graph = onnx_graph.read(Path(case["stem"]))
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    x = images(case)
    return lambda: session.run(None, {"x": x}), session.run(None, {"x": x})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--onnx-python", default=sys.executable, metavar="PATH", help="an interpreter that has onnxruntime and onnx")
    add("--threads", type=int, default=peers.cores(), help="of both sides (default: all processors)")
    add("--batches", type=int, nargs="+", default=[1, 64])
    add("--rounds", type=int, default=5)
    add("--quick", action="store_true", help="2 short rounds")
    add("--json", type=Path, metavar="FILE", help="write the times there")
    add("--worker", choices=("fastnet", "onnxruntime"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        peers.serve(fastnet_side if args.worker == "fastnet" else lambda case: onnx_side(case, args.threads))
        return 0
    me = [str(Path(__file__).resolve()), "--threads", str(args.threads), "--worker"]
    sides = [
        peers.Side("fastnet", [sys.executable, *me, "fastnet"]),
        peers.Side("onnxruntime", [args.onnx_python, *me, "onnxruntime"]),
    ]
    rounds, seconds = (2, 0.05) if args.quick else (args.rounds, 0.3)
    table = peers.Table([side.name for side in sides], "fastnet")
    with tempfile.TemporaryDirectory() as folder:
        todo = []
        for net in NETS:
            C, H = (1, 28) if net == "lenet5" else (3, 32)
            for N in args.batches:
                name, stem = f"{net}, batch {N}", str(Path(folder) / net)
                todo.append({"net": net, "name": name, "shape": [N, C, H, H], "stem": stem})
        try:
            results = peers.compare(sides, todo, args.threads, rounds, seconds, show=table.row)
        except peers.PeerError as error:
            print(f"vs_onnxruntime: {error}", file=sys.stderr)
            return 1
    print()
    for N in args.batches:
        found = [peers.ratio(ms, "fastnet") for case, ms in zip(todo, results, strict=True) if case["shape"][0] == N]
        print(f"batch {N}: geometric mean {peers.geometric_mean(found):.2f}x of ONNX Runtime")
    if args.json:
        args.json.write_text(json.dumps([{**case, "ms": ms} for case, ms in zip(todo, results, strict=True)]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
