"""Input sizes, which are declared or inferred when a layer is built."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

__all__ = ["optional_input_size", "check_declared", "check_examples"]


def optional_input_size(sizes: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorate an ``__init__`` whose first `sizes` arguments are sizes, so that the first one may be left out.

    A call that gives one size too few leaves out the input size, which is then None: ``Linear(10)``,
    ``Conv2d(32, 3, stride=2)``.  Every other call means what the signature says: ``Conv2d(3, 32, 3, 2)``.

    Raises
    ------
    TypeError
        From the decorated ``__init__``: a call that does not fit; the message shows both forms.
    """

    def decorate(init: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(init)
        _, first, *others = list(signature.parameters)[: sizes + 1]

        @functools.wraps(init)
        def wrapper(self: Any, *args: Any, **kwargs: Any) -> None:
            given = len(args) + sum(name in kwargs for name in others)
            if first not in kwargs and given == sizes - 1:
                args = (None, *args)
            try:
                signature.bind(self, *args, **kwargs)
            except TypeError as error:
                unknown = [name for name in kwargs if name not in signature.parameters]
                what = f"no argument is named {unknown[0]!r}" if unknown else str(error)
                raise TypeError(
                    f"{type(self).__name__}: {what}; {_forms(type(self).__name__, signature, sizes)}"
                ) from None
            init(self, *args, **kwargs)

        return wrapper

    return decorate


def _forms(name: str, signature: inspect.Signature, sizes: int) -> str:
    own = list(signature.parameters.values())[1:]
    required = [parameter.name for parameter in own[:sizes]]
    keywords = [f"{p.name}={p.default!r}" for p in own[sizes:] if p.kind is not p.KEYWORD_ONLY]
    short, full = (f"{name}({', '.join([*names, *keywords])})" for names in ([*required[1:], "*"], required))
    return f"expected {short} or {full}"


def check_declared(layer: str, name: str, declared: int | None, given: int, hint: str = "") -> None:
    """Raise a ValueError if an input size was declared and the input has another one."""
    if declared is not None and declared != given:
        raise ValueError(f"{layer}: declared with {name}={declared}, but the input has {given}{hint}")


def check_examples(shape: tuple[int, ...], built: tuple[int, ...], flattens: bool) -> None:
    """Refuse an array that does not hold examples as a model was built for, along its first axis.

    Images of another height and width pass, and examples with another number of axes: the layers decide on these.

    Parameters
    ----------
    shape : tuple of int
        Of the array.
    built : tuple of int
        Of one example.
    flattens : bool
        Whether the model begins with Flatten: it would take any axes of as many values, and mix up their order.

    Raises
    ------
    ValueError
    """
    given, last = shape[1:], (*built[1:], *built[:1])
    if shape == built:
        hint = "; a single example needs a leading axis: X[None]"
    elif shape == last and len(last) == 3:
        hint = "; a single example needs a leading axis, and its channels first: X.transpose(2, 0, 1)[None]"
    elif len(given) == len(built) and given != built and (flattens or given[0] != built[0]):
        hint = "; channels come first: X.transpose(0, 3, 1, 2)" if given == last and len(last) == 3 else ""
    else:
        return
    raise ValueError(f"X must hold examples of shape {built} along its first axis, got shape {shape}{hint}")
