"""Which learning rate is best?  Loss curves of a low, a good, a high and a very high one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from fastnet.lectures.report import Report

if TYPE_CHECKING:
    from fastnet.data import Dataset
    from fastnet.optim import Schedule

DATA = True

_RATES = {"low": 0.001, "good": 0.3, "high": 1.2, "very high": 30.0}


def options(parser: Any) -> None:
    parser.add_argument("--epochs", type="several", default=16, metavar="N", help="epochs of each run (default: 16)")


def run(report: Report) -> None:
    from fastnet.optim import ExponentialDecay

    data, epochs = report.data(), report.args.epochs
    report.say(
        "CS231n 2017, lecture 7, draws such curves, without numbers.  "
        f"A two-layer network on {data.name}, SGD without momentum in batches of 16, {epochs} epochs.  A loss that "
        "exceeds 3 times its first value counts as diverging."
    )
    batches = math.ceil(len(data.y_train[: _images(report)]) / 16)
    runs = {name: _train(report, data, rate) for name, rate in _RATES.items()}
    falling = f"high, falling: {_RATES['high']:g} exp(-{6 / epochs:.2g} t)"
    runs[falling] = _train(report, data, _RATES["high"], ExponentialDecay(6 / epochs))
    chance = math.log(len(data.classes))
    rows: list[list[Any]] = []
    for name, losses in runs.items():
        epoch = means(losses, batches, epochs)
        worst = max((loss for loss in losses if math.isfinite(loss)), default=math.inf)
        diverged = not math.isfinite(losses[-1]) or worst > 3 * losses[0]
        rows.append([name, _RATES.get(name, _RATES["high"]), losses[0], epoch[1], epoch[-1], worst, diverged])
    report.table(["rate", "value", "first loss", "epoch 2", "last epoch", "largest", "diverges"], rows)
    final = {row[0]: row[4] for row in rows}
    second = {row[0]: row[3] for row in rows}
    report.claim("low: still falling, above good at the end", final["good"] < final["low"] < second["low"])
    report.claim("high: ends above good", final["good"] < final["high"], f"{final['high']:.3g}")
    report.claim("very high: the loss diverges", rows[3][6], f"to {rows[3][5]:.3g}")
    report.compare(f"very high: last epoch's loss (chance: {chance:.3g})", final["very high"], low=0.95 * chance)
    report.claim(
        "all of them: a high rate that falls ends below a high rate that stays", final[falling] < final["high"]
    )

    _, axes = report.figure(size=(7.5, 5))
    for name, losses in runs.items():
        rate = f" ({_RATES[name]:g})" if name in _RATES else ""
        axes.plot(range(1, epochs + 1), means(losses, batches, epochs), "o-", markersize=3, label=name + rate)
    axes.axhline(chance, color="black", linewidth=0.8, linestyle=":", label="all classes alike: log C")
    axes.set(xlabel="epoch", ylabel="training loss, mean of the epoch", yscale="log", title="Loss and learning rate")
    axes.grid(True, alpha=0.3)
    axes.legend()


def _train(report: Report, data: Dataset, rate: float, schedule: Schedule | None = None) -> list[float]:
    """The loss of each iteration; the last is infinite if the run ended with one that is not finite."""
    import fastnet as fn

    model = fn.Sequential(fn.Flatten(), fn.Linear(32), fn.ReLU(), fn.Linear(len(data.classes)))
    count = _images(report)
    solver = fn.Solver(
        model,
        (data.X_train[:count], data.y_train[:count]),
        optimizer=fn.optim.SGD(rate),
        schedule=schedule,
        batch_size=16,
        epochs=report.args.epochs,
        preprocess="standardize",
        seed=report.seed,
        verbose=False,
    )
    try:
        return list(solver.train().losses)
    except FloatingPointError:
        return [*solver.history.losses, math.inf]


def _images(report: Report) -> int | None:
    return None if report.full else 2000


def means(losses: list[float], batches: int, epochs: int) -> list[float]:
    """The mean loss of each epoch; infinite after the end of a run that ended early."""
    parts = [losses[i * batches : (i + 1) * batches] for i in range(epochs)]
    return [sum(part) / len(part) if part else math.inf for part in parts]
