"""A task: a function of the course, its examples, how it is called, and what is right.

An example's arrays come from a seed, so that the process that runs the student's function makes the same ones by
itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

__all__ = ["FAST", "LOOPS", "VECTORIZED", "Example", "Options", "Task", "Unchecked", "cache", "example", "first"]

LOOPS, VECTORIZED, FAST = 10.0, 0.4, 0.2  # how long a function may take, as a multiple of plain loops' time


class Options(NamedTuple):
    """What differs between years; see :func:`fastnet.compat.check.run`."""

    drop_p: bool = False
    l2: float = 1.0


class Unchecked(Exception):
    """A backward pass cannot be checked, because there is no forward pass that makes its cache."""


class Example(NamedTuple):
    """``make(options)`` gives the arrays, always the same and always new ones."""

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
        What it returns; more than one thing is a tuple.
    outputs : dict of str to dict
        What is compared, and the sentences of :mod:`fastnet.compat.check.mistakes` for each.
    right : function
        ``right(g)``: the outputs of example `g`, by the oracle.
    arguments : function
        ``arguments(g, forward)``: those of the function; ``forward(*args)`` is what the student's forward function
        returns, or None where there is none.
    results : function
        ``results(returned, args, g)``: the outputs; `returned` is a tuple.
    target : function, optional
        ``target(cls, method, g)``: what to call, where it is a class's method.
    may_change : tuple of str
        Arrays that it may change in place.
    tolerance : float
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


def example(label: str, seed: int, shapes: Mapping[str, tuple], more: Callable | None = None, **fixed: Any) -> Example:
    """Normal random arrays of these shapes; dicts and numbers in `fixed`; what ``more(g, rng, options)`` adds."""

    def make(options: Options) -> SimpleNamespace:
        rng = np.random.default_rng(seed)
        g = SimpleNamespace(**{name: rng.normal(size=shape) for name, shape in shapes.items()})
        vars(g).update({name: dict(value) if isinstance(value, dict) else value for name, value in fixed.items()})
        vars(g).update(more(g, rng, options) if more else {})
        return g

    return Example(label, make)


def first(count: int) -> Callable:
    """`results` of a function whose first things returned are compared, and the rest, a cache, is its own affair."""
    return lambda returned, args, g: returned[:count]


def cache(forward: Callable, args: tuple, given: Any = None) -> Any:
    """The cache that the student's own forward function makes; without one `given`, what the course says it holds."""
    returned = forward(*args)
    if returned is not None:
        return returned[1]
    if given is None:
        raise Unchecked("it needs the cache of your forward function: give that too (forward=...)")
    return given
