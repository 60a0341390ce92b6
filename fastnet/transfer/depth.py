"""A network's layers by depth: which are frozen, and how fast each of the others learns."""

from __future__ import annotations

from typing import Any

from fastnet.arguments import at_least_zero, integer, positive
from fastnet.layers import Layer, Model, Sequential
from fastnet.models import head_of

__all__ = ["body_and_head_rates", "depth_groups", "discriminative_rates", "freeze"]

_FEW = 5  # groups, below which a group of several layers is divided

Unit = tuple[str, Layer]


def depth_groups(model: Model, count: int | None = None) -> list[list[str]]:
    """The paths of a model's layers with parameters, in groups from the input to the head, which is alone in the last.

    The groups are the model's children (ResNet: the stem, four stages, the head).  Of a model with fewer than five,
    such as VGG, which is `features` and `classifier`, or EfficientNet, whose stages are all in `blocks`, the largest
    are divided.  A norm belongs to the layer before it.

    Parameters
    ----------
    model : Model
        Built.
    count : int, optional
        At most this many groups, >= 2: neighbours in the body are merged.

    Returns
    -------
    list of list of str

    Raises
    ------
    TypeError, ValueError
        No linear head, as :func:`fastnet.models.head_of` says.
    """
    head_of(model, "depth_groups")
    units = _children("", model)
    while True:
        head_is_alone = len(units) > 1 and len(_trained(units[-1][1])) == 1
        if head_is_alone and sum(_weighs(layer) for _, layer in units) >= _FEW:
            break
        choice = sorted(units, key=lambda unit: -_size(unit[1])) if head_is_alone else units[-1:]
        place = next((units.index(unit) for unit in choice if _divides(unit[1])), None)
        if place is None:
            break
        units[place : place + 1] = _children(*units[place])
    groups: list[list[str]] = []
    for path, layer in units:
        if groups and not _weighs(layer):
            groups[-1].append(path)
        else:
            groups.append([path])
    return groups if count is None else _merged(groups, integer(count, "depth_groups: count", 2))


def _children(path: str, layer: Layer) -> list[Unit]:
    children = [(f"{path}.{name}" if path else name, child) for name, child in layer.children().items()]
    return [(name, child) for name, child in children if _trained(child)]


def _trained(layer: Layer) -> list[Layer]:
    """The layers with parameters or buffers of their own."""
    return [inner for _, inner in layer.named_layers() if inner.own]


def _weighs(layer: Layer) -> bool:
    """Whether it has weights, as norms have not."""
    return any(parameter.value.ndim > 1 for parameter in layer.parameters())


def _divides(layer: Layer) -> bool:
    return type(layer) is Sequential and len(_trained(layer)) > 1


def _size(layer: Layer) -> int:
    return sum(int(parameter.value.size) for parameter in layer.parameters())


def _merged(groups: list[list[str]], count: int) -> list[list[str]]:
    """The last group alone, and the others in ``count - 1`` of about equal lengths."""
    body, parts = groups[:-1], min(count - 1, len(groups) - 1)
    edges = [round(i * len(body) / parts) for i in range(parts + 1)]
    merged = [sum(body[a:b], []) for a, b in zip(edges, edges[1:], strict=False)]
    return [*merged, groups[-1]]


def freeze(model: Model, until: str | None = None) -> list[str]:
    """Freeze a network from its input on; the rest trains.

    Frozen parameters do not change, and cost no gradient: the backward pass ends at the first layer that trains.
    Frozen batch norms normalise with their running statistics in training, too, and these do not move.  Layers that
    were frozen before stay so; ``model.unfreeze()`` undoes it.

    Parameters
    ----------
    model : Model
        Built.
    until : str, optional
        The last layer to freeze, such as "layer3"; by default all but the head.

    Returns
    -------
    list of str
        The names of the frozen parameters and buffers.

    Raises
    ------
    ValueError
        No such layer, or nothing would be left to train.
    TypeError
        The model has no linear head.
    """
    head = head_of(model, "freeze")[0]
    paths = [path for path, layer in model.named_layers() if layer.own]
    if until is None:
        chosen = paths[:-1]
    else:
        model.layer_at(until, "freeze: until")
        order = [path for path, _ in model.named_layers()]
        last = max(n for n, path in enumerate(order) if path == until or path.startswith(f"{until}."))
        chosen = [path for path in paths if order.index(path) <= last]
    if head in chosen:
        raise ValueError(
            f"freeze: until={until!r} freezes everything, the head {head!r} too, so that nothing is left to train; "
            f"the layers before it end with {paths[-2] if len(paths) > 1 else 'nothing'!r}"
        )
    return [name for path in chosen for name in model.freeze(path)]


def body_and_head_rates(model: Model, lr: float, body: float = 0.1) -> list[dict[str, Any]]:
    """Groups for an optimiser: the head learns at rate `lr`, everything else at ``body * lr``.

    A tenth is what CS231n recommends for a network that is finetuned.

    Parameters
    ----------
    model : Model
        Built.
    lr : float
        Of the head; give the optimiser the same.
    body : float
        The factor, >= 0.

    Returns
    -------
    list of dict
        Groups with "params", paths of layers, and "lr", for the argument `groups` of an optimiser.

    Raises
    ------
    TypeError, ValueError
        A rate or factor out of range; and what :func:`depth_groups` raises.

    Examples
    --------
    >>> optimizer = fn.optim.SGD(0.01, momentum=0.9, groups=transfer.body_and_head_rates(model, 0.01))
    """
    lr, body = positive(lr, "body_and_head_rates: lr"), at_least_zero(body, "body_and_head_rates: body")
    *others, head = depth_groups(model)
    groups = [{"params": sum(others, []), "lr": body * lr}] if others else []
    return [*groups, {"params": head, "lr": lr}]


def discriminative_rates(
    model: Model, lr: float, factor: float = 2.6, count: int | None = None
) -> list[dict[str, Any]]:
    """Groups for an optimiser whose rates fall by `factor` with each group of layers below the head.

    Howard & Ruder 2018 (ULMFiT, arXiv:1801.06146) use 2.6.

    Parameters
    ----------
    model : Model
        Built.
    lr : float
        Of the head.
    factor : float
        >= 1.
    count : int, optional
        At most this many groups; see :func:`depth_groups`.

    Returns
    -------
    list of dict
        As :func:`body_and_head_rates` returns, from the input to the head.

    Raises
    ------
    TypeError, ValueError
        A factor below 1; and what :func:`body_and_head_rates` raises.
    """
    lr, factor = positive(lr, "discriminative_rates: lr"), positive(factor, "discriminative_rates: factor")
    if factor < 1:
        raise ValueError(f"discriminative_rates: factor must be >= 1, got {factor:g}: lower layers learn more slowly")
    groups = depth_groups(model, count)
    return [{"params": paths, "lr": lr / factor ** (len(groups) - 1 - n)} for n, paths in enumerate(groups)]
