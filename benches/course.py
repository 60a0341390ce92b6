"""The course's own comparison, in float64 at its shapes: plain loops, im2col with one np.dot, and fastnet.

    python benches/course.py [--quick] [--train [--iterations N]]

Loops run on a few of the images; their times are scaled up.  The sides are verified against each other, then timed in
turn; each time is the best of all rounds.  Target: fastnet is 5 times as fast as im2col for convolution and pooling,
forward and backward, and ideally 10 times.

--train times the notebook's training cell (49,000 images of 3x32x32, batches of 50, 32 filters of 7x7, 500 hidden
units, Adam, images in float64 and weights initially in float32): it runs some iterations and batches of accuracy checks
on each side in turn, and computes the time of the whole cell from them.  Everything but convolution and pooling is
NumPy on both sides, as a student writes it, which limits the possible speed-up.  Target: 3 times.  A third side is the
same network with fastnet's layers and the course's Adam, in float32, which changes one line of the notebook.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass, replace
from types import SimpleNamespace

import im2col_layers
import numpy as np

import fastnet as fn
from fastnet import backends, compat
from fastnet.compat.cs231n import fast_layers, layers, naive, optim

IM2COL = im2col_layers
FASTNET = SimpleNamespace(
    conv_forward=fast_layers.conv_forward_fast,
    conv_backward=fast_layers.conv_backward_fast,
    max_pool_forward=fast_layers.max_pool_forward_fast,
    max_pool_backward=fast_layers.max_pool_backward_fast,
)
NAIVE = SimpleNamespace(
    conv_forward=naive.conv_forward_naive,
    conv_backward=naive.conv_backward_naive,
    max_pool_forward=naive.max_pool_forward_naive,
    max_pool_backward=naive.max_pool_backward_naive,
)
WANTED, WANTED_TRAIN = 5, 3


@dataclass(frozen=True)
class Case:
    """A layer of the notebooks: forward and backward."""

    name: str
    layer: str  # conv or max_pool
    x_shape: tuple
    w_shape: tuple | None
    param: dict

    def data(self, images=None):
        """x, and for a convolution w and b."""
        rng = np.random.default_rng(231)
        arrays = [rng.standard_normal(self.x_shape)[:images]]
        if self.w_shape:
            arrays += [rng.standard_normal(self.w_shape), rng.standard_normal(self.w_shape[0])]
        return arrays

    def calls(self, side, arrays):
        """The forward call, and the backward call for its result."""
        forward, backward = getattr(side, f"{self.layer}_forward"), getattr(side, f"{self.layer}_backward")
        out, cache = forward(*arrays, self.param)
        dout = np.random.default_rng(0).standard_normal(out.shape)
        return lambda: forward(*arrays, self.param), lambda: backward(dout, cache)


POOL = {"pool_height": 2, "pool_width": 2, "stride": 2}
CASES = [
    Case("conv 3x3 s2 p1, 100x3x31x31 to 25", "conv", (100, 3, 31, 31), (25, 3, 3, 3), {"stride": 2, "pad": 1}),
    Case("2x2 max pool, 100x3x32x32", "max_pool", (100, 3, 32, 32), None, POOL),
    Case("conv 7x7 s1 p3, 50x3x32x32 to 32", "conv", (50, 3, 32, 32), (32, 3, 7, 7), {"stride": 1, "pad": 3}),
    Case("2x2 max pool, 50x32x32x32", "max_pool", (50, 32, 32, 32), None, POOL),
]


def rel_error(x, y) -> float:
    """The notebooks' relative error."""
    return float(np.max(np.abs(x - y) / np.maximum(1e-8, np.abs(x) + np.abs(y))))


def flat(result) -> list:
    return list(result) if isinstance(result, tuple) else [result]


def differences(case, sides, images):
    """The maximum relative error of each side's output and gradients, compared with the first side's."""
    found = []
    for side in sides:
        forward, backward = case.calls(side, case.data(images))
        found.append([forward()[0], *flat(backward())])
    return [max(rel_error(a, b) for a, b in zip(other, found[0], strict=True)) for other in found[1:]]


def verify(case, images) -> None:
    """Raise unless all three sides agree within the notebooks' limits: 1e-9, and pooling exactly."""
    errors = [*differences(case, (NAIVE, IM2COL, FASTNET), images), *differences(case, (IM2COL, FASTNET), None)]
    if max(errors) > (0 if case.layer == "max_pool" else 1e-9):
        raise RuntimeError(f"{case.name}: the sides differ by {max(errors):.1e}; nothing was timed")


