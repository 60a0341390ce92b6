"""Evidence: whether layers and their arrays are as they were."""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter, is_
from typing import TYPE_CHECKING, Any

from fastnet.arrays import same_bits
from fastnet.layers.parameter import Parameter, last_removal
from fastnet.layers.version import version
from fastnet.types import Array

if TYPE_CHECKING:
    from fastnet.layers.base import Layer

__all__ = ["Evidence"]

_mark = attrgetter("_mark")
_KNOWN = {"_plans", "_programs", "own", "uses"}  # what does not decide how a layer computes


class Evidence:
    """What layers and arrays were when it was made; :meth:`holds` says whether they still are.

    Parameters
    ----------
    since : int
        The `version` as of which nothing may have changed.
    layers : iterable of Layer
        Their lists, dicts and sets are copied, and compared element by element, but not what is inside these.
    parameters : iterable of Parameter
        Those that nobody has in hand are watched (``Parameter.watch``), which costs next to nothing.  The values of all
        others are copied, and compared bit by bit, until they can be watched.
    constants : iterable of array
        Copied and compared.
    """

    def __init__(
        self, since: int, layers: Iterable[Layer], parameters: Iterable[Parameter] = (), constants: Iterable[Array] = ()
    ) -> None:
        self._since = since
        self._contents = [
            value
            for layer in layers
            for name, value in vars(layer).items()
            if isinstance(value, (list, dict, set)) and name not in _KNOWN
        ]
        self._before = [value.copy() for value in self._contents]
        self._constants = [(array, array.copy()) for array in constants]
        self._watched: list[Parameter] = []
        self._marks: list[object] = []
        self._removal: object = None  # the last one before the marks were compared
        self._copied = [(p, p._array.copy()) for p in parameters if not self._watches(p)]

    def holds(self) -> bool:
        """Whether nothing has changed."""
        return (
            self._since == version()
            and self._marks_hold()
            and _equal(self._contents, self._before)
            and not (self._constants and any(not same_bits(array, before) for array, before in self._constants))
            and (not self._copied or self._copies_hold())
        )

    def _marks_hold(self) -> bool:
        now = last_removal()  # first: a mark that is removed meanwhile is found the next time
        if now is self._removal:
            return True
        if not all(map(is_, map(_mark, self._watched), self._marks)):
            return False
        self._removal = now
        return True

    def _watches(self, parameter: Parameter) -> bool:
        parameter.move()
        mark = parameter.watch()
        if mark is not None:
            self._watched.append(parameter)
            self._marks.append(mark)
        return mark is not None

    def _copies_hold(self) -> bool:
        left = []
        for parameter, before in self._copied:
            watched = self._watches(parameter)  # before it is compared: a change in between removes the mark
            if not same_bits(parameter._array, before):
                return False
            if not watched:
                left.append((parameter, before))
        self._copied = left
        return True


def _equal(contents: list[Any], before: list[Any]) -> bool:
    try:
        return contents == before
    except Exception:  # as of two arrays
        return False
