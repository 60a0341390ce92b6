"""How the cost of a training step grows with batch, channels, image size and threads: a table and a picture.

    python benches/growth.py [--out docs/performance/growth.png] [--json FILE] [--quick]

The network is three blocks of a 3x3 convolution, batch norm and ReLU; a step is forward, loss, backward and SGD with
momentum.  One thing varies at a time.  Before each series is timed, the loss and all gradients of a small case
must be those of the reference backend.  Times are the best of several; takes about a minute on two cores.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import peers

import fastnet as fn
from fastnet import bench
from fastnet.diagnose.machine import cpu_name

BASE = {"batch": 32, "channels": 64, "size": 32}
SERIES = {  # what varies: the fixed values that differ from BASE, and the values that it takes
    "batch": ({"size": 16}, (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)),
    "channels": ({"batch": 16, "size": 16}, (8, 16, 32, 64, 128, 256, 512)),
    "size": ({"batch": 8, "channels": 32}, (8, 14, 28, 56, 112, 224)),
}
LABELS = {
    "batch": "images in a batch",
    "channels": "channels",
    "size": "height and width, pixels",
    "threads": "threads",
}


def net(channels: int, size: int) -> fn.Sequential:
    blocks = [[fn.Conv2d(channels, 3, padding=1, bias=False), fn.BatchNorm2d(), fn.ReLU()] for _ in range(3)]
    model = fn.Sequential(*sum(blocks, []), fn.GlobalAvgPool2d(), fn.Flatten(), fn.Linear(10))
    model.build((3, size, size), seed=0)
    return model


def images(batch: int, size: int):
    rng = np.random.default_rng(0)
    return rng.standard_normal((batch, 3, size, size), np.float32), rng.integers(0, 10, batch)


def gradients(batch: int, channels: int, size: int) -> list:
    model, (x, labels) = net(channels, size), images(batch, size)
    scores, backward = model.forward(x, training=True)
    loss, dscores = fn.losses.softmax_cross_entropy(scores, labels)
    backward(dscores, input_gradient=False)
    return [float(loss), *(np.array(parameter.grad) for parameter in model.parameters())]


def verify(case: dict) -> None:
    """Raises RuntimeError if the current backend's loss or gradients of a case are not the reference's."""
    found = gradients(**case)
    with fn.backends.use_backend("reference"):
        expected = gradients(**case)
    error = bench.difference(found, expected)
    if not error < 2e-2:
        raise RuntimeError(f"{case}: gradients differ from the reference's by {error:.1e}; nothing was timed")


def milliseconds(batch: int, channels: int, size: int, seconds: float) -> float:
    """Of a training step, the best of at least three."""
    model, (x, labels) = net(channels, size), images(batch, size)
    plan, sgd = fn.TrainingPlan(model), fn.optim.SGD(1e-3, momentum=0.9)
    parameters = model.parameters(requires_grad=True)

    def step():
        plan(x, labels)
        sgd.step(parameters)

    return 1e3 * min(peers.timed(step, seconds, time.perf_counter))


def measure(seconds: float, most: int, quick: bool) -> list[dict]:
    """A row for each value of each series: ms per step and per image, and the efficiency of threads."""
    rows = []

    def row(series: str, value: int, case: dict, **more) -> dict:
        ms = milliseconds(**case, seconds=seconds)
        rows.append({"series": series, "value": value, **case, "ms": ms, "ms_per_image": ms / case["batch"], **more})
        print(f"{series:<9} {value:>6} {ms:>12.3f} {ms / case['batch']:>12.4f}", flush=True)
        return rows[-1]

    print(f"{'varies':<9} {'value':>6} {'ms a step':>12} {'ms an image':>12}")
    for series, (fixed, values) in SERIES.items():
        values = values[:3] if quick else values
        verify({**BASE, **fixed, series: values[1]})
        for value in values:
            row(series, value, {**BASE, **fixed, series: value})
    first = 0.0
    for threads in range(1, most + 1):
        fn.set_num_threads(threads)
        found = row("threads", threads, BASE)
        first = first or found["ms"]
        found["efficiency"] = first / found["ms"] / threads
        print(f"{'':<9} {'':>6} efficiency {found['efficiency']:.2f}")
    return rows


def draw(rows: list[dict], about: str, path: Path) -> None:
    """Four panels on logarithmic axes; dashed lines are growth in proportion to the work."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot, ticker

    figure, axes = pyplot.subplots(2, 2, figsize=(10, 8), constrained_layout=True)
    for panel, series in zip(axes.flat, LABELS, strict=True):
        chosen = [row for row in rows if row["series"] == series]
        x = [row["value"] for row in chosen]
        panel.set_xlabel(LABELS[series])
        panel.set_xscale("log", base=2)
        panel.set_xticks(x, [str(value) for value in x])
        panel.minorticks_off()
        panel.grid(alpha=0.3)
        if series == "threads":
            panel.plot(x, [row["efficiency"] for row in chosen], "o-", label="measured")
            panel.axhline(1, color="gray", ls="--", label="ideal")
            panel.set_ylim(0, 1.15)
            panel.set_ylabel("efficiency: speed-up / threads")
        else:
            y = [row["ms_per_image"] for row in chosen]
            panel.plot(x, y, "o-", label="measured")
            power, name = {
                "batch": (0, "constant time per image"),
                "channels": (2, "in proportion to channels²"),
                "size": (2, "in proportion to pixels"),
            }[series]
            panel.plot(x, [y[-1] * (value / x[-1]) ** power for value in x], "--", color="gray", label=name)
            panel.set_yscale("log")
            panel.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
            panel.yaxis.set_major_formatter("{x:g}")
            panel.yaxis.set_minor_formatter(ticker.NullFormatter())
            panel.set_ylabel("ms per image")
        fixed = ", ".join(f"{name} {value}" for name, value in chosen[0].items() if name in BASE and name != series)
        panel.set_title(f"{LABELS[series]} ({fixed})", fontsize=10)
        panel.legend()
    figure.suptitle(f"Training step of three conv-BN-ReLU blocks, float32\n{about}", fontsize=11)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--out", type=Path, metavar="FILE", help="draw the picture there (needs matplotlib)")
    add("--json", type=Path, metavar="FILE", help="write the times there")
    add("--threads", type=int, default=peers.cores(), help="the most threads (default: all processors)")
    add("--quick", action="store_true", help="three values of each series, short")
    args = parser.parse_args()
    fn.set_num_threads(args.threads)
    about = f"{cpu_name()}, {args.threads} threads, fastnet {fn.__version__}"
    print(about)
    try:
        rows = measure(0.05 if args.quick else 1.5, args.threads, args.quick)
    except RuntimeError as error:
        print(f"growth: {error}", file=sys.stderr)
        return 1
    if args.json:
        args.json.write_text(json.dumps({"machine": about, "rows": rows}, indent=1))
    if args.out:
        draw(rows, about, args.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
