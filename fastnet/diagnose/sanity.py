"""The sanity checks to make before training: the initial loss, a few examples by heart, a rate at which loss falls."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from fastnet import losses
from fastnet.arguments import integer, real, several
from fastnet.backends import current
from fastnet.bars import counted
from fastnet.data import Loader
from fastnet.diagnose.causes import CAUSES, EXPLODES, FLAT, course
from fastnet.diagnose.sanity_report import SanityCheck, Step
from fastnet.diagnose.short_runs import Data, Run, check_optimizer, short_run, subject
from fastnet.diagnose.symptoms import symptoms
from fastnet.heads import training_loss
from fastnet.layers import Model
from fastnet.losses.names import op_name
from fastnet.ops.metrics import MAE
from fastnet.optim import SGD, Optimizer
from fastnet.regularizers import L2
from fastnet.types import Array, Loss, Preprocess

__all__ = ["sanity_check"]


def _momentum(lr: float) -> Optimizer:
    return SGD(lr, momentum=0.9)


def sanity_check(
    model: Model,
    data: Data,
    *,
    loss: str | Loss = "softmax",
    rates: Sequence[float] = (1e-1, 1e-2, 1e-3, 1e-4),
    optimizer: Callable[[float], Optimizer] = _momentum,
    weight_decay: float = 1e-4,
    examples: int = 20,
    epochs: int = 200,
    iterations: int = 100,
    batch_size: int = 128,
    preprocess: Preprocess | str | None = None,
    seed: int = 0,
) -> SanityCheck:
    """Steps 1 to 3 of the lectures' recipe for training, and what is wrong, in words.

    1. *Initial loss*, weight decay off: that of equal scores is expected, log C for softmax, C - 1 for the SVM.  With
       a penalty the loss must be higher by exactly that penalty.
    2. *Overfit a small sample*: plain SGD without regularization must bring the first `examples` to an accuracy of
       100 %, at one of the `rates`.
    3. *Find a rate*: on all data, with a small weight decay, the loss should fall significantly within 100 iterations.

    A loss that does not fall has two causes: too low a rate, or a bad initialization; so has one that explodes: too
    high a rate, or a bad initialization (CS231n 2024, "Training neural networks").  Where the network itself tells
    more (no gradient, dead units, equal weights, the same image under two labels), that is said.

    Parameters
    ----------
    model : Model
        Restored afterwards: weights, running statistics, random streams.
    data : (X, y), Dataset or Loader
        As for Solver.
    loss : str or function
    rates : sequence of float
        Tried in both steps 2 and 3.
    optimizer : function of the rate
        Of step 3; SGD with momentum 0.9 by default.
    weight_decay : float
        The strength of the L2 penalty of step 3.
    examples, epochs : int
        Of step 2: an epoch is one pass over the examples.
    iterations : int
        Of step 3, at each rate.
    batch_size, preprocess, seed
        As for Solver.

    Returns
    -------
    SanityCheck
        Prints as text; ``check.ok``, ``check.rate``, ``check.plot()``.
    """
    examples, epochs = integer(examples, "sanity_check: examples"), integer(epochs, "sanity_check: epochs")
    iterations, weight_decay = integer(iterations, "sanity_check: iterations"), real(weight_decay, "weight_decay")
    rates = [real(rate, "sanity_check: rates") for rate in several(rates, "sanity_check: rates")]
    check_optimizer("sanity_check", optimizer)
    if not rates or min(rates) <= 0:
        raise ValueError(f"sanity_check: rates must be positive numbers, at least one, got {rates!r}")
    with subject(model, data, loss, batch_size, preprocess, seed) as (loader, function):
        steps = [_initial(model, loader, function)]
        steps.append(_penalty(model, loader, function))
        few = Loader(
            *(loader.X[:examples], loader.y[:examples], min(batch_size, examples), seed),
            preprocess=loader.preprocess,
            dtype=loader.dtype,
            targets=loader.targets,
        )
        by_heart, learned = _overfit(model, few, function, rates, epochs)
        steps.append(by_heart)
        search, runs, rate = _find_rate(model, loader, function, rates, optimizer, weight_decay, iterations)
        steps.append(search)
        if any(step.status == "problem" for step in steps) and (found := symptoms(model, few, function)):
            steps.append(Step("what the network and the data show", "look", found))
    return SanityCheck(steps, rate, learned, runs)


# ---------------------------------------------------------------- 1: the initial loss


def _initial(model: Model, loader: Loader, loss: Loss) -> Step:
    ops, values, equal, spread, full = current(), [], [], [], training_loss(loss, model)
    for n, (x, labels) in enumerate(loader.batches(0)):
        if n == 10:
            break
        scores, _ = model.forward(x, training=True)
        spread.append(float(ops.to_numpy(scores).std()))
        values.append(float(full(ops.xp.array(scores), ops.xp.array(labels))[0]))
        equal.append(float(full(ops.xp.zeros_like(scores), ops.xp.array(labels))[0]))
    title, found = "initial loss, without regularization", float(np.mean(values))
    if losses.metric(loss) is MAE:
        return Step(title, "ok", [f"{found:.4g}; a loss of regression has no value that could be expected"])
    expected = float(np.mean(equal))
    known = _formula(loss, int(model.output_shape[0]), 1 + sum(model.auxiliary))
    lines = [f"{found:.4g}; with equal scores it is {expected:.4g}{known}"]
    if not math.isfinite(found):
        return Step(
            title, "problem", [*lines, "the forward pass overflows: the initial weights or the inputs are too large"]
        )
    if found < 0.9 * expected:
        lines.append("lower than chance: has the model been trained already, or do the images hold the labels?")
        return Step(title, "look", lines)
    if found <= 1.1 * expected:
        return Step(title, "ok", lines)
    lines.append(
        f"higher than chance: the scores differ already, std {np.mean(spread):.3g}: the initial weights, above all the "
        "last layer's, or the inputs are large, or labels do not fit the loss"
    )
    return Step(title, "look" if found <= 10 * expected else "problem", lines)


def _formula(loss: Loss, classes: int, outputs: float) -> str:
    """What a loss of equal scores is; `outputs` is the sum of the weights of the model's outputs."""
    name, factor = op_name(loss), "" if outputs == 1 else f"{outputs:g} * "
    sizes = {"softmax_cross_entropy": f"log({classes})", "svm_loss": f"({classes} - 1)" if factor else f"{classes} - 1"}
    return f" = {factor}{sizes[name]}" if name in sizes else ""


