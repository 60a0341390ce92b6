"""Typical mistakes in convolution and pooling, as in :mod:`fastnet.compat.check.mistakes`."""

from __future__ import annotations

import numpy as np

from fastnet.compat.check import oracle as o

_OVERLAP = "overlapping windows must accumulate: += instead of ="
_START = "window p begins at pixel p, not at p * stride"

# ---------------------------------------------------------------- convolution


def _conv(g, **changes):
    given = {"x": g.x, "w": g.w, "b": g.b, **g.conv_param, **changes}
    return o.conv(given["x"], given["w"], given["b"], given["stride"], given["pad"])


def _conv_back(g, which, w=None):
    pad = g.conv_param["pad"]
    gradients = o.conv_backward(g.dout, g.x, g.w if w is None else w, g.conv_param["stride"], pad)
    return o.cut(gradients[0], pad) if which == 0 else gradients[which]


def _flip(w):
    return w[:, :, ::-1, ::-1]


def _conv_windows(g, wide=None, step=None, swap=False):
    """Yield ((n, k, p, q), the rows and columns of its window, the window), with a mistake in the window's place."""
    stride, (R, S) = g.conv_param["stride"], g.w.shape[2:]
    step, wide = step or stride, o.padded(g.x, g.conv_param["pad"]) if wide is None else wide
    for n, k, p, q in np.ndindex(*o.out_shape(g.x, g.w, stride, g.conv_param["pad"])):
        h, v = (q * step, p * step) if swap else (p * step, q * step)
        rows, columns = slice(h, h + R), slice(v, v + S)
        yield (n, k, p, q), (rows, columns), wide[n, :, rows, columns]


def _conv_by(g, combine=np.sum, w=lambda k: k, b=lambda g, k: g.b[k], **place):
    """The output if each window's products are combined otherwise, or the windows lie elsewhere."""
    out = np.zeros(o.out_shape(g.x, g.w, **g.conv_param))
    for at, _, window in _conv_windows(g, **place):
        filters = g.w[w(at[1])][:, : window.shape[1], : window.shape[2]]  # a window may reach beyond the image
        out[at] = combine(window * filters) + b(g, at[1]) if window.size else b(g, at[1])
    return out


def _padded(g, *arguments, **settings):
    pad = g.conv_param["pad"]
    return np.pad(g.x, ((0, 0), (0, 0), (pad, pad), (pad, pad)), *arguments, **settings)


def _without_last(out):
    """Zeros in the last row and column."""
    out = out.copy()
    out[:, :, -1:], out[:, :, :, -1:] = 0, 0
    return out


def _overwritten_dx(g, whole=False):
    """dx where windows overwrite the contributions of earlier ones, filter by filter or after their sum (`whole`)."""
    wide = np.zeros(o.padded(g.x, g.conv_param["pad"]).shape)
    for (n, k, p, q), (h, v), _ in _conv_windows(g):
        wide[n, :, h, v] = np.tensordot(g.dout[n, :, p, q], g.w, 1) if whole else g.dout[n, k, p, q] * g.w[k]
    return o.cut(wide, g.conv_param["pad"])


def _dx(g, share, **place):
    """dx if each window receives ``share(g, at, window)``."""
    wide = np.zeros(o.padded(g.x, g.conv_param["pad"]).shape)
    for at, (h, v), window in _conv_windows(g, **place):
        wide[at[0], :, h, v] += share(g, at, window)
    return o.cut(wide, g.conv_param["pad"])


def _last_image(dx):
    return np.concatenate([np.zeros_like(dx[:-1]), dx[-1:]])


def _dw(g, share, **place):
    """dw if each window contributes ``share(g, at, window)``."""
    dw = np.zeros(g.w.shape)
    for at, _, window in _conv_windows(g, **place):
        part = share(g, at, window)
        dw[at[1]][:, : part.shape[1], : part.shape[2]] += part
    return dw


def _dw_of(g, images):
    """dw of only some of the images."""
    return o.conv_backward(g.dout[images], g.x[images], g.w, g.conv_param["stride"], g.conv_param["pad"])[1]


def _last_dw(g):
    """dw of only the last window of the last image."""
    alone = np.zeros(g.dout.shape)
    alone[-1, :, -1, -1] = g.dout[-1, :, -1, -1]
    return o.conv_backward(alone, g.x, g.w, g.conv_param["stride"], g.conv_param["pad"])[1]


