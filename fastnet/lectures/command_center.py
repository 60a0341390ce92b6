"""Command centre: all runs of a search on one picture, and each setting against its result.

The lecture shows walls of curves, and names Weights & Biases.  Here the runs of a coarse-to-fine search with
three-fold cross-validation become one picture, and one HTML page in which a click on a curve marks its row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastnet.lectures.report import Report

if TYPE_CHECKING:
    from fastnet.data import Dataset
    from fastnet.optim import Optimizer
    from fastnet.training import Solver

DATA = True


def run(report: Report) -> None:
    from fastnet.search import choice, log_uniform, search

    space = {
        "lr": log_uniform(1e-4, 1e1),
        "weight_decay": log_uniform(1e-6, 1e0),
        "optimizer": choice("sgd", "adamw"),
    }
    trials, fine = (60, 30) if report.full else (14, 7)
    dataset = report.data()
    results = search(_solver, space, data=dataset, trials=trials, fine=fine, folds=3, seed=report.seed, verbose=False)
    for line in results.lines():
        report.say(line)
    for line in results.advice() or ["The best setting lies on no border of its ranges."]:
        report.say(line)
    report.folder.mkdir(parents=True, exist_ok=True)
    figure = results.plot(report.folder / "command-center.png")
    results.page(report.folder / "command-center.html")
    report.say("command-center.html holds the picture and a table of all runs; a click on a curve marks its row.")
    loss, accuracy, *_ = figure.axes
    started = sum(any(history.losses for history in run.histories) for run in results.runs)
    finished = len(results.ranked())
    page = (report.folder / "command-center.html").read_text(encoding="utf-8")
    values = [run.value or 0.0 for run in results.ranked()]
    report.compare("curves of the loss, runs", len(loss.lines), low=started, high=started)
    report.compare("runs with an accuracy in the picture", len(accuracy.lines), low=finished)
    report.compare("rows of the page's table", page.count("<tr id="), low=trials + fine, high=trials + fine)
    report.claim("the table begins with the best", values == sorted(values, reverse=True) and finished > 0)
    report.compare("best accuracy / accuracy of guessing", values[0] * len(dataset.classes), low=5, digits=3)


def _solver(dataset: Dataset, lr: float, weight_decay: float, optimizer: str) -> Solver:
    import fastnet as fn

    rule: Optimizer
    if optimizer == "sgd":
        rule = fn.optim.SGD(lr, momentum=0.9, weight_decay=weight_decay)
    else:
        rule = fn.optim.AdamW(lr, weight_decay=weight_decay)
    model = fn.Sequential(fn.Flatten(), fn.Linear(32), fn.ReLU(), fn.Linear(len(dataset.classes)))
    return fn.Solver(model, dataset, optimizer=rule, epochs=5, batch_size=64, preprocess="standardize")
