"""Optimisers and learning-rate schedules."""

from fastnet.optim.first_order import SGD, AdaGrad, Adam, AdamW, Optimizer, RMSProp
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
    "AdaGrad",
    "RMSProp",
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
