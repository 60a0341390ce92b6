"""``fastnet train``."""

from __future__ import annotations

import contextlib
import math
import os
import shlex
import sys
import time
import warnings
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastnet.cli import augmentations, data, finetune
from fastnet.cli.arguments import add_device, add_threads, count, folder, fraction, not_negative, positive, whole
from fastnet.cli.errors import UserError, user_mistakes
from fastnet.cli.prepare import prepare
from fastnet.cli.recipes import OPTIMIZERS, PREPROCESSING, recipe_for
from fastnet.cli.schedules import SCHEDULES, chosen

if TYPE_CHECKING:
    from fastnet.data import Dataset
    from fastnet.layers import Evaluation
    from fastnet.training import History, Solver

_EXAMPLES = """examples:
  fastnet train
  fastnet train --data mnist:DIR --model lenet5
  fastnet train --data cifar10:DIR --model resnet20 --epochs 40 --out runs/first
  fastnet train --data photos/ --image-size 96 --model squeezenet1_1 --early-stopping 5
  fastnet train --data photos/ --image-size 224 --whole --lazy --workers 2 --augment resized-crop,flip
                               windows of photographs of any size, which are read when a batch needs them
  fastnet train --data photos/ --image-size 224 --model resnet18 --weights resnet18.pth --freeze body
                               a new head on published weights
  fastnet train --data cifar10:DIR --model resnet20 --epochs 40 --out runs/first --resume auto
                               continues that run where it was interrupted, bit for bit
"""


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "train",
        help="train a network on images",
        description="Train a network on images; without arguments, a small one on handwritten digits.\n"
        "The defaults of --model, --epochs, --batch-size, --optimizer, --lr and --weight-decay suit the images' size.",
        epilog=f"{data.KINDS}\n{_EXAMPLES}",
        late_epilog=_lists,
    )
    data.add_data(parser, "digits", "default: digits")
    data.add_subset(parser)
    add = parser.add_argument
    add("--model", metavar="NAME", help="architecture, one of those below")
    add("--epochs", type=count, metavar="N", help="passes over the training images")
    add("--batch-size", type=count, metavar="N", help="images per update")
    add("--optimizer", choices=sorted(OPTIMIZERS), help="update rule; sgd is with Nesterov momentum 0.9")
    add("--lr", type=positive, metavar="RATE", help="learning rate, before the schedule")
    add(
        "--schedule",
        type=chosen,
        metavar="NAME[:KEY=VALUE,...]",
        help=f"how the learning rate changes over the epochs: {', '.join(SCHEDULES)}, with parameters of its class in "
        "fastnet.optim, such as step:every=30/60,factor=0.2 (default: cosine)",
    )
    add("--warmup", type=not_negative, default=0, metavar="EPOCHS", help="length of a linear warm-up (default: 0)")
    add(
        "--preprocess",
        choices=PREPROCESSING,
        help="standardize: mean and deviation of each channel; center: its mean; mean_image; unit_variance: of each "
        "pixel; range: [-1, 1]; whiten: uncorrelated pixels (default: standardize, or what --weights expect)",
    )
    add(
        "--augment",
        type=augmentations.chosen,
        metavar="NAME[:VALUE/...],...",
        help="random changes of the training images, one after the other, such as flip,crop:4,jitter:0.4/0.4; those "
        "below (default: none)",
    )
    add(
        "--sampling",
        choices=("uniform", "balanced"),
        default="uniform",
        help="balanced: as many images of each class in an epoch, those of rare classes several times "
        "(default: uniform)",
    )
    add(
        "--workers",
        type=whole,
        default=1,
        metavar="N",
        help="threads that read, change and scale the next images while a step runs (default: 1)",
    )
    add(
        "--weight-decay",
        type=not_negative,
        metavar="X",
        help="decay of the weights, not of biases and batch norms; the gradient of an L2 penalty X/2 * sum(W^2)",
    )
    add("--l1", type=not_negative, default=0, metavar="X", help="penalty X * sum(|W|) on the same weights (default: 0)")
    add(
        "--max-norm",
        type=positive,
        metavar="C",
        help="bound the weights of each neuron or filter, as a vector, to length C (default: no bound)",
    )
    add("--clip-norm", type=positive, metavar="X", help="largest norm of the gradients, all together (default: none)")
    add("--clip-value", type=positive, metavar="X", help="largest size of a gradient's elements (default: none)")
    add(
        "--val-fraction",
        type=fraction,
        metavar="F",
        help="hold out this fraction of the training images to validate, 0 for none (default: 0.1; a data set with "
        "validation images of its own keeps those)",
    )
    add(
        "--early-stopping",
        type=count,
        metavar="N",
        help="stop after N epochs without a better validation loss (default: never)",
    )
    add(
        "--average",
        type=fraction,
        metavar="DECAY",
        help="end with Polyak's average of the weights, a = DECAY*a + (1 - DECAY)*w after each update, such as 0.995",
    )
    add(
        "--seed",
        type=whole,
        default=0,
        metavar="N",
        help="of the random weights, order of images, and dropout (default: 0)",
    )
    add(
        "--dtype",
        choices=("float32", "float64"),
        default="float32",
        help="of the weights and all arithmetic (default: float32)",
    )
    finetune.add_options(parser)
    add_threads(parser)
    add_device(parser)
    add("--out", type=folder, metavar="DIR", help="output folder (default: runs/<data>-<model>)")
    add(
        "--resume",
        type=os.path.expanduser,
        default="none",
        metavar="auto|PATH|none",
        help="continue an interrupted run; auto: from the newest checkpoint in --out; PATH: from that checkpoint, or "
        "the newest in that folder (default: none)",
    )
    add("--no-plot", action="store_true", help="no plot of the learning curves")
    add("--quiet", action="store_true", help="print the test accuracy only")
    add("--diagnose", action="store_true", help="say what goes wrong when it happens, and how large updates are")
    add(
        "--debug",
        choices=("nan",),
        help="nan: report the layer and batch that produce the first NaN or infinity (slow)",
    )
    parser.set_defaults(run=run)


