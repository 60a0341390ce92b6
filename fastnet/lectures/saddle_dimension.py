"""Saddles outnumber minima as dimensions grow: critical points of random functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastnet.lectures.report import Report

if TYPE_CHECKING:
    from fastnet.types import Array

DIMENSIONS = (1, 2, 3, 4, 6, 10)


def run(report: Report) -> None:
    report.say(
        "Where the gradient is zero, every negative eigenvalue of the Hessian is a way down. CS231n 2017, lecture 7, "
        "says "
        "that saddle points are much more common in high dimension (Dauphin et al. 2014, arXiv:1406.2572). Here: "
        "critical "
        "points of random smooth functions, sums of 30 n cosines in n dimensions, found by Newton's method."
    )
    rng = np.random.default_rng(report.seed)
    functions = 200 if report.full else 24
    rows, shares = [], []
    for n in DIMENSIONS:
        values, spectra = critical_points(n, functions if n <= 4 else functions // 2, rng)
        shares.append(float((spectra > 0).all(axis=1).mean()))
        negative = (spectra < 0).mean(axis=1)
        together = float(np.corrcoef(values, negative)[0, 1])
        rows.append((n, len(spectra), shares[-1], gaussian(n, 20_000, rng), together))
    report.table(
        [
            "dimension",
            "critical points",
            "share of minima",
            "positive definite random matrices",
            "value and saddle index",
        ],
        rows,
    )
    report.say("The last column is the correlation of the function's value and the share of negative eigenvalues.")
    report.compare("1 dimension: share of minima", shares[0], low=0.45, high=0.55, digits=3)
    report.claim("the share of minima falls with every dimension", all(np.diff(shares) < 0))
    report.compare(f"{DIMENSIONS[-1]} dimensions: share of minima", shares[-1], high=0.01, digits=2)
    report.compare("the last correlation: the higher, the more ways down", rows[-1][-1], low=0.5, digits=3)

    _, axes = report.figure(1, 2, size=(11, 4.2))
    for column, style, label in ((2, "o-", "random functions"), (3, "s:", "random symmetric matrices")):
        measured = [(row[0], row[column]) for row in rows if row[column] > 0]
        axes[0].semilogy(*np.transpose(measured), style, label=label)
    axes[0].set(title="critical points that are minima", xlabel="dimension", ylabel="share (logarithmic)")
    axes[0].legend()
    jitter = rng.uniform(-0.02, 0.02, len(negative))
    axes[1].plot(negative + jitter, values, ".", markersize=3)
    axes[1].set(title=f"critical points in {DIMENSIONS[-1]} dimensions", ylabel="value / its standard deviation")
    axes[1].set_xlabel("share of negative eigenvalues of the Hessian")


def critical_points(n: int, functions: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Values, and the Hessians' eigenvalues (points, n), where Newton's method ends, from 50 starts a function."""
    K, found, values = 30 * n, [], []
    for _ in range(functions):
        waves, phases = rng.standard_normal((K, n)), rng.uniform(0, 2 * np.pi, K)
        points = rng.uniform(-8, 8, (50, n))
        for _ in range(30):
            step = np.linalg.solve(curvature(points, waves, phases) + 1e-9 * np.eye(n), slope(points, waves, phases))
            length = np.linalg.norm(step, axis=1, keepdims=True)
            points = points - (step * np.minimum(1, 0.5 / np.maximum(length, 1e-12)))[..., 0]
        there = np.linalg.norm(slope(points, waves, phases)[..., 0], axis=1) < 1e-8
        found.append(np.linalg.eigvalsh(curvature(points[there], waves, phases)))
        values.append(np.cos(points[there] @ waves.T + phases).sum(axis=1) / np.sqrt(K / 2))
    return np.concatenate(values), np.concatenate(found)


def slope(points: Array, waves: Array, phases: Array) -> Array:
    """The gradients (points, n, 1) of the sum of the cosines."""
    gradients: Array = -(np.sin(points @ waves.T + phases) @ waves)[..., None]
    return gradients


def curvature(points: Array, waves: Array, phases: Array) -> Array:
    """The Hessians (points, n, n)."""
    n = waves.shape[1]
    products = np.einsum("ki,kj->kij", waves, waves).reshape(-1, n * n)
    hessians: Array = -(np.cos(points @ waves.T + phases) @ products).reshape(-1, n, n)
    return hessians


def gaussian(n: int, count: int, rng: np.random.Generator) -> float:
    """The share of symmetric matrices of normal numbers whose eigenvalues are all positive."""
    a = rng.standard_normal((count, n, n))
    eigenvalues = np.linalg.eigvalsh(a + a.transpose(0, 2, 1))
    return float((eigenvalues > 0).all(axis=1).mean())