def _penalty(model: Model, loader: Loader, loss: Loss) -> Step:
    """The first loss of a step with a penalty, against that of one without, and the sum of squares."""
    decayed = [p for p in model.parameters() if p.requires_grad and p.decay]
    squares = sum(float((np.asarray(current().to_numpy(p.value), np.float64) ** 2).sum()) for p in decayed)
    title = "initial loss, with an L2 penalty"
    if not squares:
        return Step(title, "look", ["all weights that decay are 0, so that no penalty shows"])
    plain = short_run(model, loader, loss, SGD(1e-30), 1).losses[0]
    if not math.isfinite(plain):
        return Step(title, "problem", [f"{plain:g} already without it"])
    strength = 2 * max(plain, 1e-3) / squares  # a penalty as large as the loss
    both = short_run(model, loader, loss, SGD(1e-30), 1, regularizer=L2(strength)).losses[0]
    expected, error = strength / 2 * squares, abs(both - plain - strength / 2 * squares)
    line = f"{both:.4g}, higher by {both - plain:.4g}; the penalty is {expected:.4g}"
    if not error <= 1e-4 * expected:
        return Step(title, "problem", [line, "the penalty of the loss is not the sum of the squared weights"])
    return Step(title, "ok", [line])


# ---------------------------------------------------------------- 2: a few examples


