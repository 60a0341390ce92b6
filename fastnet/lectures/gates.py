"""Backpropagation gate by gate: the worked examples, explained and checked by differences.

Three circuits: (x + y) z; a neuron with a sigmoid, first of small gates, then with the sigmoid as one; and the squared
norm of W x.  The picture is the neuron's circuit, with values above the lines and gradients below.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet.lectures.report import Report

if TYPE_CHECKING:
    from fastnet.gates import Value

SOURCE = "CS231n 2017, lecture 4"


def run(report: Report) -> None:
    _sum_and_product(report)
    neuron = _neuron(report)
    _squared_norm(report)
    _gates(report)
    figure, axes = report.figure(size=(13, 5.5))
    draw(axes, neuron)
    axes.set_title("A neuron's circuit: value above, gradient of the output below (in red)")


def _sum_and_product(report: Report) -> None:
    from fastnet.gates import Value

    x, y, z = Value(-2, "x"), Value(5, "y"), Value(-4, "z")
    f = ((x + y).named("q") * z).named("f")
    for line in str(f.backward()).splitlines():
        report.say(line)
    for value, slide in ((f.data, -12), (x.grad, -4), (y.grad, -4), (z.grad, 3)):
        name = {-12: "f = (x + y) z at (-2, 5, -4)", 3: "df/dz"}.get(slide, "df/dx" if value is x.grad else "df/dy")
        report.compare(name, float(value), slide, low=slide, high=slide)


def _neuron(report: Report) -> Value:
    """1 / (1 + exp(-(w0 x0 + w1 x1 + w2))), of small gates and with the sigmoid as one."""
    from fastnet.gates import Value

    slides = {"w0": -0.20, "x0": 0.39, "w1": -0.39, "x1": -0.59, "w2": 0.20}
    gradients: list[dict[str, float]] = []
    outputs = []
    for small in (True, False):
        given = {"w0": 2.0, "x0": -1.0, "w1": -3.0, "x1": -2.0, "w2": -3.0}
        v = {name: Value(number, name) for name, number in given.items()}
        s = v["w0"] * v["x0"] + v["w1"] * v["x1"] + v["w2"]
        f = (1 + (-s).exp()).reciprocal() if small else s.sigmoid()
        f.named("f").backward()
        gradients.append({name: float(value.grad) for name, value in v.items()})
        outputs.append(f)
    report.compare("a neuron with w = (2, -3, -3), x = (-1, -2)", float(outputs[0].data), 0.73, low=0.725, high=0.735)
    for name, slide in slides.items():
        ours = gradients[0][name]
        report.compare(f"df/d{name}", ours, slide, low=slide - 0.011, high=slide + 0.011, digits=3)
    same = max(abs(gradients[0][name] - gradients[1][name]) for name in slides)
    report.compare("the sigmoid as one gate, (1 - s) s: largest difference", same, high=1e-15, digits=2)
    return outputs[0]


def _squared_norm(report: Report) -> None:
    from fastnet.gates import Value

    W, x = Value([[0.1, 0.5], [-0.3, 0.8]], "W"), Value([0.2, 0.4], "x")
    q = (W @ x).named("q")
    f = (q**2).sum().named("f")
    f.backward()
    report.compare("f = |W x|^2", float(f.data), 0.116, low=0.116 - 1e-12, high=0.116 + 1e-12)
    slides = {"dW": ([0.088, 0.176, 0.104, 0.208], W.grad), "dx": ([-0.112, 0.636], x.grad)}
    for name, (numbers, ours) in slides.items():
        for n, (slide, value) in enumerate(zip(numbers, np.ravel(ours), strict=True)):
            report.compare(f"{name}[{n}]", float(value), slide, low=slide - 5e-4, high=slide + 5e-4)
    formula = max(np.abs(W.grad - 2 * np.outer(q.data, x.data)).max(), np.abs(x.grad - 2 * W.data.T @ q.data).max())
    report.compare("dW = 2 q x^T, dx = 2 W^T q: largest difference", formula, high=1e-15, digits=2)


def _gates(report: Report) -> None:
    """Each kind of gate against central differences."""
    rng = np.random.default_rng(report.seed)
    circuits: dict[str, Callable[[Value, Value], Value]] = {
        "add": lambda a, b: a + b,
        "multiply": lambda a, b: a * b,
        "max": lambda a, b: a.maximum(b),
        "1/x": lambda a, b: a * b.reciprocal(),
        "sigmoid": lambda a, b: a.sigmoid() * b,
        "exp, log": lambda a, b: (a.exp() + b * b).log(),
        "ReLU": lambda a, b: a.relu() * b,
    }
    worst = {name: _error(circuit, away_from_zero(rng)) for name, circuit in circuits.items()}
    report.table(["gate", "largest relative error against central differences"], worst.items(), digits=2)
    report.compare("largest of them", max(worst.values()), high=1e-7, digits=2)


def away_from_zero(rng: np.random.Generator) -> np.ndarray:
    """Inputs of both signs, but not near 0, where 1/x has its pole and a ReLU its kink: differences would be wrong."""
    signs: np.ndarray = rng.choice([-1.0, 1.0], (2, 5))
    return signs * rng.uniform(0.5, 2, (2, 5))


def _error(circuit: Callable[[Value, Value], Value], arrays: np.ndarray, h: float = 1e-5) -> float:
    from fastnet.gates import Value

    values = [Value(array) for array in arrays]
    circuit(*values).sum().backward()
    worst = 0.0
    for n, element in np.ndindex(arrays.shape):
        sides = []
        for step in (h, -h):
            moved = arrays.copy()
            moved[n, element] += step
            sides.append(float(circuit(*map(Value, moved)).sum().data))
        slope, ours = (sides[0] - sides[1]) / (2 * h), float(values[n].grad[element])
        worst = max(worst, abs(slope - ours) / max(abs(slope), abs(ours), 1e-3))
    return worst


def draw(axes: Any, output: Value) -> None:
    """Draw the circuit that computes `output`, whose backward pass has run, from left to right."""
    columns: dict[Value, int] = {}
    rows: dict[Value, float] = {}
    leaves = 0.0

    def place(value: Value) -> None:
        nonlocal leaves
        for each in value.inputs:
            if each not in rows:
                place(each)
        columns[value] = 1 + max((columns[each] for each in value.inputs), default=-1)
        if value.inputs:
            rows[value] = float(np.mean([rows[each] for each in value.inputs]))
        else:
            rows[value], leaves = leaves, leaves - 1

    place(output)
    for value in rows:  # inputs stand right before the gate that reads them
        if not value.inputs:
            columns[value] = min(columns[other] for other in rows if value in other.inputs) - 1
    signs = {"add": "+", "multiply": "*", "negate": "*-1", "subtract": "-"}
    for value, row in rows.items():
        x = columns[value]
        readers = [other for other in rows if value in other.inputs]
        ends: Sequence[tuple[float, float]] = [(columns[r], rows[r]) for r in readers] or [(x + 0.8, row)]
        for end in ends:
            axes.plot([x, end[0]], [row, end[1]], color="0.7", zorder=1)
        if value.inputs:
            axes.scatter([x], [row], s=900, color="white", edgecolors="black", zorder=2)
            axes.text(x, row, signs.get(value.gate, value.gate), ha="center", va="center", zorder=3)
        else:
            label = value.name or f"{float(value.data):g}"
            axes.text(x - 0.08, row, label, ha="right", va="center")
        (end_x, end_y), shift = ends[0], 0.36
        at = x + shift, row + (end_y - row) * shift / (end_x - x)
        if value.learns:
            style = {"ha": "center", "fontsize": 9, "bbox": {"facecolor": "white", "edgecolor": "none", "pad": 0.8}}
            axes.text(*at, f"{float(value.data):.2f}", va="bottom", **style)  # on white: the line runs through them
            axes.text(*at, f"{float(value.grad):.2f}", va="top", color="C3", **style)
    axes.set_axis_off()
