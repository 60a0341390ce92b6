"""``fastnet search``."""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import subprocess
import sys
import warnings
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastnet.cli import data, train
from fastnet.cli.arguments import (
    Parser,
    add_device,
    add_threads,
    count,
    folder,
    fraction,
    not_negative,
    positive,
    several,
    whole,
)
from fastnet.cli.errors import UserError, in_options, user_mistakes
from fastnet.cli.prepare import prepare
from fastnet.cli.recipes import OPTIMIZERS, recipe_for
from fastnet.cli.schedules import SCHEDULES
from fastnet.cli.spaces import augmentation, space_of, values

if TYPE_CHECKING:
    from fastnet.data import Dataset
    from fastnet.search import Results
    from fastnet.search.loop import Loop
    from fastnet.search.plan import Plan
    from fastnet.search.space import Dimension
    from fastnet.training import Solver

_EXAMPLES = """values of --lr, --weight-decay and --batch-size:
  1e-5:1e-1             a range; learning rates and penalties are drawn log-uniformly
  0,1e-5,1e-4           a choice, also of --model, --optimizer and --schedule: sgd,adamw
  1e-3                  a fixed value

examples:
  fastnet search
  fastnet search --data fashion:DIR --subset 5000 --lr 1e-5:1e-1 --weight-decay 1e-3:1e1 --epochs 3 \\
                 --trials 12 --coarse-to-fine 8 --fine-epochs 6 --out runs/search
                        the same command again goes on with an interrupted search
  fastnet search --data cifar10:DIR --model resnet20 --lr 1e-1,1e-2,1e-3,1e-4 --weight-decay 0,1e-5,1e-4 \\
                 --method grid --trials 12 --epochs 2
  fastnet search --data cifar10:DIR --model resnet20 --lr 1e-2:1 --augment none flip flip,crop:4,cutout:8
  fastnet search --data photos/ --image-size 96 --method tpe --trials 40 --folds 5 --median --processes 4
"""


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "search",
        help="find good hyperparameters",
        description="Train with many settings of the hyperparameters; print the best as a command of fastnet train.\n"
        "The same command goes on with an interrupted search.",
        epilog=f"{data.KINDS}\n{_EXAMPLES}",
    )
    data.add_data(parser, "digits", "default: digits")
    data.add_subset(parser)
    add = parser.add_argument
    add("--model", metavar="NAME", help="architecture, one of those of fastnet train")
    add(
        "--lr",
        type=values("--lr", positive),
        metavar="VALUES",
        help="learning rate (default: a tenth of fastnet train's to ten times as much)",
    )
    add(
        "--weight-decay",
        type=values("--weight-decay", not_negative),
        metavar="VALUES",
        help="decay of the weights (default: fastnet train's)",
    )
    add("--batch-size", type=values("--batch-size", count), metavar="VALUES", help="images per update")
    add("--optimizer", metavar="NAMES", help=f"update rule: {', '.join(sorted(OPTIMIZERS))}")
    add("--schedule", metavar="NAMES", help=f"of the learning rate: {', '.join(sorted(SCHEDULES))}")
    add(
        "--augment",
        type=augmentation,
        nargs="+",
        metavar="LIST",
        help="random changes of the training images, as of fastnet train; several lists are a choice: none flip "
        "flip,crop:4 (default: none)",
    )
    add("--epochs", type=count, metavar="N", help="of each run (default: 3)", default=3)
    add("--trials", type=count, metavar="N", help="how many settings are tried (default: 20)", default=20)
    add(
        "--method",
        choices=("random", "grid", "tpe"),
        default="random",
        help="random draws, all combinations, or a model of what was good so far (default: random)",
    )
    add(
        "--coarse-to-fine",
        type=count,
        nargs="?",
        const=0,
        metavar="N",
        help="then search again around the best settings, in N trials (default: as many as --trials)",
    )
    add("--fine-epochs", type=count, metavar="N", help="of each run of this second stage (default: --epochs)")
    add("--folds", type=several, metavar="K", help="K-fold cross-validation (default: one division)")
    add(
        "--val-fraction",
        type=fraction,
        metavar="F",
        help="without --folds: hold out this fraction of the training "
        "images to validate (default: 0.2; a data set with validation images of its own keeps those)",
    )
    add("--median", action="store_true", help="also stop runs that are worse than the median of the earlier ones")
    add("--seed", type=whole, default=0, metavar="N", help="of the draws, folds, weights and order (default: 0)")
    add("--dtype", choices=("float32", "float64"), default="float32", help="of all arithmetic (default: float32)")
    add(
        "--processes",
        type=count,
        default=1,
        metavar="N",
        help="how many processes share the trials and threads (default: 1)",
    )
    add_threads(parser)
    add_device(parser)
    add("--out", type=folder, metavar="DIR", help="output folder (default: runs/search-<data>-<model>)")
    add("--quiet", action="store_true", help="print the best setting's command only")
    add("--worker", type=count, help=argparse.SUPPRESS)  # of which process this is one of the --processes
    parser.set_defaults(run=run)


