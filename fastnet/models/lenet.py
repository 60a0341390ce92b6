"""LeNet-5 (LeCun, Bottou, Bengio & Haffner 1998, "Gradient-based learning applied to document recognition")."""

from __future__ import annotations

from fastnet.arguments import flag
from fastnet.layers import AvgPool2d, Conv2d, Flatten, Linear, MaxPool2d, ReLU, Sequential, Tanh
from fastnet.models.registry import built, register
from fastnet.types import DTypeLike, Seed, Shape

__all__ = ["lenet5"]


@register
def lenet5(
    num_classes: int = 10,
    input_shape: Shape = (1, 28, 28),
    classic: bool = False,
    seed: Seed = 0,
    dtype: DTypeLike = "float32",
) -> Sequential:
    """LeNet-5 with 61,706 parameters: convolutions of 6 and 16 filters of 5x5, then 120, 84 and `num_classes` units.

    28x28 images are padded by 2 in the first convolution, which gives the original's 32x32 input.  ReLU and max
    pooling by default; `classic` selects tanh and average pooling, without the original's trained scales and
    sparse connections.
    """
    classic = flag(classic, "lenet5: classic")
    activation, pool = (Tanh, AvgPool2d) if classic else (ReLU, MaxPool2d)
    start = "lecun_normal" if classic else "kaiming_normal"
    model = Sequential(
        conv1=Conv2d(6, 5, padding=2 if input_shape[-1] < 32 else 0, initializer=start),
        act1=activation(),
        pool1=pool(2),
        conv2=Conv2d(16, 5, initializer=start),
        act2=activation(),
        pool2=pool(2),
        flatten=Flatten(),
        fc1=Linear(120, initializer=start),
        act3=activation(),
        fc2=Linear(84, initializer=start),
        act4=activation(),
        fc3=Linear(num_classes, initializer=start),
    )
    return built(model, "lenet5", input_shape, seed, dtype)
