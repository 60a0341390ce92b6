"""fastnet's side of the networks in torch_nets.py: its own models, and variants of them built of layers."""

from __future__ import annotations

import fastnet as fn


def lenet5(filters) -> fn.Sequential:
    return fn.Sequential(
        conv1=fn.Conv2d(filters[0], 5),
        act1=fn.ReLU(),
        pool1=fn.MaxPool2d(2),
        conv2=fn.Conv2d(filters[1], 5),
        act2=fn.ReLU(),
        pool2=fn.MaxPool2d(2),
        flatten=fn.Flatten(),
        fc1=fn.Linear(120),
        act3=fn.ReLU(),
        fc2=fn.Linear(84),
        act4=fn.ReLU(),
        fc3=fn.Linear(10),
    )


def resnet20(width) -> fn.Sequential:
    def block(filters, stride):
        body = {
            "conv1": fn.Conv2d(filters, 3, stride=stride, padding=1, bias=False),
            "bn1": fn.BatchNorm2d(),
            "relu1": fn.ReLU(),
            "conv2": fn.Conv2d(filters, 3, padding=1, bias=False),
            "bn2": fn.BatchNorm2d(),
        }
        shortcut = fn.Subsample(stride, filters) if stride > 1 else None
        return fn.Sequential(_sum=fn.Residual(body, shortcut, names=("_body", "shortcut")), relu=fn.ReLU())

    def stage(filters, stride):
        return fn.Sequential(block(filters, stride), block(filters, 1), block(filters, 1))

    return fn.Sequential(
        {"conv1": fn.Conv2d(width, 3, padding=1, bias=False), "bn1": fn.BatchNorm2d(), "relu": fn.ReLU()},
        layer1=stage(width, 1),
        layer2=stage(2 * width, 2),
        layer3=stage(4 * width, 2),
        avgpool=fn.GlobalAvgPool2d(),
        flatten=fn.Flatten(),
        linear=fn.Linear(10),
    )


def vgg11_bn(filters, hidden) -> fn.Sequential:
    features = []
    for count in filters:
        if count == "pool":
            features.append(fn.MaxPool2d(2))
        else:
            features += [fn.Conv2d(count, 3, padding=1), fn.BatchNorm2d(), fn.ReLU()]
    units = [fn.Linear(hidden), fn.ReLU(), fn.Identity(), fn.Linear(hidden), fn.ReLU(), fn.Identity(), fn.Linear(10)]
    return fn.Sequential(features=fn.Sequential(*features), flatten=fn.Flatten(), classifier=fn.Sequential(*units))


def two_conv() -> fn.Sequential:
    return fn.Sequential(
        conv1=fn.Conv2d(32, 3, padding=1),
        act1=fn.ReLU(),
        pool1=fn.MaxPool2d(2),
        conv2=fn.Conv2d(64, 3, padding=1),
        act2=fn.ReLU(),
        pool2=fn.MaxPool2d(2),
        flatten=fn.Flatten(),
        fc1=fn.Linear(128),
        act3=fn.ReLU(),
        drop=fn.Dropout(0.5),
        fc2=fn.Linear(10),
    )


OTHER_WIDTHS = {"lenet5": lenet5, "resnet20": resnet20, "vgg11_bn": vgg11_bn}
BUILT_HERE = {**OTHER_WIDTHS, "two_conv": two_conv}


def create(net: str, options: dict, input_shape, dtype: str, seed: int = 0) -> fn.Layer:
    """A network of ten classes, without dropout; `options` are those of its twin in torch_nets.py."""
    made = (
        two_conv() if net == "two_conv" else OTHER_WIDTHS[net](**options) if options and net in OTHER_WIDTHS else None
    )
    if made is not None:
        made.build(input_shape, seed=seed, dtype=dtype)
        return made
    if net in ("vgg11_bn", "mobilenet_v2"):
        options = {"dropout": 0.0}
    return fn.models.create(net, 10, input_shape, seed=seed, dtype=dtype, **options)
