"""Groups: which of an optimiser's parameters have settings of their own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fastnet.layers import Parameter
from fastnet.layers.names import fits
from fastnet.optim.settings import Check
from fastnet.wording import name_some

__all__ = ["Groups"]


class Groups:
    """Parameters with settings of their own, as a list of dicts, like PyTorch's.

    Parameters
    ----------
    optimizer : str
        Its name, for messages.
    given : sequence of dict
        ``{"params": "fc.*", "lr": 0.01}``: "params" is a Parameter, a layer's path ("fc", with all below it), a pattern
        of names (``*`` and ``?`` as in file names), or a list of these; the other entries replace settings of the
        optimiser.
    settings : mapping
        The checks of the settings that a group may have.

    Attributes
    ----------
    settings : list of dict
        The settings of each group, checked.
    """

    def __init__(self, optimizer: str, given: Any, settings: Mapping[str, Check]) -> None:
        if not isinstance(given, (list, tuple)):
            raise TypeError(f"{optimizer}: groups must be a list of dicts such as {_EXAMPLE}, got {given!r}")
        self._optimizer, self._chosen = optimizer, []
        self.settings: list[dict[str, Any]] = []
        for number, group in enumerate(given):
            name = f"{optimizer}: groups[{number}]"
            if not isinstance(group, Mapping) or "params" not in group:
                raise TypeError(f"{name} must be a dict such as {_EXAMPLE}, got {group!r}")
            if unknown := [key for key in group if key != "params" and key not in settings]:
                raise ValueError(f"{name} has {name_some(unknown)}; a group may have params, {', '.join(settings)}")
            self._chosen.append(_choosers(group["params"], f"{name}: params"))
            self.settings.append({k: settings[k](group[k], f"{name}: {k}") for k in settings if k in group})
        self._known: tuple[list[tuple[Parameter, str]], list[int | None]] = ([], [])

    def __bool__(self) -> bool:
        return bool(self.settings)

    def __repr__(self) -> str:
        chosen = ([c if isinstance(c, str) else c.name or f"{c.shape}" for c in group] for group in self._chosen)
        return repr(
            [{"params": c[0] if len(c) == 1 else c, **own} for c, own in zip(chosen, self.settings, strict=True)]
        )

    def assign(self, parameters: Sequence[Parameter]) -> list[int | None]:
        """The number of each parameter's group, None where it is in none.

        Raises
        ------
        ValueError
            A group names a parameter that is not among `parameters`, or two groups have the same one.
        """
        if not self:
            return [None] * len(parameters)
        known, numbers = self._known
        if len(known) != len(parameters) or any(
            p is not q or p.name != name for p, (q, name) in zip(parameters, known, strict=True)
        ):
            numbers = self._assign(parameters)
            self._known = [(p, p.name) for p in parameters], numbers
        return numbers

    def _assign(self, parameters: Sequence[Parameter]) -> list[int | None]:
        numbers: list[int | None] = [None] * len(parameters)
        for number, chosen in enumerate(self._chosen):
            for chooser in chosen:
                found = [i for i, p in enumerate(parameters) if _chooses(chooser, p)]
                if not found:
                    what = f"matches {chooser!r}" if isinstance(chooser, str) else f"is {chooser!r}"
                    names = name_some([repr(p.name) for p in parameters], 8)
                    raise ValueError(f"{self._optimizer}: groups[{number}]: no parameter {what}; there are {names}")
                for i in found:
                    if numbers[i] not in (None, number):
                        raise ValueError(
                            f"{self._optimizer}: parameter {parameters[i].name!r} is in groups[{numbers[i]}] and in "
                            f"groups[{number}]; a parameter has one group"
                        )
                    numbers[i] = number
        return numbers


_EXAMPLE = '{"params": "fc.*", "lr": 0.01}'


def _choosers(given: Any, name: str) -> list[str | Parameter]:
    """A pattern, a Parameter or several of them, as a list."""
    several = [given] if isinstance(given, str) or _is_parameter(given) else given
    if isinstance(several, Iterable) and not isinstance(several, (bytes, Mapping)):
        several = list(several)
        if several and all(isinstance(one, str) or _is_parameter(one) for one in several):
            return several
    raise TypeError(f"{name} must be a name such as 'fc.*', a Parameter, or a list of them, got {given!r}")


def _is_parameter(value: Any) -> bool:
    return hasattr(value, "value") and hasattr(value, "grad")


def _chooses(chooser: str | Parameter, parameter: Parameter) -> bool:
    return fits(chooser, parameter.name) if isinstance(chooser, str) else chooser is parameter
