"""Tasks: fully connected layers, ReLU, dropout, and all normalisations."""

from __future__ import annotations

import numpy as np

from fastnet.compat.check import mistakes as m
from fastnet.compat.check import norm_mistakes as n
from fastnet.compat.check import oracle as o
from fastnet.compat.check.task import LOOPS, Task, cache, example, first

# ---------------------------------------------------------------- affine, ReLU


def _affine(seed, x, units):
    D = int(np.prod(x[1:]))
    return example(f"x {x}, w {D, units}", seed, {"x": x, "w": (D, units), "b": (units,), "dout": (x[0], units)})


def _relu(seed, x):
    return example(f"x {x}", seed, {"x": x, "dout": x})


_AFFINE = [_affine(0, (2, 4, 5, 6), 3), _affine(1, (10, 6), 5), _affine(2, (50, 3, 16, 16), 100)]
_RELU = [_relu(3, (10, 10)), _relu(4, (20, 3, 16, 16))]

SIMPLE = [
    Task(
        "affine_forward",
        {"affine_forward": LOOPS},
        _AFFINE,
        "out, cache",
        {"out": m.AFFINE_FORWARD},
        lambda g: (o.affine(g.x, g.w, g.b),),
        lambda g, forward: (g.x, g.w, g.b),
        first(1),
    ),
    Task(
        "affine_backward",
        {"affine_backward": LOOPS},
        _AFFINE,
        "dx, dw, db",
        {"dx": m.AFFINE_DX, "dw": {}, "db": m.AFFINE_DB},
        lambda g: o.affine_backward(g.dout, g.x, g.w),
        lambda g, forward: (g.dout, cache(forward, (g.x, g.w, g.b), (g.x, g.w, g.b))),
    ),
    Task(
        "relu_forward",
        {"relu_forward": LOOPS},
        _RELU,
        "out, cache",
        {"out": m.RELU_FORWARD},
        lambda g: (o.relu(g.x),),
        lambda g, forward: (g.x,),
        first(1),
    ),
    Task(
        "relu_backward",
        {"relu_backward": LOOPS},
        _RELU,
        "dx",
        {"dx": m.RELU_BACKWARD},
        lambda g: (o.relu_backward(g.dout, g.x),),
        lambda g, forward: (g.dout, cache(forward, (g.x,), g.x)),
    ),
]

# ---------------------------------------------------------------- dropout


def _dropout(seed, mode, keep):
    def more(g, rng, options):
        p = 1 - keep if options.drop_p else keep
        return {"x": g.x + 10, "keep": keep, "dropout_param": {"mode": mode, "p": p}}

    return example(f"x (500, 500), {mode}, {keep} kept", seed, {"x": (500, 500), "dout": (500, 500)}, more)


_DROPOUT = [_dropout(5, "test", 0.3), _dropout(6, "train", 0.3), _dropout(7, "train", 0.75)]


def _dropout_rest(returned, args, g):
    if np.shape(returned[0]) != g.dout.shape:
        return returned
    return (returned[0] - g.dout * (g.mask if g.dropout_param["mode"] == "train" else 1.0),)


def _dropout_rates(returned, args, g):
    """The fraction of zeros, and the factor of the other elements."""
    out = returned[0]
    if np.shape(out) != g.x.shape or np.asarray(out).dtype.kind not in "fiu":
        return out, out
    out = np.asarray(out)
    kept = out != 0
    return np.mean(~kept), np.mean(out[kept] / g.x[kept]) if kept.any() else 0.0


def _dropout_arguments(g, forward):
    returned = forward(np.ones(g.x.shape), dict(g.dropout_param))
    if returned is None:  # the course's cache, whose mask includes the division by p
        keep = np.random.default_rng(8).random(g.x.shape) < g.keep
        g.mask = keep / g.keep if g.dropout_param["mode"] == "train" else None
        return g.dout, (dict(g.dropout_param), g.mask)
    g.mask = returned[0]
    return g.dout, returned[1]


DROPOUT = [
    Task(
        "dropout_forward",
        {"dropout_forward": LOOPS},
        _DROPOUT,
        "out, cache",
        {"zeros": m.DROPOUT_ZEROS, "scale": m.DROPOUT_SCALE},
        lambda g: (1 - g.keep, 1 / g.keep) if g.dropout_param["mode"] == "train" else (0.0, 1.0),
        lambda g, forward: (g.x, dict(g.dropout_param)),
        _dropout_rates,
        tolerance=1e-2,
    ),
    Task(
        "dropout_backward",
        {"dropout_backward": LOOPS},
        _DROPOUT,
        "dx",
        {"dx - dout * mask": {}},
        lambda g: (np.zeros(g.x.shape),),
        _dropout_arguments,
        _dropout_rest,
    ),
]

# ---------------------------------------------------------------- normalisation


def _bn(seed, x, mode, **settings):
    """Batch normalisation's arrays, including running statistics if there are settings."""
    C = x[1]
    label = ", ".join([f"x {x}, {mode}", *(f"{name} {value}" for name, value in settings.items())])

    def more(g, rng, options):
        state = {"running_mean": rng.normal(size=C), "running_var": rng.uniform(0.5, 2, C)} if settings else {}
        return {"x": 3 * g.x + 5, "bn_param": {"mode": mode, **settings, **state}}

    return example(label, seed, {"x": x, "gamma": (C,), "beta": (C,), "dout": x}, more)


