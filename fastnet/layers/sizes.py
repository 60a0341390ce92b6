"""Input sizes, which are declared or inferred when a layer is built."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

__all__ = ["optional_input_size", "check_declared"]


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
