"""Files that students hand in, and the command that checks them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from fastnet.compat import check

RELU = "import numpy as np\n\n\ndef relu_forward(x):\n    return np.maximum(x, 0), x\n"

USES = "\n\ndef relu_backward(dout, cache):\n    return dout * (relu_forward(cache)[0] > 0)\n"

SOFTMAX = """import numpy as np
{imports}

def softmax_loss_naive(W, X, y, reg):
    scores = X.dot(W)
    scores -= scores.max(axis=1, keepdims=True)
    p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    N = X.shape[0]
    dscores = p.copy()
    for i in xrange(N):
        dscores[i, y[i]] -= 1
    return -np.log(p[np.arange(N), y]).mean() + reg * np.sum(W * W), X.T.dot(dscores) / N + 2 * reg * W
"""


def write(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def environment(**more):
    return {**os.environ, "PYTHONPATH": str(Path(check.__file__).parents[3]), **more}


def command(folder, *arguments, **more):
    done = subprocess.run(
        [sys.executable, "-m", "fastnet.compat", "check", *map(str, arguments)],
        capture_output=True,
        encoding=more.get("PYTHONIOENCODING"),
        text=True,
        cwd=folder,
        env=environment(**more),
    )
    return done.returncode, done.stdout, done.stderr
