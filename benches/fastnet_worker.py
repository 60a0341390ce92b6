"""fastnet's side of vs_torch.py and memory.py: a worker process that prepares a case and times it on request.

python benches/fastnet_worker.py [--algorithm direct]
"""

from __future__ import annotations

import argparse

import nets
import numpy as np
import peers
import workloads

import fastnet as fn


def convolution(case: dict, x, w, b):
    *_, stride, pad, groups = case["shape"]
    return fn.functional.conv2d(x, w, b, stride, pad, groups=groups)


def norm(case: dict, x, gamma=None, beta=None):
    op, given = case["op"], {} if gamma is None else {"gamma": gamma, "beta": beta}
    more = {"training": True} if op == "batch_norm" else {}
    y, backward = getattr(fn.functional, op)(x, *case["arguments"], **given, **more)

    def gradients(dy):
        found = backward(dy)
        return tuple(g for g in found if g is not None) if isinstance(found, tuple) else found

    return y, gradients


def step(case: dict):
    """The training step of a case, whose weights are saved for the other sides.

    Returns
    -------
    call : function
        Runs forward, loss, backward and SGD with momentum; returns the loss.
    parameters : list of Parameter
        The parameters that `call` trains.
    """
    x, labels = workloads.data(case)
    model = nets.create(case["net"], case["options"], tuple(x.shape[1:]), case["dtype"])
    model.save(case["weights"])
    sgd, parameters = fn.optim.SGD(workloads.RATE, momentum=0.9), model.parameters(requires_grad=True)

    def call():
        model.zero_grad()
        scores, backward = model.forward(x, training=True)
        loss, dscores = fn.losses.softmax_cross_entropy(scores, labels)
        backward(dscores, input_gradient=False)
        sgd.step(parameters)
        return loss

    return call, parameters


def prepare_step(case: dict):
    """The step, and for comparison the losses of the first two steps and the change of the parameters over both, or
    over as many as "compared_after" says."""
    call, parameters = step(case)
    before = [parameter.value.copy() for parameter in parameters]
    losses, moved = [], []
    for number in (1, 2):
        losses.append(call())
        if number == case.get("compared_after", 2):
            moved = [(parameter.value - old).ravel() for parameter, old in zip(parameters, before, strict=True)]
    return call, [*losses, np.concatenate(moved)]


def prepare_layers(case: dict):
    """Layers, perhaps behind a convolution: the result, and the gradients of x and all parameters."""
    x, *weight, dy = (fn.backends.current().asarray(array) for array in workloads.data(case))
    if case["kind"] == "pointwise_block":
        layers = [fn.BatchNorm2d(), fn.ReLU()]
    else:
        name, given = workloads.ACTIVATIONS[case["activation"]]
        layers = [getattr(fn, name)(*given)]
    if weight:
        filters, _, size, _ = weight[0].shape
        layers.insert(0, fn.Conv2d(filters, size, padding=size // 2, bias=False))
    net = fn.Sequential(*layers)
    net.build(tuple(x.shape[1:]), dtype=case["dtype"])
    if weight:
        net[0].weight.value = np.ascontiguousarray(weight[0]) / 24
    parameters = net.parameters()

    def call():
        net.zero_grad()
        y, backward = net.forward(x, training=True)
        dx = backward(dy)
        return (y, dx, *(parameter.grad for parameter in parameters))

    return call, call()


def prepare(case: dict):
    """The function to time and the results to compare, as `peers.serve` expects."""
    if "net" in case:
        return prepare_step(case)
    if case["kind"] in workloads.OF_LAYERS:
        return prepare_layers(case)
    ops = fn.backends.current()
    *arrays, dy = (ops.asarray(array) for array in workloads.data(case))
    forward = {
        "pool": lambda x: fn.functional.max_pool2d(x, 2),
        "norm": lambda x, gamma, beta: fn.functional.batch_norm(x, gamma=gamma, beta=beta, training=True),
        "norms": lambda x, *affine: norm(case, x, *affine),
    }.get(case["kind"], lambda x, w, b: convolution(case, x, w, b))

    def call():
        y, backward = forward(*arrays)
        dx = backward(dy)
        return (y, *dx) if isinstance(dx, tuple) else (y, dx)

    return call, call()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--algorithm", choices=("auto", "direct", "winograd"), default="auto")
    fn.set_conv_algorithm(parser.parse_args().algorithm)
    peers.serve(prepare)


if __name__ == "__main__":
    main()