def run(args: Namespace) -> int:
    from fastnet.search.loop import Loop
    from fastnet.search.run import print_line

    source = data.Source.of_arguments(args).absolute()
    dataset = data.subset(data.load(source), args.subset)
    recipe = recipe_for(source.shape_of(dataset))
    out = args.out or Path("runs") / f"search-{dataset.name}-{args.model or recipe.model}"
    space, fixed = space_of(args, recipe.lr)
    common = {"seed": args.seed} if args.seed else {}
    command = _Command(source, {**fixed, **common, **({"dtype": args.dtype} if args.dtype != "float32" else {})})

    def build(part: Dataset, **setting: Any) -> Solver:
        return prepare(command.parsed(setting), source, part, part.classes, None)[0]

    with user_mistakes():
        plan = _plan(args, space, dataset, command)
        if not args.worker:  # finds what no setting could be trained with
            part = dataset if dataset.y_val is not None else dataset.split(_held_out(args), args.seed)
            build(part, **{name: values.example() for name, values in space.items()})
    if args.worker:
        return _work(Loop(build, plan, out, goes_on=lambda: os.getppid() == args.worker))
    loop = Loop(build, plan, out, None if args.quiet else print_line)
    try:
        with user_mistakes(catch=(ValueError, ImportError)), _others(args, out):
            results = loop.run()
    except RuntimeError as error:
        print(f"fastnet search: {in_options(str(error))}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"finished trials are kept; to go on: fastnet {shlex.join(args.argv)}", file=sys.stderr)
        return 130
    return _report(results, out, command, args)


def _held_out(args: Namespace) -> float:
    """The fraction of the training images that validate in a run."""
    if args.folds:
        return float(1 / args.folds)
    return 0.2 if args.val_fraction is None else float(args.val_fraction)


def _plan(args: Namespace, space: dict[str, Dimension], dataset: Dataset, command: _Command) -> Plan:
    from fastnet.search.plan import Plan

    fine = args.trials if args.coarse_to_fine == 0 else args.coarse_to_fine or 0
    if args.fine_epochs and not fine:
        raise UserError("--fine-epochs is of the second stage; give --coarse-to-fine, too")
    if args.val_fraction == 0:
        raise UserError("--val-fraction 0: settings are compared on validation images; give a fraction above 0")
    if args.val_fraction is not None and (args.folds or dataset.y_val is not None):
        own = f"{dataset.name} has validation images of its own"
        raise UserError(f"--val-fraction: {'the folds of --folds validate' if args.folds else own}")
    if not args.folds and dataset.y_val is None:
        dataset = dataset.split(_held_out(args), args.seed)
    return Plan.of(
        space,
        data=dataset,
        trials=args.trials,
        method=args.method,
        fine=fine,
        folds=args.folds,
        epochs=(args.epochs, args.fine_epochs or args.epochs),
        monitor="val_accuracy",
        mode="auto",
        stop_above=3.0,
        median=args.median,
        seed=args.seed,
        info={"command": shlex.join(command.words({}, again=True))},
    )


class _Command:
    """The command ``fastnet train`` of a setting: what trains it, and what is printed, are the same."""

    def __init__(self, source: data.Source, fixed: dict[str, Any]) -> None:
        self.source, self.fixed = source, fixed
        self._parser = Parser(prog="fastnet")
        train.add_parser(self._parser.add_subparsers(parser_class=Parser))

    def words(self, setting: dict[str, Any], again: bool = False) -> list[str]:
        """The command line, without the program's name; `again`: without options that change no result."""
        source = self.source._replace(lazy=None, cache=None) if again else self.source
        words = ["train", *source.options()]
        for name, value in {**self.fixed, **setting}.items():
            if (name, value) == ("augment", "none"):
                continue
            words += [f"--{name.replace('_', '-')}", f"{value:.6e}" if isinstance(value, float) else str(value)]
        return words

    def parsed(self, setting: dict[str, Any]) -> Namespace:
        """Its arguments, for `prepare`."""
        return self._parser.parse_args([*self.words(setting), "--quiet"])


def _work(loop: Loop) -> int:
    """One of the --processes; the first one reports what all have found."""
    with warnings.catch_warnings(), contextlib.suppress(RuntimeError, KeyboardInterrupt):
        warnings.simplefilter("ignore")
        loop.run()
    return 0


@contextlib.contextmanager
def _others(args: Namespace, out: Path) -> Iterator[None]:
    """The other processes, which end with this one."""
    from fastnet import threads

    each = max(1, threads.get_num_threads() // args.processes)
    more = ["--threads", str(each), "--out", str(out), "--worker", str(os.getpid())]
    command = [sys.executable, "-m", "fastnet", *args.argv, *more]
    running = [
        subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True) for _ in range(args.processes - 1)
    ]
    if running:
        threads.set_num_threads(each)
    try:
        yield
    except BaseException:
        for process in running:
            process.terminate()  # its trial is run again
        raise
    finally:
        for process in running:
            process.wait()


def _report(results: Results, out: Path, command: _Command, args: Namespace) -> int:
    best = results.best
    with user_mistakes():
        results.page(out / "search.html")
        results.plot(out / "search.png")
    if not args.quiet:
        print(f"\nbest of the {best.stage} stage: {results.line(best)}")
        for line in results.advice():
            print(line)
        print(f"\neverything is in {out}/:")
        print("  search.html   all runs: the picture, and the table with the best first")
        print("  search.png    the picture")
        print("\nto train with the best setting, on all training images and as long as fastnet train does by default:")
    print(f"fastnet {shlex.join(command.words(best.setting))}")
    return 0
