"""Stochastic depth: how many of 54 residual blocks a training step uses, under the linear rule."""

from __future__ import annotations

import numpy as np

import fastnet as fn
from fastnet.lectures.report import Report


def run(report: Report) -> None:
    blocks, last, steps = 54, 0.5, 4000
    rates = fn.models.drop_rates(blocks, last)
    report.say(
        f"A ResNet-110 has {blocks} residual blocks.  In each training step block l survives with probability "
        f"1 - l/{blocks} (1 - p_L), p_L = {1 - last}; what is left is the depth of the network that it trains."
    )
    used = np.zeros((blocks, steps), bool)
    for block, rate in enumerate(rates):
        layer = fn.StochasticDepth(rate, "row", seed=report.seed * blocks + block)
        used[block] = layer.forward(np.ones((steps, 1), np.float32), training=True)[0][:, 0] > 0
    survival, depths = used.mean(1), used.sum(0)
    expected = 1 - np.array(rates)
    report.compare(
        "mean number of blocks in a step; (3L - 1)/4 = 40.25", depths.mean(), low=40.05, high=40.45, digits=5
    )
    deviation = np.sqrt((expected * (1 - expected)).sum())
    ratio = depths.std() / deviation
    report.compare("its deviation, against that of independent blocks", ratio, low=0.95, high=1.05, digits=4)
    error = abs(survival - expected) / np.sqrt(expected * (1 - expected) / steps)
    report.compare("survival of each block, largest error in standard errors", error.max(), high=4.5, digits=3)

    model = fn.Sequential(*(fn.Residual([fn.Linear(8), fn.StochasticDepth(rate, "batch")]) for rate in rates[:6]))
    model.build((8,), dtype="float64")
    x = np.random.default_rng(report.seed).standard_normal((5, 8))
    whole = x
    for residual in model.children().values():
        whole = whole + residual.leaves()[0](whole)
    report.claim("at test time every block is used, as it is", np.allclose(model(x), whole, atol=1e-12), "yes")

    _, (left, right) = report.figure(1, 2)
    number = np.arange(1, blocks + 1)
    left.plot(number, survival, ".", label=f"measured over {steps:,} steps")
    left.plot(number, expected, "k-", linewidth=1, label="the linear rule")
    left.set(title="Early blocks are nearly always used", xlabel="block", ylabel="share of steps", ylim=(0.4, 1.02))
    left.legend()
    right.hist(depths, bins=np.arange(depths.min() - 0.5, depths.max() + 1), color="C0")
    right.axvline(depths.mean(), color="C3", label=f"mean {depths.mean():.1f} of {blocks}")
    right.set(title="Depth of the network that a step trains", xlabel="blocks in use", ylabel="steps")
    right.legend()
