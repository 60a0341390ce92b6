"""``--schedule``: names of schedules, their parameters, and defaults that suit the length of the run."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fastnet.cli.errors import UserError

if TYPE_CHECKING:
    from fastnet.optim import Schedule

__all__ = ["SCHEDULES", "chosen", "schedule"]

# name: class in fastnet.optim, and the parameters that suit a run of so many epochs
SCHEDULES: dict[str, tuple[str, Callable[[int], dict[str, Any]]]] = {
    "constant": ("ConstantLR", lambda epochs: {}),
    "cosine": ("CosineDecay", lambda epochs: {}),
    "cyclic": ("CyclicRate", lambda epochs: {"up": epochs / 4, "per": "epoch"}),
    "exponential": ("ExponentialDecay", lambda epochs: {"k": math.log(100) / epochs}),
    "inverse": ("InverseTimeDecay", lambda epochs: {"k": 9 / epochs}),
    "linear": ("LinearDecay", lambda epochs: {}),
    "one-cycle": ("OneCycle", lambda epochs: {}),
    "plateau": ("ReduceOnPlateau", lambda epochs: {"patience": max(epochs // 10, 1)}),
    "polynomial": ("PolynomialDecay", lambda epochs: {}),
    "restarts": ("CosineRestarts", lambda epochs: {"T_0": max(epochs // 3, 1)}),
    "step": ("StepDecay", lambda epochs: {"every": (max(epochs // 2, 1), max(3 * epochs // 4, 1))}),
}

Choice = tuple[str, dict[str, Any]]


def chosen(text: str) -> Choice:
    """Name and parameters: "cosine", "step:every=30/60,factor=0.2", "one-cycle:momentum=0.85/0.95"."""
    name, _, rest = text.partition(":")
    if name not in SCHEDULES:
        raise argparse.ArgumentTypeError(f"{name!r} is not one of {', '.join(SCHEDULES)}")
    found: dict[str, Any] = {}
    for part in rest.split(",") if rest else ():
        key, equals, value = part.partition("=")
        if not (key and equals and value):
            raise argparse.ArgumentTypeError(
                f"expected NAME or NAME:key=value,..., such as step:every=30/60,factor=0.2, got {text!r}"
            )
        if key.strip() in found:
            raise argparse.ArgumentTypeError(f"{key.strip()} is given twice in {text!r}; give it once")
        found[key.strip()] = _value(value.strip())
    return name, found


def _value(text: str) -> Any:
    """A number, several between slashes, True or False, or a word."""
    if "/" in text:
        return tuple(_value(part) for part in text.split("/"))
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for convert in (int, float):
        try:
            return convert(text)
        except ValueError:
            continue
    return text


def schedule(choice: Choice, epochs: int, warmup: float = 0.0) -> Schedule:
    """The schedule of a choice over `epochs`, behind a linear warm-up of `warmup` epochs.

    Without parameters, cosine, linear and polynomial fall to 0, step to a tenth after a half and again after three
    quarters, exponential to a hundredth, inverse to a tenth; restarts has three cycles, cyclic two, and plateau waits
    for a tenth of the epochs.
    """
    from dataclasses import fields

    from fastnet import optim

    name, given = choice
    kind = getattr(optim, SCHEDULES[name][0])
    known = {item.name for item in fields(kind) if item.init} - {"warmup"}
    if unknown := sorted(set(given) - known):
        raise UserError(f"--schedule {name} has no parameter {', '.join(unknown)}; it has {', '.join(sorted(known))}")
    try:
        made: Schedule = kind(**{**SCHEDULES[name][1](epochs), **given})
    except (TypeError, ValueError) as error:
        raise UserError(f"--schedule {name}: {error}") from error
    return optim.LinearWarmup(warmup, made) if warmup else made
