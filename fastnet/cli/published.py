"""Options of commands that run a trained model, for files of published weights in its place."""

from __future__ import annotations

import argparse
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from fastnet.cli.errors import UserError

if TYPE_CHECKING:
    from fastnet.training.saved import Saved

__all__ = ["NAME", "add_options", "read"]

NAME = "published weights"  # in place of the data that a card names
_SUFFIXES = (".pth", ".pt", ".th", ".ckpt", ".bin")


def add_options(parser: argparse.ArgumentParser, names: str) -> None:
    """``--architecture`` and ``--class-names``, whose default is `names`."""
    add = parser.add_argument
    add(
        "--architecture",
        metavar="NAME",
        help="MODEL is a file of published weights (.pth, .safetensors) of this network, one of those of fastnet train",
    )
    add(
        "--class-names",
        type=Path,
        metavar="FILE",
        help=f"with --architecture: the classes' names, one a line (default: {names})",
    )


def read(args: Namespace, file: Path) -> Saved:
    """The model that ``fastnet train`` wrote, or a network with published weights and a card as training writes it."""
    from fastnet.training import saved

    if args.class_names is not None and args.architecture is None:
        raise UserError("--class-names is for published weights: give --architecture NAME, too")
    if args.architecture is not None:
        return _published(args, file)
    if file.is_file() and file.suffix in _SUFFIXES:
        raise UserError(f"{file}: of which network are these weights? Give --architecture NAME, such as resnet18")
    if (file / "ensemble.json").is_file():
        raise UserError(f"{file} is an ensemble; give one of its members, such as {file / 'member-0'}")
    return saved.read(file)


def _published(args: Namespace, file: Path) -> Saved:
    """Classes are numbers or names."""
    from fastnet import interop
    from fastnet.training.saved import Saved

    lines = None
    if args.class_names is not None:
        lines = [line.strip() for line in args.class_names.read_text(encoding="utf-8").splitlines() if line.strip()]
    try:
        model = interop.pretrained(args.architecture, file, None if lines is None else len(lines))
    except ValueError as error:
        raise ValueError(f"{error}; --class-names has {len(lines)} names" if lines else str(error)) from error
    if lines is not None:
        model.class_names = tuple(lines)  # which may have a name twice, as ImageNet's
    classes = [str(number) for number in range(model.output_shape[0])] if lines is None else lines
    card = {"model": args.architecture, "classes": classes, "input_shape": model.input_shape, "pixels": (0, 255)}
    return Saved(model, {**card, "data": [NAME, model.input_shape[1:]]}, file)
