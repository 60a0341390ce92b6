"""The command ``fastnet``, with one module per sub-command."""

from __future__ import annotations

import sys
import warnings
from typing import TextIO

from fastnet import __version__
from fastnet.cli import (
    bench,
    check,
    course,
    doctor,
    evaluate,
    inspect,
    lecture,
    predict,
    profile,
    search,
    summary,
    train,
    verify,
)
from fastnet.cli.arguments import Parser, machine
from fastnet.cli.errors import UserError, in_options, user_mistakes
from fastnet.cli.output import guarded

__all__ = ["main"]

_EPILOG = """examples:
  fastnet train                                     a small network on handwritten digits, in seconds
  fastnet train --data mnist:DIR --model lenet5     LeNet-5 on MNIST, from its four original files in DIR
  fastnet check                                     what is wrong with a network before it is trained, and a good rate
  fastnet search --data mnist:DIR --subset 5000     the learning rate that suits this data best
  fastnet evaluate runs/digits-three_layer_convnet  the trained model's accuracy, class by class
  fastnet predict runs/photos-resnet18 cat.jpg      what that model sees in the picture
  fastnet inspect runs/photos-resnet18 cat.jpg      a page of what the model is made of, sees, and gets wrong
  fastnet summary resnet18 --plot resnet18.svg      the layers of a network, as a table and as a drawing
  fastnet lecture                                   the experiments that lectures show, as commands
  fastnet bench --quick                             the kernels of this machine against plain NumPy
  fastnet profile --model resnet20                  how long each layer takes, and what limits it
  fastnet verify                                    whether results are bit-identical, however they are computed
  fastnet course kernel                             a Jupyter kernel that runs course assignments on fastnet
  fastnet doctor                                    what is installed, and what is wrong with it
"""


def parser() -> Parser:
    """The whole command line."""
    top = Parser(prog="fastnet", description="Train and run convolutional networks on CPUs, fast.", epilog=_EPILOG)
    top.add_argument("--version", action="version", version=f"fastnet {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    for module in (
        train,
        check,
        search,
        evaluate,
        predict,
        inspect,
        summary,
        lecture,
        bench,
        profile,
        verify,
        course,
        doctor,
    ):
        module.add_parser(commands)
    top.commands = commands.choices
    return top


def main(argv: list[str] | None = None) -> int:
    """Run a command line and return the exit status.

    0: done.  1: the command found a problem (training diverged, doctor found a fault), or its output could not be
    written.  2: a user error, reported in one line.  130: Ctrl-C.
    """
    with guarded() as output:
        try:
            status = _run(argv)
        except SystemExit as stop:  # the parser's, after --help, --version or a mistake
            output.flush()
            if output.failed and not stop.code:
                raise SystemExit(1) from stop
            raise
    return 1 if output.failed and not status else status


def _run(argv: list[str] | None) -> int:
    argv = sys.argv[1:] if argv is None else list(argv)
    top = parser()
    args, unknown = top.parse_known_args(argv)
    if unknown:
        top.commands.get(args.command, top).refuse(unknown)
    if args.command is None:
        top.print_help()
        return 0
    args.argv = argv
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            with machine(args), user_mistakes(catch=()):  # a file or folder that cannot be used is no bug
                status: int = args.run(args)
            return status
    except UserError as error:
        print(f"fastnet {args.command}: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    print(f"fastnet: warning: {in_options(str(message))}", file=sys.stderr)
