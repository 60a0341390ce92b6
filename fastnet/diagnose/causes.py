"""What a training loss means, in words: CS231n names two causes each for a loss that does not fall or explodes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

__all__ = ["FLAT", "EXPLODES", "SLOW_START", "RELAPSE", "UNITS", "CAUSES", "EXPLODED", "RISEN", "course"]

FLAT = "the loss is barely changing: the learning rate is too low, or the initialization is bad"
EXPLODES = "the loss explodes: the learning rate is too high, or the initialization is bad"
SLOW_START = "the loss is flat at first and falls only then: a bad initialization is the prime suspect"
RELAPSE = "the loss has risen again to where it began: the learning rate is too high"
UNITS = "the learning rate is or was too high, or the initialization is bad"
CAUSES = {"flat": FLAT, "explodes": EXPLODES, "slow": SLOW_START}  # of each `course` but "falls"
EXPLODED = 3.0  # as many times the first loss are enough to give up
RISEN = 1.3  # and a mean loss over as many times the first is on its way


def course(losses: Sequence[float]) -> str:
    """ "explodes", "flat", "slow" (flat at first, then it falls) or "falls"."""
    values = np.asarray(losses, float)
    first, last = float(values[: max(1, len(values) // 20)].mean()), float(values[-max(1, len(values) // 10) :].mean())
    if not math.isfinite(float(values.sum())) or values[-1] > EXPLODED * values[0] or last > RISEN * first:
        return "explodes"
    if last > 0.95 * first:
        return "flat"
    third = values[: max(1, len(values) // 3)]
    half = len(third) // 2
    early = float(third[half:].mean()) if half else first
    return "slow" if early > 0.99 * first and len(values) >= 30 else "falls"
