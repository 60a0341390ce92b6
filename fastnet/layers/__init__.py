"""Layers: functions with parameters that know their own gradients."""

from fastnet.layers.activation import (
    ELU,
    GELU,
    SELU,
    Hardsigmoid,
    Hardswish,
    LeakyReLU,
    Maxout,
    PReLU,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Softplus,
    Tanh,
)
from fastnet.layers.adaptive_pool import AdaptiveAvgPool2d, AdaptiveMaxPool2d
from fastnet.layers.auxiliary import AuxiliaryHeads
from fastnet.layers.base import Layer, Parameter, trace
from fastnet.layers.containers import Concat, Residual, Sequential
from fastnet.layers.conv import Conv2d
from fastnet.layers.conv_transpose import ConvTranspose1d, ConvTranspose2d
from fastnet.layers.dropconnect import DropConnect
from fastnet.layers.dropout import Dropout, Dropout1d, Dropout2d, StochasticDepth
from fastnet.layers.evaluation import Evaluation
from fastnet.layers.fractional_pool import FractionalMaxPool2d
from fastnet.layers.group_norm import GroupNorm, InstanceNorm1d, InstanceNorm2d, LayerNorm, LocalResponseNorm
from fastnet.layers.linear import Linear
from fastnet.layers.model import Model
from fastnet.layers.norm import BatchNorm1d, BatchNorm2d
from fastnet.layers.pad import CircularPad2d, ConstantPad2d, ReflectionPad2d, ReplicationPad2d, ZeroPad2d
from fastnet.layers.pool import AvgPool2d, GlobalAvgPool2d, MaxPool2d
from fastnet.layers.probe import Probe
from fastnet.layers.sampling import MonteCarlo, monte_carlo
from fastnet.layers.scalar import ScalarAffine
from fastnet.layers.shape import Flatten, Identity, Subsample, Unflatten
from fastnet.layers.signal import AvgPool1d, Conv1d, MaxPool1d
from fastnet.layers.softmax import LogSoftmax, Softmax
from fastnet.layers.upsample import PixelShuffle, PixelUnshuffle, Upsample

__all__ = [
    "AdaptiveAvgPool2d",
    "AdaptiveMaxPool2d",
    "AuxiliaryHeads",
    "AvgPool1d",
    "AvgPool2d",
    "BatchNorm1d",
    "BatchNorm2d",
    "CircularPad2d",
    "Concat",
    "ConstantPad2d",
    "Conv1d",
    "Conv2d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "DropConnect",
    "Dropout",
    "Dropout1d",
    "Dropout2d",
    "ELU",
    "Evaluation",
    "Flatten",
    "FractionalMaxPool2d",
    "GELU",
    "GlobalAvgPool2d",
    "GroupNorm",
    "Hardsigmoid",
    "Hardswish",
    "Identity",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "Layer",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LocalResponseNorm",
    "LogSoftmax",
    "MaxPool1d",
    "MaxPool2d",
    "Maxout",
    "Model",
    "MonteCarlo",
    "monte_carlo",
    "Parameter",
    "PixelShuffle",
    "PixelUnshuffle",
    "PReLU",
    "Probe",
    "ReflectionPad2d",
    "ReLU",
    "ReLU6",
    "ReplicationPad2d",
    "Residual",
    "SELU",
    "ScalarAffine",
    "Sequential",
    "Sigmoid",
    "SiLU",
    "Softmax",
    "Softplus",
    "StochasticDepth",
    "Subsample",
    "Tanh",
    "trace",
    "Unflatten",
    "Upsample",
    "ZeroPad2d",
]
