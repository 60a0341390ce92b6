"""Operations of fastnet.augment against torchvision's on uint8 tensors."""

from __future__ import annotations

import numpy as np
import pytest
import torchvision_peer

from fastnet import augment as A
from fastnet.augment import adjust, maps, policies
from fastnet.augment.kernels import warp
from fastnet.data import OneSize, Standardize

torch = pytest.importorskip("torch")
F = torchvision_peer.load("torchvision.transforms.v2.functional")

pytestmark = pytest.mark.peers
X = np.random.default_rng(0).integers(0, 256, (4, 3, 33, 40), dtype=np.uint8)
SMOOTH = np.ascontiguousarray(A.Resize((33, 40))(X[..., :5, :6], np.random.default_rng(0)))
T, ONE = torch.from_numpy(X), np.ones(len(X))


def rng():
    return np.random.default_rng(1)


def differ(ours, theirs):
    return np.abs(ours.astype(int) - theirs.numpy())


@pytest.mark.parametrize("factor", [0.0, 0.3, 1.0, 1.9])
def test_colors(factor):
    f = factor * ONE
    for ours, theirs in [
        (adjust.brightness, F.adjust_brightness),
        (adjust.contrast, F.adjust_contrast),
        (adjust.saturation, F.adjust_saturation),
        (adjust.sharpness, F.adjust_sharpness),
    ]:
        assert differ(ours(X, f), theirs(T, factor)).max() <= 1
    assert differ(adjust.hue(X, (factor - 1) / 2 * ONE), F.adjust_hue(T, (factor - 1) / 2)).max() <= 1


def test_values():
    dull = X // 3 + 20
    gray = A.Grayscale(3)(X, rng())
    assert differ(gray, F.rgb_to_grayscale(T, 3)).max() <= 1
    assert differ(adjust.posterize(X, 3 * ONE), F.posterize(T, 3)).max() == 0
    assert differ(adjust.solarize(X, 90.0 * ONE), F.solarize(T, 90)).max() == 0
    assert differ(adjust.invert(X), F.invert(T)).max() == 0
    assert differ(adjust.autocontrast(dull), F.autocontrast(torch.from_numpy(dull))).max() <= 1
    assert differ(adjust.equalize(dull), F.equalize(torch.from_numpy(dull))).max() == 0


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_resize(mode):
    mode_of = F.InterpolationMode(mode) if hasattr(F, "InterpolationMode") else mode
    for size in [(20, 21), (50, 60), (33, 12)]:
        ours = A.Resize(size, mode)(X, rng())
        assert differ(ours, F.resize(T, list(size), mode_of, antialias=True)).max() <= 2


def test_windows():
    ours = A.TenCrop(20)(X, rng()).reshape(4, 10, 3, 20, 20)
    for i, theirs in enumerate(F.ten_crop(T, [20, 20])):
        assert differ(ours[:, i], theirs).max() == 0
    for size in (20, 21, 50):
        assert differ(A.CenterCrop(size)(X, rng()), F.center_crop(T, [size, size])).max() == 0


@pytest.mark.parametrize("angle, shift, scale, shear", [(17, (3, -2), 1.2, (10, 0)), (-140, (0, 5), 0.7, (-8, 12))])
def test_affine(angle, shift, scale, shear):
    mode = F.InterpolationMode.BILINEAR if hasattr(F, "InterpolationMode") else "bilinear"
    smooth = torch.from_numpy(SMOOTH)
    where = maps.affine((33, 40), angle * ONE, np.array([shift] * 4), scale * ONE, np.array([shear] * 4))
    theirs = F.affine(smooth, angle, list(shift), scale, list(shear), interpolation=mode)
    assert differ(warp(SMOOTH, (33, 40), where, "bilinear"), theirs).max() <= 1
    near = differ(warp(X, (33, 40), where, "nearest"), F.affine(T, angle, list(shift), scale, list(shear)))
    assert (near > 0).mean() < 0.002, "pixels whose place is a tie"


@pytest.mark.parametrize("angle", [0, 17, -45, 90, 133.5, 180, -90])
def test_rotations_that_expand(angle):
    mode = F.InterpolationMode.BILINEAR if hasattr(F, "InterpolationMode") else "bilinear"
    for images in (SMOOTH, np.ascontiguousarray(SMOOTH[..., :20])):
        ours = A.RandomRotation((angle, angle), "bilinear", expand=True)(images, rng())
        assert differ(ours, F.rotate(torch.from_numpy(images), angle, mode, expand=True)).max() <= 1


def test_perspective():
    starts = [[0, 0], [39, 0], [39, 32], [0, 32]]
    ends = [[4, 2], [36, 5], [30, 30], [1, 25]]
    where = maps.perspective(np.array([starts] * 4, float), np.array([ends] * 4, float))
    theirs = F.perspective(torch.from_numpy(SMOOTH), starts, ends)
    assert differ(warp(SMOOTH, (33, 40), where, "bilinear"), theirs).max() <= 1


def test_gaussian_blur():
    assert differ(A.GaussianBlur((5, 7), 1.1)(X, rng()), F.gaussian_blur(T, [5, 7], [1.1, 1.1])).max() <= 1


def test_policies():
    v2 = pytest.importorskip("torchvision.transforms.v2")
    for policy in policies.POLICIES:
        theirs = v2.AutoAugment(v2.AutoAugmentPolicy(policy))._policies
        ours = [tuple((name, p, m) for name, p, m in pair) for pair in policies._parsed(policy)]
        assert ours == [tuple((name, p, m or 0) for name, p, m in pair) for pair in theirs]
    for kind, wide, bins in [
        (v2.AutoAugment, False, 10),
        (v2.RandAugment, False, 31),
        (v2.TrivialAugmentWide, True, 31),
    ]:
        for name, (make, signed) in kind._AUGMENTATION_SPACE.items():
            theirs = make(bins, 33, 40)
            assert signed == (name in policies._SIGNED)
            if theirs is not None:
                np.testing.assert_allclose(policies.magnitudes(name, bins, (33, 40), wide), theirs.numpy(), atol=1e-5)


@pytest.mark.parametrize("name", policies._RAND)
def test_operations_of_policies(name):
    v2 = pytest.importorskip("torchvision.transforms.v2")
    strength = float(policies.magnitudes(name, 31, (33, 40))[17])
    apply = v2.RandAugment()._apply_image_or_video_transform
    mode = v2.InterpolationMode.NEAREST
    for m in (strength, -strength) if name in policies._SIGNED else (strength,):
        theirs = apply(T, name, m, interpolation=mode, fill={torch.Tensor: None})
        wrong = differ(policies.operation(name, X, m * ONE), theirs) > 1
        assert wrong.mean() < (0.002 if name in ("Rotate", "ShearX", "ShearY") else 1e-9), m


def test_one_size():
    """The preprocessing of torchvision's weights: a shorter side of 256, the centre of 224, and normalisation."""
    presets, rng = torchvision_peer.load("torchvision.transforms._presets"), np.random.default_rng(0)
    images = [rng.integers(0, 256, (3, *size), dtype=np.uint8) for size in ((300, 400), (250, 500), (410, 230))]
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    theirs = presets.ImageClassification(crop_size=224, resize_size=256, mean=mean, std=std)
    prepare = OneSize(224, Standardize(mean, std, 255))
    assert prepare.side == 256
    expected = torch.stack([theirs(torch.from_numpy(image)) for image in images])
    assert np.abs(prepare(images) - expected.numpy()).max() < 2.01 / 255 / min(std)
