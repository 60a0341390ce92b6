"""Initialisation: activations and gradients under small, large, Xavier and He weights."""

from __future__ import annotations

import math
from argparse import ArgumentParser, ArgumentTypeError
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet.lectures.report import Report

if TYPE_CHECKING:
    from fastnet.types import Array

SOURCE = "WWU CSCI 497P (10 layers of 500); CS231n 2024, training neural networks (6 layers of 4096)"

# What WWU CSCI 497P printed for 10 layers of 500 and 1000 inputs; one draw.
TANH_STD = [0.213081, 0.047551, 0.010630, 0.002378, 0.000532, 0.000119, 0.000026, 0.000006, 0.000001, 0.000000]
RELU_MEAN = [0.562488, 0.553614, 0.545867, 0.565396, 0.547678, 0.587103, 0.596867, 0.623214, 0.567498, 0.552531]
RELU_STD = [0.825232, 0.827835, 0.813855, 0.826902, 0.834092, 0.860035, 0.870610, 0.889348, 0.845357, 0.844523]


@dataclass
class Net:
    """Layers of one width, all drawn alike; `std` is a number, or the name of a rule for it."""

    act: str
    std: str
    depth: int = 10
    width: int = 500

    @property
    def name(self) -> str:
        return f"{self.act}, {self.std}"

    @property
    def deviation(self) -> float:
        rules = {"xavier": (1 / self.width) ** 0.5, "kaiming": (2 / self.width) ** 0.5, "large": 1.0}
        return rules[self.std] if self.std in rules else float(self.std)

    def weights(self, rng: np.random.Generator) -> Array:
        return rng.standard_normal((self.width, self.width), dtype=np.float32) * np.float32(self.deviation)

    def activate(self, z: Array) -> Array:
        import fastnet.functional as F

        y: Array = (F.tanh if self.act == "tanh" else F.relu)(z)[0]
        return y

    def activations(self, x: Array, rng: np.random.Generator) -> list[Array]:
        """What each layer gives; no weights are kept."""
        import fastnet.functional as F

        found = []
        for _ in range(self.depth):
            x = self.activate(F.linear(x, self.weights(rng))[0])
            found.append(x)
        return found

    def theory(self) -> list[float]:
        """The standard deviations in the limit of wide layers, where inputs of each layer are normal."""
        nodes, heights = np.polynomial.hermite_e.hermegauss(200)
        heights = heights / heights.sum()
        variance, found = 1.0, []
        for _ in range(self.depth):
            z = nodes * (self.deviation**2 * self.width * variance) ** 0.5
            h = np.tanh(z) if self.act == "tanh" else np.maximum(z, 0)
            variance = float(heights @ h**2)
            found.append((variance - float(heights @ h) ** 2) ** 0.5)
        return found


def options(parser: ArgumentParser) -> None:
    parser.add_argument("--act", choices=("tanh", "relu"), help="one network only: its activation")
    parser.add_argument(
        "--std", type=rule, metavar="S", help="of its weights: a number > 0, xavier, kaiming or large (1.0)"
    )
    parser.add_argument("--size", choices=("10x500", "6x4096"), help="only networks of this size")


def run(report: Report) -> None:
    act, std, size = (getattr(report.args, name, None) for name in ("act", "std", "size"))
    if act or std:
        depth, width = map(int, (size or "10x500").split("x"))
        return _one(report, Net(act or "tanh", std or "0.01", depth, width))
    if size != "6x4096":
        _ten_layers(report)
        _gradients(report)
    if size != "10x500":
        _six_layers(report)


def rule(text: str) -> str:
    """The value of ``--std``."""
    try:
        value = Net("tanh", text).deviation
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise ArgumentTypeError(f"expected a number > 0, xavier, kaiming or large, got {text!r}")
    return text


def _inputs(report: Report, width: int = 500, count: int = 1000) -> tuple[Array, np.random.Generator]:
    rng = np.random.default_rng(report.seed)
    return rng.standard_normal((count, width), dtype=np.float32), rng


def _one(report: Report, net: Net) -> None:
    x, rng = _inputs(report, net.width, 1000 if net.width == 500 else 16)
    found = net.activations(x, rng)
    report.say(f"{net.depth} layers of {net.width}, {net.act}, weights of std {net.deviation:.5g}, {len(x)} inputs.")
    slides: dict[tuple[str, str, int], tuple[list[str], list[list[float]]]] = {
        ("tanh", "0.01", 500): (["lecture: std"], [TANH_STD]),
        ("relu", "kaiming", 500): (["lecture: mean", "std"], [RELU_MEAN, RELU_STD]),
    }
    titles, columns = slides.get((net.act, net.std, net.width), ([], []))
    report.table(
        ["layer", "mean", "std", *titles],
        [(n + 1, _six(h.mean()), _six(h.std()), *(_six(c[n]) for c in columns)) for n, h in enumerate(found)],
    )
    if (net.act, net.std, net.width) == ("tanh", "0.01", 500):
        _check_small(report, found)
    elif (net.act, net.std, net.width) == ("relu", "kaiming", 500):
        _check_kaiming(report, net, found)
    elif net.deviation * net.width**0.5 < 3 * net.width**0.5:
        _check_theory(report, net, found)
    _histograms(report, [(net, found)], "")


