"""fastnet: convolutional networks on CPUs, fast, from a package of a few megabytes that needs NumPy alone.

>>> import fastnet as fn
>>> model = fn.Sequential(fn.Conv2d(32, 3, padding=1), fn.ReLU(), fn.GlobalAvgPool2d(), fn.Flatten(), fn.Linear(10))
>>> model.build((3, 32, 32), seed=0)
(10,)

Everything is loaded on first use, so that ``import fastnet`` takes no time.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"

_MODULES = (
    "backends",
    "compat",
    "data",
    "diagnose",
    "functional",
    "geometry",
    "gradients",
    "initializers",
    "interop",
    "layout",
    "layers",
    "losses",
    "models",
    "optim",
    "regularizers",
    "storage",
    "training",
)

_HOME = {
    **dict.fromkeys(
        (
            "AvgPool2d",
            "BatchNorm1d",
            "BatchNorm2d",
            "Concat",
            "Conv2d",
            "Dropout",
            "Flatten",
            "GlobalAvgPool2d",
            "Identity",
            "Layer",
            "LeakyReLU",
            "Linear",
            "MaxPool2d",
            "Parameter",
            "ReLU",
            "Residual",
            "Sequential",
            "Sigmoid",
            "Subsample",
            "Tanh",
        ),
        "fastnet.layers",
    ),
    "Solver": "fastnet.training",
    "available_backends": "fastnet.backends",
    "use_backend": "fastnet.backends",
    "get_conv_algorithm": "fastnet.algorithms",
    "set_conv_algorithm": "fastnet.algorithms",
    "get_num_threads": "fastnet.threads",
    "set_num_threads": "fastnet.threads",
    "show_config": "fastnet.config",
}

__all__ = ["__version__", *sorted(_HOME), *_MODULES]

if TYPE_CHECKING:
    from fastnet import (  # noqa: F401
        backends,
        compat,
        data,
        diagnose,
        functional,
        geometry,
        gradients,
        initializers,
        interop,
        layers,
        layout,
        losses,
        models,
        optim,
        regularizers,
        storage,
        training,
    )
    from fastnet.algorithms import get_conv_algorithm, set_conv_algorithm  # noqa: F401
    from fastnet.backends import available_backends, use_backend  # noqa: F401
    from fastnet.config import show_config  # noqa: F401
    from fastnet.layers import (  # noqa: F401
        AvgPool2d,
        BatchNorm1d,
        BatchNorm2d,
        Concat,
        Conv2d,
        Dropout,
        Flatten,
        GlobalAvgPool2d,
        Identity,
        Layer,
        LeakyReLU,
        Linear,
        MaxPool2d,
        Parameter,
        ReLU,
        Residual,
        Sequential,
        Sigmoid,
        Subsample,
        Tanh,
    )
    from fastnet.threads import get_num_threads, set_num_threads  # noqa: F401
    from fastnet.training import Solver  # noqa: F401


def __getattr__(name: str):
    if name in _MODULES:
        return importlib.import_module(f"fastnet.{name}")
    if name in _HOME:
        value = getattr(importlib.import_module(_HOME[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'fastnet' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def load_ipython_extension(ipython) -> None:
    """``%load_ext fastnet`` in a notebook: course assignments run on fastnet; see ``fastnet.compat.install``."""
    from fastnet.compat import hook

    hook.install(hook.PACKAGES)


def unload_ipython_extension(ipython) -> None:
    """``%unload_ext fastnet``."""
    from fastnet.compat import hook

    hook.uninstall()
