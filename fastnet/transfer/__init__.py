"""Transfer learning: pretrained networks with new heads, frozen or slowly trained bodies, and their features."""

from fastnet.transfer.depth import body_and_head_rates, depth_groups, discriminative_rates, freeze
from fastnet.transfer.features import features
from fastnet.transfer.heads import replace_head, train_head
from fastnet.transfer.unfreezing import GradualUnfreezing

__all__ = [
    "GradualUnfreezing",
    "body_and_head_rates",
    "depth_groups",
    "discriminative_rates",
    "features",
    "freeze",
    "replace_head",
    "train_head",
]
