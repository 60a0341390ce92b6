"""Six optimisers on a bowl, a local minimum, a saddle and under noise; with an animation."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastnet.lectures.report import Report

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from fastnet.types import Array

STEEP = 100.0  # the bowl's condition number


class Scene(NamedTuple):
    """A function of two parameters, its gradient, the start, and what its picture shows."""

    title: str
    loss: Callable[..., Any]
    slope: Callable[..., tuple[Any, Any]]
    start: tuple[float, float]
    box: tuple[float, float, float, float]
    best: tuple[float, float] | None = None


def beale(x: Any, y: Any) -> Any:
    a, b, c = (1.5 - x + x * y), (2.25 - x + x * y**2), (2.625 - x + x * y**3)
    return a**2 + b**2 + c**2


def beale_slope(x: Any, y: Any) -> tuple[Any, Any]:
    a, b, c = (1.5 - x + x * y), (2.25 - x + x * y**2), (2.625 - x + x * y**3)
    dx = 2 * (a * (y - 1) + b * (y**2 - 1) + c * (y**3 - 1))
    return dx, 2 * x * (a + 2 * b * y + 3 * c * y**2)


def of_condition(number: float) -> Scene:
    """A bowl, from a point at which both terms of the loss are as large."""
    return Scene(
        f"bowl of condition number {number:g}",
        lambda x, y: (x**2 + number * y**2) / 2,
        lambda x, y: (x, number * y),
        (-8.0, 8.0 / number**0.5),
        (-9, 9, -14 / number**0.5, 14 / number**0.5),
        (0.0, 0.0),
    )


BOWL = of_condition(STEEP)
WELLS = Scene(  # two wells along x, the right one deeper
    "local minimum",
    lambda x, y: x**4 / 4 - x**2 / 2 - 0.15 * x + y**2 / 2,
    lambda x, y: (x**3 - x - 0.15, y),
    (-1.9, 0.8),
    (-2.1, 1.8, -1.2, 1.2),
)
SADDLE = Scene(
    "saddle, from its ridge",
    lambda x, y: (x**2 - y**2) / 2 + y**4 / 4,
    lambda x, y: (x, y**3 - y),
    (-1.8, 0.0),
    (-2, 1.8, -1.4, 1.4),
)
NEAR_SADDLE = SADDLE._replace(title="saddle", start=(-1.8, 1e-3))
CONTOURS = Scene("a loss surface (Beale's)", beale, beale_slope, (1.0, 1.6), (-2, 4, -3, 2.5), (3.0, 0.5))


def options(parser: ArgumentParser) -> None:
    parser.add_argument("--frames", type="whole", default=30, metavar="N", help="of the animation, 0 for none")


def run(report: Report) -> None:
    bowl(report)
    stuck(report)
    noise(report)
    four_panels(report)
    one_bowl(report)
    if report.args.frames > 0:
        animation(report)


def optimizers(sgd: float, adaptive: float) -> dict[str, Any]:
    """All six, with a rate for those that follow the gradient's size and one for those that divide by it."""
    from fastnet import optim

    return {
        "SGD": optim.SGD(sgd),
        "momentum": optim.SGD(sgd, 0.9),
        "Nesterov": optim.SGD(sgd, 0.9, nesterov=True),
        "AdaGrad": optim.Adagrad(adaptive),
        "RMSProp": optim.RMSprop(adaptive / 4, 0.9),
        "Adam": optim.Adam(adaptive / 2, (0.9, 0.99)),
    }


def path(optimizer: Any, scene: Scene, steps: int, noise: float = 0.0, seed: int = 0) -> Array:
    """The points (steps + 1, 2) that an optimiser visits."""
    from fastnet.layers import Parameter

    rng, p = np.random.default_rng(seed), Parameter(np.array(scene.start), "w")
    points = [p.value.copy()]
    for _ in range(steps):
        p.grad = np.array(scene.slope(*p.value)) + noise * rng.standard_normal(2)
        optimizer.step([p])
        points.append(p.value.copy())
    return np.array(points)


def steps_to(scene: Scene, points: Array, below: float) -> float:
    """After how many steps the loss is below `below` for good; infinity if it never is."""
    outside = np.flatnonzero(scene.loss(*points.T) >= below)
    return 0.0 if not len(outside) else float(outside[-1] + 1) if outside[-1] + 1 < len(points) else np.inf


