"""The algorithm of convolutions that `fastnet.set_conv_algorithm` chose, for backends that hold no such setting."""

from __future__ import annotations

__all__ = ["NAMES", "chosen"]

NAMES = ("auto", "direct", "winograd")

chosen = NAMES[0]
