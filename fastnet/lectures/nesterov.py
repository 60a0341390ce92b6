"""Nesterov's momentum as defined and rearranged: the same steps after a change of variables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet.lectures.report import Report

if TYPE_CHECKING:
    from fastnet.types import Array

RATE, RHO, STEPS = 0.02, 0.9, 100


def run(report: Report) -> None:
    from fastnet.optim import SGD

    report.say(
        "Nesterov's momentum is v = rho v - lr gradient(x + rho v); x += v. With y = x + rho v, so that gradients "
        "are those "
        f"of the parameters: v = rho v - lr gradient(y); y += -rho old_v + (1 + rho) v. rho {RHO}, rate {RATE}, "
        f"{STEPS} "
        "steps in float64, on a bowl and on a network."
    )
    forms = {
        "ahead": SGD(RATE, RHO, velocity="steps", ahead=True),
        "rearranged": SGD(RATE, RHO, velocity="steps", nesterov=True),
        "rearranged, PyTorch's velocity": SGD(RATE, RHO, nesterov=True),
        "momentum": SGD(RATE, RHO),
        "momentum, velocity of steps": SGD(RATE, RHO, velocity="steps"),
    }
    for name, where in (("bowl", on_bowl), ("network", on_network)):
        paths = {form: where(type(optimizer)(**_settings(optimizer))) for form, optimizer in forms.items()}
        # where gradients were computed: of the form ahead that is y = x + rho v, of the others the parameters
        pairs = [("ahead", "rearranged"), ("ahead", "rearranged, PyTorch's velocity")]
        pairs += [("momentum", "momentum, velocity of steps")]
        for one, other in pairs:
            difference = np.abs(paths[one] - paths[other]).max()
            report.compare(f"{name}: {one} - {other}", difference, high=1e-12, digits=2)
        apart = np.abs(paths["momentum"] - paths["rearranged"]).max()
        report.claim(f"{name}: Nesterov's steps are others than plain momentum's", apart > 1e-3, f"{apart:.3f}")
        if name == "bowl":
            _picture(report, paths)


def bowl(w: Array) -> Array:
    """The gradient of (x^2 + 30 y^2) / 2."""
    slope: Array = np.array([1.0, 30.0]) * w
    return slope


def on_bowl(optimizer: Any) -> Array:
    """The points at which gradients are computed."""
    from fastnet.layers import Parameter

    p, points = Parameter(np.array([-4.0, 1.2]), "w"), []
    for _ in range(STEPS):
        with optimizer.lookahead([p]):
            points.append(p.value.copy())
            p.grad = bowl(p.value)
        optimizer.step([p])
    return np.array(points)


def on_network(optimizer: Any) -> Array:
    import fastnet as fn

    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((32, 5)), rng.integers(0, 3, 32)
    model, points = fn.Sequential(fn.Linear(8), fn.Tanh(), fn.Linear(3)), []
    model.build((5,), seed=0, dtype="float64")
    parameters = model.parameters()
    for _ in range(STEPS):
        model.zero_grad()
        with optimizer.lookahead(parameters):
            points.append(np.concatenate([p.value.ravel() for p in parameters]))
            scores, backward = model.forward(x, training=True)
            backward(fn.losses.softmax_cross_entropy(scores, y)[1], input_gradient=False)
        optimizer.step(parameters)
    return np.array(points)


def _settings(optimizer: Any) -> dict[str, Any]:
    return {name: getattr(optimizer, name) for name in optimizer.settings}


def _picture(report: Report, paths: dict[str, Array]) -> None:
    _, axes = report.figure(1, 2, size=(12, 4.4))
    x, y = np.meshgrid(np.linspace(-4.6, 2.4, 200), np.linspace(-1.8, 1.8, 200))
    axes[0].contour(x, y, (x**2 + 30 * y**2) / 2, np.geomspace(0.1, 60, 14), colors="0.8", linewidths=0.8)
    for form, style in (("momentum", "C1.-"), ("ahead", "C0o-"), ("rearranged", "kx")):
        label = {"ahead": "Nesterov, ahead: x + rho v", "rearranged": "Nesterov, rearranged: y"}.get(form, form)
        points = paths[form][:30]
        axes[0].plot(*points.T, style, label=label, markersize=5 if style != "C0o-" else 7, linewidth=1)
    axes[0].set(title="where 30 gradients are computed", xlabel="x", ylabel="y")
    axes[0].legend(loc="lower right")
    for form, color in (("momentum", "C1"), ("rearranged", "C0")):
        w = paths[form]
        axes[1].semilogy((w[:, 0] ** 2 + 30 * w[:, 1] ** 2) / 2, color, label=form)
    axes[1].set(title="loss", xlabel="step", ylabel="loss (logarithmic)")
    axes[1].legend(["momentum", "Nesterov"])
