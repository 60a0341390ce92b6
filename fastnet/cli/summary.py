"""``fastnet summary``."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

from fastnet.cli.arguments import count
from fastnet.cli.errors import UserError, user_mistakes
from fastnet.cli.profile import models_epilog, shape

_EXAMPLES = """examples:
  fastnet summary resnet18                          its layers, output shapes, parameters and multiply-adds
  fastnet summary googlenet --plot googlenet.svg    the same as a drawing
  fastnet summary vgg11_bn --input-shape 3x64x64 --classes 20
  fastnet summary runs/mnist-lenet5                 of a trained model
"""


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "summary",
        help="the layers of a network, as a table and as a drawing",
        description="Print a network's layers: output shapes, parameters, multiply-accumulates for one image.",
        epilog=_EXAMPLES,
        late_epilog=models_epilog,
    )
    add = parser.add_argument
    add("model", metavar="MODEL", help="an architecture, one of those below, or a trained model's folder or file")
    add("--input-shape", type=shape, metavar="CxHxW", help="size of the images (default: the architecture's own)")
    add("--classes", type=count, metavar="N", help="number of classes (default: the architecture's own)")
    add("--plot", type=Path, metavar="FILE.svg", help="draw the network into this file")
    parser.set_defaults(run=run)


def run(args: Namespace) -> int:
    from fastnet import models, visualize
    from fastnet.training import saved

    with user_mistakes():
        if Path(args.model).exists() and args.model not in models.names():
            if args.input_shape or args.classes:
                raise UserError("a trained model has the input shape and classes that it was trained with")
            model = saved.read(args.model).model
        else:
            model = models.create(args.model, args.classes, args.input_shape)
        if args.plot:
            visualize.plot_model(model, path=args.plot)
    print(model.summary())
    if args.plot:
        print(f"{args.plot} is written")
    return 0
