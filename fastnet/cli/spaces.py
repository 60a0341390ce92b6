"""The hyperparameters that options of ``fastnet search`` describe."""

from __future__ import annotations

import argparse
from argparse import Namespace
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from fastnet.cli import augmentations
from fastnet.cli.errors import UserError, user_mistakes
from fastnet.cli.recipes import OPTIMIZERS
from fastnet.cli.schedules import SCHEDULES

if TYPE_CHECKING:
    from fastnet.search.space import Dimension

__all__ = ["augmentation", "space_of", "values"]


def augmentation(text: str) -> str:
    """The text of ``fastnet train --augment``, or none."""
    if text != "none":
        augmentations.chosen(text)
    return text


def values(option: str, number: Callable[[str], float]) -> Callable[[str], Any]:
    """The type of an option that takes a range, a choice or a number: a dimension of the space, or the number."""

    def parse(text: str) -> Any:
        from fastnet.search import choice, integer, log_uniform, uniform

        low, colon, high = text.partition(":")
        try:
            if colon:
                first, last = number(low), number(high)
                if isinstance(first, int) and isinstance(last, int):
                    return integer(first, last, log=True)
                return log_uniform(first, last) if first > 0 else uniform(first, last)
            values = [number(part) for part in text.split(",")]
            return choice(*values) if len(values) > 1 else values[0]
        except (ValueError, argparse.ArgumentTypeError) as error:
            raise argparse.ArgumentTypeError(
                f"expected LOW:HIGH, values between commas, or one value, got {text!r}: {error}"
            ) from error

    return parse


def space_of(args: Namespace, lr: float) -> tuple[dict[str, Dimension], dict[str, Any]]:
    """The space, and the values that are fixed."""
    from fastnet import models
    from fastnet.search import choice, log_uniform
    from fastnet.search.space import Dimension

    def one_or_choice(names: Sequence[str]) -> Any:
        with user_mistakes():
            return choice(*names) if len(names) > 1 else names[0]

    given: dict[str, Any] = {"lr": args.lr or log_uniform(lr / 10, lr * 10)}
    given |= {"weight_decay": args.weight_decay, "batch_size": args.batch_size}
    for name, known in (("optimizer", OPTIMIZERS), ("schedule", SCHEDULES), ("model", models.names())):
        if (text := getattr(args, name)) is not None:
            parts = text.split(",")
            if wrong := [part for part in parts if part not in known]:
                raise UserError(f"--{name}: expected {', '.join(sorted(known))}, got {', '.join(wrong)}")
            given[name] = one_or_choice(parts)
    if args.augment:
        given["augment"] = one_or_choice(args.augment)
    space = {name: value for name, value in given.items() if isinstance(value, Dimension)}
    fixed = {name: value for name, value in given.items() if name not in space and value is not None}
    if not space:
        raise UserError("all values are fixed, there is nothing to search; give a range such as --lr 1e-5:1e-1")
    return space, fixed
