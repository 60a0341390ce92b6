"""Tasks: losses, update rules, nearest neighbours."""

from __future__ import annotations

import numpy as np

from fastnet.compat.check import loss_mistakes as m
from fastnet.compat.check import oracle as o
from fastnet.compat.check.task import LOOPS, VECTORIZED, Task, example

# ---------------------------------------------------------------- losses of scores


def _scores(seed, N, C, offset=0.0):
    label = f"x {N, C}" + (f", all scores near {offset:g}" if offset else "")
    return example(label, seed, {"x": (N, C)}, lambda g, rng, _: {"x": g.x + offset, "y": rng.integers(0, C, N)})


_SCORES = [_scores(40, 50, 10), _scores(41, 7, 3, 1000.0), _scores(42, 500, 10)]


def _loss(name, right, loss, dx):
    return Task(
        name,
        {name: LOOPS},
        _SCORES,
        "loss, dx",
        {"loss": loss, "dx": dx},
        lambda g: right(g.x, g.y),
        lambda g, forward: (g.x, g.y),
    )


# ---------------------------------------------------------------- losses of linear classifiers


def _linear(seed, N, D, C, offset=0.0):
    """A linear classifier's arrays, with `offset` added to all scores."""
    label = f"X {N, D}, W {D, C}" + (f", all scores near {offset:g}" if offset else "")

    def more(g, rng, options):
        if offset:
            g.X[:, -1], g.W[-1] = offset, 1.0
        return {"y": rng.integers(0, C, N), "l2": options.l2}

    return example(label, seed, {"X": (N, D), "W": (D, C)}, more, reg=0.03)


_CLASSIFIER = [_linear(43, 20, 7, 4), _linear(44, 20, 7, 4, 1000.0), _linear(45, 1000, 200, 10)]


def _linear_loss(name, right, sentences):
    loss, dW = m.linear(right, *sentences)
    task = Task(
        f"{name}_linear",
        {f"{name}_naive": LOOPS, f"{name}_vectorized": VECTORIZED},
        _CLASSIFIER,
        "loss, dW",
        {"loss": loss, "dW": dW},
        lambda g: o.linear_loss(right, g.W, g.X, g.y, g.reg, g.l2),
        lambda g, forward: (g.W, g.X, g.y, g.reg),
    )
    columns = task._replace(
        arguments=lambda g, forward: (g.W.T, g.X.T, g.y, g.reg),
        results=lambda returned, args, g: (returned[0], getattr(returned[1], "T", returned[1])),
    )
    return task._replace(forms=(("in the form of 2015: W is (C, D), X is (D, N)", columns),))


# ---------------------------------------------------------------- update rules


def _rule(name, right, names, state, outputs, examples):
    """A task for a rule; `names` maps the oracle's arguments to config's keys, and `state` lists those written back."""

    def arguments(g, forward):
        return g.w, g.dw, {names[key]: np.copy(value)[()] for key, value in g.numbers.items() if key not in g.absent}

    return Task(
        name,
        {name: LOOPS},
        examples,
        "next_w, config",
        outputs,
        lambda g: right(g.w, g.dw, **g.numbers),
        arguments,
        lambda returned, args, g: (returned[0], *(returned[1].get(names[key]) for key in state)),
        may_change=("w",),
    )


def _step(seed, state, **numbers):
    """An update of w (4, 5); `state` says for each array whether it is random, or absent from config and thus zero."""
    given = [key for key, there in state.items() if there]

    def more(g, rng, options):
        arrays = {key: rng.uniform(0.1, 1, (4, 5)) if there else np.zeros((4, 5)) for key, there in state.items()}
        # a config without state has no step count either
        absent = [] if given or not state else [*state, *(["t"] if "t" in numbers else [])]
        return {"numbers": {**numbers, **arrays}, "absent": absent}

    label = "w (4, 5), " + ("with a state of earlier steps" if given else "the first step")
    return example(label, seed, {"w": (4, 5), "dw": (4, 5)}, more)


def _steps(seed, names, first, later):
    return [_step(seed, dict.fromkeys(names, False), **first), _step(seed + 1, dict.fromkeys(names, True), **later)]


_MOMENTUM = {"lr": "learning_rate", "momentum": "momentum", "v": "velocity"}
_RMSPROP = {"lr": "learning_rate", "decay": "decay_rate", "eps": "epsilon", "cache": "cache"}
_ADAM = {"lr": "learning_rate", "eps": "epsilon", **{key: key for key in ("beta1", "beta2", "m", "v", "t")}}
_BETAS = {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8}


