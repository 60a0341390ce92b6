"""Models by name, for the command line: ``create("resnet20", num_classes=10)``."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from fastnet.layers import Model
from fastnet.types import DTypeLike, Seed, Shape
from fastnet.wording import did_you_mean

__all__ = ["create", "names", "register"]

_FACTORIES: dict[str, Callable[..., Model]] = {}

Built = TypeVar("Built", bound=Model)
Factory = TypeVar("Factory", bound=Callable[..., Model])


def register(factory: Factory) -> Factory:
    """Register a model under its function's name; the function takes num_classes and input_shape, and builds."""
    _FACTORIES[factory.__name__] = factory
    return factory


def names() -> list[str]:
    """The names that :func:`create` knows."""
    return sorted(_FACTORIES)


def create(name: str, num_classes: int | None = None, input_shape: Shape | None = None, **options: Any) -> Model:
    """Build a model by name.

    Parameters
    ----------
    name : str
        One of :func:`names`.
    num_classes : int, optional
        Default: the model's own (10 for the small nets, 1000 for ImageNet's).
    input_shape : (C, H, W), optional
        Default: the model's own.
    **options
        Passed to the model's function: seed, dtype, and its other arguments.

    Raises
    ------
    ValueError
        An unknown name, or an input too small for the model.
    TypeError
        An option that the model does not have.
    """
    if name not in _FACTORIES:
        raise ValueError(f"no model is named {name!r}; {did_you_mean(name, _FACTORIES)}known: {', '.join(names())}")
    factory = _FACTORIES[name]
    known = inspect.signature(factory).parameters
    unknown = [option for option in options if option not in known]
    if unknown:
        raise TypeError(f"model {name} takes no option {', '.join(unknown)}; it takes {', '.join(known)}")
    if input_shape is not None and not isinstance(input_shape, (tuple, list)):
        raise TypeError(f"model {name}: input_shape must be a tuple like (3, 32, 32), got {input_shape!r}")
    given = {"num_classes": num_classes, "input_shape": input_shape}
    return factory(**{key: value for key, value in given.items() if value is not None}, **options)


def built(model: Built, name: str, input_shape: Shape, seed: Seed, dtype: DTypeLike) -> Built:
    """Build a model; errors name it."""
    try:
        model.build(input_shape, seed, dtype)
    except ValueError as error:
        raise ValueError(f"{name} cannot take images of shape {tuple(input_shape)}: {error}") from error
    return model
