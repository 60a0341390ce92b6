"""The peers' networks in PyTorch, under the names that fastnet's state_dict uses.

ReLUs and sums work in place where autograd permits it, as in torchvision's networks, which is faster and saves memory.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


def relu(x):
    return F.relu(x, inplace=True)


class LeNet5(nn.Module):
    def __init__(self, channels=1, size=28, filters=(6, 16)):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, filters[0], 5, padding=2 if size < 32 else 0)
        self.conv2 = nn.Conv2d(filters[0], filters[1], 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(filters[1] * 5 * 5, 120), nn.Linear(120, 84), nn.Linear(84, 10)

    def forward(self, x):
        x = F.max_pool2d(relu(self.conv1(x)), 2)
        x = F.max_pool2d(relu(self.conv2(x)), 2).flatten(1)
        return self.fc3(relu(self.fc2(relu(self.fc1(x)))))


class ThreeLayer(nn.Module):
    def __init__(self, channels=3, size=32, filters=32, kernel_size=7, hidden=100):
        super().__init__()
        self.conv = nn.Conv2d(channels, filters, kernel_size, padding="same")
        self.fc1, self.fc2 = nn.Linear(filters * (size // 2) ** 2, hidden), nn.Linear(hidden, 10)

    def forward(self, x):
        x = F.max_pool2d(relu(self.conv(x)), 2).flatten(1)
        return self.fc2(relu(self.fc1(x)))


class Block(nn.Module):
    def __init__(self, channels, width, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(width), nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.more = (width - channels) // 2

    def forward(self, x):
        y = self.bn2(self.conv2(relu(self.bn1(self.conv1(x)))))
        if self.more:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.more, self.more))
        y += x
        return relu(y)


class ResNet20(nn.Module):
    def __init__(self, channels=3, size=32, width=16):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)
        self.layer1 = nn.Sequential(*(Block(width, width, 1) for _ in range(3)))
        self.layer2 = nn.Sequential(Block(width, 2 * width, 2), *(Block(2 * width, 2 * width, 1) for _ in range(2)))
        self.layer3 = nn.Sequential(Block(2 * width, 4 * width, 2), *(Block(4 * width, 4 * width, 1) for _ in range(2)))
        self.linear = nn.Linear(4 * width, 10)

    def forward(self, x):
        x = self.layer3(self.layer2(self.layer1(relu(self.bn1(self.conv1(x))))))
        return self.linear(x.mean((2, 3)))


class VGG(nn.Module):
    VGG11 = (64, "pool", 128, "pool", 256, 256, "pool", 512, 512, "pool", 512, 512, "pool")

    def __init__(self, channels=3, size=32, filters=VGG11, hidden=512):
        super().__init__()
        layers = []
        for count in filters:
            if count == "pool":
                layers.append(nn.MaxPool2d(2))
                size //= 2
            else:
                layers += [nn.Conv2d(channels, count, 3, padding=1), nn.BatchNorm2d(count), nn.ReLU(inplace=True)]
                channels = count
        self.features = nn.Sequential(*layers)
        units = [nn.Linear(channels * size**2, hidden), nn.ReLU(inplace=True), nn.Identity()]
        self.classifier = nn.Sequential(*units, nn.Linear(hidden, hidden), *units[1:], nn.Linear(hidden, 10))

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


class Residual(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.body = nn.Sequential(unit(width, width), unit(width, width))

    def forward(self, x):
        return x + self.body(x)


def unit(channels, filters, *after):
    return nn.Sequential(
        nn.Conv2d(channels, filters, 3, padding=1, bias=False), nn.BatchNorm2d(filters), nn.ReLU(inplace=True), *after
    )


class ResNet9(nn.Module):
    def __init__(self, channels=3, size=32, width=64):
        super().__init__()
        self.prep, self.layer1 = unit(channels, width), unit(width, 2 * width, nn.MaxPool2d(2))
        self.layer2 = unit(2 * width, 4 * width, nn.MaxPool2d(2))
        self.layer3 = unit(4 * width, 8 * width, nn.MaxPool2d(2))
        self.residual1, self.residual2 = Residual(2 * width), Residual(8 * width)
        self.linear = nn.Linear(8 * width, 10)

    def forward(self, x):
        x = self.residual1(self.layer1(self.prep(x)))
        return self.linear(self.residual2(self.layer3(self.layer2(x))).amax((2, 3)))


class TwoConv(nn.Module):
    def __init__(self, channels=1, size=28):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(channels, 32, 3, padding=1), nn.Conv2d(32, 64, 3, padding=1)
        self.fc1, self.fc2 = nn.Linear(64 * (size // 4) ** 2, 128), nn.Linear(128, 10)

    def forward(self, x):
        x = F.max_pool2d(relu(self.conv1(x)), 2)
        x = F.max_pool2d(relu(self.conv2(x)), 2).flatten(1)
        return self.fc2(F.dropout(relu(self.fc1(x)), 0.5, self.training))


class Basic(nn.Module):
    def __init__(self, channels, width, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(width), nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.downsample = None
        if stride > 1:
            self.downsample = nn.Sequential(nn.Conv2d(channels, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x):
        y = self.bn2(self.conv2(relu(self.bn1(self.conv1(x)))))
        y += x if self.downsample is None else self.downsample(x)
        return relu(y)


class ResNet18(nn.Module):
    def __init__(self, channels=3, size=32):
        super().__init__()
        small = size <= 64
        self.conv1 = nn.Conv2d(channels, 64, *((3, 1, 1) if small else (7, 2, 3)), bias=False)
        self.bn1, self.maxpool = nn.BatchNorm2d(64), nn.Identity() if small else nn.MaxPool2d(3, 2, 1)
        self.layer1 = nn.Sequential(Basic(64, 64, 1), Basic(64, 64, 1))
        self.layer2 = nn.Sequential(Basic(64, 128, 2), Basic(128, 128, 1))
        self.layer3 = nn.Sequential(Basic(128, 256, 2), Basic(256, 256, 1))
        self.layer4 = nn.Sequential(Basic(256, 512, 2), Basic(512, 512, 1))
        self.fc = nn.Linear(512, 10)

    def forward(self, x):
        x = self.layer2(self.layer1(self.maxpool(relu(self.bn1(self.conv1(x))))))
        return self.fc(self.layer4(self.layer3(x)).mean((2, 3)))


def depthwise_separable(channels, wide, filters, stride):
    """MobileNetV2's body of a block: 1x1 (unless it widens nothing), depthwise 3x3, linear 1x1."""
    widen = [clipped(channels, wide, 1)] if wide > channels else []
    last = [nn.Conv2d(wide, filters, 1, bias=False), nn.BatchNorm2d(filters)]
    return nn.Sequential(*widen, clipped(wide, wide, 3, stride, wide), *last)


