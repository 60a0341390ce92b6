"""Optimisers, clipping of gradients, and learning-rate schedules."""

from fastnet.optim.adam import Adam, AdamW, NAdam
from fastnet.optim.adaptive import Adadelta, Adagrad, RMSprop
from fastnet.optim.clipping import clip_grad_norm, clip_grad_value
from fastnet.optim.names import get, names
from fastnet.optim.optimizer import Optimizer
from fastnet.optim.schedules import (
    ConstantLR,
    ConstantWarmup,
    CosineDecay,
    CosineRestarts,
    CyclicRate,
    ExponentialDecay,
    FunctionSchedule,
    InverseTimeDecay,
    LinearDecay,
    LinearRamp,
    LinearWarmup,
    OneCycle,
    PolynomialDecay,
    ProductSchedule,
    ReduceOnPlateau,
    Schedule,
    SequentialSchedule,
    StepDecay,
    WithMomentum,
)
from fastnet.optim.sgd import SGD

__all__ = [
    "Optimizer",
    "SGD",
    "Adagrad",
    "Adadelta",
    "RMSprop",
    "Adam",
    "AdamW",
    "NAdam",
    "clip_grad_norm",
    "clip_grad_value",
    "get",
    "names",
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
    "Schedule",
    "SequentialSchedule",
    "StepDecay",
    "WithMomentum",
]
