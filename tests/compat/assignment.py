"""An assignment folder with the structure of CS231n's, but with our own code, and the cells of its notebook.

``layers.py`` and the modules that use it represent a student's work, ``fast_layers.py`` and ``im2col.py`` the course's
files: as there, the extension may be missing, and pooling with windows that do not tile calls an undefined function.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

LAYERS = """
import numpy as np


def affine_forward(x, w, b):
    return x.reshape(len(x), -1) @ w + b, (x, w, b)


def affine_backward(dout, cache):
    x, w, b = cache
    return (dout @ w.T).reshape(x.shape), x.reshape(len(x), -1).T @ dout, dout.sum(axis=0)


def relu_forward(x):
    return np.maximum(x, 0), x


def relu_backward(dout, cache):
    return dout * (cache > 0)


def softmax_loss(x, y):
    p = np.exp(x - x.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    rows = np.arange(len(x))
    loss = -np.log(p[rows, y]).mean()
    p[rows, y] -= 1
    return loss, p / len(x)


def positions(shape, height, width, stride):
    for i in range(1 + (shape[2] - height) // stride):
        for j in range(1 + (shape[3] - width) // stride):
            yield i, j, (..., slice(i * stride, i * stride + height), slice(j * stride, j * stride + width))


def conv_forward_naive(x, w, b, conv_param):
    s, p = conv_param["stride"], conv_param["pad"]
    xp = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    size = [1 + (xp.shape[axis] - w.shape[axis]) // s for axis in (2, 3)]
    out = np.zeros((len(x), len(w), *size))
    for i, j, window in positions(xp.shape, *w.shape[2:], s):
        out[:, :, i, j] = np.einsum("ncrs,fcrs->nf", xp[window], w) + b
    return out, (x, w, b, conv_param)


def conv_backward_naive(dout, cache):
    x, w, b, conv_param = cache
    s, p = conv_param["stride"], conv_param["pad"]
    xp = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    dxp, dw = np.zeros(xp.shape), np.zeros(w.shape)
    for i, j, window in positions(xp.shape, *w.shape[2:], s):
        dw += np.einsum("nf,ncrs->fcrs", dout[:, :, i, j], xp[window])
        dxp[window] += np.einsum("nf,fcrs->ncrs", dout[:, :, i, j], w)
    return dxp[:, :, p : p + x.shape[2], p : p + x.shape[3]], dw, dout.sum(axis=(0, 2, 3))


def max_pool_forward_naive(x, pool_param):
    h, w, s = pool_param["pool_height"], pool_param["pool_width"], pool_param["stride"]
    out = np.zeros((*x.shape[:2], 1 + (x.shape[2] - h) // s, 1 + (x.shape[3] - w) // s))
    for i, j, window in positions(x.shape, h, w, s):
        out[:, :, i, j] = x[window].max(axis=(2, 3))
    return out, (x, pool_param)


def max_pool_backward_naive(dout, cache):
    x, pool_param = cache
    dx = np.zeros(x.shape)
    size = pool_param["pool_height"], pool_param["pool_width"], pool_param["stride"]
    for i, j, window in positions(x.shape, *size):
        largest = x[window].max(axis=(2, 3), keepdims=True)
        dx[window] += (x[window] == largest) * dout[:, :, i, j, None, None]
    return dx
"""

FAST_LAYERS = """
import numpy as np

try:
    from cs231n.im2col_cython import col2im_6d_cython, col2im_cython, im2col_cython
except ImportError:
    print("the extension is not built")

from .im2col import *


def conv_forward_strides(x, w, b, conv_param):
    s, p = conv_param["stride"], conv_param["pad"]
    xp = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    windows = np.lib.stride_tricks.sliding_window_view(xp, w.shape[2:], axis=(2, 3))[:, :, ::s, ::s]
    n, c, oh, ow, hh, ww = windows.shape
    x_cols = windows.transpose(1, 4, 5, 0, 2, 3).reshape(c * hh * ww, -1)
    out = (w.reshape(len(w), -1) @ x_cols + b[:, None]).reshape(len(w), n, oh, ow)
    return np.ascontiguousarray(out.transpose(1, 0, 2, 3)), (x, w, b, conv_param, x_cols)


def conv_backward_strides(dout, cache):
    x, w, b, conv_param, x_cols = cache
    rows = dout.transpose(1, 0, 2, 3).reshape(len(w), -1)
    cols = (w.reshape(len(w), -1).T @ rows).reshape(*w.shape[1:], len(x), *dout.shape[2:])
    dx = col2im_6d_cython(cols, *x.shape, *w.shape[2:], conv_param["pad"], conv_param["stride"])
    return dx, (rows @ x_cols.T).reshape(w.shape), dout.sum(axis=(0, 2, 3))


conv_forward_fast = conv_forward_strides
conv_backward_fast = conv_backward_strides


def max_pool_forward_fast(x, pool_param):
    h, w = pool_param["pool_height"], pool_param["pool_width"]
    if not h == w == pool_param["stride"] or x.shape[2] % h or x.shape[3] % w:
        return im2col(x, h, w)
    parts = x.reshape(*x.shape[:2], x.shape[2] // h, h, x.shape[3] // w, w)
    out = parts.max(axis=3).max(axis=4)
    return out, ("reshape", (x, parts, out))


def max_pool_backward_fast(dout, cache):
    x, parts, out = cache[1]
    mask = parts == out[:, :, :, None, :, None]
    return (mask * dout[:, :, :, None, :, None] / mask.sum(axis=(3, 5), keepdims=True)).reshape(x.shape)
"""

IM2COL = """
import numpy as np


def im2col_indices(x, field_height, field_width, padding=1, stride=1):
    xp = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    windows = np.lib.stride_tricks.sliding_window_view(xp, (field_height, field_width), axis=(2, 3))
    windows = windows[:, :, ::stride, ::stride]
    return windows.transpose(1, 4, 5, 2, 3, 0).reshape(x.shape[1] * field_height * field_width, -1)
"""

LAYER_UTILS = """
from .fast_layers import *
from .layers import *


def conv_relu_pool_forward(x, w, b, conv_param, pool_param):
    a, conv_cache = conv_forward_fast(x, w, b, conv_param)
    s, relu_cache = relu_forward(a)
    out, pool_cache = max_pool_forward_fast(s, pool_param)
    return out, (conv_cache, relu_cache, pool_cache)


def conv_relu_pool_backward(dout, cache):
    conv_cache, relu_cache, pool_cache = cache
    return conv_backward_fast(relu_backward(max_pool_backward_fast(dout, pool_cache), relu_cache), conv_cache)
"""

CNN = """
import numpy as np

from ..fast_layers import *
from ..layer_utils import *
from ..layers import *


class ConvNet:
    def __init__(self, input_dim=(3, 8, 8), num_filters=8, filter_size=3, num_classes=4, dtype=np.float32):
        rng, (c, h, w) = np.random.RandomState(231), input_dim
        self.params = {
            "W1": rng.randn(num_filters, c, filter_size, filter_size) * 0.1,
            "b1": np.zeros(num_filters),
            "W2": rng.randn(num_filters * h * w // 4, num_classes) * 0.1,
            "b2": np.zeros(num_classes),
        }
        self.params = {name: value.astype(dtype) for name, value in self.params.items()}

    def loss(self, X, y=None):
        W1, b1, W2, b2 = (self.params[name] for name in ("W1", "b1", "W2", "b2"))
        conv_param = {"stride": 1, "pad": (W1.shape[2] - 1) // 2}
        pool_param = {"pool_height": 2, "pool_width": 2, "stride": 2}
        a, conv_cache = conv_relu_pool_forward(X, W1, b1, conv_param, pool_param)
        scores, cache = affine_forward(a, W2, b2)
        if y is None:
            return scores
        loss, dscores = softmax_loss(scores, y)
        da, dW2, db2 = affine_backward(dscores, cache)
        _, dW1, db1 = conv_relu_pool_backward(da, conv_cache)
        return loss, {"W1": dW1, "b1": db1, "W2": dW2, "b2": db2}
"""

SOLVER = """
class Solver:
    def __init__(self, model, X, y, learning_rate=0.3):
        self.model, self.X, self.y, self.learning_rate = model, X, y, learning_rate

    def train(self, steps):
        history = []
        for _ in range(steps):
            loss, grads = self.model.loss(self.X, self.y)
            history.append(loss)
            for name, grad in grads.items():
                self.model.params[name] = self.model.params[name] - self.learning_rate * grad
        return history
"""

DATA_UTILS = """
from builtins import range
from future import standard_library
from past.builtins import xrange
from scipy.misc import imread
from six.moves import cPickle as pickle

standard_library.install_aliases()


def small_data(seed):
    import numpy as np

    rng, y = np.random.RandomState(seed), np.array([i % 4 for i in xrange(40)])
    return pickle.loads(pickle.dumps(rng.randn(40, 3, 8, 8) + y[:, None, None, None])), y
"""

FILES = {
    "layers.py": LAYERS,
    "fast_layers.py": FAST_LAYERS,
    "im2col.py": IM2COL,
    "layer_utils.py": LAYER_UTILS,
    "solver.py": SOLVER,
    "data_utils.py": DATA_UTILS,
    "__init__.py": "",
    "classifiers/__init__.py": "",
    "classifiers/cnn.py": CNN,
}

# ---------------------------------------------------------------- the notebook

IMPORTS = """
import numpy as np
from cs231n.classifiers.cnn import *
from cs231n.fast_layers import conv_forward_fast, conv_backward_fast, max_pool_forward_fast, max_pool_backward_fast
from cs231n.layers import *
from cs231n.solver import Solver


def rel_error(x, y):
    return np.max(np.abs(x - y) / (np.maximum(1e-8, np.abs(x) + np.abs(y))))
"""

CONV = """
np.random.seed(231)
x, w, b = np.random.randn(100, 3, 31, 31), np.random.randn(25, 3, 3, 3), np.random.randn(25)
dout = np.random.randn(100, 25, 16, 16)
conv_param = {"stride": 2, "pad": 1}
out_naive, cache_naive = conv_forward_naive(x, w, b, conv_param)
out_fast, cache_fast = conv_forward_fast(x, w, b, conv_param)
print("conv out", rel_error(out_naive, out_fast))
naive, fast = conv_backward_naive(dout, cache_naive), conv_backward_fast(dout, cache_fast)
for name, one, other in zip(("dx", "dw", "db"), naive, fast):
    print("conv", name, rel_error(one, other))
"""

POOL = """
np.random.seed(231)
x, dout = np.random.randn(100, 3, 32, 32), np.random.randn(100, 3, 16, 16)
pool_param = {"pool_height": 2, "pool_width": 2, "stride": 2}
out_naive, cache_naive = max_pool_forward_naive(x, pool_param)
out_fast, cache_fast = max_pool_forward_fast(x, pool_param)
print("pool out", rel_error(out_naive, out_fast))
print("pool dx", rel_error(max_pool_backward_naive(dout, cache_naive), max_pool_backward_fast(dout, cache_fast)))
"""

OVERLAPPING_POOL = """
x, dout = np.random.randn(10, 3, 9, 8), np.random.randn(10, 3, 4, 4)
pool_param = {"pool_height": 3, "pool_width": 2, "stride": 2}
out_naive, cache_naive = max_pool_forward_naive(x, pool_param)
out_fast, cache_fast = max_pool_forward_fast(x, pool_param)
print("pool overlapping_out", rel_error(out_naive, out_fast))
dx_naive, dx_fast = max_pool_backward_naive(dout, cache_naive), max_pool_backward_fast(dout, cache_fast)
print("pool overlapping_dx", rel_error(dx_naive, dx_fast))
"""

SANDWICH = """
x, w, b = np.random.randn(2, 3, 16, 16), np.random.randn(3, 3, 3, 3), np.random.randn(3)
conv_param, pool_param = {"stride": 1, "pad": 1}, {"pool_height": 2, "pool_width": 2, "stride": 2}
out, cache = conv_relu_pool_forward(x, w, b, conv_param, pool_param)
dout = np.random.randn(*out.shape)
step = np.zeros(w.shape)
step[1, 2, 0, 1] = 1e-5
there, back = (conv_relu_pool_forward(x, w + d, b, conv_param, pool_param)[0] for d in (step, -step))
numeric = np.sum((there - back) * dout) / 2e-5
print("sandwich dw", rel_error(numeric, conv_relu_pool_backward(dout, cache)[1][1, 2, 0, 1]))
"""

TRAIN = """
X = np.random.RandomState(1).randn(40, 3, 8, 8)
y = np.arange(40) % 4
model = ConvNet()
history = Solver(model, X, y).train(60)
print("train loss_ratio", history[-1] / history[0])
print("train wrong", np.mean(model.loss(X).argmax(axis=1) != y))
print("from", conv_forward_fast.__module__)
"""

CELLS = [IMPORTS, CONV, POOL, OVERLAPPING_POOL, SANDWICH, TRAIN]
LIMITS = {"conv": 1e-9, "pool": 0, "sandwich": 1e-6, "train": 0.05}


def lay_out(folder: Path, package: str = "cs231n") -> Path:
    """Write the folder and return the package's path."""
    for name, text in FILES.items():
        path = folder / package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("cs231n", package.rpartition("/")[2]))
    return folder / package


def tree(folder: Path) -> dict[str, str]:
    """Digest and permissions of every file, except Python's caches of existing files."""
    return {
        path.relative_to(folder).as_posix(): f"{path.stat().st_mode:o} {hashlib.sha256(path.read_bytes()).hexdigest()}"
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".pyc"
    }


def verify(printed: str, source: str = "fastnet.") -> None:
    """Check the cells' printed errors against the notebook's limits."""
    found = re.findall(r"^(\w+) (\w+) ([\d.e+-]+|nan|inf)$", printed, re.M)
    kinds = [kind for kind, _, _ in found]
    assert [kinds.count(kind) for kind in LIMITS] == [4, 4, 1, 2], printed
    for kind, name, value in found:
        assert float(value) <= LIMITS[kind], (kind, name, value)
    assert re.search(r"^from (\S+)$", printed, re.M)[1].startswith(source), printed