def _lists() -> str:
    import textwrap

    from fastnet import models

    lists = {
        "models": models.names(),
        "augmentations, with the values after the colon and their defaults": map(
            augmentations.described, augmentations.AUGMENTATIONS
        ),
    }
    filled = (
        textwrap.fill(f"{title}: {', '.join(names)}", 110, subsequent_indent="  ") for title, names in lists.items()
    )
    return "\n\n".join(filled) + "\n"


def run(args: Namespace) -> int:
    from fastnet.training import saved

    source = data.Source.of_arguments(args)
    dataset = data.subset(data.load(source), args.subset)
    recipe = recipe_for(source.shape_of(dataset))
    out = args.out or Path("runs") / f"{dataset.name}-{args.model or recipe.model}"
    names = _classes(args.resume, out, dataset)
    if source.of_pictures and tuple(names) != dataset.classes and len(names) == len(dataset.classes):
        source = source._replace(classes=tuple(names))  # the order in which images are read, and divided
        dataset = data.subset(data.load(source), args.subset)
    solver, card = prepare(args, source.absolute(), dataset, names, out)
    say = _silent if args.quiet else print
    _introduce(say, solver, dataset, card)
    start = time.perf_counter()
    try:
        _train(solver, args.resume, say)
        seconds = time.perf_counter() - start
        test = _test(solver, dataset)
    except KeyboardInterrupt:
        return _interrupted(args.argv, solver)
    except FloatingPointError as error:
        return _diverged(error, out)
    with user_mistakes():
        card = {**card, "epochs": solver.epoch, "test": {"loss": test.loss, "accuracy": test.accuracy}}
        solver.model.preprocessing = solver.preprocess
        model = saved.save(out, solver.model, card)
        solver.history.to_csv(out / "history.csv")
        curves = None if args.no_plot else _plot(solver.history, out / "curves.png")
    say()
    if args.diagnose:
        say(next(callback.sentence() for callback in solver.callbacks if hasattr(callback, "sentence")))
        say()
    say(f"trained for {seconds:.1f} s; everything is in {out}/:")
    if curves:
        say(f"  {curves.name:<24} the learning curves")
    say(f"  {'history.csv':<24} the table above")
    if solver.last_checkpoint:
        say(f"  {solver.last_checkpoint.name:<24} the last state; to train longer: --resume auto and more --epochs")
    say(f"  {model.name:<24} the model; to test it class by class: fastnet evaluate {shlex.quote(str(out))}")
    right = round(test.accuracy * len(dataset.y_test))
    say(f"{right:,} of {len(dataset.y_test):,} test images are classified right; their mean loss is {test.loss:.4f}")
    print(f"test accuracy: {test.accuracy:.3f}")
    return 0


