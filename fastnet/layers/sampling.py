"""Monte Carlo prediction: many passes with dropout on, averaged."""

from __future__ import annotations

from typing import NamedTuple

from fastnet.arguments import flag, integer
from fastnet.backends import current
from fastnet.layers.model import Model
from fastnet.layers.probabilities import probabilities
from fastnet.ops import philox
from fastnet.types import Array, ArrayLike

__all__ = ["MonteCarlo", "monte_carlo"]


class MonteCarlo(NamedTuple):
    """What several random passes predict.

    Attributes
    ----------
    mean, std : array, (N, C) or the outputs' shape
        Over the passes; the standard deviation has the number of passes as its divisor.
    """

    mean: Array
    std: Array


def monte_carlo(
    model: Model,
    X: ArrayLike,
    passes: int = 50,
    batch_size: int = 128,
    *,
    seed: int = 0,
    scores: bool = False,
) -> MonteCarlo:
    """Mean and standard deviation of the predictions of several passes with random layers on.

    Dropout in all its forms, DropConnect, stochastic depth and fractional pooling draw as in training; batch norms use
    their running statistics and do not update them.  The mean approximates the average over all masks, of which a
    single pass without dropout is a cheaper approximation; the standard deviation shows how far the passes disagree
    (Gal & Ghahramani 2016, "Dropout as a Bayesian approximation", arXiv:1506.02142).

    The random streams are put back afterwards, so that training goes on as if nothing had happened; the same `seed`
    and `batch_size` give the same result.

    Parameters
    ----------
    model : Model
        Built.
    X : array, (N, *input_shape)
        The model's `preprocessing` is applied to each batch first, as in `predict`.
    passes : int
    batch_size : int
    seed : int
        Of the masks, in [0, 2**63).
    scores : bool
        Take the outputs as they are, as for regression; default: the probabilities that `predict_proba` returns.

    Returns
    -------
    MonteCarlo
        (mean, std).

    Raises
    ------
    ValueError
        The model has no random layer; or only one output for each image, without `scores`.
    """
    passes, seed = integer(passes, "monte_carlo: passes"), integer(seed, "monte_carlo: seed", 0, 63)
    plain = flag(scores, "monte_carlo: scores")
    if not isinstance(model, Model):
        raise TypeError(f"monte_carlo: model must be a fastnet.Model, got {model!r}")
    streams = model.rng_state()
    if not streams:
        raise ValueError(
            "monte_carlo: the model has no layer with a random stream, such as Dropout, so all passes would be equal"
        )
    if not plain:
        model.require_classes("monte_carlo")
    ops, means, deviations = current(), [], []
    examples = model.examples("monte_carlo: X", X, ops)
    try:
        model.set_rng_state({path: _start(seed, n) for n, path in enumerate(streams)})
        for x in model.prepared(examples, batch_size, model.preprocessing):
            mean = squares = 0.0
            for done in range(passes):
                y = model.noisy(x)
                found = ops.xp.asarray(y if plain else probabilities(model, y), "float64")
                change = found - mean
                mean = mean + change / (done + 1)  # Welford's recurrence
                squares = squares + change * (found - mean)
            means.append(mean)
            deviations.append((squares / passes) ** 0.5)
    finally:
        model.set_rng_state(streams)
    whole = (ops.xp.concatenate(parts).astype(model.dtype) for parts in (means, deviations))
    return MonteCarlo(*map(ops.to_numpy, whole))


def _start(seed: int, layer: int) -> dict[str, int]:
    """The stream of a random layer: its seed is two words of stream `seed`."""
    high, low = (int(word) for word in philox.words(seed, 4 * layer, 2))
    return {"seed": high << 32 | low, "offset": 0}
