"""The kernels have the bits of their definitions in NumPy, on every instruction set and number of threads."""

from __future__ import annotations

import numpy as np
import pytest

import fastnet as fn
from fastnet import augment as A

EVERY = [
    A.RandomCrop(20, padding=4, fill=9),
    A.Compose([A.RandomCrop(24, padding=4), A.RandomHorizontalFlip(), A.RandomVerticalFlip()]),
    A.RandomHorizontalFlip(),
    A.RandomVerticalFlip(),
    A.CenterCrop(50),
    A.Resize((50, 13)),
    A.Resize((5, 70), "bicubic"),
    A.Resize((31, 4), "nearest"),
    A.RandomResizedCrop(24),
    A.RandomResizedCrop(24, interpolation="box"),
    A.RandomAffine(40, (0.2, 0.3), (0.5, 1.5), (-20, 20, -10, 10), fill=(1, 2, 3)),
    A.RandomAffine(40, (0.2, 0.3), (0.5, 1.5), 20, "bilinear", fill=(1, 2, 3)),
    A.RandomRotation(180),
    A.RandomPerspective(0.9, 1.0, fill=30),
    A.RandomPerspective(0.5, 0.5, "nearest"),
    A.RandomLensDistortion(0.5, 0.5),
    A.GaussianBlur((5, 9)),
    A.ColorJitter(0.9, 0.9, 0.9, 0.5),
    A.ColorJitter(hue=0.05, saturation=0.05),
    A.Grayscale(3),
    A.RandomGrayscale(0.5),
    A.RandomInvert(),
    A.RandomPosterize(3),
    A.RandomSolarize(100),
    A.RandomAutocontrast(),
    A.RandomEqualize(),
    A.RandomAdjustSharpness(3),
    A.PCAColor(),
    A.RandomErasing(1.0),
    A.RandomErasing(value="random"),
    A.Cutout(8),
    A.AutoAugment(),
    A.AutoAugment("cifar10"),
    A.AutoAugment("svhn"),
    A.RandAugment(),
    A.TrivialAugmentWide(),
]


def pictures():
    x = np.random.default_rng(0).integers(0, 256, (24, 3, 31, 40), dtype=np.uint8)
    x[:5] = x[:5] // 20 * 3 + 40
    x[3] = 7
    return x


@pytest.mark.parametrize("transform", EVERY, ids=repr)
def test_bits(transform, monkeypatch):
    native = pytest.importorskip("fastnet.backends._native")
    x = pictures()
    with fn.use_backend("reference"):
        expected = transform(x, np.random.default_rng(5))
    isas, threads = native.isas(), fn.get_num_threads()
    try:
        for isa in isas:
            native.set_isa(isa)
            for count in (1, 2, 3):
                fn.set_num_threads(count)
                assert np.array_equal(transform(x, np.random.default_rng(5)), expected), (isa, count)
    finally:
        native.set_isa(None)
        fn.set_num_threads(threads)
    assert np.array_equal(x, pictures()), "the images were changed"