def bowl(report: Report) -> None:
    from fastnet.optim import SGD

    report.say(f"A bowl of condition number {STEEP:g}: the loss is (x^2 + {STEEP:g} y^2) / 2; rate 1.8 / {STEEP:g}.")
    plain, rolling = (path(SGD(1.8 / STEEP, momentum), BOWL, 300) for momentum in (0.0, 0.9))
    steep = np.sign(plain[:20, 1])
    report.claim("SGD zig-zags: the steep coordinate changes sign at every step", (steep[1:] == -steep[:-1]).all())
    report.claim("SGD creeps along the shallow coordinate, never beyond", bool((plain[:, 0] < 0).all()))
    report.compare(
        "momentum overshoots: largest x / start", rolling[:, 0].max() / abs(BOWL.start[0]), low=0.1, digits=3
    )
    conditions, needed = (10, 30, 100, 300), []
    for steepness in conditions:
        scene, best, rate = of_condition(steepness), 2 / (steepness + 1), 1.3 / steepness
        made = (SGD(best), SGD(rate, 0.9), SGD(rate, 0.9, nesterov=True))
        needed.append([steps_to(scene, path(optimizer, scene, 6000), 1e-6) for optimizer in made])
    report.say(
        "Steps to a loss below 1e-6: SGD at its best rate, 2 / (largest + smallest curvature), momentum 0.9 at the "
        "rate 1.3 / "
        "largest curvature. In a mild bowl momentum does not pay; SGD's steps grow with the condition number, "
        "momentum's do not."
    )
    rows = [[f"{c}", *row] for c, row in zip(conditions, needed, strict=True)]
    report.table(["condition number", "SGD", "momentum", "Nesterov"], rows)
    sgd, momentum, nesterov = needed[2]
    report.compare("condition number 100: steps of momentum / of SGD", momentum / sgd, high=0.9, digits=3)
    report.compare("condition number 100: steps of Nesterov / of momentum", nesterov / momentum, high=1, digits=3)


def stuck(report: Report) -> None:
    from fastnet.optim import SGD

    report.say("A ridge that leads into a saddle, and two wells of which the right one is deeper.")
    ridge = path(SGD(0.1), SADDLE, 200)
    report.claim("SGD on the ridge never leaves it, and stops on the saddle", bool((ridge[:, 1] == 0).all()))
    report.compare("SGD on the ridge: distance from the saddle", float(np.hypot(*ridge[-1])), high=1e-6, digits=2)
    shaken = [path(SGD(0.1), SADDLE, 200, noise=0.05, seed=seed)[-1] for seed in range(report.seed, report.seed + 20)]
    left = np.mean([abs(abs(y) - 1) < 0.3 for _, y in shaken])
    report.compare("with gradient noise: share of 20 runs that leave it", left, low=0.95)
    plain, rolling = path(SGD(0.05), WELLS, 400), path(SGD(0.05, 0.9), WELLS, 400)
    report.claim("SGD stays in the local minimum", plain[-1, 0] < 0, f"x = {plain[-1, 0]:.2f}")
    report.claim("momentum rolls through it into the deeper one", rolling[-1, 0] > 0, f"x = {rolling[-1, 0]:.2f}")


def noise(report: Report) -> None:
    from fastnet.optim import SGD

    report.say(
        "The bowl with noise added to the gradients, with and without momentum as a running mean, v = 0.9 v + 0.1 g, "
        "at one "
        "rate: momentum follows the mean gradient, so that single steps turn less."
    )
    turns = {}
    for name, momentum in (("without momentum", 0.0), ("with momentum", 0.9)):
        made = [
            path(SGD(0.01, momentum, momentum), BOWL, 60, 20.0, seed) for seed in range(report.seed, report.seed + 20)
        ]
        turns[name] = float(np.mean([mean_turn(points) for points in made]))
    report.table(["", "mean turn between steps, degrees"], list(turns.items()))
    report.compare(
        "turns with / without momentum", turns["with momentum"] / turns["without momentum"], high=0.7, digits=3
    )


