"""The workloads on which fastnet and PyTorch are compared: layers and networks, their data, and the targets."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

MID_SIZE = [  # N, C, H = W, K: 3x3 kernels at stride 1 with padding 1
    (128, 48, 32, 48),
    (128, 64, 32, 64),
    (64, 64, 32, 128),
    (128, 96, 16, 96),
    (128, 128, 16, 128),
    (128, 256, 8, 256),
    (64, 160, 8, 192),
    (32, 64, 56, 64),
    (16, 256, 14, 256),
    (32, 320, 14, 320),
    (8, 64, 112, 64),
]
NARROW = [(128, 16, 32, 16), (128, 32, 32, 32), (128, 32, 16, 32), (128, 24, 28, 40)]  # likewise
OTHERS = {  # N, C, H = W, K, R = S, stride, padding, groups
    "stride2": [
        (64, 64, 56, 128, 3, 2, 1, 1),
        (128, 16, 32, 32, 3, 2, 1, 1),
        (100, 3, 31, 25, 3, 2, 1, 1),
        (32, 128, 28, 256, 3, 2, 1, 1),
    ],
    "large": [
        (128, 1, 28, 6, 5, 1, 2, 1),
        (128, 6, 14, 16, 5, 1, 0, 1),
        (32, 32, 28, 64, 5, 1, 2, 1),
        (16, 3, 224, 64, 7, 2, 3, 1),
        (128, 3, 32, 32, 7, 1, 3, 1),
    ],
    "depthwise": [
        (32, 64, 56, 64, 3, 1, 1, 64),
        (32, 64, 56, 64, 3, 2, 1, 64),
        (16, 192, 28, 192, 3, 1, 1, 192),
        (16, 576, 14, 576, 3, 2, 1, 576),
    ],
    "pointwise": [
        (128, 64, 16, 128, 1, 1, 0, 1),
        (32, 256, 14, 64, 1, 1, 0, 1),
        (16, 24, 56, 144, 1, 1, 0, 1),
        (16, 576, 14, 96, 1, 1, 0, 1),
    ],
    "first": [(64, 3, 32, 32, 3, 1, 1, 1), (128, 1, 28, 32, 3, 1, 1, 1)],
    "few": [
        (1, 3, 224, 64, 7, 2, 3, 1),
        (1, 64, 56, 128, 3, 2, 1, 1),
        (1, 256, 14, 64, 1, 1, 0, 1),
        (1, 64, 32, 64, 3, 1, 1, 1),
    ],
}
MAPS = [  # shapes of 4 to 181 MB for norm and pooling: no power of two, which some allocators treat differently
    (20, 24, 48, 48),
    (50, 96, 28, 28),
    (124, 64, 32, 32),
    (36, 144, 56, 56),
    (100, 144, 56, 56),
]
CONVNET = {"filters": 40, "kernel_size": 5, "hidden": 200}
VGG = {"filters": (36, "pool", 76, 76, "pool", 148, "pool"), "hidden": 100}
STEPS = [  # title, net, options, N, C, H = W
    ("three_layer_convnet", "three_layer_convnet", {}, 50, 3, 32),
    ("lenet5", "lenet5", {}, 128, 1, 28),
    ("resnet20", "resnet20", {}, 128, 3, 32),
    ("vgg11_bn", "vgg11_bn", {}, 128, 3, 32),
    ("resnet9", "resnet9", {}, 64, 3, 32),
    ("convnet of 40 5x5, 200 units", "three_layer_convnet", CONVNET, 64, 3, 48),
    ("lenet5 of 12 and 32 filters", "lenet5", {"filters": (12, 32)}, 128, 3, 32),
    ("resnet20 of width 24", "resnet20", {"width": 24}, 128, 1, 28),
    ("vgg of 36, 76, 76, 148", "vgg11_bn", VGG, 64, 3, 40),
    ("resnet9 of width 40", "resnet9", {"width": 40}, 64, 3, 40),
]
FINETUNE = [  # likewise
    ("resnet18", "resnet18", {}, 8, 3, 224),
    *(("mobilenet_v2", "mobilenet_v2", {}, N, 3, H) for H in (224, 96) for N in (8, 16)),
]
ACTIVATIONS = {  # PyTorch's layer and its arguments, except Maxout, which PyTorch does not have
    **{name: (name, ()) for name in ("LeakyReLU", "ELU", "SELU", "GELU", "SiLU", "Softplus", "Hardswish", "Sigmoid")},
    **{"Tanh": ("Tanh", ()), "GELU, tanh": ("GELU", ("tanh",)), "PReLU": ("PReLU", (64,)), "Maxout": ("Maxout", (2,))},
}
NORMS = [  # title, op (functional's name is PyTorch's), shape of x, of gamma and beta or (), other arguments
    ("batch norm", "batch_norm", (120, 64, 32, 32), (64,), ()),
    ("layer norm", "layer_norm", (120, 64, 32, 32), (64, 32, 32), ((64, 32, 32),)),
    ("group norm, 8 groups", "group_norm", (120, 64, 32, 32), (64,), (8,)),
    ("instance norm", "instance_norm", (120, 64, 32, 32), (), ()),
    ("local response norm of 5", "local_response_norm", (120, 64, 32, 32), (), (5, 5e-4, 0.75, 2.0)),
    ("layer norm of rows", "layer_norm", (4096, 768), (768,), ((768,),)),
]
OF_LAYERS = ("activation", "conv_activation", "pointwise_block")  # the lists that run layers; others run functions
RATE = 1e-3  # of SGD: two steps change weights by far more than rounding, and many steps do not diverge


class Figure(NamedTuple):
    """Target ratios to PyTorch's best: the geometric mean of a list, and the least of its cases."""

    mean: float | None = None
    least: float | None = None


