"""The experiments that lectures on convolutional networks show: ``fastnet lecture NAME``.

Each module here except `report` is one experiment; the package `material` holds what several of them share.  The first
line of a module's docstring is its description in the list, ``run`` does the work and reports it, and these may stand
beside it:

SOURCE : str
    Who printed the numbers in the column "lecture".
DATA : bool
    Whether it takes ``--data``; `report.data()` gives the data set.
options : function
    ``options(parser)`` adds the experiment's own options to an argparse parser that knows the types "count" (>= 1),
    "several" (>= 2), "whole" (>= 0), "positive", "not_negative" and "fraction" of numbers; ``fastnet lecture all``
    runs their defaults.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module
from types import ModuleType

from fastnet.wording import did_you_mean

__all__ = ["experiment", "names"]


def names() -> list[str]:
    """The names of all experiments, in alphabetical order."""
    modules = {info.name for info in pkgutil.iter_modules(__path__) if not info.ispkg} - {"report"}
    return sorted(name.replace("_", "-") for name in modules)


def experiment(name: str) -> ModuleType:
    """The module of an experiment.

    Raises
    ------
    ValueError
        There is none of this name.
    """
    known = names()
    if name not in known:
        hint = did_you_mean(name, known)
        raise ValueError(f"no experiment is called {name!r}; {hint}the experiments are {', '.join(known)}")
    return import_module(f"fastnet.lectures.{name.replace('-', '_')}")
