"""Networks as ncnn's files: a .param text and a .bin of weights, batch norms folded, ReLUs inside their layers."""

from __future__ import annotations

import json
from pathlib import Path


def read(stem: Path) -> tuple[Path, Path]:
    """Write <stem>.param and <stem>.bin of what `onnx_graph.write` wrote; input "x", output "y"."""
    import numpy as np

    described = json.loads(stem.with_suffix(".json").read_text())
    with np.load(stem.with_suffix(".npz")) as file:
        weights = {name: file[name] for name in file}
    lines, blobs, arrays = [], 0, []

    def layer(kind, inputs, count=1, **values):
        nonlocal blobs
        outputs = [f"v{blobs + i}" for i in range(count)]
        blobs += count
        numbers = " ".join(f"{key[1:]}={value}" for key, value in values.items())
        lines.append(
            f"{kind} layer{len(lines)} {len(inputs)} {count} {' '.join([*inputs, *outputs])} {numbers}".rstrip()
        )
        return outputs if count > 1 else outputs[0]

    def weighted(kind, x, weight, bias, relu, **values):
        shape = {"_1": 1, "_2": weight.size} if kind == "InnerProduct" else {"_5": 1, "_6": weight.size}
        arrays.extend([np.zeros(1, np.float32), weight.astype(np.float32), bias.astype(np.float32)])
        ends = {"": {}, "ReLU": {"_9": 1}, "ReLU6": {"_9": 3, "_-23310": "2,0.0,6.0"}}
        return layer(kind, [x], _0=len(weight), **shape, **values, **ends[relu])

    def add_all(steps, x):
        steps = list(steps)
        while steps:
            x = add(steps, x)
        return x

    def add(steps, x):
        """Remove the first step, with the batch norm and the ReLU after it if they can be fused into it."""
        step = steps.pop(0)
        if isinstance(step, list):
            steps[:0] = step
            return x
        kind, path = step["kind"], step["path"]
        if kind == "Residual":
            left, right = layer("Split", [x], 2)
            branches = step["branches"] + [[]] * (2 - len(step["branches"]))
            ends = [
                add_all(branch if isinstance(branch, list) else [branch], blob)
                for branch, blob in zip(branches, (left, right), strict=True)
            ]
            return layer("BinaryOp", ends, _0=0)
        if kind in ("Conv2d", "Linear"):
            weight, bias = weights[f"{path}.weight"].astype(np.float64), weights.get(f"{path}.bias", 0.0)
            bias = bias + np.zeros(len(weight))
            if kind == "Conv2d" and next_kind(steps) == "BatchNorm2d":
                norm = steps.pop(0)
                gamma, beta, mean, var = (
                    weights[f"{norm['path']}.{name}"].astype(np.float64)
                    for name in ("weight", "bias", "running_mean", "running_var")
                )
                scale = gamma / np.sqrt(var + norm["eps"])
                weight, bias = weight * scale[:, None, None, None], (bias - mean) * scale + beta
            relu = steps.pop(0)["kind"] if next_kind(steps) in ("ReLU", "ReLU6") else ""
            if kind == "Linear":
                return weighted("InnerProduct", x, weight, bias, relu)
            (top, left, bottom, right), (down, across) = step["pads"], step["strides"]
            sides = {"_4": left, "_15": right, "_14": top, "_16": bottom}
            kernel = {"_1": weight.shape[3], "_11": weight.shape[2], "_3": across, "_13": down}
            if step["groups"] > 1:
                groups = {"_7": step["groups"]}
                return weighted("ConvolutionDepthWise", x, weight, bias, relu, **kernel, **sides, **groups)
            return weighted("Convolution", x, weight, bias, relu, **kernel, **sides)
        if kind == "MaxPool2d":
            (R, S), (down, across) = step["kernel_shape"], step["strides"]
            top, left, bottom, right = step["pads"]
            sides = {"_3": left, "_14": right, "_13": top, "_15": bottom}
            return layer("Pooling", [x], _0=0, _1=S, _11=R, _2=across, _12=down, **sides, _5=1)
        if kind == "GlobalAvgPool2d":
            return layer("Pooling", [x], _0=1, _4=1)
        if kind == "Subsample":  # a 1x1 pooling takes every stride-th pixel
            pixels = layer("Pooling", [x], _0=0, _1=1, _2=step["stride"], _5=1)
            return layer("Padding", [pixels], _4=0, _5=0.0, _7=step["before"], _8=step["before"])
        return layer({"ReLU": "ReLU", "Flatten": "Flatten"}[kind], [x])

    first = layer("Input", [])
    last = add_all(described["plan"], first)
    text = "\n".join(["7767517", f"{len(lines)} {blobs}", *lines]) + "\n"
    text = "\n".join(
        " ".join({first: "x", last: "y"}.get(word, word) for word in line.split(" ")) for line in text.split("\n")
    )
    param, model = stem.with_suffix(".param"), stem.with_suffix(".bin")
    param.write_text(text)
    model.write_bytes(b"".join(array.tobytes() for array in arrays))
    return param, model


def next_kind(steps: list) -> str:
    """The kind of the first step, in nested lists too; "" at the end."""
    while steps and isinstance(steps[0], list):
        steps[:1] = steps[0]
    return steps[0]["kind"] if steps else ""
