"""``fastnet profile``."""

from __future__ import annotations

import argparse
from argparse import Namespace
from pathlib import Path
from typing import Any

from fastnet.cli.arguments import add_threads, count, positive
from fastnet.cli.errors import UserError, user_mistakes

_EPILOG = """Layers are timed within whole training steps on random images; the best of all rounds is shown.
The machine's multiply-add peak and memory bandwidth are measured before and after. With --out, profile.json and
roofline.png (which needs the extra "plot") are written there.

examples:
  fastnet profile --model resnet20 --batch 128
  fastnet profile --model lenet5 --batch 1 --inference
  fastnet profile --model vgg11_bn --batch 64 --input-shape 3x64x64 --threads 1 --out runs/profile
"""


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "profile",
        help="how long each layer takes, and what limits it",
        description="Time every layer of a model within a whole step, and compare it with the machine's peaks.",
        epilog=_EPILOG,
        late_epilog=models_epilog,
    )
    add = parser.add_argument
    add("--model", required=True, metavar="NAME", help="architecture, one of those below")
    add("--batch", type=count, default=128, metavar="N", help="images in a batch (default: 128)")
    add("--input-shape", type=shape, metavar="CxHxW", help="size of the images (default: the model's own)")
    add("--classes", type=count, metavar="N", help="number of classes (default: the model's own)")
    add(
        "--dtype",
        choices=("float32", "float64"),
        default="float32",
        help="of the weights and all arithmetic (default: float32)",
    )
    add("--inference", action="store_true", help="time model(x) instead of training steps")
    add(
        "--seconds",
        type=positive,
        default=5.0,
        metavar="S",
        help="approximate duration of the measurement (default: 5)",
    )
    add_threads(parser)
    add("--out", type=Path, metavar="DIR", help="write profile.json and roofline.png there")
    parser.set_defaults(run=run)


def shape(text: str) -> tuple[int, int, int]:
    """Channels, height and width: "3x32x32"."""
    sizes = text.split("x")
    if len(sizes) != 3:
        raise argparse.ArgumentTypeError(f"expected channels x height x width such as 3x32x32, got {text!r}")
    channels, height, width = map(count, sizes)
    return channels, height, width


def models_epilog() -> str:
    import textwrap

    from fastnet import models

    return textwrap.fill("models: " + ", ".join(models.names()), 110, subsequent_indent="  ") + "\n"


def run(args: Namespace) -> int:
    import numpy as np

    import fastnet

    with user_mistakes():
        model = fastnet.models.create(args.model, args.classes, args.input_shape, dtype=args.dtype)
        if args.out:
            _check_plot()
            args.out.mkdir(parents=True, exist_ok=True)
        x = np.random.default_rng(0).standard_normal((args.batch, *model.input_shape)).astype(args.dtype)
        profile = fastnet.diagnose.profile(model, x, not args.inference, args.seconds, name=args.model)
        if args.out:
            profile.to_json(args.out / "profile.json")
            profile.plot(args.out / "roofline.png")
    print(profile)
    if args.out:
        print(f"{args.out / 'profile.json'} and {args.out / 'roofline.png'} are written")
    return 0


def _check_plot() -> None:
    """Before anything is measured."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise UserError('--out draws a picture, which needs matplotlib: pip install "fastnet-cnn[plot]"') from error