def _ln(seed, x):
    return example(f"x {x}", seed, {"x": x, "gamma": x[1:], "beta": x[1:], "dout": x})


def _gn(seed, x, G):
    C = 1, x[1], 1, 1
    return example(f"x {x}, G {G}", seed, {"x": x, "gamma": C, "beta": C, "dout": x}, G=G)


_BN = [
    _bn(10, (200, 3), "train"),
    _bn(11, (4, 5), "train", eps=1e-2, momentum=0.7),
    _bn(12, (4, 5), "test", eps=1e-3),
    _bn(13, (100, 500), "train"),
]
_SPATIAL = [
    _bn(14, (2, 3, 4, 5), "train"),
    _bn(15, (3, 4, 5, 2), "train", eps=1e-2, momentum=0.7),
    _bn(16, (3, 4, 5, 2), "test", eps=1e-3),
    _bn(17, (20, 8, 16, 16), "train"),
]
_LN = [_ln(18, (4, 3)), _ln(19, (100, 500))]
_GN = [_gn(20, (2, 6, 4, 5), 2), _gn(21, (3, 8, 2, 3), 4), _gn(22, (10, 8, 16, 16), 2)]


def _bn_args(g):
    return g.x, g.gamma, g.beta, {"mode": "train"}


def _ln_args(g):
    return g.x, g.gamma, g.beta, {"eps": 1e-5}


def _gn_args(g):
    return g.x, g.gamma, g.beta, g.G, {"eps": 1e-5}


def _bn_forward(name, examples, right, sentences):
    return Task(
        name,
        {name: LOOPS},
        examples,
        "out, cache",
        {"out": sentences, "running_mean": n.RUNNING_MEAN, "running_var": n.RUNNING_VAR},
        lambda g: right(g.x, g.gamma, g.beta, g.bn_param),
        lambda g, forward: (g.x, g.gamma, g.beta, dict(g.bn_param)),
        lambda returned, args, g: (returned[0], args[3].get("running_mean"), args[3].get("running_var")),
    )


def _forward(name, examples, args, right, sentences):
    return Task(
        name,
        {name: LOOPS},
        examples,
        "out, cache",
        {"out": sentences},
        lambda g: (right(g),),
        lambda g, forward: args(g),
        first(1),
    )


def _backward(name, examples, args, right, dx, *, also=()):
    return Task(
        name,
        dict.fromkeys((name, *also), LOOPS),
        examples,
        "dx, dgamma, dbeta",
        {"dx": dx, "dgamma": n.DGAMMA, "dbeta": {}},
        right,
        lambda g, forward: (g.dout, cache(forward, args(g))),
    )


def _groupnorm():
    """Notebooks pass gamma and beta as (1, C, 1, 1); the docstring of 2018 to 2020 says (C,)."""

    def vectors(g):
        return g.x, g.gamma.ravel(), g.beta.ravel(), g.G, {"eps": 1e-5}

    def gradients(g):
        dx, dgamma, dbeta = o.groupnorm_backward(g.dout, g.x, g.gamma, g.G)
        return dx, dgamma.ravel(), dbeta.ravel()

    remark = "gamma and beta are (C,), as the docstring of 2018 to 2020 says"
    forward = _forward(
        "spatial_groupnorm_forward",
        _GN,
        _gn_args,
        lambda g: o.groupnorm(g.x, g.gamma, g.beta, g.G),
        n.GROUPNORM_FORWARD,
    )
    backward = _backward(
        "spatial_groupnorm_backward",
        _GN,
        _gn_args,
        lambda g: o.groupnorm_backward(g.dout, g.x, g.gamma, g.G),
        n.GROUPNORM_DX,
    )
    forward_vectors = forward._replace(arguments=lambda g, forward: vectors(g))
    backward_vectors = backward._replace(
        arguments=lambda g, forward: (g.dout, cache(forward, vectors(g))), right=gradients
    )
    return [
        forward._replace(forms=((remark, forward_vectors),)),
        backward._replace(forms=((remark, backward_vectors),)),
    ]


NORM = [
    _bn_forward("batchnorm_forward", _BN, o.batchnorm, n.BATCHNORM_FORWARD),
    _backward(
        "batchnorm_backward",
        [_BN[0], _BN[3]],
        _bn_args,
        lambda g: o.batchnorm_backward(g.dout, g.x, g.gamma),
        n.BATCHNORM_DX,
        also=("batchnorm_backward_alt",),
    ),
    _forward("layernorm_forward", _LN, _ln_args, lambda g: o.layernorm(g.x, g.gamma, g.beta), n.LAYERNORM_FORWARD),
    _backward(
        "layernorm_backward", _LN, _ln_args, lambda g: o.layernorm_backward(g.dout, g.x, g.gamma), n.LAYERNORM_DX
    ),
    _bn_forward("spatial_batchnorm_forward", _SPATIAL, o.spatial_batchnorm, n.SPATIAL_BATCHNORM_FORWARD),
    _backward(
        "spatial_batchnorm_backward",
        [_SPATIAL[0], _SPATIAL[3]],
        _bn_args,
        lambda g: o.spatial_batchnorm_backward(g.dout, g.x, g.gamma),
        n.SPATIAL_BATCHNORM_DX,
    ),
    *_groupnorm(),
]

TASKS = [*SIMPLE, *DROPOUT, *NORM]
