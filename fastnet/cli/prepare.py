"""The Solver that arguments of ``fastnet train`` describe; ``fastnet search`` makes many of them."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastnet.cli import augmentations, data, finetune
from fastnet.cli.errors import UserError, user_mistakes
from fastnet.cli.recipes import OPTIMIZERS, optimizer, recipe_for, regularizer
from fastnet.cli.schedules import schedule

if TYPE_CHECKING:
    from fastnet.data import Dataset
    from fastnet.training import Solver
    from fastnet.types import Array


def prepare(
    args: Namespace, source: data.Source, dataset: Dataset, names: Sequence[str], out: Path | None
) -> tuple[Solver, dict[str, Any]]:
    """The Solver, which writes to the folder `out` (if any), and the card of the model, whose classes are `names`."""
    from fastnet import diagnose, training
    from fastnet.data import OneSize, prepared
    from fastnet.training import saved

    shape = source.shape_of(dataset)
    recipe = recipe_for(shape)
    name = args.model or recipe.model
    kind = args.optimizer or recipe.optimizer
    usual = recipe.lr if kind == recipe.optimizer else OPTIMIZERS[kind][1]
    rate = args.lr or finetune.first_rate(args, usual)
    decay = recipe.weight_decay if args.weight_decay is None else args.weight_decay
    epochs = args.epochs or recipe.epochs
    if args.warmup >= epochs:
        raise UserError(f"--warmup {args.warmup:g} must be shorter than the run, which has {epochs} epochs")
    card = {
        "model": name,
        "options": recipe.options if name == recipe.model else {},
        "classes": list(names),
        "input_shape": [int(size) for size in shape],
        "dtype": args.dtype,
        "pixels": (0.0, 255.0) if source.of_pictures else _pixels(dataset.X_train),
        "data": list(source),
        **({"augment": args.augment} if args.augment else {}),
    }
    if dataset.y_val is not None and args.val_fraction is not None:
        raise UserError(f"--val-fraction: {dataset.name} has {len(dataset.y_val):,} validation images of its own")
    held = 0.1 if args.val_fraction is None else args.val_fraction
    if args.early_stopping and not held:
        raise UserError("--early-stopping watches the validation loss; it needs --val-fraction > 0")
    if args.early_stopping and args.average is not None:
        raise UserError("--early-stopping ends with the best weights, --average with their average; give one of them")
    with user_mistakes():
        model = saved.create(card, args.seed)
        published = finetune.begin(args, card, model)
        if dataset.y_val is None and held:
            dataset = dataset.split(held, args.seed)
        preprocess = args.preprocess or published or "standardize"
        if source.whole:
            whole, X, size = preprocess, dataset.X_train, shape[1:]
            preprocess = prepared.fit(whole, X, size) if isinstance(whole, str) else OneSize(size, whole)
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
        solver = training.Solver(
            model,
            dataset,
            optimizer=optimizer(kind, rate, decay, finetune.groups(args, model, rate)),
            schedule=schedule(args.schedule or (recipe.schedule, {}), epochs, args.warmup),
            regularizer=regularizer(args.l1, args.max_norm),
            batch_size=args.batch_size or recipe.batch_size,
            epochs=epochs,
            clip_norm=args.clip_norm,
            clip_value=args.clip_value,
            seed=args.seed,
            preprocess=preprocess,
            augment=augmentations.transforms(args.augment, dataset.X_train, shape[1:]),
            sampling=args.sampling,
            workers=args.workers,
            checkpoint=out,
            early_stopping=args.early_stopping,
            callbacks=[
                *([diagnose.LiveDiagnosis(), diagnose.UpdateRatios()] if args.diagnose else ()),
                *(() if args.average is None else [training.PolyakAverage(args.average)]),
            ],
            info=card,
            verbose=not args.quiet,
            debug=args.debug,
        )
    return solver, card


def _pixels(X: Array) -> tuple[float, float]:
    """The range of the images' values, by which `fastnet predict` knows how to scale those of files."""
    from fastnet.data.rows import extremes

    least, most = extremes(X)
    return float(least), float(most)
