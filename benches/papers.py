"""Networks of papers, trained to their published accuracies, and the time that it takes beside PyTorch.

    python benches/papers.py --only lenet5 lenet5-distorted --data mnist=DIR [--torch-python PATH] [--json FILE]

The recipes are in recipes.py; both sides read them and start from the same weights.  The accuracy is that of the last
epoch, on the test images; nothing is chosen by it.  Seconds are those of training alone, without the tests after each
epoch.  Fashion-MNIST is looked for where Debian's package dataset-fashion-mnist has it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import allocators
import nets
import numpy as np
import peers
import recipes

import fastnet as fn
from fastnet.diagnose.machine import cpu_name

HERE = Path(__file__).resolve().parent
Epoch = dict[str, float]


def augmentation(recipe: recipes.Recipe, side: int) -> list[fn.augment.Transform]:
    """The recipe's changes of images as transforms."""
    found: list[fn.augment.Transform] = []
    for name, given in recipe.augment.items():
        if name == "affine":
            move, scale = given["translate"], given["scale"]
            more = {"translate": (move, move), "scale": (1 - scale, 1 + scale), "shear": given["shear"]}
            found.append(fn.augment.RandomAffine(given["degrees"], **more, interpolation="bilinear"))
        elif name == "crop":
            found.append(fn.augment.RandomCrop(side, padding=given["padding"]))
        else:
            found.append(fn.augment.RandomHorizontalFlip())
    return found


class Recorder(fn.training.Callback):
    """Prints seconds and accuracy of each epoch."""

    def __init__(self, epochs: list[Epoch], images: int, name: str) -> None:
        self.epochs, self.images, self.name = epochs, images, name

    def on_epoch_end(self, solver: fn.Solver, record: dict[str, float]) -> None:
        seconds = self.images / record["images_per_second"]
        self.epochs.append({"seconds": seconds, "accuracy": round(100 * record["val_accuracy"], 4)})
        show(self.name, self.epochs)


def show(name: str, epochs: list[Epoch]) -> None:
    """The last epoch, on a terminal or in a log."""
    last = epochs[-1]
    print(f"  {name:<8} epoch {len(epochs):>3}  {last['seconds']:7.1f} s  {last['accuracy']:6.2f} %", flush=True)


def train_fastnet(recipe: recipes.Recipe, model: fn.Model, arrays: dict[str, np.ndarray], seed: int) -> list[Epoch]:
    epochs: list[Epoch] = []
    fn.Solver(
        model,
        (arrays["X_train"], arrays["y_train"]),
        (arrays["X_test"], arrays["y_test"]),
        optimizer=fn.optim.SGD(recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay, nesterov=True),
        schedule=recipes.factor,
        batch_size=recipe.batch_size,
        epochs=recipe.epochs,
        seed=seed,
        preprocess="standardize",
        augment=augmentation(recipe, arrays["X_train"].shape[-1]),
        callbacks=[Recorder(epochs, len(arrays["X_train"]), "fastnet")],
        verbose=False,
    ).train()
    return epochs