def _six(value: Any) -> str:
    return f"{float(value):.6f}"


def _ten_layers(report: Report) -> None:
    small, large, kaiming = Net("tanh", "0.01"), Net("tanh", "large"), Net("relu", "kaiming")
    x, rng = _inputs(report)
    report.say("10 layers of 500 units, 1000 inputs from a normal distribution. Mean and std of each layer's output:")
    found = {net.name: net.activations(x, rng) for net in (small, large, kaiming)}
    rows = []
    for n in range(10):
        tanh, big, relu = (h[n] for h in found.values())
        slide = _six(TANH_STD[n]), _six(RELU_MEAN[n]), _six(RELU_STD[n])
        ours = [_six(value) for value in (tanh.std(), big.std(), relu.mean(), relu.std())]
        rows.append([n + 1, ours[0], slide[0], ours[1], ours[2], slide[1], ours[3], slide[2]])
    titles = ["layer", "tanh .01 std", "lecture", "tanh 1.0 std", "ReLU He mean", "lecture", "std", "lecture"]
    report.table(titles, rows)
    report.keep("std", {name: [float(h.std()) for h in layers] for name, layers in found.items()})
    _check_small(report, found[small.name])
    _check_large(report, found[large.name])
    _check_kaiming(report, kaiming, found[kaiming.name])
    _histograms(report, [(net, found[net.name]) for net in (small, large, kaiming)], "")


def _check_small(report: Report, found: list[Array]) -> None:
    stds = [float(h.std(dtype=np.float64)) for h in found]
    report.compare("tanh, 0.01: std of layer 1", stds[0], TANH_STD[0], low=0.99 * 0.2134, high=1.01 * 0.2134)
    ratios = [b / a for a, b in zip(stds[1:], stds[2:], strict=False)]
    expected = 0.01 * 500**0.5
    inside = max(abs(ratio / expected - 1) for ratio in ratios)
    report.compare("largest deviation from .01 sqrt(500) per layer", inside, high=0.03, digits=2)
    report.claim("layer 10 prints as 0", _six(stds[9]) == "0.000000", _six(stds[9]), "0.000000")


def _check_large(report: Report, found: list[Array]) -> None:
    last, share = found[-1], float((abs(found[-1]) > 0.97).mean())
    report.compare("tanh, 1.0: std of layer 10", last.std(), "saturated", low=0.9795, high=0.9835, digits=4)
    report.compare("share of |h| > 0.97", share, "saturated", low=0.914, high=0.934, digits=3)


def _check_kaiming(report: Report, net: Net, found: list[Array]) -> None:
    means, stds = [float(h.mean()) for h in found], [float(h.std()) for h in found]
    report.compare("ReLU, He: mean of layer 1, 1/sqrt(pi)", means[0], RELU_MEAN[0], low=0.5562, high=0.5722)
    report.compare("std of layer 1, sqrt(1 - 1/pi)", stds[0], RELU_STD[0], low=0.8176, high=0.8336)
    ratios = [mean / std for mean, std in zip(means, stds, strict=True)]
    report.compare("smallest mean / std of a layer", min(ratios), 0.670553, low=0.61, high=0.75, digits=3)
    report.compare("largest", max(ratios), 0.700753, low=0.61, high=0.75, digits=3)
    report.compare("smallest std of a layer", min(stds), min(RELU_STD), low=0.5, high=1.4, digits=3)
    report.compare("largest", max(stds), max(RELU_STD), low=0.5, high=1.4, digits=3)
    rng = np.random.default_rng(report.seed + 1)
    count = 1000 if report.full else 100
    ends = [
        float(net.activations(rng.standard_normal((count, 500), dtype=np.float32), rng)[-1].std()) for _ in range(50)
    ]
    report.compare("std of layer 10, mean of 50 draws", sum(ends) / 50, low=0.85 * 0.83, high=1.15 * 0.83, digits=3)
    report.say(
        f"Single draws of layer 10's std lie between {min(ends):.2f} and {max(ends):.2f}: the printed column is one of "
        "them, not a band."
    )


def _check_theory(report: Report, net: Net, found: list[Array]) -> None:
    expected = net.theory()
    worst = max(abs(float(h.std()) / value - 1) for h, value in zip(found, expected, strict=True))
    report.compare(f"{net.name}: deviation of any layer's std from theory", worst, high=0.05, digits=2)


# ---------------------------------------------------------------- gradients


