"""Runs of the command train on a halves file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fastnet.cli import main


def train(halves, out, *more):
    return main(["train", "--data", halves, "--out", str(out), "--epochs", "2", *more])


def weights(folder):
    with np.load(next(Path(folder).glob("checkpoint-*.npz"))) as file:
        return {name: file[name] for name in file if name.startswith("model/")}
