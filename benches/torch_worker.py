"""PyTorch's side of vs_torch.py, memory.py and gpu_check.py: a worker process that prepares a case and times it.

    python benches/torch_worker.py [--layout NHWC] [--compile] [--device cuda [--graph]]

The layout sets the tensors' memory format: contiguous (NCHW) or channels_last (NHWC).  --compile applies torch.compile
to the layer, or to the network with its loss; --graph captures a whole step in a CUDA graph.  The optimiser is always
PyTorch's fused SGD.
"""

from __future__ import annotations

import argparse
import gc

import numpy as np
import peers
import torch
import torch_nets
import workloads
from torch.nn import functional as F


def convolution(case: dict, x, w, b):
    *_, stride, pad, groups = case["shape"]
    return F.conv2d(x, w, b, stride, pad, groups=groups)


def norm(case: dict, x, gamma=None, beta=None):
    op, arguments = case["op"], [tuple(a) if isinstance(a, list) else a for a in case["arguments"]]
    if op == "local_response_norm":
        return F.local_response_norm(x, *arguments)
    if op == "batch_norm":
        return F.batch_norm(x, None, None, gamma, beta, training=True)
    return getattr(F, op)(x, *arguments, weight=gamma, bias=beta)


def captured(call, net, sgd):
    """The step `call` as a CUDA graph; weights, running statistics and momentum are left as they were."""
    state = [*net.parameters(), *net.buffers()]
    before = [tensor.detach().clone() for tensor in state]
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):  # cuDNN chooses its algorithms, SGD makes its buffers
            call()
    torch.cuda.current_stream().wait_stream(side)
    sgd.zero_grad()  # so that gradients are made in the graph's memory
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        loss = call().detach()
    with torch.no_grad():
        for tensor, old in zip(state, before, strict=True):
            tensor.copy_(old)
        for buffers in sgd.state.values():
            buffers["momentum_buffer"].zero_()  # 0.9 * 0 + g is what the first step has

    def replay(held=call):  # its tensors are the graph's
        graph.replay()
        return loss

    return replay


class Torch:
    """Runs cases in PyTorch, on a device, in one memory layout, compiled or not, a step as a CUDA graph or not."""

    def __init__(self, layout: str, compiled: bool, device: str = "cpu", graphed: bool = False):
        self.memory = torch.channels_last if layout == "NHWC" else torch.contiguous_format
        self.compiled, self.device, self.graphed = compiled, device, graphed

    def tensor(self, array, gradient=False):
        tensor = torch.from_numpy(array).to(self.device)
        tensor = tensor.to(memory_format=self.memory) if tensor.ndim == 4 else tensor
        return tensor.requires_grad_(gradient)

    def maybe_compiled(self, function):
        if not self.compiled:
            return function
        torch.compiler.reset()  # else a second shape would be compiled for dynamic shapes
        return torch.compile(function, dynamic=False)

    def step(self, case: dict):
        """The training step of a case, starting from the weights that fastnet's side saved.

        Returns
        -------
        call : function
            Runs forward, loss, backward and SGD with momentum; returns the loss.
        parameters : list of Parameter
            The parameters that `call` trains, in fastnet's order.
        """
        x, labels = workloads.data(case)
        x, labels = self.tensor(x), self.tensor(labels)
        with np.load(case["weights"]) as arrays:
            net = torch_nets.load(case["net"], arrays, channels=x.shape[1], size=x.shape[2], **case["options"])
            trained = dict(net.named_parameters())
            names = [name for name in arrays if name in trained]
        net = net.to(self.device, memory_format=self.memory).train()
        sgd = torch.optim.SGD(net.parameters(), workloads.RATE, momentum=0.9, fused=True)
        loss_of = self.maybe_compiled(lambda: F.cross_entropy(net(x), labels))

        def call():
            sgd.zero_grad()
            loss = loss_of()
            loss.backward()
            sgd.step()
            return loss

        if self.graphed:
            call = captured(call, net, sgd)
        return call, [net.get_parameter(name) for name in names]

    def prepare_step(self, case: dict):
        """The step, and for comparison what fastnet_worker.prepare_step returns."""
        call, parameters = self.step(case)
        before = [parameter.detach().clone() for parameter in parameters]
        losses, moved = [], []
        for number in (1, 2):
            losses.append(call().item())
            if number == case.get("compared_after", 2):
                moved = [parameter.detach() - old for parameter, old in zip(parameters, before, strict=True)]
        results = [*losses, np.concatenate([each.cpu().numpy().ravel() for each in moved])]
        return (self.block(call, case["steps"]) if "steps" in case else call), results

    def block(self, call, steps: int):
        """That many steps, begun without waiting for each other, until the device is done with them."""

        def run():
            for _ in range(steps):
                call()
            if self.device == "cuda":
                torch.cuda.synchronize()

        return run

    def prepare_layers(self, case: dict):
        """Layers, perhaps behind a convolution: the result, and the gradients of x and all parameters."""
        x, *weight, dy = (self.tensor(array) for array in workloads.data(case))
        if case["kind"] == "pointwise_block":
            maxout, net = False, [torch.nn.BatchNorm2d(len(weight[0])), torch.nn.ReLU(inplace=True)]
        else:
            name, given = workloads.ACTIVATIONS[case["activation"]]
            maxout = name == "Maxout"
            net = [torch.nn.Identity() if maxout else getattr(torch.nn, name)(*given)]
        net = torch.nn.Sequential(*net)
        if weight:
            filters, channels, size, _ = weight[0].shape
            conv = torch.nn.Conv2d(channels, filters, size, padding=size // 2, bias=False)
            conv.weight.data[...] = weight[0] / 24
            net = torch.nn.Sequential(conv, *net)
        net = net.to(x.dtype).to(memory_format=self.memory)
        leaves = [x.requires_grad_(), *net.parameters()]
        forward = self.maybe_compiled(lambda x: net(x).unflatten(1, (-1, 2)).amax(2) if maxout else net(x))

        def call():
            y = forward(x)
            return y, *torch.autograd.grad(y, leaves, dy)

        return call, [result.detach().numpy() for result in call()]

    def prepare(self, case: dict):
        """The function to time and the results to compare, as `peers.serve` expects."""
        if self.device == "cuda":
            gc.collect()  # the last case's tensors
            torch.cuda.empty_cache()
            torch.backends.cudnn.benchmark = True
            torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = case["tf32"]
        if "net" in case:
            return self.prepare_step(case)
        if case["kind"] in workloads.OF_LAYERS:
            return self.prepare_layers(case)
        *leaves, dy = workloads.data(case)
        leaves, dy = [self.tensor(array, gradient=True) for array in leaves], self.tensor(dy)
        forward = {
            "pool": lambda x: F.max_pool2d(x, 2),
            "norm": lambda x, gamma, beta: F.batch_norm(x, None, None, gamma, beta, training=True),
            "norms": lambda x, *affine: norm(case, x, *affine),
        }.get(case["kind"], lambda x, w, b: convolution(case, x, w, b))
        forward = self.maybe_compiled(forward)

        def call():
            y = forward(*leaves)
            return y, *torch.autograd.grad(y, leaves, dy)

        return call, [result.detach().numpy() for result in call()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layout", choices=("NCHW", "NHWC"), default="NCHW")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--graph", action="store_true")
    args = parser.parse_args()
    peers.serve(Torch(args.layout, args.compile, args.device, args.graph).prepare)


if __name__ == "__main__":
    main()
