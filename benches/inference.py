"""fastnet against ONNX Runtime, OpenVINO, ncnn, MNN and PyTorch on this machine: inference of whole networks.

    python benches/inference.py [--quick] [--peer-python PATH] [--torch-python PATH]

Each peer runs in its own process, on the same weights; results are compared before anything is timed.  A peer that is
not installed is left out, and a line says what to install.  PyTorch runs eagerly in NCHW and channels_last, and
compiled with frozen weights; ncnn only takes one image at a time.  fastnet runs its plan; the column "predict" is
``model.predict``, which shows what that adds, and is no rival.  Targets, against the best peer: a geometric mean of
1.5x at batch 64, and of 1.2x at batch 1.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import ncnn_graph
import onnx_graph
import peers

NETS = {  # title: name, C, H = W
    "three_layer_convnet": ("three_layer_convnet", 3, 32),
    "lenet5": ("lenet5", 1, 28),
    "resnet20": ("resnet20", 3, 32),
    "vgg11_bn": ("vgg11_bn", 3, 32),
    "resnet9": ("resnet9", 3, 32),
    "resnet18-224": ("resnet18", 3, 224),
    "mobilenet_v2-96": ("mobilenet_v2", 3, 96),
    "mobilenet_v2-224": ("mobilenet_v2", 3, 224),
}
MODULES = {  # modules that a peer imports; pip's names are the same
    "onnxruntime": "onnxruntime, onnx",
    "openvino": "openvino, onnx",
    "ncnn": "ncnn, numpy",
    "MNN": "MNN, onnx",
    "torch NCHW": "torch",
    "torch NHWC": "torch",
    "torch.compile": "torch",
}
WANTED = {1: "1.2x", 8: "1.5x for ResNet-18 and MobileNetV2", 64: "1.5x"}


def images(case: dict):
    import numpy as np

    return np.random.default_rng(0).standard_normal(case["shape"], np.float32)


# ---------------------------------------------------------------- workers: functions for `peers.serve`


def network(case: dict):
    """fastnet's model of a case."""
    import numpy as np

    import fastnet as fn

    x = images(case)
    model = fn.models.create(case["net"], 10, tuple(x.shape[1:]))
    rng = np.random.default_rng(1)  # statistics as after training, so that batch norms are not the identity
    state = model.state_dict()
    for name, array in state.items():
        if "running_mean" in name:
            array[...] = rng.normal(0, 0.1, array.shape)
        if "running_var" in name:
            array[...] = rng.uniform(0.5, 1.5, array.shape)
    model.load_state_dict(state)
    return model, x


def fastnet_side(case: dict, threads: int):
    """Also writes the network for the peers."""
    model, x = network(case)
    onnx_graph.write(model, Path(case["stem"]))
    plan = model.compile(len(x))
    return lambda: plan(x), [plan(x)]


def predict_side(case: dict, threads: int):
    model, x = network(case)
    return lambda: model.predict(x), [model.predict(x)]


def onnxruntime_side(case: dict, threads: int):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    graph = onnx_graph.read(Path(case["stem"]))
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    x = images(case)
    return lambda: session.run(None, {"x": x}), session.run(None, {"x": x})


def openvino_side(case: dict, threads: int):
    import openvino

    core, x = openvino.Core(), images(case)
    graph = core.read_model(onnx_graph.read(Path(case["stem"])), b"")
    graph.reshape(list(x.shape))
    hints = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
    request = core.compile_model(graph, "CPU", hints).create_infer_request()

    def call():
        return request.infer([x], share_inputs=True)

    return call, [call()[0]]


def ncnn_side(case: dict, threads: int):
    import ncnn
    import numpy as np

    net, (x,) = ncnn.Net(), images(case)
    net.opt.num_threads = threads
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    param, model = ncnn_graph.read(Path(case["stem"]))
    if net.load_param(str(param)) or net.load_model(str(model)):
        raise RuntimeError("ncnn could not load the network")

    def call():
        extractor = net.create_extractor()
        extractor.input("x", ncnn.Mat(x))
        status, y = extractor.extract("y")
        if status:
            raise RuntimeError(f"ncnn's extract returned {status}")
        return y

    return call, [np.array(call())[None]]


