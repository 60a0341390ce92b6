"""Learning-rate schedules: functions of the position in training.

``schedule(iteration, total, iterations_per_epoch)`` is the factor on the optimiser's base rate, with `iteration` from
0.  Time t is in epochs or in iterations, as `per` says.  Solver passes `total` and `iterations_per_epoch`.

A schedule with an end (LinearDecay, PolynomialDecay, CosineDecay, LinearRamp, OneCycle) ends with the run, or at its
own `total`.  Past its end it raises a ValueError, or stays at its last value with ``hold=True``.  The others never end.
All but ReduceOnPlateau are functions of the position alone, so that a resumed run needs no state.
"""

from fastnet.optim.schedules.base import FunctionSchedule, ProductSchedule, Schedule, as_schedule
from fastnet.optim.schedules.compose import SequentialSchedule, WithMomentum
from fastnet.optim.schedules.cycles import CosineRestarts, CyclicRate, OneCycle
from fastnet.optim.schedules.decay import (
    ConstantLR,
    CosineDecay,
    ExponentialDecay,
    InverseTimeDecay,
    LinearDecay,
    LinearRamp,
    PolynomialDecay,
    StepDecay,
)
from fastnet.optim.schedules.plateau import ReduceOnPlateau
from fastnet.optim.schedules.warmup import ConstantWarmup, LinearWarmup

__all__ = [
    "Schedule",
    "ConstantLR",
    "ConstantWarmup",
    "CosineDecay",
    "CosineRestarts",
    "CyclicRate",
    "ExponentialDecay",
    "FunctionSchedule",
    "InverseTimeDecay",
    "LinearDecay",
    "LinearRamp",
    "LinearWarmup",
    "OneCycle",
    "PolynomialDecay",
    "ProductSchedule",
    "ReduceOnPlateau",
    "SequentialSchedule",
    "StepDecay",
    "WithMomentum",
    "as_schedule",
]
