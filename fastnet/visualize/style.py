"""Neural style transfer: the content of one image, painted like another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from fastnet.arguments import at_least_zero, integer, positive
from fastnet.arrays import on_host
from fastnet.backends import current
from fastnet.layers import Model, Probe
from fastnet.layers.probe import INPUT
from fastnet.types import Array, ArrayLike
from fastnet.visualize.canvas import Canvas, total_variation
from fastnet.visualize.subject import Subject

__all__ = ["StyleTransfer", "gram_matrices", "style_transfer"]


class StyleTransfer(NamedTuple):
    """A picture in another's style.

    Attributes
    ----------
    image : array, (1, C, H, W)
        In the dtype of the content image.
    losses : array, (evaluations,)
        The loss at each evaluation by the optimiser.
    """

    image: Array
    losses: Array


def gram_matrices(values: ArrayLike) -> Array:
    """F F^T / (H W) for each image of activations, F being its channels as rows, (C, H W).

    Parameters
    ----------
    values : array, (N, C, H, W)

    Returns
    -------
    array, (N, C, C)

    Raises
    ------
    ValueError
        An array with other axes.
    """
    array = on_host(values)
    if array.ndim != 4:
        raise ValueError(f"gram_matrices: values must be (N, C, H, W), got shape {array.shape}")
    flat = array.reshape(*array.shape[:2], -1)
    return np.asarray(flat @ flat.swapaxes(1, 2) / flat.shape[2])


def style_transfer(
    model: Model,
    content: ArrayLike,
    style: ArrayLike,
    *,
    content_layer: str,
    style_layers: Sequence[str] | Mapping[str, float],
    content_weight: float = 1.0,
    style_weight: float = 1.0,
    tv_weight: float = 0.01,
    steps: int = 100,
    start: Literal["content", "noise"] = "content",
    bounds: Any = None,
    seed: int = 0,
) -> StyleTransfer:
    """An image with one image's features and another's Gram matrices (Gatys, Ecker & Bethge 2015, arXiv:1508.06576).

    The loss is the weighted sum of

    - content: ||F - P||^2 / ||P||^2, for the features F of the content layer, P those of the content image;
    - style: the mean over layers of w ||G - A||^2 / ||A||^2, for Gram matrices G, A those of the style image;
    - total variation: the mean square of the differences of neighbouring pixels.

    L-BFGS minimises it (SciPy).

    Parameters
    ----------
    model : Model
        In evaluation mode; layers behind those named are not run.
    content, style : array, (1, C, H, W)
        As ``model.predict`` takes them; their sizes may differ.
    content_layer : str
        Its name in ``model.summary()``.
    style_layers : sequence of str, or mapping of str to float
        With the weights w, which are 1 by default.
    content_weight, style_weight, tv_weight : float
    steps : int
        At most this many iterations of L-BFGS.
    start : "content" or "noise"
        The first image.
    bounds : (low, high), optional
        The range of raw values; default: (0, 255) for uint8, else the smallest and largest value of the content image.
    seed : int
        Seeds the noise.

    Returns
    -------
    StyleTransfer

    Raises
    ------
    ImportError
        SciPy is not installed.
    ValueError, TypeError, RuntimeError
        A layer that does not exist or has no positions; and what `saliency` raises.
    """
    subject, steps = Subject("style_transfer", model), integer(steps, "style_transfer: steps")
    if start not in ("content", "noise"):
        raise ValueError(f'style_transfer: start must be "content" or "noise", got {start!r}')
    if isinstance(style_layers, str) or not style_layers:
        raise TypeError(f"style_transfer: style_layers must be one or several layers' names, got {style_layers!r}")
    given = style_layers if isinstance(style_layers, Mapping) else dict.fromkeys(style_layers, 1.0)
    layers = {name: positive(w, f"style_transfer: the weight of {name}") for name, w in given.items()}
    names = "content_weight", "style_weight", "tv_weight"
    weights = zip((content_weight, style_weight, tv_weight), names, strict=True)
    a, b, c = (at_least_zero(weight, f"style_transfer: {name}") for weight, name in weights)
    try:
        from scipy.optimize import minimize
    except ImportError as error:
        raise ImportError('style_transfer needs SciPy: pip install "fastnet-cnn[scipy]"') from error
    raw, painted = (subject.images(each, name, whole=False) for each, name in ((content, "content"), (style, "style")))
    if len(raw) != 1 or len(painted) != 1:
        raise ValueError(f"style_transfer: content and style must be single images, got {len(raw)} and {len(painted)}")
    canvas, x = Canvas(subject, bounds, raw), subject.prepare(raw)
    probe = Probe(model, [INPUT, content_layer, *layers])
    P = current().to_numpy(probe(x)[0][content_layer])
    seen = probe(subject.prepare(painted))[0]
    for name in layers:
        if seen[name].ndim != 4:
            raise ValueError(
                f"style_transfer: the layer {name!r} has no positions, its output is {seen[name].shape[1:]}"
            )
    grams = {name: gram_matrices(current().to_numpy(seen[name])) for name in layers}
    losses: list[float] = []

    def loss(flat: Array) -> tuple[float, Array]:
        image = flat.reshape(x.shape).astype(x.dtype)
        values, backward = probe(image)
        total, gradients = 0.0, {}
        for name, weight in layers.items():
            F = current().to_numpy(values[name])
            value, gradients[name] = _style(F, grams[name], b * weight / len(layers))
            total += value
        difference = current().to_numpy(values[content_layer]) - P
        scale = a / max(float((P**2).sum()), 1e-30)
        total += scale * float((difference**2).sum())
        gradients[content_layer] = gradients.get(content_layer, 0) + 2 * scale * difference
        smooth, slope = total_variation(image)
        dx = current().to_numpy(backward(gradients)[INPUT]) + c / x.size * slope
        losses.append(total + c / x.size * smooth)
        return losses[-1], dx.astype(np.float64).ravel()

    if start == "noise":
        x = np.random.default_rng(integer(seed, "style_transfer: seed", 0)).standard_normal(x.shape).astype(x.dtype)
    found = minimize(loss, x.astype(np.float64).ravel(), jac=True, method="L-BFGS-B", options={"maxiter": steps})
    return StyleTransfer(canvas.raw(found.x.reshape(x.shape).astype(x.dtype)), np.array(losses))


def _style(F: Array, A: Array, weight: float) -> tuple[float, Array]:
    """weight ||G - A||^2 / ||A||^2, and its gradient by F."""
    difference, flat = gram_matrices(F) - A, F.reshape(*F.shape[:2], -1)
    scale = weight / max(float((A**2).sum()), 1e-30)
    gradient = 4 * scale / flat.shape[2] * (difference @ flat)
    return scale * float((difference**2).sum()), gradient.reshape(F.shape).astype(F.dtype)
