"""Parameter: a named array with a gradient."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from fastnet.arrays import as_array, on_host, owns_memory
from fastnet.backends import current
from fastnet.types import Array, ArrayLike, DType

__all__ = ["Parameter", "last_removal", "parameters_of"]

_last_removal = object()


def last_removal() -> object:
    """Another object after each removal of a mark, of any parameter: while it is the same, so are all marks."""
    return _last_removal


class Parameter:
    """A named array that a model owns.

    Attributes
    ----------
    value, grad : array
        Of one shape; `grad` is None until a backward pass adds into it.  Where they belong to another backend than the
        one in use, as of a model that was built on the CPU and now runs on a GPU, they move when they are used.
    name : str
        As in ``state_dict()`` of the model that was built last with this parameter in it.
    requires_grad : bool
        Whether backward passes compute `grad` and optimisers update `value`.
    decay : bool
        Whether weight decay applies (not to biases and batch-norm parameters).
    buffer : bool
        Running statistics of a batch norm: in ``buffers()``, not in ``parameters()``, and never with a gradient.

    Notes
    -----
    NumPy does not tell when an array is written.  But who writes it needs a reference, and gets it from `value`; so
    while nobody asks for `value`, and nobody has a reference from before, the array stays as it is.  `watch` relies on
    this.  Code of fastnet that only reads takes `_array`, keeps no reference, and gives none away; code that
    writes where `watch` cannot see it calls `touch`.
    """

    __slots__ = ("__weakref__", "_array", "_mark", "_stamp", "buffer", "decay", "grad", "name", "requires_grad")

    _array: Array
    _stamp: object  # another one for each array that `value` is set to
    _mark: object  # until the array may have been changed

    def __init__(
        self, value: Array, name: str = "", requires_grad: bool = True, decay: bool = True, buffer: bool = False
    ):
        self.value, self.name = value, name
        self.grad: Array | None = None
        self.requires_grad, self.decay, self.buffer = requires_grad and not buffer, decay and not buffer, buffer

    @property
    def value(self) -> Array:
        array = self._array  # first, so that `watch` in another thread sees the reference or the mark removed
        self.touch()
        return array

    @value.setter
    def value(self, array: Array) -> None:
        global _last_removal
        stamp = object()
        self._stamp, self._array, self._mark, _last_removal = stamp, array, None, stamp  # Ctrl-C comes at calls only

    def touch(self) -> None:
        """Note that the array changes, for code that writes to `_array`."""
        global _last_removal
        self._mark, _last_removal = None, object()  # in this order: who sees the new object sees the mark removed

    def watch(self) -> object:
        """A mark that is `_mark` until the array may have been changed; None if that cannot be known.

        It cannot if anybody else has a reference to the array, also a weak one, or to its memory; nor on a Python that
        does not count references, or counts them while other threads run.
        """
        mark = self._mark
        if mark is None:
            mark = self._mark = object()
        alone = _ALONE and sys.getrefcount(self._array) == _ALONE and owns_memory(self._array)
        return mark if alone else None

    def move(self) -> None:
        """Move the arrays to the backend in use, if they belong to another."""
        ops, array = current(), self._array
        if (own := ops.own(array)) is not array:
            self.value = own
        self.grad = None if self.grad is None else ops.own(self.grad)

    def set(self, values: ArrayLike) -> None:
        """Write values, arrays of any library, into the array that the parameter has."""
        self.move()
        self.value[...] = current().xp.asarray(as_array(values, self.name or "parameter"))

    def zero_grad(self) -> None:
        """Drop the gradient."""
        self.grad = None

    def accumulate(self, gradient: Array) -> None:
        """Add to `grad`; the first gradient becomes `grad` without a copy."""
        if self.grad is None:
            self.grad = gradient
        else:
            current().accumulate(self.grad, gradient)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self._array.shape)

    @property
    def size(self) -> int:
        return int(self._array.size)

    @property
    def dtype(self) -> DType:
        return self._array.dtype

    def __repr__(self) -> str:
        flags = "".join(f", {flag}" for flag, on in (("buffer", self.buffer), ("frozen", self._frozen)) if on)
        return f"Parameter({self.name!r}, shape={self.shape}, {self.dtype}{flags})"

    def __getstate__(self) -> tuple[None, dict[str, Any]]:
        """Of pickles and copies: a GPU's arrays are NumPy's in them, so that they can be read on any machine."""
        state = {slot: getattr(self, slot) for slot in self.__slots__ if not slot.startswith("_")}
        gradient = None if self.grad is None else on_host(self.grad)
        return None, {**state, "value": on_host(self.value), "grad": gradient}

    @property
    def _frozen(self) -> bool:
        return not self.requires_grad and not self.buffer


def _references_of_one() -> int:
    """What sys.getrefcount returns in `watch` for an array that only its parameter refers to; 0 if it cannot tell."""
    if sys.implementation.name != "cpython" or not getattr(sys, "_is_gil_enabled", lambda: True)():
        return 0
    anything: Any = object
    parameter = Parameter(anything())
    return sys.getrefcount(parameter._array)


_ALONE = _references_of_one()


def parameters_of(given: Iterable[Parameter], caller: str) -> list[Parameter]:
    """Parameters as a list; TypeError, which begins with `caller`, for a model or anything else."""
    if callable(getattr(given, "parameters", None)):
        raise TypeError(f"{caller}: parameters must be a list of Parameter, got a model; give model.parameters()")
    parameters = list(given) if isinstance(given, Iterable) else [None]
    if not all(hasattr(parameter, "requires_grad") for parameter in parameters):
        raise TypeError(f"{caller}: parameters must be a list of Parameter, such as model.parameters(), got {given!r}")
    return parameters
