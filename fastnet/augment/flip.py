"""Mirror images."""

from __future__ import annotations

from fastnet.augment.window import Flip

__all__ = ["RandomHorizontalFlip", "RandomVerticalFlip"]


class RandomHorizontalFlip(Flip):
    """Exchange left and right with probability p.

    Parameters
    ----------
    p : float
        Probability, in [0, 1].
    """

    column = 3


class RandomVerticalFlip(Flip):
    """Exchange top and bottom with probability p.

    Parameters
    ----------
    p : float
        Probability, in [0, 1].
    """

    column = 2