CONV_FORWARD = {
    "the padding is missing": lambda g: _conv(g, pad=0),
    "the padding repeats the border; it must be zeros": lambda g: _conv_by(g, wide=_padded(g, "edge")),
    "the padding is ones; it must be zeros": lambda g: _conv_by(g, wide=_padded(g, constant_values=1)),
    "the stride is ignored": lambda g: _conv(g, stride=1),
    _START: lambda g: _conv_by(g, step=1),
    "rows and columns of the output are exchanged": lambda g: _conv_by(g, swap=True),
    "the last row and column of windows are missing": lambda g: _without_last(_conv(g)),
    "the bias is missing": lambda g: _conv(g, b=np.zeros(len(g.b))),
    "the bias is subtracted": lambda g: _conv(g, b=-g.b),
    "the bias is added to each product before the sum": lambda g: _conv(g, b=g.b * g.w[0].size),
    "all filters get the same bias, the first": lambda g: _conv_by(g, b=lambda g, k: g.b[0]),
    "each output gets the sum of all biases": lambda g: _conv_by(g, b=lambda g, k: g.b.sum()),
    "all outputs are those of the first filter": lambda g: _conv_by(g, w=lambda k: 0),
    "all outputs are those of the first image": lambda g: _conv(g, x=np.repeat(g.x[:1], len(g.x), axis=0)),
    "it is the mean of the products, not their sum": lambda g: _conv_by(g, np.mean),
    "it is the largest product, not their sum": lambda g: _conv_by(g, np.max),
    "the kernel is flipped; the course's convolution is a cross-correlation": lambda g: _conv(g, w=_flip(g.w)),
    "rows and columns of the kernel are exchanged": lambda g: _conv(g, w=g.w.swapaxes(2, 3)),
    "only the first channel is used": lambda g: _conv(g, x=g.x[:, :1], w=g.w[:, :1]),
}
CONV_DX = {
    "the padding is not cut off": lambda g: o.conv_backward(g.dout, g.x, g.w, **g.conv_param)[0],
    _OVERLAP: _overwritten_dx,
    f"{_OVERLAP} (after the sum over filters)": lambda g: _overwritten_dx(g, whole=True),
    "the kernel is flipped (forgot to flip it, or flipped it once too often)": lambda g: _conv_back(g, 0, _flip(g.w)),
    _START: lambda g: _dx(g, lambda g, at, window: g.dout[at] * g.w[at[1]], step=1),
    "dout is missing": lambda g: _dx(g, lambda g, at, window: g.w[at[1]]),
    "it is made of x; it must be dout times w": lambda g: _dx(g, lambda g, at, window: g.dout[at] * window),
    "only the last image has a gradient: dx must be zeroed once, before the loops": lambda g: _last_image(
        _conv_back(g, 0)
    ),
}
CONV_DW = {
    "the kernel is flipped (forgot to flip it, or flipped it once too often)": lambda g: _flip(_conv_back(g, 1)),
    "only the last image counts: += instead of =": lambda g: _dw_of(g, slice(-1, None)),
    "only the last window counts: += instead of =": _last_dw,
    _START: lambda g: _dw(g, lambda g, at, window: g.dout[at] * window, step=1),
    "x must be padded": lambda g: _dw(g, lambda g, at, window: g.dout[at] * window, wide=g.x),
    "dout is missing": lambda g: _dw(g, lambda g, at, window: window),
    "it is made of w; it must be dout times x": lambda g: _dw(g, lambda g, at, window: g.dout[at] * g.w[at[1]]),
    "each window is multiplied by the sum of dout": lambda g: _dw(
        g, lambda g, at, window: g.dout[at[:2]].sum() * window
    ),
}
CONV_DB = {
    "only the last image counts: += instead of =": lambda g: g.dout[-1].sum(axis=(1, 2)),
    "it is not summed over the images": lambda g: g.dout.sum(axis=(2, 3)),
    "it is not summed over the pixels": lambda g: g.dout.sum(axis=0),
    "it is the mean over images and pixels, not the sum": lambda g: g.dout.mean(axis=(0, 2, 3)),
}

# ---------------------------------------------------------------- pooling


def _kernel(g):
    return g.pool_param["pool_height"], g.pool_param["pool_width"]