def train_torch(
    python: str, allocator: str, recipe: recipes.Recipe, folder: Path, seed: int, threads: int
) -> Iterator[Epoch]:
    """The epochs of a process of PyTorch's, which reads data.npz and weights.npz of a folder, as they end."""
    given = {"recipe": recipe._asdict(), "seed": seed, "threads": threads}
    (folder / "recipe.json").write_text(json.dumps(given))
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), **allocators.environment(allocator)}
    command = [python, str(HERE / "papers_torch.py"), str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        for line in process.stdout:
            yield json.loads(line)
    if process.returncode:
        raise peers.PeerError(f"PyTorch's side ended with status {process.returncode}")


def seconds_to(goal: float, epochs: list[Epoch]) -> float | None:
    """Seconds of training until an epoch ends with the accuracy `goal`; None if none does."""
    total = 0.0
    for epoch in epochs:
        total += epoch["seconds"]
        if epoch["accuracy"] >= goal:
            return total
    return None


def rows(recipe: recipes.Recipe, found: dict[str, list[list[Epoch]]]) -> list[dict[str, Any]]:
    """A row for each side: means over the seeds."""
    table = []
    for side, runs in found.items():
        last = [run[-1]["accuracy"] for run in runs]
        times = [seconds_to(recipe.goal, run) for run in runs]
        reached = [seconds for seconds in times if seconds is not None]
        table.append(
            {
                "side": side,
                "accuracy": statistics.fmean(last),
                "deviation": statistics.stdev(last) if len(last) > 1 else 0.0,
                "seconds_per_epoch": statistics.fmean(epoch["seconds"] for run in runs for epoch in run),
                "seconds_to_goal": statistics.fmean(reached) if len(reached) == len(runs) else None,
            }
        )
    return table


def report(recipe: recipes.Recipe, table: list[dict[str, Any]]) -> None:
    print(f"  {'':<10}{'accuracy, %':>16}{'published':>11}{'s/epoch':>10}{f's to {recipe.goal:g} %':>14}")
    for row in table:
        goal = "not reached" if row["seconds_to_goal"] is None else f"{row['seconds_to_goal']:.1f}"
        accuracy = f"{row['accuracy']:.2f} ± {row['deviation']:.2f}"
        cells = f"{accuracy:>16}{recipe.published:>11g}{row['seconds_per_epoch']:>10.1f}{goal:>14}"
        print(f"  {row['side']:<10}{cells}")
    print(f"  published by: {recipe.source}{'; ' + recipe.remark if recipe.remark else ''}\n", flush=True)


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--only", nargs="+", choices=recipes.RECIPES, default=list(recipes.RECIPES))
    add("--data", nargs="+", default=[], metavar="NAME=PATH", help=f"names: {', '.join(recipes.READERS)}")
    add("--epochs", type=int, help="instead of each recipe's; the schedule is shortened with it")
    add("--seeds", type=int, default=1, metavar="N", help="repetitions (default: 1)")
    add("--threads", type=int, default=peers.cores(), help="of both sides (default: all processors)")
    add("--torch-python", metavar="PATH", help="an interpreter that has torch; without it fastnet trains alone")
    add("--allocator", choices=allocators.ALLOCATORS, default=allocators.UNTUNED, help="of PyTorch's side")
    add("--json", type=Path, metavar="FILE", help="write the results there")
    return parser


def main() -> int:
    args = parser().parse_args()
    fn.set_num_threads(args.threads)
    paths = {name: Path(path) for name, _, path in (each.partition("=") for each in args.data)}
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    print(f"{cpu_name()}, {args.threads} threads; load of other processes before: {load:.1f}\n")
    results = []
    for key in args.only:
        recipe = recipes.RECIPES[key]
        recipe = recipe._replace(epochs=args.epochs or recipe.epochs)
        print(f"{recipe.title}: {recipe.epochs} epochs; {recipes.settings(recipe)}", flush=True)
        arrays = recipes.read(recipe.data, paths.get(recipe.data))
        found: dict[str, list[list[Epoch]]] = {"fastnet": []}
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            if args.torch_python:
                np.savez(folder / "data.npz", **arrays)
                found["PyTorch"] = []
            for seed in range(args.seeds):
                model = nets.create(recipe.net, {}, arrays["X_train"].shape[1:], "float32", seed)
                model.save(folder / "weights.npz")
                found["fastnet"].append(train_fastnet(recipe, model, arrays, seed))
                if args.torch_python:
                    run: list[Epoch] = []
                    for epoch in train_torch(args.torch_python, args.allocator, recipe, folder, seed, args.threads):
                        run.append(epoch)
                        show("PyTorch", run)
                    found["PyTorch"].append(run)
        table = rows(recipe, found)
        report(recipe, table)
        results.append({"name": key, "recipe": recipe._asdict(), "rows": table, "runs": found})
    if args.json:
        about = {"cpu": cpu_name(), "threads": args.threads, "load_before": load, "fastnet": fn.__version__}
        args.json.write_text(json.dumps({**about, "results": results}, indent=1))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (peers.PeerError, OSError, ValueError) as error:
        sys.exit(f"papers: {error}")
