"""Options of ``fastnet train`` that begin with published weights in place of random ones."""

from __future__ import annotations

import argparse
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastnet.cli.arguments import not_negative
from fastnet.cli.errors import UserError, user_mistakes

if TYPE_CHECKING:
    from fastnet.data import Standardize
    from fastnet.layers import Model

__all__ = ["add_options", "begin", "first_rate", "groups"]

_BODY_RATE = 0.1


def add_options(parser: argparse.ArgumentParser) -> None:
    """``--weights``, ``--freeze`` and ``--body-rate``."""
    add = parser.add_argument
    add(
        "--weights",
        type=Path,
        metavar="FILE",
        help="begin with weights of another training, all but the head if it has other classes: .pth, .pt, .th or "
        ".safetensors, with the names of torchvision, timm and others; images are prepared as these expect, and the "
        "default of --lr is a tenth of the usual one",
    )
    add(
        "--freeze",
        metavar="body|LAYER",
        help="with --weights: train the head only, or freeze all layers up to LAYER, such as layer2",
    )
    add(
        "--body-rate",
        type=not_negative,
        metavar="F",
        help=f"with --weights: the learning rate below the head is F times the head's (default: {_BODY_RATE})",
    )


def begin(args: Namespace, card: dict[str, Any], model: Model) -> Standardize | None:
    """Load ``--weights`` into the model and freeze what ``--freeze`` names; returns the weights' preprocessing.

    The head is loaded if the file's has as many outputs.
    """
    if args.weights is None:
        for option, given in (("--freeze", args.freeze), ("--body-rate", args.body_rate)):
            if given is not None:
                raise UserError(f"{option} is for a network that has learned something: give --weights FILE, too")
        return None
    from fastnet import interop, transfer

    loaded = interop.load_weights(model, args.weights, card["model"], head="fitting")
    if args.freeze is not None:
        with user_mistakes("--freeze takes body, or a layer of the model"):
            transfer.freeze(model, None if args.freeze == "body" else args.freeze)
    return interop.preparation(loaded.source, 1.0 if card["pixels"][1] <= 1 else 255.0)


def first_rate(args: Namespace, usual: float) -> float:
    """The learning rate of the head: a tenth of the usual one if the network has learned something."""
    return usual if args.weights is None else float(f"{_BODY_RATE * usual:.6g}")


def groups(args: Namespace, model: Model, rate: float) -> list[dict[str, Any]]:
    """The optimiser's groups: rates of the body and of the head."""
    if args.weights is None:
        return []
    from fastnet import transfer

    return transfer.body_and_head_rates(model, rate, _BODY_RATE if args.body_rate is None else args.body_rate)
