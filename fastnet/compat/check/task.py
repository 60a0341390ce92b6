"""A task: a function of the course, its examples, its arguments, and its expected results.

An example's arrays are drawn from a seed, so that the process that runs the student's function can recreate them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

__all__ = ["FAST", "LOOPS", "VECTORIZED", "Example", "Options", "Task", "Unchecked", "cache", "example", "first"]

LOOPS, VECTORIZED, FAST = 10.0, 0.4, 0.2  # time limits, as multiples of the time of plain loops


class Options(NamedTuple):
    """Differences between years; see :func:`fastnet.compat.check.run`."""

    drop_p: bool = False
    l2: float = 1.0


class Unchecked(Exception):
    """Raised if a backward pass cannot be checked because no forward pass creates its cache."""


class Example(NamedTuple):
    """``make(options)`` returns new arrays, always with the same values."""

    label: str
    make: Callable[[Options], SimpleNamespace]


class Task(NamedTuple):
    """A function of the course.

    Attributes
    ----------
    name : str
    functions : dict of str to float
        Its names in the course, and the time limit of each as a multiple of the oracle's time.
    examples : list of Example
        The last one is large enough to be timed.
    returns : str
        The names of the returned values, which are a tuple if there are several.
    outputs : dict of str to dict
        The outputs that are compared, each with its mistakes from :mod:`fastnet.compat.check.mistakes`.
    right : function
        ``right(g)`` returns the oracle's outputs for example `g`.
    arguments : function
        ``arguments(g, forward)`` returns the function's arguments; ``forward(*args)`` is the result of the student's
        forward function, or None if there is none.
    results : function
        ``results(returned, args, g)`` returns the outputs; `returned` is a tuple.
    target : function, optional
        ``target(cls, method, g)`` returns the bound method to call, if the function is a method.
    may_change : tuple of str
        Arrays that the function may change in place.
    tolerance : float
    forms : tuple of (str, Task)
        The same function as other years' starter code describes it, with a remark for the verdict.
    """

    name: str
    functions: Mapping[str, float]
    examples: list[Example]
    returns: str
    outputs: Mapping[str, Mapping[str, Callable]]
    right: Callable
    arguments: Callable
    results: Callable = lambda returned, args, g: returned
    target: Callable | None = None
    may_change: tuple[str, ...] = ()
    tolerance: float = 1e-6
    forms: tuple[tuple[str, Task], ...] = ()


def example(label: str, seed: int, shapes: Mapping[str, tuple], more: Callable | None = None, **fixed: Any) -> Example:
    """An example of normally distributed arrays with these shapes, `fixed` values, and those of ``more``."""

    def make(options: Options) -> SimpleNamespace:
        rng = np.random.default_rng(seed)
        g = SimpleNamespace(**{name: rng.normal(size=shape) for name, shape in shapes.items()})
        vars(g).update({name: dict(value) if isinstance(value, dict) else value for name, value in fixed.items()})
        vars(g).update(more(g, rng, options) if more else {})
        return g

    return Example(label, make)


def first(count: int) -> Callable:
    """The `results` function that compares only the first `count` returned values; the rest is a cache."""
    return lambda returned, args, g: returned[:count]


def cache(forward: Callable, args: tuple, given: Any = None) -> Any:
    """The cache that the student's own forward function returns; if there is none, `given`, as the course has it."""
    returned = forward(*args)
    if returned is not None:
        return returned[1]
    if given is None:
        raise Unchecked("it needs the cache of your forward function: pass that too (forward=...)")
    return given