class List(NamedTuple):
    """A list of cases: its description, and its target in float32."""

    title: str
    figure: Figure


LISTS = {
    "conv3x3": List("3x3 convolutions at stride 1, 48 to 320 channels", Figure(2.5, 1.8)),
    "narrow": List("3x3 convolutions at stride 1, 16 to 40 channels", Figure(None, 2.0)),
    "stride2": List("3x3 convolutions at stride 2", Figure(1.4, 1.0)),
    "large": List("5x5 and 7x7 convolutions", Figure(2.0, 1.0)),
    "depthwise": List("3x3 depthwise convolutions", Figure(1.3, 1.0)),
    "pointwise": List("1x1 convolutions", Figure(None, 1.0)),
    "pointwise_block": List("1x1 convolution, batch norm and ReLU", Figure(1.3, 1.0)),
    "first": List("3x3 convolutions of images of 1 and 3 channels", Figure(None, 1.0)),
    "few": List("convolutions of one image", Figure(None, 1.0)),
    "pool": List("2x2 max pooling, 4 to 181 MB", Figure(None, 3.0)),
    "norm": List("batch norm, 4 to 181 MB", Figure(None, 3.0)),
    "activation": List("activations", Figure(None, 1.0)),
    "conv_activation": List("activations behind 3x3 convolutions", Figure(None, 1.5)),
    "norms": List("batch, layer, group, instance and local response norm", Figure(None, 1.5)),
    "step": List("training steps", Figure(2.5, 1.8)),  # a first target; then 3 and 2
    "finetune": List("training steps of ResNet-18 and MobileNetV2", Figure(2.0, 1.0)),
}
FLOAT64 = {"step": Figure(2.0, 1.0), "finetune": Figure(2.0, 1.0)}  # the other lists: 1.5 on average
TOLERANCE = {"float32": 1e-4, "float64": 1e-10}  # of the L2 norm
# sums near ReLU's kink may round to either side, and batch norm over few images amplifies that
STEP_TOLERANCE = {"float32": 2e-2, "float64": 1e-6}
# in MobileNetV2 one ulp of the images moves the parameters' change by 0.5 % over one step, by 5 % over two: compare one
FINETUNE_TOLERANCE = {"float32": 1e-2, "float64": 1e-6}
KINKED_TOLERANCE = {"float32": 5e-3, "float64": 1e-6}  # one activation behind a convolution


def figure(kind: str, dtype: str) -> Figure:
    """The target of a list."""
    return LISTS[kind].figure if dtype == "float32" else FLOAT64.get(kind, Figure(1.5))