def _gradients(report: Report) -> None:
    import fastnet.functional as F

    nets = [
        *(Net("tanh", "0.01"), Net("tanh", "xavier"), Net("tanh", "large")),
        *(Net("relu", "xavier"), Net("relu", "kaiming")),
    ]
    norms, slopes = {}, {}
    for net in nets:
        x, rng = _inputs(report)
        tape, hidden = [], []
        for _ in range(net.depth):
            z, linear = F.linear(x, net.weights(rng))
            x, activation = (F.tanh if net.act == "tanh" else F.relu)(z)
            tape.append((linear, activation))
            hidden.append(x)
        dy, found = rng.standard_normal(x.shape, dtype=np.float32) / len(x), []
        for linear, activation in reversed(tape):
            dy, dw, *_ = linear(activation(dy))
            found.append(float(np.linalg.norm(dw)))
        norms[net.name] = found[::-1]
        if net.act == "tanh":
            slopes[net.name] = [float((1 - h.astype(np.float64) ** 2).mean()) for h in hidden]
    report.say(
        "Gradients: a normal gradient of variance 1 / 1000**2 enters at the top. The length of dL/dW in layers 1, 5 "
        "and 10, and the mean slope 1 - h**2 of tanh in layers 1 and 10:"
    )
    report.table(
        ["network", "layer 1", "layer 5", "layer 10", "slope in 1", "in 10"],
        [(n, v[0], v[4], v[9], *((slopes[n][0], slopes[n][9]) if n in slopes else ("", ""))) for n, v in norms.items()],
        digits=3,
    )
    report.keep("gradients", norms)
    small, xavier, large = (np.array(norms[net.name]) for net in nets[:3])
    relu = np.array(norms["relu, xavier"]) / np.array(norms["relu, kaiming"])
    report.compare("tanh: 0.01 against Xavier, any layer", (small / xavier).max(), "no learning", high=1e-4, digits=2)
    report.compare("ReLU: Xavier against He, smallest, 2^-4.5", relu.min(), low=0.031, high=0.0575, digits=3)
    report.compare("largest", relu.max(), low=0.031, high=0.0575, digits=3)
    slope = float(np.mean(slopes["tanh, large"]))
    report.compare("tanh, 1.0: mean slope 1 - h**2", slope, "all zero", low=0.026, high=0.046, digits=2)
    report.compare("Xavier's, smallest", min(slopes["tanh, xavier"]), low=0.5, high=1, digits=2)
    report.say(
        f"The slides say of saturated tanh that the local gradients are all zero. Most are, but not all: dL/dW does "
        f"not vanish, it is {large[0] / large[9]:.0e} times as long in layer 1 as in layer 10, since the weights are "
        "large, too."
    )
    _, axes = report.figure(name="gradients", size=(7, 4.2))
    for name, values in norms.items():
        axes.semilogy(range(1, 11), values, "o-", markersize=4, label=name)
    axes.set(xlabel="layer", ylabel="length of dL/dW (logarithmic)", title="Gradients, 10 layers of 500")
    axes.grid(alpha=0.3)
    axes.legend()


# ---------------------------------------------------------------- six layers of 4096


def _six_layers(report: Report) -> None:
    rules = (("tanh", "0.01"), ("tanh", "0.05"), ("tanh", "xavier"), ("relu", "xavier"), ("relu", "kaiming"))
    words = ("tend to zero", "saturate", "just right", "collapse", "just right")
    nets = [Net(act, std, 6, 4096) for act, std in rules]
    report.say(
        "6 layers of 4096 units, 16 inputs. Std of each layer; theory: that of infinitely wide layers. The lecture's "
        'text does not say its "too large"; here it is 0.05.'
    )
    found, rows = [], []
    for net, word in zip(nets, words, strict=True):
        x, rng = _inputs(report, 4096, 16)
        layers = net.activations(x, rng)
        found.append((net, layers))
        rows.append([net.name, *(float(h.std()) for h in layers), word])
        rows.append(["  theory", *net.theory(), ""])
    report.table(["network", *map(str, range(1, 7)), "lecture"], rows, digits=3)
    for net, layers in found:
        _check_theory(report, net, layers)
    share = float((abs(found[1][1][-1]) > 0.97).mean())
    report.compare("tanh, 0.05: share of |h| > 0.97 in layer 6", share, "saturate", low=0.418, high=0.462, digits=3)
    _histograms(report, found, "six-layers")


def _histograms(report: Report, found: list[tuple[Net, list[Array]]], name: str) -> None:
    depth = found[0][0].depth
    figure, grid = report.figure(len(found), depth, name=name, size=(1.55 * depth + 1, 1.9 * len(found) + 0.6))
    grid = np.reshape(grid, (len(found), depth))
    figure.suptitle("Activations, layer by layer: histograms of 30 bins")
    for line, (net, layers) in zip(grid, found, strict=True):
        limits = (-1, 1) if net.act == "tanh" else (0, 3)
        for n, (axes, h) in enumerate(zip(line, layers, strict=True)):
            axes.hist(h.ravel(), 30, limits, color="C0" if net.act == "tanh" else "C2")
            axes.set_yticks([])
            axes.tick_params(labelsize=7)
            axes.set_title(f"layer {n + 1}, std {h.std():.2g}", fontsize=8)
        line[0].set_ylabel(net.name, fontsize=9)
