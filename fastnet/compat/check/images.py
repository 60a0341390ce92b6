"""Tasks: convolution and pooling."""

from __future__ import annotations

from fastnet.compat.check import image_mistakes as m
from fastnet.compat.check import oracle as o
from fastnet.compat.check.task import FAST, LOOPS, Task, cache, example, first

# ---------------------------------------------------------------- convolution


def _conv(seed, x, w, stride, pad):
    def more(g, rng, options):
        return {"dout": rng.normal(size=o.out_shape(g.x, g.w, stride, pad))}

    shapes = {"x": x, "w": w, "b": w[:1]}
    return example(
        f"x {x}, w {w}, stride {stride}, pad {pad}", seed, shapes, more, conv_param={"stride": stride, "pad": pad}
    )


_CONV = [
    _conv(30, (2, 3, 4, 4), (3, 3, 4, 4), 2, 1),
    _conv(31, (4, 3, 5, 5), (2, 3, 3, 3), 1, 1),
    _conv(32, (3, 2, 7, 5), (4, 2, 3, 3), 2, 0),
    _conv(33, (2, 3, 9, 6), (2, 3, 5, 2), 1, 2),
    _conv(34, (4, 3, 31, 31), (16, 3, 3, 3), 2, 1),
]


def _conv_args(g):
    return g.x, g.w, g.b, dict(g.conv_param)


def _conv_gradients(g):
    dwide, dw, db = o.conv_backward(g.dout, g.x, g.w, **g.conv_param)
    return o.cut(dwide, g.conv_param["pad"]), dw, db


def _named(name):
    """The course's names for a function, naive and fast, with their time limits."""
    return {f"{name}_naive": LOOPS, f"{name}_fast": FAST, f"{name}_im2col": FAST, f"{name}_strides": FAST}


# ---------------------------------------------------------------- pooling


def _pool(seed, x, height, width, stride):
    def more(g, rng, options):
        return {"dout": rng.normal(size=o.pooled_shape(g.x, (height, width), stride))}

    param = {"pool_height": height, "pool_width": width, "stride": stride}
    return example(f"x {x}, {height} x {width}, stride {stride}", seed, {"x": x}, more, pool_param=param)


_POOL = [
    _pool(35, (2, 3, 4, 4), 2, 2, 2),
    _pool(36, (3, 2, 8, 6), 2, 2, 2),
    _pool(37, (3, 2, 7, 9), 3, 3, 2),
    _pool(38, (2, 2, 6, 8), 2, 4, 2),
    _pool(39, (20, 3, 32, 32), 2, 2, 2),
]


def _kernel(g):
    return g.pool_param["pool_height"], g.pool_param["pool_width"]


TASKS = [
    Task(
        "conv_forward",
        _named("conv_forward"),
        _CONV,
        "out, cache",
        {"out": m.CONV_FORWARD},
        lambda g: (o.conv(g.x, g.w, g.b, **g.conv_param),),
        lambda g, forward: _conv_args(g),
        first(1),
    ),
    Task(
        "conv_backward",
        _named("conv_backward"),
        _CONV,
        "dx, dw, db",
        {"dx": m.CONV_DX, "dw": m.CONV_DW, "db": m.CONV_DB},
        _conv_gradients,
        lambda g, forward: (g.dout, cache(forward, _conv_args(g), _conv_args(g))),
    ),
    Task(
        "max_pool_forward",
        {"max_pool_forward_naive": LOOPS, "max_pool_forward_fast": FAST},
        _POOL,
        "out, cache",
        {"out": m.POOL_FORWARD},
        lambda g: (o.pool(g.x, _kernel(g), g.pool_param["stride"]),),
        lambda g, forward: (g.x, dict(g.pool_param)),
        first(1),
    ),
    Task(
        "max_pool_backward",
        {"max_pool_backward_naive": LOOPS, "max_pool_backward_fast": FAST},
        _POOL,
        "dx",
        {"dx": m.POOL_BACKWARD},
        lambda g: (o.max_pool_backward(g.dout, g.x, _kernel(g), g.pool_param["stride"]),),
        lambda g, forward: (g.dout, cache(forward, (g.x, dict(g.pool_param)), (g.x, dict(g.pool_param)))),
    ),
]