def seconds(call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def compare(case, images, rounds):
    """(naive, im2col, fastnet) in seconds, for forward and backward; naive is scaled up from `images` images."""
    slow = [call for call in case.calls(NAIVE, case.data(images))]
    sides = [case.calls(side, case.data()) for side in (IM2COL, FASTNET)]
    best = np.full((2, 2), np.inf)
    for _ in range(rounds):
        for i, calls in enumerate(sides):
            for j, call in enumerate(calls):
                best[j, i] = min(best[j, i], seconds(call))
    scale = case.x_shape[0] / images
    return [(seconds(call) * scale, *times) for call, times in zip(slow, best, strict=True)]


def table(quick: bool) -> bool:
    """Print the comparison; return whether all targets are reached."""
    images, rounds = (1, 2) if quick else (5, 60)
    cases = [replace(case, x_shape=(10, *case.x_shape[1:])) for case in CASES] if quick else CASES
    ratios = []
    print(f"{'ms, float64':<36} {'':<9} {'loops':>9} {'im2col':>9} {'fastnet':>9} {'loops':>9} {'im2col':>8}")
    for case in cases:
        verify(case, images)
        for way, times in zip(("forward", "backward"), compare(case, images, rounds), strict=True):
            loops, im2col, fast = times
            print(f"{case.name:<36} {way:<9}", *(f"{1e3 * t:9.2f}" for t in times), end=" ")
            print(f"{loops / fast:8.0f}x {im2col / fast:7.1f}x", flush=True)
            ratios.append(im2col / fast)
    print(f"fastnet against im2col: least {min(ratios):.1f}x (to reach: {WANTED}x)")
    return min(ratios) >= WANTED


# ---------------------------------------------------------------- the training cell

TRAIN, BATCH, ACCURACY_BATCH = 49_000, 50, 100
QUICK, QUICK_BATCH = 100, 10


class ThreeLayerConvNet:
    """conv - relu - 2x2 max pool - affine - relu - affine - softmax, as in the notebooks, on one side's layers."""

    def __init__(self, side, num_filters=32, filter_size=7, hidden_dim=500, num_classes=10, scale=1e-3, reg=1e-3):
        self.side, self.reg = side, reg
        self.conv_param = {"stride": 1, "pad": (filter_size - 1) // 2}
        rng = np.random.default_rng(231)
        shapes = {
            "1": (num_filters, 3, filter_size, filter_size),
            "2": (num_filters * 16 * 16, hidden_dim),
            "3": (hidden_dim, num_classes),
        }
        self.params = {f"W{i}": (scale * rng.standard_normal(shape)).astype(np.float32) for i, shape in shapes.items()}
        for i, size in (("1", num_filters), ("2", hidden_dim), ("3", num_classes)):
            self.params[f"b{i}"] = np.zeros(size, np.float32)

    def loss(self, X, y=None):
        """The scores; with labels, the loss and the gradients."""
        p = self.params
        a1, conv = self.side.conv_forward(X, p["W1"], p["b1"], self.conv_param)
        r1, relu1 = layers.relu_forward(a1)
        h1, pool = self.side.max_pool_forward(r1, POOL)
        a2, affine2 = layers.affine_forward(h1, p["W2"], p["b2"])
        r2, relu2 = layers.relu_forward(a2)
        scores, affine3 = layers.affine_forward(r2, p["W3"], p["b3"])
        if y is None:
            return scores
        loss, dscores = layers.softmax_loss(scores, y)
        grads = {}
        dr2, grads["W3"], grads["b3"] = layers.affine_backward(dscores, affine3)
        dh1, grads["W2"], grads["b2"] = layers.affine_backward(layers.relu_backward(dr2, relu2), affine2)
        dr1 = self.side.max_pool_backward(dh1, pool)
        _, grads["W1"], grads["b1"] = self.side.conv_backward(layers.relu_backward(dr1, relu1), conv)
        for name in ("W1", "W2", "W3"):
            loss += 0.5 * self.reg * np.sum(p[name] * p[name])
            grads[name] = grads[name] + self.reg * p[name]
        return loss, grads


class Training:
    """The training cell with one model: its iterations, and the batches of its accuracy checks."""

    def __init__(self, model, images, batch):
        self.model, self.images, self.batch = model, images, batch
        self.labels = np.random.default_rng(1).integers(0, 10, len(images))
        self.rng, self.configs = np.random.default_rng(2), {name: {} for name in self.model.params}

    def iteration(self) -> float:
        batch = self.rng.choice(len(self.images), self.batch)
        loss, grads = self.model.loss(self.images[batch], self.labels[batch])
        for name, w in self.model.params.items():
            self.model.params[name], self.configs[name] = optim.adam(w, grads[name], self.configs[name])
        return loss

    def accuracy_batch(self):
        return self.model.loss(self.images[self.rng.choice(len(self.images), ACCURACY_BATCH // BATCH * self.batch)])


def own_iteration(images, size):
    """A function for one iteration of the same network with fastnet's layers and optimiser, in float32."""
    model = fn.models.create("three_layer_convnet", 10, (3, 32, 32), hidden=500)
    optimizer, rng = fn.optim.Adam(1e-3), np.random.default_rng(2)
    labels = np.random.default_rng(1).integers(0, 10, len(images))

    def iteration():
        batch = rng.choice(len(images), size)
        scores, backward = model.forward(images[batch], training=True)
        _, dscores = fn.losses.softmax_cross_entropy(scores, labels[batch])
        backward(dscores, input_gradient=False)
        optimizer.step(model.parameters())

    return iteration


def train(iterations: int, count: int = TRAIN, batch: int = BATCH) -> bool:
    """Print the time of the training cell on all sides, with `count` images; return whether the target is reached."""
    images = np.random.default_rng(0).standard_normal((count, 3, 32, 32))
    own_model = fn.models.create("three_layer_convnet", 10, (3, 32, 32), hidden=500)
    sides = {
        "im2col": Training(ThreeLayerConvNet(IM2COL), images, batch),
        "fastnet": Training(ThreeLayerConvNet(FASTNET), images, batch),
        "fastnet's model": Training(compat.as_course_model(own_model, reg=1e-3), images, batch),
    }
    losses = [[side.iteration() for _ in range(3)] for side in sides.values()]
    if rel_error(*np.array(losses[:2])) > 1e-6:
        raise RuntimeError(f"the two sides train differently: losses {losses[:2]}; nothing was timed")
    steps, checks = {name: [] for name in sides}, {name: [] for name in sides}
    for i in range(iterations):
        for name, side in sides.items():
            steps[name].append(seconds(side.iteration))
            if i % 4 == 0:
                checks[name].append(seconds(side.accuracy_batch))
    own = own_iteration(images.astype(np.float32), batch)
    own()
    own_step = np.median([seconds(own) for _ in range(iterations)])
    # 980 iterations; accuracies on 1,000 training and validation images at both ends; then on all 49,000 images
    batches = (2 * 2 * 1000 + TRAIN) // ACCURACY_BATCH
    print(f"\ntraining cell, medians of {iterations} iterations and {len(checks['im2col'])} accuracy batches")
    print(f"{'':<16} {'iteration, ms':>14} {'100 images, ms':>15} {'cell, s':>8} {'im2col':>8}")
    cells = {}
    for name in sides:
        step, check = np.median(steps[name]), np.median(checks[name])
        cells[name] = TRAIN // BATCH * step + batches * check
        ratio = cells["im2col"] / cells[name]
        print(f"{name:<16} {1e3 * step:14.1f} {1e3 * check:15.1f} {cells[name]:8.1f} {ratio:7.2f}x")
    print(f"to reach: {WANTED_TRAIN}x.  An iteration that also uses fastnet's optimiser: {1e3 * own_step:.1f} ms")
    return cells["im2col"] / cells["fastnet"] >= WANTED_TRAIN


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few rounds and images, to check that it works")
    parser.add_argument("--train", action="store_true", help="time the training cell instead")
    parser.add_argument("--iterations", type=int, default=30, help="iterations of the training cell on each side")
    parser.add_argument("--threads", type=int, help="fastnet's threads; NumPy's BLAS has its own setting")
    args = parser.parse_args()
    if args.threads:
        fn.set_num_threads(args.threads)
    print(
        f"NumPy {np.__version__}; fastnet {fn.__version__}, {backends.current().name}, {fn.get_num_threads()} threads"
    )
    few = (QUICK, QUICK_BATCH) if args.quick else ()
    reached = train(args.iterations, *few) if args.train else table(args.quick)
    return 0 if reached or args.quick else 1


if __name__ == "__main__":
    sys.exit(main())
