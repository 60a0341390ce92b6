"""Losses of scores and targets of one shape, means over all elements: ops that return (loss, dscores)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from fastnet.ops.checks import check_shape
from fastnet.ops.metrics import LABEL_ACCURACY, MAE, Metric
from fastnet.ops.record import Example, Input, Op, register
from fastnet.types import Array, Shape, Shaped

__all__ = ["KINDS"]

# The numbers of csrc/pointwise/loss.h.
KINDS = {"mse_loss": 0, "l1_loss": 1, "huber_loss": 2, "bce_with_logits": 3, "binary_hinge_loss": 4}


def _register(
    name: str,
    formula: Callable[..., tuple[Array, Array]],
    doc: str,
    flops: float,
    metric: Metric = MAE,
    attributes: dict[str, float] | None = None,
    check: Callable[..., None] | None = None,
    positive: tuple[str, ...] = (),
    signs: tuple[str, ...] = (),
    scale: float = 3.0,
) -> None:
    """Register a loss.

    Parameters
    ----------
    formula : function
        ``formula(xp, x, t, **attributes)`` returns the loss and the slope of each element, in double.
    check : function, optional
        ``check(targets, **attributes)`` raises a ValueError for what the loss does not take.
    """

    def shape(scores: Shaped, targets: Array, **given: float) -> Shape:
        check_shape(name, "targets", targets, scores.shape)
        if math.prod(scores.shape) == 0:
            raise ValueError(f"{name}: there must be at least one score, got shape {tuple(scores.shape)}")
        if check is not None:
            check(targets, **given)
        return tuple(scores.shape)

    def forward(xp: Any, scores: Array, targets: Array, **given: float) -> tuple[float, Array]:
        losses, slopes = formula(xp, scores.astype(xp.float64), targets.astype(xp.float64), **given)
        return float(losses.mean()), (slopes / scores.size).astype(scores.dtype)

    register(
        Op(
            name,
            (Input("scores"), Input("targets")),
            shape=shape,
            forward=forward,
            attributes=attributes or {},
            flops=(flops, 0),
            examples=tuple(
                Example(shapes, scale=scale, positive=positive, signs=signs)
                for shapes in (((99, 37),) * 2, ((3, 5, 9, 8),) * 2)
            ),
            metric=metric,
            doc=doc,
        )
    )


def _huber(xp: Any, x: Array, t: Array, delta: float) -> tuple[Array, Array]:
    d, size = x - t, xp.abs(x - t)
    losses = xp.where(size > delta, delta * (size - delta / 2), d * d / 2)
    return losses, xp.clip(d, -delta, delta)


def _check_delta(targets: Array, delta: float = 1.0) -> None:
    if not delta > 0:
        raise ValueError(f"huber_loss: delta must be positive, got {delta!r}")


def _logistic(xp: Any, x: Array, t: Array) -> tuple[Array, Array]:
    e = xp.exp(-xp.abs(x))
    return xp.maximum(x, 0) - x * t + xp.log1p(e), xp.where(x >= 0, 1 / (1 + e), e / (1 + e)) - t


def _check_probabilities(targets: Array) -> None:
    if not ((targets >= 0) & (targets <= 1)).all():
        raise ValueError(f"bce_with_logits: targets must lie in [0, 1], got {targets.min()}..{targets.max()}")


_register(
    "mse_loss",
    lambda xp, x, t: ((x - t) ** 2, 2 * (x - t)),
    "(loss, dscores): the mean of (x - t)^2.",
    4,
)
_register(
    "l1_loss",
    lambda xp, x, t: (xp.abs(x - t), xp.sign(x - t)),
    "(loss, dscores): the mean of |x - t|; the gradient is 0 where x = t.",
    4,
)
_register(
    "huber_loss",
    _huber,
    "(loss, dscores): the mean of d^2/2 where |d| <= delta, else delta (|d| - delta/2), for d = x - t (Huber 1964).",
    6,
    attributes={"delta": 1.0},
    check=_check_delta,
)
_register(
    "bce_with_logits",
    _logistic,
    "(loss, dscores): the mean of -t log p - (1 - t) log(1 - p) with p = 1 / (1 + exp(-x)), without overflow.",
    60,
    metric=LABEL_ACCURACY,
    check=_check_probabilities,
    positive=("targets",),
    scale=1.0,
)


def _hinge(xp: Any, x: Array, t: Array, margin: float) -> tuple[Array, Array]:
    y = xp.where(t > 0, 1.0, -1.0)
    violations = xp.maximum(0, margin - y * x)
    return violations, xp.where(violations > 0, -y, 0 * violations)


def _check_signs(targets: Array, margin: float = 1.0) -> None:
    kinds = [((targets == 1) | (targets == no)).all() for no in (0, -1)]
    if not any(kinds):
        raise ValueError(
            "binary_hinge_loss: targets must be 1 for yes and one of 0 and -1 for no, got "
            f"{sorted({float(t) for t in targets.reshape(-1)[:1000]})[:5]}"
        )


_register(
    "binary_hinge_loss",
    _hinge,
    "(loss, dscores): the mean of max(0, margin - y x) with y = 1 where t = 1, else -1: targets t are 1 and 0, or 1 "
    "and -1; the gradient at the kink is 0.",
    5,
    metric=LABEL_ACCURACY,
    attributes={"margin": 1.0},
    check=_check_signs,
    signs=("targets",),
)