def conv(N, C, H, K, R=3, stride=1, pad=1, groups=1) -> dict:
    """A convolution: its name, and the multiply-adds of its three passes, counted as direct convolution."""
    P = (H + 2 * pad - R) // stride + 1
    name = f"{R}x{R} s{stride} p{pad}, {N}x{C}x{H}x{H} to {K}" + (", depthwise" if groups > 1 else "")
    macs = 3 * N * K * P * P * (C // groups) * R * R
    return {"name": name, "shape": [N, C, H, K, R, stride, pad, groups], "macs": macs}


def step(title: str, net: str, options: dict, shape: list, weights: Path) -> dict:
    """A training step, whose weights fastnet's side writes to a file."""
    name = f"{title}, {'x'.join(map(str, shape))}"
    return {"name": name, "net": net, "options": options, "shape": shape, "weights": str(weights)}


def cases(kinds, dtype: str, quick: bool, folder: Path) -> list[dict]:
    """JSON for the workers: the cases of some lists; `quick` takes an eighth of the images.

    Not in "finetune": there batch norm over even fewer images would amplify rounding beyond any useful tolerance.
    A step's weights are passed in a file in `folder`, which fastnet's side writes.
    """

    def images(N):
        return max(N // 8, 1) if quick else N

    convs = {"conv3x3": MID_SIZE, "narrow": NARROW, **OTHERS}
    found = {kind: [conv(images(N), *shape) for N, *shape in shapes] for kind, shapes in convs.items()}
    found["pointwise_block"] = [{**case, "name": f"{case['name']}, batch norm, ReLU"} for case in found["pointwise"]]
    for kind, title in {"pool": "2x2 max pool", "norm": "batch norm"}.items():
        shapes = [[images(N), *rest] for N, *rest in MAPS]
        found[kind] = [{"name": f"{title}, {'x'.join(map(str, shape))}", "shape": shape} for shape in shapes]
    shape = [images(120), 64, 32, 32]
    for kind, before in {"activation": "", "conv_activation": "3x3 convolution, "}.items():
        found[kind] = [
            {"name": f"{before}{name}, {'x'.join(map(str, shape))}", "shape": shape, "activation": name}
            for name in ACTIVATIONS
        ]
    found["norms"] = [
        {
            "name": f"{title}, {'x'.join(map(str, (images(N), *rest)))}",
            "op": op,
            "shape": [images(N), *rest],
            "parameters": gamma,
            "arguments": arguments,
        }
        for title, op, (N, *rest), gamma, arguments in NORMS
    ]
    for kind, nets in {"step": STEPS, "finetune": FINETUNE}.items():
        found[kind] = [
            step(title, net, options, [images(N) if kind == "step" else N, C, H, H], folder / f"{kind}{number}.npz")
            for number, (title, net, options, N, C, H) in enumerate(nets)
        ]
    kinked = dict.fromkeys(("conv_activation", "pointwise_block"), KINKED_TOLERANCE)
    special = {"step": STEP_TOLERANCE, "finetune": FINETUNE_TOLERANCE, **kinked}
    for case in found["finetune"]:
        case["compared_after"] = 1
    return [
        {"kind": kind, "dtype": dtype, "tolerance": special.get(kind, TOLERANCE)[dtype], **case}
        for kind in kinds
        for case in found[kind]
    ]


def data(case: dict) -> list:
    """A case's arrays, the same numbers on every side.

    Convolution: x, w, b, dy, in a block without b; pooling: x, dy; norms: x, gamma, beta, dy, or x, dy; an activation:
    x, dy, and with a convolution x, w, dy; a step: x, labels.
    """
    import numpy as np

    rng, kind, shape = np.random.default_rng(0), case["kind"], case["shape"]
    if kind == "pool":
        N, C, H, W = shape
        shapes = [shape, (N, C, H // 2, W // 2)]
    elif kind == "norm":
        shapes = [shape, shape[1:2], shape[1:2], shape]
    elif kind in ("activation", "conv_activation"):
        N, C, H, W = shape
        out = (N, C // 2 if case["activation"] == "Maxout" else C, H, W)
        shapes = [shape, *([(C, C, 3, 3)] if kind == "conv_activation" else []), out]
    elif kind == "norms":
        shapes = [shape, *[case["parameters"]] * (2 if case["parameters"] else 0), shape]
    elif "net" in case:
        shapes = [shape]
    else:
        N, C, H, K, R, stride, pad, groups = shape
        P = (H + 2 * pad - R) // stride + 1
        bias = [] if kind == "pointwise_block" else [(K,)]
        shapes = [(N, C, H, H), (K, C // groups, R, R), *bias, (N, K, P, P)]
    arrays = [rng.standard_normal(shape, case["dtype"]) for shape in shapes]
    return [*arrays, rng.integers(0, 10, shape[0])] if "net" in case else arrays
