"""fastnet: convolutional networks on CPUs, fast, from a package of a few megabytes that needs NumPy alone.

>>> import fastnet as fn
>>> model = fn.Sequential(fn.Conv2d(32, 3, padding=1), fn.ReLU(), fn.GlobalAvgPool2d(), fn.Flatten(), fn.Linear(10))
>>> model.build((3, 32, 32), seed=0)
(10,)

Everything is loaded on first use, so that ``import fastnet`` takes no time.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_MODULES = (
    "augment",
    "backends",
    "classical",
    "compat",
    "data",
    "diagnose",
    "functional",
    "gates",
    "geometry",
    "gradients",
    "heads",
    "initializers",
    "interop",
    "layout",
    "layers",
    "losses",
    "models",
    "optim",
    "regularizers",
    "search",
    "storage",
    "training",
    "transfer",
    "types",
    "visualize",
)

_HOME = {
    **dict.fromkeys(
        (
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
            "Parameter",
            "PixelShuffle",
            "PixelUnshuffle",
            "PReLU",
            "ReLU",
            "ReLU6",
            "ReflectionPad2d",
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
            "Unflatten",
            "Upsample",
            "ZeroPad2d",
            "monte_carlo",
        ),
        "fastnet.layers",
    ),
    "Ensemble": "fastnet.training",
    "Solver": "fastnet.training",
    "TrainingPlan": "fastnet.training",
    "minimize": "fastnet.training",
    "load": "fastnet.training",
    "plot_runs": "fastnet.training",
    "gradcheck": "fastnet.diagnose",
    "available_backends": "fastnet.backends",
    "use_backend": "fastnet.backends",
    "get_conv_algorithm": "fastnet.algorithms",
    "set_conv_algorithm": "fastnet.algorithms",
    "get_float32_precision": "fastnet.precision",
    "set_float32_precision": "fastnet.precision",
    "get_num_threads": "fastnet.threads",
    "set_num_threads": "fastnet.threads",
    "show_config": "fastnet.config",
}

__all__ = ["__version__", *sorted(_HOME), *_MODULES]

# Type checkers read these imports (``as`` marks what is public), and no __getattr__, which would hide misspelt names.
if TYPE_CHECKING:
    from fastnet import augment as augment
    from fastnet import backends as backends
    from fastnet import classical as classical
    from fastnet import compat as compat
    from fastnet import data as data
    from fastnet import diagnose as diagnose
    from fastnet import functional as functional
    from fastnet import gates as gates
    from fastnet import geometry as geometry
    from fastnet import gradients as gradients
    from fastnet import heads as heads
    from fastnet import initializers as initializers
    from fastnet import interop as interop
    from fastnet import layers as layers
    from fastnet import layout as layout
    from fastnet import losses as losses
    from fastnet import models as models
    from fastnet import optim as optim
    from fastnet import regularizers as regularizers
    from fastnet import search as search
    from fastnet import storage as storage
    from fastnet import training as training
    from fastnet import transfer as transfer
    from fastnet import types as types
    from fastnet import visualize as visualize
    from fastnet.algorithms import get_conv_algorithm as get_conv_algorithm
    from fastnet.algorithms import set_conv_algorithm as set_conv_algorithm
    from fastnet.backends import available_backends as available_backends
    from fastnet.backends import use_backend as use_backend
    from fastnet.config import show_config as show_config
    from fastnet.diagnose import gradcheck as gradcheck
    from fastnet.layers import ELU as ELU
    from fastnet.layers import GELU as GELU
    from fastnet.layers import SELU as SELU
    from fastnet.layers import AdaptiveAvgPool2d as AdaptiveAvgPool2d
    from fastnet.layers import AdaptiveMaxPool2d as AdaptiveMaxPool2d
    from fastnet.layers import AuxiliaryHeads as AuxiliaryHeads
    from fastnet.layers import AvgPool1d as AvgPool1d
    from fastnet.layers import AvgPool2d as AvgPool2d
    from fastnet.layers import BatchNorm1d as BatchNorm1d
    from fastnet.layers import BatchNorm2d as BatchNorm2d
    from fastnet.layers import CircularPad2d as CircularPad2d
    from fastnet.layers import Concat as Concat
    from fastnet.layers import ConstantPad2d as ConstantPad2d
    from fastnet.layers import Conv1d as Conv1d
    from fastnet.layers import Conv2d as Conv2d
    from fastnet.layers import ConvTranspose1d as ConvTranspose1d
    from fastnet.layers import ConvTranspose2d as ConvTranspose2d
    from fastnet.layers import DropConnect as DropConnect
    from fastnet.layers import Dropout as Dropout
    from fastnet.layers import Dropout1d as Dropout1d
    from fastnet.layers import Dropout2d as Dropout2d
    from fastnet.layers import Flatten as Flatten
    from fastnet.layers import FractionalMaxPool2d as FractionalMaxPool2d
    from fastnet.layers import GlobalAvgPool2d as GlobalAvgPool2d
    from fastnet.layers import GroupNorm as GroupNorm
    from fastnet.layers import Hardsigmoid as Hardsigmoid
    from fastnet.layers import Hardswish as Hardswish
    from fastnet.layers import Identity as Identity
    from fastnet.layers import InstanceNorm1d as InstanceNorm1d
    from fastnet.layers import InstanceNorm2d as InstanceNorm2d
    from fastnet.layers import Layer as Layer
    from fastnet.layers import LayerNorm as LayerNorm
    from fastnet.layers import LeakyReLU as LeakyReLU
    from fastnet.layers import Linear as Linear
    from fastnet.layers import LocalResponseNorm as LocalResponseNorm
    from fastnet.layers import LogSoftmax as LogSoftmax
    from fastnet.layers import Maxout as Maxout
    from fastnet.layers import MaxPool1d as MaxPool1d
    from fastnet.layers import MaxPool2d as MaxPool2d
    from fastnet.layers import Model as Model
    from fastnet.layers import Parameter as Parameter
    from fastnet.layers import PixelShuffle as PixelShuffle
    from fastnet.layers import PixelUnshuffle as PixelUnshuffle
    from fastnet.layers import PReLU as PReLU
    from fastnet.layers import ReflectionPad2d as ReflectionPad2d
    from fastnet.layers import ReLU as ReLU
    from fastnet.layers import ReLU6 as ReLU6
    from fastnet.layers import ReplicationPad2d as ReplicationPad2d
    from fastnet.layers import Residual as Residual
    from fastnet.layers import ScalarAffine as ScalarAffine
    from fastnet.layers import Sequential as Sequential
    from fastnet.layers import Sigmoid as Sigmoid
    from fastnet.layers import SiLU as SiLU
    from fastnet.layers import Softmax as Softmax
    from fastnet.layers import Softplus as Softplus
    from fastnet.layers import StochasticDepth as StochasticDepth
    from fastnet.layers import Subsample as Subsample
    from fastnet.layers import Tanh as Tanh
    from fastnet.layers import Unflatten as Unflatten
    from fastnet.layers import Upsample as Upsample
    from fastnet.layers import ZeroPad2d as ZeroPad2d
    from fastnet.layers import monte_carlo as monte_carlo
    from fastnet.precision import get_float32_precision as get_float32_precision
    from fastnet.precision import set_float32_precision as set_float32_precision
    from fastnet.threads import get_num_threads as get_num_threads
    from fastnet.threads import set_num_threads as set_num_threads
    from fastnet.training import Ensemble as Ensemble
    from fastnet.training import Solver as Solver
    from fastnet.training import TrainingPlan as TrainingPlan
    from fastnet.training import load as load
    from fastnet.training import minimize as minimize
    from fastnet.training import plot_runs as plot_runs
else:

    def __getattr__(name):
        if name in _MODULES:
            return importlib.import_module(f"fastnet.{name}")
        if name in _HOME:
            value = getattr(importlib.import_module(_HOME[name]), name)
            globals()[name] = value
            return value
        raise AttributeError(f"module 'fastnet' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def load_ipython_extension(ipython: Any) -> None:
    """``%load_ext fastnet`` in a notebook: course assignments run on fastnet; see ``fastnet.compat.install``."""
    from fastnet.compat import hook

    hook.install(hook.PACKAGES)


def unload_ipython_extension(ipython: Any) -> None:
    """``%unload_ext fastnet``."""
    from fastnet.compat import hook

    hook.uninstall()
