"""The peers' networks in PyTorch, under the names that fastnet's state_dict uses."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


class LeNet5(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 5, padding=2), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2).flatten(1)
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x)))))


class ThreeLayer(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.fc1, self.fc2 = nn.Conv2d(3, 32, 7, padding=3), nn.Linear(32 * 16 * 16, 100), nn.Linear(100, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv(x)), 2).flatten(1)
        return self.fc2(F.relu(self.fc1(x)))


class Block(nn.Module):
    def __init__(self, channels, width, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(width), nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.more = (width - channels) // 2

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.more:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.more, self.more))
        return F.relu(y + x)


class ResNet20(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(Block(16, 16, 1), Block(16, 16, 1), Block(16, 16, 1))
        self.layer2 = nn.Sequential(Block(16, 32, 2), Block(32, 32, 1), Block(32, 32, 1))
        self.layer3 = nn.Sequential(Block(32, 64, 2), Block(64, 64, 1), Block(64, 64, 1))
        self.linear = nn.Linear(64, 10)

    def forward(self, x):
        x = self.layer3(self.layer2(self.layer1(F.relu(self.bn1(self.conv1(x))))))
        return self.linear(x.mean((2, 3)))


class VGG11(nn.Module):
    def __init__(self):
        super().__init__()
        layers, channels = [], 3
        for filters in (64, "pool", 128, "pool", 256, 256, "pool", 512, 512, "pool", 512, 512, "pool"):
            if filters == "pool":
                layers.append(nn.MaxPool2d(2))
            else:
                layers += [nn.Conv2d(channels, filters, 3, padding=1), nn.BatchNorm2d(filters), nn.ReLU(inplace=True)]
                channels = filters
        self.features = nn.Sequential(*layers)
        units = [nn.Linear(512, 512), nn.ReLU(inplace=True), nn.Identity()]
        self.classifier = nn.Sequential(*units, nn.Linear(512, 512), *units[1:], nn.Linear(512, 10))

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
    def __init__(self):
        super().__init__()
        self.prep, self.layer1 = unit(3, 64), unit(64, 128, nn.MaxPool2d(2))
        self.residual1, self.residual2 = Residual(128), Residual(512)
        self.layer2, self.layer3 = unit(128, 256, nn.MaxPool2d(2)), unit(256, 512, nn.MaxPool2d(2))
        self.linear = nn.Linear(512, 10)

    def forward(self, x):
        x = self.residual1(self.layer1(self.prep(x)))
        return self.linear(self.residual2(self.layer3(self.layer2(x))).amax((2, 3)))


NETS = {
    "lenet5": LeNet5,
    "three_layer_convnet": ThreeLayer,
    "resnet20": ResNet20,
    "vgg11_bn": VGG11,
    "resnet9": ResNet9,
}


def load(name: str, arrays) -> nn.Module:
    """The network with the given weights, a mapping of names to NumPy arrays."""
    net = NETS[name]()
    state = {key: torch.from_numpy(arrays[key]) for key in arrays}
    missing, unexpected = net.load_state_dict(state, strict=False)
    if unexpected or any(not key.endswith("num_batches_tracked") for key in missing):
        raise KeyError(f"{name}: missing {missing}, unexpected {unexpected}")
    return net
