"""Who publishes weights, under which names, and how images are prepared for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from fastnet.data import Standardize

__all__ = ["SOURCES", "Source", "preparation"]


class Source(NamedTuple):
    """A publisher of one architecture.

    Attributes
    ----------
    name : str
    modules : mapping of str to str
        The paths of layers there and here, where they differ; the last part of a name ("weight") is the same.
    mean, std : tuple of float
        Of the channels of images in [0, 1]: the input is ``(x / 255 - mean) / std``.
    """

    name: str
    modules: Mapping[str, str]
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)

    def here(self, name: str) -> str:
        """The name of a parameter in fastnet."""
        path, _, last = name.rpartition(".")
        return f"{self.modules[path]}.{last}" if path in self.modules else name


_HALF = (0.5, 0.5, 0.5)
_LITE = ((127 / 255,) * 3, (128 / 255,) * 3)  # (x - 127) / 128
_CIFAR = ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
_LITE_BLOCKS = (1, 2, 2, 3, 3, 4, 1)
_MOBILE_BLOCKS = (1, 2, 3, 4, 3, 3, 1)


def _lite() -> dict[str, str]:
    """EfficientNet-Lite0 in the names of L. Melas-Kyriazi's EfficientNet-PyTorch."""
    found = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
    places = [f"{stage}.{block}" for stage, count in enumerate(_LITE_BLOCKS) for block in range(count)]
    first = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
    others = {"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2"}
    others |= {"_project_conv": "conv_pwl", "_bn2": "bn3"}
    for number, place in enumerate(places):
        for theirs, ours in (first if number == 0 else others).items():
            found[f"_blocks.{number}.{theirs}"] = f"blocks.{place}.{ours}"
    return found


def _mobile() -> dict[str, str]:
    """MobileNetV2 in timm's names."""
    found = {"conv_stem": "features.0.0", "bn1": "features.0.1", "conv_head": "features.18.0", "bn2": "features.18.1"}
    found["classifier"] = "classifier.1"
    places = [f"{stage}.{block}" for stage, count in enumerate(_MOBILE_BLOCKS) for block in range(count)]
    first = {"conv_dw": "0.0", "bn1": "0.1", "conv_pw": "1", "bn2": "2"}
    others = {"conv_pw": "0.0", "bn1": "0.1", "conv_dw": "1.0", "bn2": "1.1", "conv_pwl": "2", "bn3": "3"}
    for number, place in enumerate(places):
        for theirs, ours in (first if number == 0 else others).items():
            found[f"blocks.{place}.{theirs}"] = f"features.{number + 1}.conv.{ours}"
    return found


_VGG = {"pre_logits.fc1": "classifier.0", "pre_logits.fc2": "classifier.3", "head.fc": "classifier.6"}
_PROJECTED = {"fc": "linear"} | {
    f"layer{n}.0.downsample.{i}": f"layer{n}.0.shortcut.{i}" for n in (1, 2, 3) for i in (0, 1)
}
_RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101")
_SMALL_RESNETS = ("resnet20", "resnet32", "resnet44", "resnet56")
_VGGS = tuple(f"vgg{depth}{norm}" for depth in (11, 13, 16, 19) for norm in ("", "_bn"))

SOURCES: dict[str, tuple[Source, ...]] = {
    "alexnet": (Source("torchvision", {}),),
    **{name: (Source("torchvision", {}), Source("timm", {})) for name in _RESNETS},
    **{name: (Source("torchvision", {}), Source("timm", _VGG)) for name in _VGGS},
    **{name: (Source("torchvision", {}),) for name in ("squeezenet1_0", "squeezenet1_1")},
    "googlenet": (Source("torchvision", {}, _HALF, _HALF),),  # with its transform_input=True
    "mobilenet_v2": (Source("torchvision", {}), Source("timm", _mobile())),
    "efficientnet_lite0": (Source("efficientnet-lite0", _lite(), *_LITE), Source("timm", {}, _HALF, _HALF)),
    **{
        name: (
            Source("pytorch_resnet_cifar10", {}),
            Source("pytorch-cifar-models", _PROJECTED, *_CIFAR),
        )
        for name in _SMALL_RESNETS
    },
}
"""The sources of each architecture; where two have the same names, the first is taken."""


def preparation(source: Source, white: float = 255.0) -> Standardize:
    """The preprocessing that a source's weights expect; `white` is the value of a white pixel."""
    return Standardize(source.mean, source.std, white)