def _classes(resume: str, out: Path, dataset: Dataset) -> Sequence[str]:
    """The classes in the order of the model's scores: of the run that goes on, else of the data set."""
    from fastnet.data.classes import match_names
    from fastnet.training import load_checkpoint

    names = None
    with warnings.catch_warnings(), contextlib.suppress(OSError, ValueError):  # Solver tells what is wrong with a file
        warnings.simplefilter("ignore")
        if resume != "none":
            names = load_checkpoint(out if resume == "auto" else resume).class_names
    if names is None:
        return dataset.classes
    with user_mistakes(f"--resume {resume} goes on with that model; train a new one without it"):
        match_names(dataset.classes, names)
    return names


def _silent(*words: object) -> None:
    pass


def _introduce(say: Callable[..., None], solver: Solver, dataset: Dataset, card: dict[str, Any]) -> None:
    from fastnet import backends, threads

    sizes = " x ".join(map(str, solver.model.input_shape))
    validation = f", {len(solver.validation.y):,} to validate" if solver.validation else ""
    say(
        f"{dataset.name}: {len(solver.loader.y):,} images of {sizes} to train on{validation}, "
        f"{len(dataset.y_test):,} to test; {len(dataset.classes)} classes"
    )
    summary = solver.model.summary()
    say(f"{card['model']}: {summary.parameters:,} parameters, {summary.macs / 1e6:,.1f} million MACs an image")
    say(f"{solver.optimizer!r}, {solver.schedule!r}, batches of {solver.loader.batch_size}, {solver.epochs} epochs")
    if backends.NativeOps and backends.current().name == "native":
        from fastnet.backends import _native

        say(f"{card['dtype']} on {_native.isa()} kernels, threads: {threads.get_num_threads()}")
    elif backends.current().name == "cupy":
        say(f"{card['dtype']} on {backends.current().device}")
    else:
        say(f"{card['dtype']} on the slow NumPy reference backend (see fastnet doctor)")
    say()


def _train(solver: Solver, resume: str, say: Callable[..., None]) -> None:
    if resume not in ("none", "auto") and not Path(resume).exists():
        raise UserError(f"--resume {resume}: no such file; give auto, none, or a checkpoint that fastnet train wrote")
    if resume == "auto" and solver.checkpoint and not any(solver.checkpoint.glob("checkpoint-*.npz")):
        say(f"{solver.checkpoint} has no checkpoint to resume from: this run begins with the first epoch\n")
    with user_mistakes(catch=(ValueError,)):
        solver.train(resume=None if resume == "none" else resume)


def _test(solver: Solver, dataset: Dataset) -> Evaluation:
    """Loss and accuracy on the test images; FloatingPointError if the loss is not finite."""
    from fastnet.data.rows import not_finite

    with user_mistakes():
        test = solver.evaluate(dataset.X_test, dataset.y_test)
    if not math.isfinite(test.loss):
        if bad := not_finite(dataset.X_test):
            raise UserError(f"{bad} of {len(dataset.X_test)} test images of {dataset.name} hold NaN or infinite values")
        raise FloatingPointError(f"the test loss is {test.loss}; lower the learning rate ({solver.optimizer.lr:g})")
    return test


def _diverged(error: FloatingPointError, out: Path) -> int:
    print(f"fastnet train: {error}".replace("Solver(debug='nan')", "--debug nan"), file=sys.stderr)
    earlier = "; the model in it is an earlier run's" if (out / "model.json").exists() else ""
    print(f"fastnet train: the run has failed, and no model is written to {out}/{earlier}", file=sys.stderr)
    return 1


def _interrupted(argv: list[str], solver: Solver) -> int:
    if solver.last_checkpoint is None:
        print("interrupted before the first checkpoint", file=sys.stderr)
    else:
        print(f"to go on: fastnet {shlex.join(_without_resume(argv))} --resume auto", file=sys.stderr)
    return 130


def _without_resume(argv: list[str]) -> list[str]:
    kept, words = [], iter(argv)
    for word in words:
        if word == "--resume":
            next(words, None)
        elif not word.startswith("--resume="):
            kept.append(word)
    return kept


def _plot(history: History, path: Path) -> Path | None:
    try:
        history.plot(path)
    except ImportError as error:
        print(f"fastnet: no picture of the learning curves: {error}", file=sys.stderr)
        return None
    return path