def _adam():
    task = _rule(
        "adam",
        o.adam,
        _ADAM,
        ("m", "v", "t"),
        {"next_w": m.ADAM, "m": m.ADAM_M, "v": m.ADAM_V, "t": m.ADAM_T},
        _steps(55, "mv", {"lr": 1e-3, **_BETAS, "t": 0}, {"lr": 1e-2, **_BETAS, "eps": 1e-2, "t": 5}),
    )
    from_one = task._replace(right=lambda g: _adam_from_one(g, 0))
    after = task._replace(right=lambda g: _adam_from_one(g, 1))
    return task._replace(
        forms=(
            ("t is 1 before the first step, as in the starter code of 2015 to 2017", from_one),
            ("t is 1 before the first step, and incremented after its use", after),
        )
    )


def _adam_from_one(g, late):
    """Adam with a step count that is 1 in a new config, and incremented before its use, or (`late` = 1) after it."""
    before = {**g.numbers, "t": (1 if g.absent else g.numbers["t"]) - late}
    *new, t = o.adam(g.w, g.dw, **before)
    return *new, t + late


RULES = [
    _rule("sgd", o.sgd, {"lr": "learning_rate"}, (), {"next_w": m.SGD}, [_step(50, {}, lr=1e-2)]),
    _rule(
        "sgd_momentum",
        o.sgd_momentum,
        _MOMENTUM,
        ("v",),
        {"next_w": m.MOMENTUM, "velocity": m.VELOCITY},
        _steps(51, "v", {"lr": 1e-3, "momentum": 0.9}, {"lr": 1e-2, "momentum": 0.7}),
    ),
    _rule(
        "rmsprop",
        o.rmsprop,
        _RMSPROP,
        ("cache",),
        {"next_w": m.RMSPROP, "cache": m.CACHE},
        _steps(53, ["cache"], {"lr": 1e-2, "decay": 0.99, "eps": 1e-8}, {"lr": 1e-2, "decay": 0.9, "eps": 1e-2}),
    ),
    _adam(),
]

# ---------------------------------------------------------------- nearest neighbours


def _points(seed, trains, tests, D):
    shapes = {"X": (trains, D), "tests": (tests, D)}
    return example(
        f"{tests} test and {trains} training examples with {D} features",
        seed,
        shapes,
        lambda g, rng, _: {"y": rng.integers(0, 5, trains)},
    )


def _votes(seed, k):
    def more(g, rng, options):
        return {"dists": abs(g.dists), "y": rng.integers(0, 4, 30)}

    return example(f"dists (40, 30), k {k}", seed, {"dists": (40, 30), "X": (30, 3)}, more, k=k)


def _method(cls, method, g):
    neighbours = cls()
    neighbours.train(g.X, g.y)
    return getattr(neighbours, method)


_KNN = "KNearestNeighbor.compute_distances"

NEIGHBOURS = [
    Task(
        "knn_distances",
        {f"{_KNN}_two_loops": LOOPS, f"{_KNN}_one_loop": 1.0, f"{_KNN}_no_loops": VECTORIZED},
        [_points(60, 9, 6, 4), _points(61, 200, 80, 192)],
        "dists",
        {"dists": m.DISTANCES},
        lambda g: (o.distances(g.X, g.tests),),
        lambda g, forward: (g.tests,),
        target=_method,
    ),
    Task(
        "knn_labels",
        {"KNearestNeighbor.predict_labels": LOOPS},
        [_votes(62, 1), _votes(63, 4), _votes(64, 7)],
        "y_pred",
        {"y_pred": m.LABELS},
        lambda g: (o.vote(g.dists, g.y, g.k),),
        lambda g, forward: (g.dists, g.k),
        target=_method,
    ),
]

TASKS = [
    _loss("svm_loss", o.svm_loss, m.SVM_LOSS, m.SVM_DX),
    _loss("softmax_loss", o.softmax_loss, m.SOFTMAX_LOSS, m.SOFTMAX_DX),
    _linear_loss("svm_loss", o.svm_loss, (m.SVM_LOSS, m.SVM_DX)),
    _linear_loss("softmax_loss", o.softmax_loss, (m.SOFTMAX_LOSS, m.SOFTMAX_DX)),
    *RULES,
    *NEIGHBOURS,
]
