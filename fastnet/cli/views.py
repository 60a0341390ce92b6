"""Options of commands that answer with the mean of several views of each image."""

from __future__ import annotations

import argparse
from argparse import Namespace
from typing import TYPE_CHECKING

from fastnet.cli.arguments import count
from fastnet.cli.errors import UserError, user_mistakes

if TYPE_CHECKING:
    from fastnet.layers import Model
    from fastnet.training import Ensemble, Views

__all__ = ["add_options", "chosen"]


def add_options(parser: argparse.ArgumentParser) -> None:
    """``--views``, ``--windows`` and ``--average``."""
    add = parser.add_argument
    add(
        "--views",
        metavar="NAME[:SIDE/...]",
        help="answer with the mean over several views of each image, scaled so that its shorter side has SIDE pixels, "
        "such as ten-crop:256: flips (it and its mirror image), ten-crop (corners, centre and their mirror images), "
        "five-scales (these at five scales), dense (a grid of windows and their mirror images), center (one window, "
        "in the middle); image files are read as large as SIDE (default: the image alone; of SIDE: 8/7 of the "
        "model's size, as 256 is to 224)",
    )
    add("--windows", type=count, metavar="N", help="with --views dense: N x N windows (default: 5)")
    add(
        "--average",
        choices=("probabilities", "scores"),
        help="with --views: what the mean is of; scores are the outputs before the softmax (default: probabilities)",
    )


def chosen(args: Namespace, model: Model | Ensemble) -> Views | None:
    """The views that the options describe; None without ``--views``."""
    if args.views is None:
        for option in ("windows", "average"):
            if getattr(args, option) is not None:
                raise UserError(f"--{option} is of several views of an image: give --views, too")
        return None
    from fastnet.training import Views

    with user_mistakes():
        return Views(model, args.views, args.average or "probabilities", args.windows)
