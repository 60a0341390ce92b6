"""Networks as ONNX files for the peers: fastnet's side writes a description, the peer's side builds the graph."""

from __future__ import annotations

import json
from pathlib import Path


def plan(model) -> list:
    """A built fastnet model as nested lists and dicts for JSON; weights by name, as in state_dict."""
    return _plan(model)


def _plan(layer):
    kind = type(layer).__name__
    if kind == "Sequential":
        return [_plan(child) for child in layer]
    if kind in ("Dropout", "Identity"):
        return []
    entry = {"kind": kind, "path": layer.path}
    if kind == "Residual":
        return {**entry, "branches": [_plan(child) for child in layer]}
    if kind == "Conv2d":
        C, H, W = layer.input_shape
        top, bottom, left, right = layer._geometry((1, C, H, W), layer.weight.shape).padding
        return {
            **entry,
            "strides": layer.stride,
            "pads": [top, left, bottom, right],
            "bias": layer.use_bias,
            "groups": layer.groups,
        }
    if kind == "MaxPool2d":
        top, bottom, left, right = layer._geometry((1, *layer.input_shape)).padding
        pads = [top, left, bottom, right]
        return {**entry, "kernel_shape": layer.kernel_size, "strides": layer.stride, "pads": pads}
    if kind == "BatchNorm2d":
        return {**entry, "eps": layer.eps}
    if kind == "Subsample":
        return {**entry, "stride": layer.stride, "before": (layer.channels - layer.input_shape[0]) // 2}
    if kind in ("ReLU", "ReLU6", "Flatten", "Linear", "GlobalAvgPool2d"):
        return entry
    raise TypeError(f"no plan for {kind}")


def write(model, stem: Path) -> None:
    """<stem>.npz with the weights and <stem>.json with the plan."""
    model.save(stem.with_suffix(".npz"))
    stem.with_suffix(".json").write_text(json.dumps({"plan": plan(model), "input_shape": model.input_shape}))


def read(stem: Path) -> bytes:
    """The ONNX model (opset 17, any batch size) of what `write` wrote."""
    import numpy as np
    from onnx import TensorProto, checker, helper, numpy_helper

    described = json.loads(stem.with_suffix(".json").read_text())
    with np.load(stem.with_suffix(".npz")) as file:
        weights = {name: file[name] for name in file}
    nodes, constants = [], [numpy_helper.from_array(array, name) for name, array in weights.items()]

    def constant(values, name):
        constants.append(numpy_helper.from_array(np.array(values), name))
        return name

    def node(op, inputs, **attributes):
        output = f"value{len(nodes)}"
        nodes.append(helper.make_node(op, inputs, [output], **attributes))
        return output

    def add(step, x):
        if isinstance(step, list):
            for inner in step:
                x = add(inner, x)
            return x
        kind, path = step["kind"], step["path"]
        if kind == "Residual":
            ends = [add(branch, x) for branch in step["branches"]]
            return node("Add", [*ends, x][:2])
        if kind == "Conv2d":
            names = [x, f"{path}.weight"] + ([f"{path}.bias"] if step["bias"] else [])
            return node("Conv", names, strides=step["strides"], pads=step["pads"], group=step["groups"])
        if kind == "BatchNorm2d":
            names = [f"{path}.{name}" for name in ("weight", "bias", "running_mean", "running_var")]
            return node("BatchNormalization", [x, *names], epsilon=step["eps"])
        if kind == "Linear":
            return node("Gemm", [x, f"{path}.weight", f"{path}.bias"], transB=1)
        if kind == "MaxPool2d":
            return node("MaxPool", [x], **{name: step[name] for name in ("kernel_shape", "strides", "pads")})
        if kind == "ReLU6":
            bounds = [constant(np.float32(value), f"clip{len(nodes)}.{value}") for value in (0, 6)]
            return node("Clip", [x, *bounds])
        if kind == "Subsample":
            stride, before, tag = step["stride"], step["before"], len(nodes)
            bounds = [constant(v, f"slice{tag}.{i}") for i, v in enumerate(([0, 0], [2**31] * 2, [2, 3], [stride] * 2))]
            sides = constant([0, before, 0, 0, 0, before, 0, 0], f"pad{tag}")
            return node("Pad", [node("Slice", [x, *bounds]), sides])
        return node({"ReLU": "Relu", "Flatten": "Flatten", "GlobalAvgPool2d": "GlobalAveragePool"}[kind], [x])

    add(described["plan"], "x")
    nodes[-1].output[0] = "y"
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *described["input_shape"]])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", None])
    graph = helper.make_graph(nodes, stem.name, [x], [y], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model)
    return model.SerializeToString()