def mnn_side(case: dict, threads: int):
    import _tools  # MNN's converter; MNN.tools.mnnconvert, which wraps it, runs pip when it is imported
    import MNN

    graph, converted = Path(case["stem"]).with_suffix(".onnx"), Path(case["stem"]).with_suffix(".mnn")
    graph.write_bytes(onnx_graph.read(Path(case["stem"])))
    _tools.mnnconvert(
        ["", "-f", "ONNX", "--modelFile", str(graph), "--MNNModel", str(converted), "--bizCode", "fastnet"]
    )
    runtime = MNN.nn.create_runtime_manager(({"backend": "CPU", "precision": "high", "numThread": threads},))
    net, x = MNN.nn.load_module_from_file(str(converted), ["x"], ["y"], runtime_manager=runtime), images(case)

    def call():
        given = MNN.expr.placeholder(list(x.shape), MNN.expr.NCHW, MNN.expr.float)
        given.write(x)
        return net.forward([given])[0].read()

    return call, [call()]


def torch_side(case: dict, threads: int, layout: str = "NCHW", compiled: bool = False):
    import numpy as np
    import torch
    import torch_nets

    memory = torch.channels_last if layout == "NHWC" else torch.contiguous_format
    x = torch.from_numpy(images(case)).to(memory_format=memory)
    with np.load(Path(case["stem"]).with_suffix(".npz")) as arrays:
        net = torch_nets.load(case["net"], arrays, channels=x.shape[1], size=x.shape[2]).to(memory_format=memory).eval()
    torch.set_num_threads(threads)
    if compiled:
        torch._inductor.config.freezing = True
        net = torch.compile(net)

    def call():
        with torch.inference_mode():
            return net(x)

    with torch.no_grad():  # the compiler freezes weights under no_grad, in the first call
        net(x)
    return call, [call().numpy()]


SIDES = {
    "fastnet": fastnet_side,
    "predict": predict_side,
    "onnxruntime": onnxruntime_side,
    "openvino": openvino_side,
    "ncnn": ncnn_side,
    "MNN": mnn_side,
    "torch NCHW": torch_side,
    "torch NHWC": lambda case, threads: torch_side(case, threads, "NHWC"),
    "torch.compile": lambda case, threads: torch_side(case, threads, compiled=True),
}


# ---------------------------------------------------------------- the table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--peer-python", default=sys.executable, metavar="PATH", help="an interpreter that has the other engines")
    add("--torch-python", default=sys.executable, metavar="PATH", help="an interpreter that has torch")
    add("--nets", nargs="+", choices=NETS, default=list(NETS))
    add("--peers", nargs="+", choices=MODULES, default=list(MODULES))
    add("--batches", type=int, nargs="+", default=[64, 8, 1])
    add("--threads", type=int, default=peers.cores(), help="of every side (default: all processors)")
    add("--rounds", type=int, default=7)
    add("--quick", action="store_true", help="2 short rounds")
    add("--json", type=Path, metavar="FILE", help="write the times there")
    add("--worker", choices=SIDES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        peers.serve(lambda case: SIDES[args.worker](case, args.threads))
        return 0
    me = [str(Path(__file__).resolve()), "--threads", str(args.threads), "--worker"]
    sides = [peers.Side(name, [sys.executable, *me, name]) for name in ("fastnet", "predict")]
    for name in args.peers:
        python = args.torch_python if name.startswith("torch") else args.peer_python
        try:
            peers.said(python, f"import {MODULES[name]}")
            sides.append(peers.Side(name, [python, *me, name]))
        except peers.PeerError as error:
            install = f"pip install {MODULES[name].replace(',', '')}"
            print(f"{name} is left out: {python} cannot import {MODULES[name]} ({error}); {install}")
    if len(sides) == 2:
        print("inference: no peer is installed", file=sys.stderr)
        return 1
    rounds, seconds = (2, 0.05) if args.quick else (args.rounds, 0.3)
    found = []
    for N in args.batches:
        fitting = [side for side in sides if N == 1 or side.name != "ncnn"]
        print(f"\nbatch {N}, {args.threads} threads (to reach: {WANTED.get(N, 'nothing is set')})")
        table = peers.Table([side.name for side in fitting], "fastnet", width=20, apart=["predict"])
        with tempfile.TemporaryDirectory() as folder:
            todo = [
                {"net": net, "name": title, "shape": [N, C, H, H], "stem": str(Path(folder) / title)}
                for title, (net, C, H) in NETS.items()
                if title in args.nets
            ]
            try:
                results = peers.compare(fitting, todo, args.threads, rounds, seconds, show=table.row)
            except peers.PeerError as error:
                print(f"inference: {error}", file=sys.stderr)
                return 1
        ratios = [peers.ratio(ms, "fastnet", apart=["predict"]) for ms in results]
        mean = peers.geometric_mean(ratios)
        print(f"batch {N}: geometric mean {mean:.2f}x of the best peer, least {min(ratios):.2f}x", flush=True)
        found += [{**case, "ms": ms} for case, ms in zip(todo, results, strict=True)]
    if args.json:
        args.json.write_text(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
