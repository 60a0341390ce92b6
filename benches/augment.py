"""Images per second of fastnet.augment and of torchvision v2, on batches, on single tensors, and on Pillow's images.

Needs PyTorch and torchvision:  python benches/augment.py [--images 128] [--seconds 0.5]
Each operation gets the same parameters everywhere, and 99 of 100 values are compared before anything is timed.  Random
ones are not compared: torchvision draws one set of parameters for a whole batch, fastnet one for each image, so only
the columns of single images do the same work.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

import fastnet as fn
from fastnet import augment as A
from fastnet.augment import adjust, maps
from fastnet.augment.kernels import warp


def cases(side):
    """(name, ours(x), theirs(images), allowed difference); None if it is random."""
    from torchvision.transforms import v2
    from torchvision.transforms.v2 import InterpolationMode
    from torchvision.transforms.v2 import functional as F

    def rng():
        return np.random.default_rng(0)

    def ones(x):
        return np.ones(len(x))

    def rotated(x):
        still = np.zeros((len(x), 2))
        return warp(x, x.shape[2:], maps.affine(x.shape[2:], -20 * ones(x), still, ones(x), still), "bilinear")

    half, linear = side // 2, InterpolationMode.BILINEAR
    crop = A.Compose([A.RandomCrop(side, padding=4), A.RandomHorizontalFlip()])
    theirs = v2.Compose([v2.RandomCrop(side, padding=4), v2.RandomHorizontalFlip()])
    yield "flip", lambda x: A.RandomHorizontalFlip(1.0)(x, rng()), F.horizontal_flip, 0
    yield "pad 4, crop, flip (random)", lambda x: crop(x, rng()), theirs, None
    yield "resize to half", lambda x: A.Resize((half, half))(x, rng()), lambda i: F.resize(i, [half, half]), 2
    random_crop = A.RandomResizedCrop(side)
    yield "resized crop (random)", lambda x: random_crop(x, rng()), v2.RandomResizedCrop(side), None
    yield "rotate 20, bilinear", rotated, lambda i: F.rotate(i, 20, interpolation=linear), 40
    yield "brightness", lambda x: adjust.brightness(x, 1.3 * ones(x)), lambda i: F.adjust_brightness(i, 1.3), 1
    yield "contrast", lambda x: adjust.contrast(x, 1.3 * ones(x)), lambda i: F.adjust_contrast(i, 1.3), 2
    yield "saturation", lambda x: adjust.saturation(x, 1.3 * ones(x)), lambda i: F.adjust_saturation(i, 1.3), 2
    yield "hue", lambda x: adjust.hue(x, 0.1 * ones(x)), lambda i: F.adjust_hue(i, 0.1), 12
    jitter = A.ColorJitter(0.4, 0.4, 0.4, 0.1)
    yield "colour jitter (random)", lambda x: jitter(x, rng()), v2.ColorJitter(0.4, 0.4, 0.4, 0.1), None
    yield "equalize", adjust.equalize, F.equalize, 0
    yield "sharpness", lambda x: adjust.sharpness(x, 1.7 * ones(x)), lambda i: F.adjust_sharpness(i, 1.7), 2
    yield "blur 5", lambda x: A.GaussianBlur(5, 1.0)(x, rng()), lambda i: F.gaussian_blur(i, [5, 5], [1.0, 1.0]), 1
    trivial = A.TrivialAugmentWide()
    yield "TrivialAugmentWide (random)", lambda x: trivial(x, rng()), v2.TrivialAugmentWide(), None


def rate(function, arguments, count, seconds):
    """Images per second: the best of the runs over all arguments that fit into the time."""

    def run():
        for argument in arguments:
            function(argument)

    run()
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end or best == float("inf"):
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return count / best


def main():
    import torch
    from PIL import Image

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--sides", type=int, nargs="+", default=[32, 224])
    args = parser.parse_args()
    torch.set_num_threads(2)
    fn.set_num_threads(2)
    for side in args.sides:
        count = args.images if side < 100 else max(args.images // 4, 1)
        small = np.random.default_rng(0).integers(0, 256, (count, 3, 8, 8), dtype=np.uint8)
        x = A.Resize((side, side), "bicubic")(small, np.random.default_rng(0))
        batch = torch.from_numpy(x)
        pictures = [Image.fromarray(image.transpose(1, 2, 0)) for image in x]
        print(f"\n{count} images of {side} x {side}, 2 threads; images per second, and how many times as fast we are")
        print(f"{'':<28} {'fastnet':>10} {'batch':>17} {'single tensors':>17} {'Pillow':>17}")
        for name, ours, theirs, allowed in cases(side):
            if allowed is not None:
                wrong = np.abs(ours(x).astype(int) - theirs(batch).numpy())
                assert np.percentile(wrong, 99) <= allowed, f"{name}: results differ by up to {wrong.max()}"
            fast = rate(ours, [x], count, args.seconds)
            others = [rate(theirs, images, count, args.seconds) for images in ([batch], list(batch), pictures)]
            columns = " ".join(f"{other:>10,.0f} {fast / other:>5.1f}x" for other in others)
            print(f"{name:<28} {fast:>10,.0f} {columns}", flush=True)


if __name__ == "__main__":
    main()