def mean_turn(points: Array) -> float:
    """The mean angle between a step and the next, in degrees."""
    steps = np.diff(points, axis=0)
    angles = np.arctan2(steps[:, 1], steps[:, 0])
    turned = np.abs((np.diff(angles) + np.pi) % (2 * np.pi) - np.pi)
    return float(np.degrees(turned.mean()))


# ---------------------------------------------------------------- pictures


def draw(ax: Any, scene: Scene) -> None:
    left, right, low, high = scene.box
    x, y = np.meshgrid(np.linspace(left, right, 160), np.linspace(low, high, 160))
    z = scene.loss(x, y)
    ax.contour(x, y, z, z.min() + (z.max() - z.min()) * np.linspace(0.01, 1, 18) ** 3, colors="0.8", linewidths=0.8)
    ax.set(title=scene.title, xlabel="x", ylabel="y", xlim=(left, right), ylim=(low, high))
    if scene.best:
        ax.plot(*scene.best, "k*", markersize=9)


def four_panels(report: Report) -> None:
    from fastnet.optim import SGD

    _, axes = report.figure(2, 2, name="problems", size=(11, 8))
    scenes = [(WELLS, 0.05, 0.0), (NEAR_SADDLE, 0.1, 0.0), (BOWL, 1.8 / STEEP, 0.0), (BOWL, 0.01, 20.0)]
    for ax, (scene, rate, shake) in zip(axes.flat, scenes, strict=True):
        draw(ax, scene)
        for name, momentum, color in (("SGD", 0.0, "C0"), ("SGD + momentum", 0.9, "C3")):
            points = path(SGD(rate, momentum, momentum if shake else 0.0), scene, 60, shake, 3)
            ax.plot(*points.T, color + ".-", label=name, linewidth=1.2, markersize=3)
            ax.plot(*points[-1], color + "o", markersize=8)
        if shake:
            ax.set_title("gradient noise (momentum as a running mean)")
    axes[0, 0].legend(loc="upper right")


def one_bowl(report: Report) -> None:
    _, axes = report.figure(1, 2, size=(13, 4.6))
    draw(axes[0], BOWL)
    for name, optimizer in optimizers(1.3 / STEEP, 1.0).items():
        points = path(optimizer, BOWL, 80)
        axes[0].plot(*points.T, ".-", label=name, linewidth=1.2, markersize=3)
        axes[1].semilogy(BOWL.loss(*points.T), label=name)
    axes[0].set_title("80 steps in a bowl")
    axes[1].set(title="loss", xlabel="step", ylabel="loss (logarithmic)", ylim=(1e-6, None))
    axes[1].legend()


def animation(report: Report) -> None:
    """A GIF of all six on a loss surface and beside a saddle, and its last frame as a picture."""
    from matplotlib.animation import FuncAnimation, PillowWriter
    from matplotlib.figure import Figure

    frames, every = report.args.frames, 4
    scenes = [(CONTOURS, optimizers(0.004, 0.3)), (NEAR_SADDLE, optimizers(0.05, 0.1))]
    runs = [{n: path(o, scene, frames * every) for n, o in made.items()} for scene, made in scenes]
    held: Any = Figure(figsize=(10, 4.4), dpi=70, layout="constrained")
    last, _ = report.figure(1, 2, name="race", size=(10, 4.4))
    for figure in (held, last):
        axes = figure.axes or list(figure.subplots(1, 2))
        lines = []
        for ax, (scene, _), paths in zip(axes, scenes, runs, strict=True):
            draw(ax, scene)
            for name, points in paths.items():
                (line,) = ax.plot(*points.T, label=name, linewidth=1.5)
                (head,) = ax.plot(*points[-1], "o", color=line.get_color())
                lines.append((line, head, points))
        axes[0].legend(loc="lower left", fontsize=8)

        def show(frame: int, lines: Any = lines) -> None:
            upto = frame * every + 1
            for line, head, points in lines:
                line.set_data(*points[:upto].T)
                head.set_data(*points[upto - 1 : upto].T)

        if figure is held:
            report.folder.mkdir(parents=True, exist_ok=True)
            moving = FuncAnimation(held, show, frames=frames, blit=False)
            moving.save(report.folder / "race.gif", PillowWriter(fps=12))
            report.say(f"{report.folder / 'race.gif'} shows all six on a loss surface and beside a saddle.")