def _overfit(
    model: Model, few: Loader, loss: Loss, rates: Sequence[float], epochs: int
) -> tuple[Step, dict[float, Run]]:
    title, runs = f"overfit {len(few.y)} examples with plain SGD, no regularization", {}
    regression = losses.metric(loss) is MAE

    def learned(run: Run) -> bool:
        window = run.losses[-len(few) :]
        small = float(np.mean(window)) < 0.02 * run.losses[0]
        return small if regression else small and min(run.accuracies[-len(few) :]) == 1

    for rate in counted(rates, len(rates), title, "rate"):
        runs[rate] = run = short_run(model, few, loss, SGD(rate), epochs * len(few), until=learned)
        if learned(run):
            right = "" if regression else ", accuracy 100 %"
            taken = f"{right} after {-(-len(run.losses) // len(few))} epochs"
            return Step(title, "ok", [f"rate {rate:g}: loss {run.losses[0]:.4g} to {run.losses[-1]:.2g}{taken}"]), runs
    lines = [_line(rate, run, regression) for rate, run in runs.items()]
    best = min(runs.values(), key=lambda run: run.losses[-1] if math.isfinite(run.losses[-1]) else math.inf)
    if not regression and best.accuracies[-1] == 1:
        lines.append("all examples are right, though the loss is not small yet: enough to go on")
        return Step(title, "ok", lines), runs
    verdicts = {course(run.losses) for run in runs.values()}
    if verdicts == {"explodes"}:
        lines.append(EXPLODES)
    elif "falls" not in verdicts and "slow" not in verdicts:
        lines.append(FLAT)
        lines.append("or the gradient is wrong: fastnet.gradcheck(model, x, y) tells")
    else:
        lines.append(
            "the loss falls, but a network that cannot learn a few examples by heart will learn nothing: it is too "
            "small, something regularizes it (dropout, augmentation), or it needs more epochs"
        )
    return Step(title, "problem", lines), runs


def _line(rate: float, run: Run, regression: bool) -> str:
    right = "" if regression else f", accuracy {100 * run.accuracies[-1]:.0f} %"
    return f"rate {rate:g}: loss {run.losses[0]:.4g} to {run.losses[-1]:.4g}{right}, {len(run.losses)} iterations"


# ---------------------------------------------------------------- 3: a rate


def _find_rate(
    model: Model,
    loader: Loader,
    loss: Loss,
    rates: Sequence[float],
    optimizer: Callable[[float], Optimizer],
    weight_decay: float,
    iterations: int,
) -> tuple[Step, dict[float, Run], float | None]:
    title = f"all data, weight decay {weight_decay:g}: the loss of {iterations} iterations"
    penalty = L2(weight_decay) if weight_decay else None
    tried = counted(rates, len(rates), title, "rate")
    runs = {rate: short_run(model, loader, loss, optimizer(rate), iterations, regularizer=penalty) for rate in tried}
    verdicts = {rate: course(run.losses) for rate, run in runs.items()}
    words = {
        "explodes": "explodes",
        "flat": "barely changing",
        "slow": "flat at first, then it falls",
        "falls": "falls",
    }
    lines = [
        f"rate {rate:g}: {run.losses[0]:.4g} to {_end(run):.4g} after {len(run.losses)}: {words[verdicts[rate]]}"
        for rate, run in runs.items()
    ]
    lines += [cause for kind, cause in CAUSES.items() if kind in verdicts.values()]
    falling = [rate for rate in rates if verdicts[rate] in ("falls", "slow")]
    if falling:
        rate = min(falling, key=lambda rate: _end(runs[rate]))
        lines.append(f"best of them: {rate:g}{_ratio(runs[rate].ratio)}")
        return Step(title, "look" if verdicts[rate] == "slow" else "ok", lines), runs, rate
    kinds = set(verdicts.values())
    if kinds == {"flat"}:
        lines.append("at no rate does the loss move: a bad initialization is the prime suspect; or try higher rates")
    elif kinds == {"explodes"}:
        lines.append("it explodes at every rate: a bad initialization is the prime suspect; or try lower rates")
    else:
        lines.append("no rate between those that do nothing and those that explode was tried: give `rates` in between")
    return Step(title, "problem", lines), runs, None


def _end(run: Run) -> float:
    values: Array = np.asarray(run.losses, float)
    return float(values[-max(1, len(values) // 10) :].mean())


def _ratio(ratio: float) -> str:
    if not math.isfinite(ratio):
        return ""
    word = "low, about 1e-3 is good" if ratio < 1e-4 else "high, about 1e-3 is good" if ratio > 1e-2 else "good"
    return f"; its last update changed weights by up to {ratio:.1g} of their length: {word}"
