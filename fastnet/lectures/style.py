"""Neural style transfer: one photograph's content with the other's texture, by L-BFGS.

The loss compares the features of one layer (content) and the Gram matrices of several (style).  The network is the one
of `fastnet lecture deepdream`.
"""

from __future__ import annotations

import argparse

import numpy as np

from fastnet.lectures.material.photographs import sample_photographs, trained_on_patches
from fastnet.lectures.report import Report

_STYLE, _CONTENT = ["0", "2", "6", "8"], "6"


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--steps", type="count", default=60, metavar="N", help="of L-BFGS (default: 60)")
    parser.add_argument("--style-weight", type="positive", default=30.0, metavar="W", help="(default: 30)")


def run(report: Report) -> None:
    from fastnet import layers, visualize

    args, photographs = report.args, sample_photographs()
    model, _ = trained_on_patches(photographs, report.seed)
    content, style = (photographs[name] for name in ("china", "flower"))
    results = {}
    for weight in (args.style_weight / 10, args.style_weight):
        results[weight] = visualize.style_transfer(
            model, content, style, content_layer=_CONTENT, style_layers=_STYLE, style_weight=weight, steps=args.steps
        )
    probe = layers.Probe(model, dict.fromkeys([*_STYLE, _CONTENT]))
    assert model.preprocessing is not None
    prepared = [model.preprocessing(each.copy(), model.dtype) for each in (content, style)]
    of_content, of_style = (probe(each)[0] for each in prepared)
    rows, distances = [], {}
    for weight, result in {0.0: None, **results}.items():
        image = content if result is None else result.image
        values, _ = probe(model.preprocessing(image.copy(), model.dtype))
        grams = []
        for layer in _STYLE:
            G, A = (visualize.gram_matrices(each[layer]) for each in (values, of_style))
            grams.append(float(((G - A) ** 2).sum() / (A**2).sum()))
        lost = ((values[_CONTENT] - of_content[_CONTENT]) ** 2).sum() / (of_content[_CONTENT] ** 2).sum()
        distances[weight] = float(np.mean(grams)), float(lost)
        rows.append(["content itself" if result is None else f"style weight {weight:g}", *distances[weight]])
    report.table(["image", "distance to the style", "to the content"], rows, digits=3)
    before, (light, strong) = distances[0.0][0], (distances[weight] for weight in results)
    report.compare("distance to the style: strong / of the content", strong[0] / before, high=0.3, digits=3)
    report.claim("the stronger style loses more of the content", strong[1] > light[1])
    losses = results[args.style_weight].losses
    report.compare("loss, last / first", losses[-1] / losses[0], high=0.5, digits=3)

    images = [content, *(result.image for result in results.values())]
    titles = ["content", *(f"style weight {weight:g}" for weight in results)]
    visualize.plot_images(np.concatenate([*images, style]), [*titles, "style"], columns=2, path=report.file())
