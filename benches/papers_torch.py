"""PyTorch's side of papers.py: trains one recipe, and prints a line of JSON after each epoch.

    python benches/papers_torch.py FOLDER

The folder holds what papers.py wrote: recipe.json, data.npz and the initial weights, weights.npz.  Tensors are
channels-last and SGD is fused; images are changed batch by batch, by tensor operations on all images at once.
"""

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path

import numpy as np
import recipes
import torch
import torch_nets
from torch.nn import functional as F


def affine(x, degrees, translate, scale, shear):
    """Rotation, shear, scaling and translation of float images, with parameters of its own for each."""

    def uniform(low, high):
        return torch.empty(len(x)).uniform_(low, high)

    angle, slant = (uniform(-math.radians(most), math.radians(most)) for most in (degrees, shear))
    size = uniform(1 - scale, 1 + scale)
    cos, sin, tan = angle.cos() / size, angle.sin() / size, slant.tan()
    across, down = (2 * uniform(-translate, translate) for _ in range(2))
    theta = torch.stack([cos, cos * tan + sin, across, -sin, cos - sin * tan, down], 1).view(-1, 2, 3)
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, "bilinear", "zeros", align_corners=False)


def windows(x, padding, mirrored):
    """A random window of each padded uint8 image, half of them mirrored."""
    count, _, height, width = x.shape
    padded = F.pad(x, (padding,) * 4).permute(0, 2, 3, 1)
    top, left = (torch.randint(0, 2 * padding + 1, (count, 1)) for _ in range(2))
    columns = torch.arange(width).expand(count, width)
    if mirrored:
        columns = torch.where(torch.rand(count, 1) < 0.5, width - 1 - columns, columns)
    rows = top + torch.arange(height)
    each = torch.arange(count)[:, None, None]
    return padded[each, rows[:, :, None], (left + columns)[:, None, :]].permute(0, 3, 1, 2)


class Training:
    def __init__(self, recipe, arrays, weights, seed):
        torch.manual_seed(seed)
        self.recipe = recipe
        self.X, self.y = torch.from_numpy(arrays["X_train"]), torch.from_numpy(arrays["y_train"]).long()
        self.X_test, self.y_test = torch.from_numpy(arrays["X_test"]), torch.from_numpy(arrays["y_test"]).long()
        self.mean, self.std = (torch.from_numpy(arrays[name]).view(1, -1, 1, 1) for name in ("mean", "std"))
        net = torch_nets.load(recipe.net, weights, channels=self.X.shape[1], size=self.X.shape[2])
        self.net = net.to(memory_format=torch.channels_last)
        matrices = [p for p in net.parameters() if p.ndim > 1]
        others = [p for p in net.parameters() if p.ndim == 1]
        self.sgd = torch.optim.SGD(
            [{"params": matrices, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}],
            recipe.lr,
            momentum=recipe.momentum,
            nesterov=True,
            fused=True,
        )
        self.iteration = 0
        self.total = recipe.epochs * math.ceil(len(self.X) / recipe.batch_size)

    def prepared(self, x):
        return ((x.float() - self.mean) / self.std).contiguous(memory_format=torch.channels_last)

    def batch(self, index):
        x, changes = self.X[index], self.recipe.augment
        if "crop" in changes:
            x = windows(x, changes["crop"]["padding"], "flip" in changes)
        if "affine" in changes:
            x = affine(x.float(), **changes["affine"])
        return self.prepared(x)

    def epoch(self):
        """Seconds of one pass over the training images."""
        start = time.perf_counter()
        self.net.train()
        for index in torch.randperm(len(self.X)).split(self.recipe.batch_size):
            for group in self.sgd.param_groups:
                group["lr"] = self.recipe.lr * recipes.factor(self.iteration, self.total)
            self.sgd.zero_grad()
            F.cross_entropy(self.net(self.batch(index)), self.y[index]).backward()
            self.sgd.step()
            self.iteration += 1
        return time.perf_counter() - start

    @torch.inference_mode()
    def accuracy(self):
        """In percent, on the test images."""
        self.net.eval()
        parts = zip(self.X_test.split(500), self.y_test.split(500), strict=True)
        right = sum(int((self.net(self.prepared(x)).argmax(1) == y).sum()) for x, y in parts)
        return 100 * right / len(self.y_test)


def main() -> None:
    folder = Path(sys.argv[1])
    given = json.loads((folder / "recipe.json").read_text())
    torch.set_num_threads(given["threads"])
    with np.load(folder / "data.npz") as data, np.load(folder / "weights.npz") as weights:
        training = Training(recipes.Recipe(**given["recipe"]), dict(data), dict(weights), given["seed"])
    for _ in range(training.recipe.epochs):
        seconds = training.epoch()
        print(json.dumps({"seconds": seconds, "accuracy": training.accuracy()}), flush=True)


if __name__ == "__main__":
    main()
