"""The probabilities of stochastic depth (Huang et al. 2016, arXiv:1603.09382)."""

from __future__ import annotations

from fastnet.arguments import integer
from fastnet.layers import Layer, StochasticDepth
from fastnet.layers.noise import probability

__all__ = ["drop_rates", "dropping"]


def drop_rates(blocks: int, last: float) -> list[float]:
    """The probability of skipping each of a network's residual blocks: ``l / blocks * last`` for l = 1 to `blocks`.

    This is the paper's linear rule: block l survives with 1 - l/L (1 - p_L), and `last` is 1 - p_L, 0.5 in the paper.

    Parameters
    ----------
    blocks : int
    last : float
        The probability of skipping the last block, in [0, 1).
    """
    integer(blocks, "drop_rates: blocks")
    last = probability(last, "drop_rates")
    return [(number + 1) / blocks * last for number in range(blocks)]


def dropping(branch: dict[str, Layer], rate: float) -> dict[str, Layer]:
    """The layers of a residual branch, followed by StochasticDepth of the whole batch where the rate is not 0."""
    return {**branch, "drop": StochasticDepth(rate, "batch")} if rate else branch
