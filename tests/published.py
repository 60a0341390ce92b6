"""Names and shapes of the state dicts that torchvision and timm publish, written down from the papers' tables."""

from __future__ import annotations


def conv(name, filters, channels, size=1, bias=False):
    return {f"{name}.weight": (filters, channels, size, size)} | ({f"{name}.bias": (filters,)} if bias else {})


def norm(name, channels):
    return {f"{name}.{part}": (channels,) for part in ("weight", "bias", "running_mean", "running_var")}


def linear(name, out, features):
    return {f"{name}.weight": (out, features), f"{name}.bias": (out,)}


def resnet(depths, expansion):
    found = conv("conv1", 64, 3, 7) | norm("bn1", 64)
    channels = 64
    for stage, depth in enumerate(depths):
        width = 64 * 2**stage
        for block in range(depth):
            name, out = f"layer{stage + 1}.{block}", width * expansion
            if expansion == 1:
                shapes = [(width, channels, 3), (width, width, 3)]
            else:
                shapes = [(width, channels, 1), (width, width, 3), (out, width, 1)]
            for i, shape in enumerate(shapes, 1):
                found |= conv(f"{name}.conv{i}", *shape) | norm(f"{name}.bn{i}", shape[0])
            if block == 0 and (stage > 0 or channels != out):
                found |= conv(f"{name}.downsample.0", out, channels) | norm(f"{name}.downsample.1", out)
            channels = out
    return found | linear("fc", 1000, channels)


def vgg(depths, batch_norm):
    found, place, channels = {}, 0, 3
    for depth, filters in zip(depths, (64, 128, 256, 512, 512), strict=True):
        for _ in range(depth):
            found |= conv(f"features.{place}", filters, channels, 3, bias=True)
            if batch_norm:
                found |= norm(f"features.{place + 1}", filters)
            place, channels = place + 2 + batch_norm, filters
        place += 1
    for place, (out, features) in {0: (4096, 25088), 3: (4096, 4096), 6: (1000, 4096)}.items():
        found |= linear(f"classifier.{place}", out, features)
    return found


def squeezenet(stem, fires):
    found = conv("features.0", stem[0], 3, stem[1], bias=True)
    channels = stem[0]
    for place, (squeeze, expand) in fires.items():
        name = f"features.{place}"
        found |= conv(f"{name}.squeeze", squeeze, channels, bias=True)
        found |= conv(f"{name}.expand1x1", expand, squeeze, bias=True)
        found |= conv(f"{name}.expand3x3", expand, squeeze, 3, bias=True)
        channels = 2 * expand
    return found | conv("classifier.1", 1000, 512, bias=True)


def googlenet():
    def block(name, filters, channels, size=1):
        return conv(f"{name}.conv", filters, channels, size) | norm(f"{name}.bn", filters)

    found = block("conv1", 64, 3, 7) | block("conv2", 64, 64) | block("conv3", 192, 64, 3)
    channels = 192
    table = {"3a": (64, 96, 128, 16, 32, 32), "3b": (128, 128, 192, 32, 96, 64), "4a": (192, 96, 208, 16, 48, 64)}
    table |= {"4b": (160, 112, 224, 24, 64, 64), "4c": (128, 128, 256, 24, 64, 64), "4d": (112, 144, 288, 32, 64, 64)}
    table |= {"4e": (256, 160, 320, 32, 128, 128), "5a": (256, 160, 320, 32, 128, 128)}
    table |= {"5b": (384, 192, 384, 48, 128, 128)}
    for place, (one, three_in, three, five_in, five, pool) in table.items():
        name = f"inception{place}"
        found |= block(f"{name}.branch1", one, channels)
        found |= block(f"{name}.branch2.0", three_in, channels) | block(f"{name}.branch2.1", three, three_in, 3)
        found |= block(f"{name}.branch3.0", five_in, channels) | block(f"{name}.branch3.1", five, five_in, 3)
        found |= block(f"{name}.branch4.1", pool, channels)
        channels = one + three + five + pool
    return found | linear("fc", 1000, 1024)


def mobilenet_v2():
    found = conv("features.0.0", 32, 3, 3) | norm("features.0.1", 32)
    channels, place = 32, 1
    table = [(1, 16, 1), (6, 24, 2), (6, 32, 3), (6, 64, 4), (6, 96, 3), (6, 160, 3), (6, 320, 1)]
    for expansion, filters, blocks in table:
        for _ in range(blocks):
            name, wide, i = f"features.{place}.conv", channels * expansion, 0
            if expansion > 1:
                found |= conv(f"{name}.0.0", wide, channels) | norm(f"{name}.0.1", wide)
                i = 1
            found |= conv(f"{name}.{i}.0", wide, 1, 3) | norm(f"{name}.{i}.1", wide)
            found |= conv(f"{name}.{i + 1}", filters, wide) | norm(f"{name}.{i + 2}", filters)
            channels, place = filters, place + 1
    found |= conv("features.18.0", 1280, 320) | norm("features.18.1", 1280)
    return found | linear("classifier.1", 1000, 1280)


def efficientnet_lite0():
    found = conv("conv_stem", 32, 3, 3) | norm("bn1", 32) | conv("conv_head", 1280, 320) | norm("bn2", 1280)
    channels = 32
    table = [(3, 1, 16, 1), (3, 6, 24, 2), (5, 6, 40, 2), (3, 6, 80, 3), (5, 6, 112, 3), (5, 6, 192, 4), (3, 6, 320, 1)]
    for stage, (size, expansion, filters, blocks) in enumerate(table):
        for block in range(blocks):
            name, wide = f"blocks.{stage}.{block}", channels * expansion
            parts = [("conv_pw", wide, channels, 1)] if expansion > 1 else []
            parts += [("conv_dw", wide, 1, size), ("conv_pwl" if expansion > 1 else "conv_pw", filters, wide, 1)]
            for i, (part, out, into, kernel) in enumerate(parts, 1):
                found |= conv(f"{name}.{part}", out, into, kernel) | norm(f"{name}.bn{i}", out)
            channels = filters
    return found | linear("classifier", 1000, 1280)


_VGGS = {"vgg11": (1, 1, 2, 2, 2), "vgg13": (2, 2, 2, 2, 2), "vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
_FIRES = [(squeeze, 4 * squeeze) for squeeze in (16, 16, 32, 32, 48, 48, 64, 64)]
STATES = {
    "resnet18": resnet((2, 2, 2, 2), 1),
    "resnet34": resnet((3, 4, 6, 3), 1),
    "resnet50": resnet((3, 4, 6, 3), 4),
    "resnet101": resnet((3, 4, 23, 3), 4),
    **{name + "_bn" * norms: vgg(depths, norms) for name, depths in _VGGS.items() for norms in (False, True)},
    "squeezenet1_0": squeezenet((96, 7), dict(zip((3, 4, 5, 7, 8, 9, 10, 12), _FIRES, strict=True))),
    "squeezenet1_1": squeezenet((64, 3), dict(zip((3, 4, 6, 7, 9, 10, 11, 12), _FIRES, strict=True))),
    "googlenet": googlenet(),
    "mobilenet_v2": mobilenet_v2(),
    "efficientnet_lite0": efficientnet_lite0(),
}
