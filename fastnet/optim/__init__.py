"""Optimisers and learning-rate schedules."""

from fastnet.optim.first_order import SGD, Adagrad, Adam, AdamW, RMSprop
from fastnet.optim.optimizer import Optimizer
from fastnet.optim.schedules import (
    ConstantLR,
    CosineDecay,
    ExponentialDecay,
    InverseTimeDecay,
    LinearDecay,
    LinearWarmup,
    Schedule,
    StepDecay,
)

__all__ = [
    "Optimizer",
    "SGD",
    "Adagrad",
    "RMSprop",
    "Adam",
    "AdamW",
    "Schedule",
    "ConstantLR",
    "StepDecay",
    "ExponentialDecay",
    "InverseTimeDecay",
    "LinearDecay",
    "CosineDecay",
    "LinearWarmup",
]
