"""Networks that were trained on ImageNet: the options that name them, and their published weights."""

from __future__ import annotations

import argparse

import fastnet as fn
from fastnet.layers import Model
from fastnet.lectures.report import Unsuitable

__all__ = ["add_published", "published"]

_NETS = (
    *("alexnet", "efficientnet", "googlenet", "mobilenet", "resnet18", "resnet34", "resnet50", "resnet101"),
    *("squeezenet", "vgg"),
)


def add_published(parser: argparse.ArgumentParser) -> None:
    """``--net`` and ``--weights``."""
    nets = [name for name in fn.models.names() if name.startswith(_NETS)]
    parser.add_argument("--net", choices=nets, help="a network of 1,000 classes, in place of one that is trained here")
    parser.add_argument("--weights", metavar="FILE", help="its weights: those of torchvision, timm and others")


def published(net: str, weights: str | None) -> Model:
    """A network trained on ImageNet, which takes images of 0 to 255."""
    if weights is None:
        raise Unsuitable(f"--net {net} needs --weights FILE, the weights that it was trained to have")
    try:
        return fn.interop.pretrained(net, weights)
    except (ValueError, KeyError, TypeError) as error:
        raise Unsuitable(f"{weights} does not hold the weights of {net}: {error.args[0]}") from error