def _pooled(g, choose, **changes):
    return o.pool(g.x, changes.get("kernel", _kernel(g)), changes.get("stride", g.pool_param["stride"]), choose)


def _pool_windows(g):
    """Yield (n, c, p, q) and where its window begins and lies."""
    (R, S), stride = _kernel(g), g.pool_param["stride"]
    for n, c, p, q in np.ndindex(*o.pooled_shape(g.x, (R, S), stride)):
        h, v = p * stride, q * stride
        yield (n, c, p, q), (h, v), (n, c, slice(h, h + R), slice(v, v + S))


def _pooled_by_steps(g, steps):
    """The output if windows begin at multiples of `steps`, with the right output's size."""
    (R, S), out = _kernel(g), np.zeros(g.dout.shape)
    for n, c, p, q in np.ndindex(*out.shape):
        window = g.x[n, c, p * steps[0] : p * steps[0] + R, q * steps[1] : q * steps[1] + S]
        out[n, c, p, q] = window.max(initial=-np.inf)
    return out


def _pooled_together(g):
    """The largest value of all images and channels."""
    largest = g.x.max(axis=(0, 1))[None, None]
    out = o.pool(largest, _kernel(g), g.pool_param["stride"])
    return np.broadcast_to(out, g.dout.shape)


def _pool_back(g, share, add=True, dout=True):
    """The gradient if each window's pixels receive ``share(window)`` of it."""
    dx = np.zeros(g.x.shape)
    for out, _, at in _pool_windows(g):
        dx[at] = (dx[at] if add else 0) + (g.dout[out] if dout else 1) * share(g.x[at])
    return dx


def _pool_back_at(g, place, add=True):
    """The gradient if a window's goes to the pixel ``place(start, position in the window, (p, q))``."""
    dx = np.zeros(g.x.shape)
    for (n, c, *pq), start, at in _pool_windows(g):
        window = g.x[at]
        h, v = place(start, np.unravel_index(window.argmax(), window.shape), pq)
        dx[n, c, h, v] = (dx[n, c, h, v] if add else 0) + g.dout[(n, c, *pq)]
    return dx


def _inside(start, position, pq):
    return start[0] + position[0], start[1] + position[1]


POOL_FORWARD = {
    "it is the mean of each window, not the largest value": lambda g: _pooled(g, np.mean),
    "it is the sum of each window, not the largest value": lambda g: _pooled(g, np.sum),
    "it is the smallest value of each window": lambda g: _pooled(g, np.min),
    "it is the largest absolute value": lambda g: _pooled(g, lambda window: abs(window).max()),
    "the maximum begins with 0, so that negative values are lost": lambda g: np.maximum(_pooled(g, np.max), 0),
    "images and channels are pooled together: max over the axes (2, 3)": _pooled_together,
    "the stride is ignored": lambda g: _pooled(g, np.max, stride=1),
    _START: lambda g: _pooled_by_steps(g, (1, 1)),
    "windows step by the pool's size, not by the stride": lambda g: _pooled_by_steps(g, _kernel(g)),
    "the last row and column of windows are missing": lambda g: _without_last(_pooled(g, np.max)),
    "pool_height and pool_width are exchanged": lambda g: _pooled(g, np.max, kernel=_kernel(g)[::-1]),
}
POOL_BACKWARD = {
    _OVERLAP: lambda g: _pool_back(g, lambda window: window == window.max(), add=False),
    f"{_OVERLAP} (where windows share their largest pixel)": lambda g: _pool_back_at(g, _inside, add=False),
    "every pixel of a window gets the gradient, not only the largest": lambda g: _pool_back(g, np.ones_like),
    "it is the gradient of mean pooling": lambda g: _pool_back(
        g, lambda window: np.full(window.shape, 1 / window.size)
    ),
    "it goes to the smallest pixel of each window": lambda g: _pool_back(g, lambda window: window == window.min()),
    "the gradient is multiplied by the largest value": lambda g: _pool_back(
        g, lambda window: window * (window == window.max())
    ),
    "it is the mask alone: dout is missing": lambda g: _pool_back(g, lambda window: window == window.max(), dout=False),
    "the position in the window is taken for one in the image: add where the window begins": lambda g: _pool_back_at(
        g, lambda start, position, pq: position
    ),
    _START: lambda g: _pool_back_at(g, lambda start, position, pq: (pq[0] + position[0], pq[1] + position[1])),
}
