"""Points centred, scaled, decorrelated and whitened; images as sums of few eigenvectors.

The left picture is a cloud of points in two dimensions after each step.  The others show the data set's mean image, its
eigenvectors, and images put together again from few components.
"""

from __future__ import annotations

import numpy as np

from fastnet.lectures.report import Report
from fastnet.types import Array

DATA = True


def run(report: Report) -> None:
    _cloud(report)
    _images(report)


def _cloud(report: Report) -> None:
    from fastnet.data import PCA, Standardize

    rng = np.random.default_rng(report.seed)
    X = rng.normal(0, [1.5, 0.4], (500, 2)) @ np.array([[0.8, 0.6], [-0.6, 0.8]]) + [3, 2]
    forms = {
        "original": X,
        "centred": Standardize.fit(X, divide=False)(X, "float64"),
        "unit variance": Standardize.fit(X)(X, "float64"),
        "decorrelated (PCA)": PCA.fit(X)(X, "float64"),
        "whitened": PCA.fit(X, whiten="pca", eps=0)(X, "float64"),
    }
    covariance = {name: np.cov(form.T, bias=True) for name, form in forms.items()}
    report.compare("centred: largest mean", np.abs(forms["centred"].mean(0)).max(), high=1e-12, digits=2)
    scaled = np.abs(np.diag(covariance["unit variance"]) - 1).max()
    report.compare("unit variance: variance - 1", scaled, high=1e-12, digits=2)
    turned = abs(covariance["decorrelated (PCA)"][0, 1])
    report.compare("decorrelated: covariance of the two coordinates", turned, high=1e-12, digits=2)
    white = np.abs(covariance["whitened"] - np.eye(2)).max()
    report.compare("whitened: covariance matrix - identity", white, high=1e-12, digits=2)

    _, axes = report.figure(1, len(forms), name="cloud", size=(15, 3.2))
    for ax, (name, form) in zip(axes, forms.items(), strict=True):
        ax.scatter(*form.T, s=4, alpha=0.5)
        ax.axhline(0, color="black", linewidth=0.6)
        ax.axvline(0, color="black", linewidth=0.6)
        ax.set(title=name, xlim=(-7, 7), ylim=(-7, 7), aspect="equal")


def _images(report: Report) -> None:
    from fastnet.data import PCA

    X = report.data().X_train
    if X[0].size > 1024 and not report.full:
        X = X[:2000]
    pca = PCA.fit(X)
    counts = [k for k in (1, 4, 16, 32, 64, 144, 576) if k <= len(pca.values)]
    examples, codes = X[:8], pca(X[:8], "float64")
    kept, restored = np.cumsum(pca.explained), []
    for k in counts:
        short = np.where(np.arange(codes.shape[1]) < k, codes, 0)
        restored.append(pca.inverse(short))
    errors = [np.mean((again - examples) ** 2) for again in restored]
    report.table(
        ["components", "share of the variance", "mean squared error"],
        [(k, kept[k - 1], error) for k, error in zip(counts, errors, strict=True)],
    )
    report.claim("more components: a smaller error", all(np.diff(errors) < 0))
    whole = np.abs(pca.inverse(codes) - examples).max() / np.ptp(examples.astype(float))
    report.compare("all components: largest error / range of values", whole, high=1e-5, digits=2)
    report.keep("eigenvalues", pca.values)

    rows = {"images": examples, "mean, eigenvectors": np.concatenate([pca.mean[None], pca.pictures[:7]])}
    rows |= {f"{k} component{'s' * (k > 1)}": again for k, again in zip(counts, restored, strict=True)}
    _, axes = report.figure(len(rows), 8, name="images", size=(8, 1.05 * len(rows)))
    for line, (name, pictures) in zip(axes, rows.items(), strict=True):
        for ax, picture in zip(line, pictures, strict=True):
            ax.imshow(_shown(picture), cmap="gray")
            ax.set(xticks=[], yticks=[])
        line[0].set_ylabel(name, rotation=0, ha="right", va="center")


def _shown(picture: Array) -> Array:
    """A picture (C, H, W) with values from 0 to 1 for imshow."""
    scaled: Array = (np.moveaxis(picture, 0, -1) - picture.min()) / (np.ptp(picture) or 1.0)
    return scaled[..., 0] if scaled.shape[-1] == 1 else scaled