def clipped(channels, filters, size, stride=1, groups=1):
    conv = nn.Conv2d(channels, filters, size, stride, size // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(filters), nn.ReLU6(inplace=True))


class Inverted(nn.Module):
    def __init__(self, channels, filters, stride, expansion):
        super().__init__()
        self.conv = depthwise_separable(channels, channels * expansion, filters, stride)
        self.residual = stride == 1 and channels == filters

    def forward(self, x):
        return x + self.conv(x) if self.residual else self.conv(x)


class MobileNetV2(nn.Module):
    # expansion, channels, blocks, stride of the first block
    STAGES = (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)

    def __init__(self, channels=3, size=224):
        super().__init__()
        layers, width = [clipped(channels, 32, 3, 2)], 32
        for expansion, filters, blocks, stride in self.STAGES:
            for i in range(blocks):
                layers.append(Inverted(width, filters, stride if i == 0 else 1, expansion))
                width = filters
        self.features = nn.Sequential(*layers, clipped(width, 1280, 1))
        self.classifier = nn.Sequential(nn.Identity(), nn.Linear(1280, 10))

    def forward(self, x):
        return self.classifier(self.features(x).mean((2, 3)))


NETS = {
    "mobilenet_v2": MobileNetV2,
    "lenet5": LeNet5,
    "two_conv": TwoConv,
    "resnet18": ResNet18,
    "three_layer_convnet": ThreeLayer,
    "resnet20": ResNet20,
    "vgg11_bn": VGG,
    "resnet9": ResNet9,
}


def load(name: str, arrays, **options) -> nn.Module:
    """The network with the given weights, a mapping of names to NumPy arrays, and in their dtype."""
    state = {key: torch.from_numpy(arrays[key]) for key in arrays}
    net = NETS[name](**options).to(next(iter(state.values())).dtype)
    missing, unexpected = net.load_state_dict(state, strict=False)
    if unexpected or any(not key.endswith("num_batches_tracked") for key in missing):
        raise KeyError(f"{name}: missing {missing}, unexpected {unexpected}")
    return net
