"""Forms that fastnet.compat.check accepts: of several years, and of one's own."""

from __future__ import annotations

import numpy as np
import pytest
from compat.solutions import GENEROUS

from fastnet.compat import check

pytestmark = pytest.mark.usefixtures("frozen")

# ---------------------------------------------------------------- Adam's step count


def adam(start, before=1, after=0):
    """Adam whose step count begins with `start` and grows before and after its use."""

    def rule(w, dw, config=None):
        config = {} if config is None else config
        for name, value in {"learning_rate": 1e-3, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}.items():
            config.setdefault(name, value)
        for name in "mv":
            config.setdefault(name, np.zeros_like(w))
        config.setdefault("t", start)
        config["t"] += before
        config["m"] = config["beta1"] * config["m"] + (1 - config["beta1"]) * dw
        config["v"] = config["beta2"] * config["v"] + (1 - config["beta2"]) * dw**2
        m = config["m"] / (1 - config["beta1"] ** config["t"])
        v = config["v"] / (1 - config["beta2"] ** config["t"])
        config["t"] += after
        return w - config["learning_rate"] * m / (np.sqrt(v) + config["epsilon"]), config

    return rule


@pytest.mark.parametrize(
    "start, before, after, words",
    [
        (0, 1, 0, "right"),
        (1, 1, 0, "right (t is 1 before the first step, as in the starter code of 2015 to 2017)"),
        (1, 0, 1, "right (t is 1 before the first step, and incremented after its use)"),
    ],
)
def test_step_counts_of_all_years(start, before, after, words):
    result = check.adam(adam(start, before, after), limit=GENEROUS, timeout=GENEROUS)
    assert result.passed and result.words == words


@pytest.mark.parametrize(
    "start, before, after", [(0, 0, 1), (2, 1, 0), (1, 2, 0), (1, 0, 0), (0, 1, 1), (5, 0, 1), (0, 2, -1)]
)
def test_other_step_counts_are_wrong(start, before, after):
    result = check.adam(adam(start, before, after), limit=GENEROUS, timeout=GENEROUS)
    assert result.verdict == "wrong" and result.score < 1


# ---------------------------------------------------------------- linear classifiers


def svm_2015(W, X, y, reg):
    """W is (C, D), X (D, N), in the starter code of 2015."""
    scores = W.dot(X)
    margins = np.maximum(0, scores - scores[y, np.arange(X.shape[1])] + 1)
    margins[y, np.arange(X.shape[1])] = 0
    dscores = (margins > 0).astype(float)
    dscores[y, np.arange(X.shape[1])] -= dscores.sum(axis=0)
    loss = margins.sum() / X.shape[1] + 0.5 * reg * np.sum(W * W)
    return loss, dscores.dot(X.T) / X.shape[1] + reg * W


def test_the_form_of_2015():
    for name in ("svm_loss_naive", "svm_loss_vectorized"):
        (result,) = check.run({name: svm_2015}, [name], l2=0.5, limit=GENEROUS, timeout=GENEROUS)
        assert result.passed and result.words == "right (in the form of 2015: W is (C, D), X is (D, N))", result.words
    mistaken = {
        "svm_loss_vectorized": lambda W, X, y, reg: (svm_2015(W, X, y, reg)[0], svm_2015(W, X, y, reg)[1] - reg * W)
    }
    (result,) = check.run(mistaken, l2=0.5, limit=GENEROUS, timeout=GENEROUS)
    assert result.words == "wrong dW: the regularisation is missing (in the form of 2015: W is (C, D), X is (D, N))"
    assert result.score == 0.5
    unwritten = {"svm_loss_vectorized": lambda W, X, y, reg: (0.0, None)}
    (result,) = check.run(unwritten, limit=GENEROUS, timeout=GENEROUS)
    assert "2015" not in result.words and "it is None: not written yet?" in result.words


# ---------------------------------------------------------------- group normalisation


def group_forward(x, gamma, beta, G, gn_param):
    """gamma and beta are (C,), as in the docstring of 2018 to 2020."""
    groups = x.reshape(len(x), G, -1)
    std = np.sqrt(groups.var(axis=2, keepdims=True) + gn_param.get("eps", 1e-5))
    hat = ((groups - groups.mean(axis=2, keepdims=True)) / std).reshape(x.shape)
    return gamma[None, :, None, None] * hat + beta[None, :, None, None], (hat, std, gamma, G)


def group_backward(dout, cache):
    hat, std, gamma, G = cache
    dhat = (dout * gamma[None, :, None, None]).reshape(len(hat), G, -1)
    rows = hat.reshape(dhat.shape)
    means = [array.mean(axis=2, keepdims=True) for array in (dhat, dhat * rows)]
    dx = ((dhat - means[0] - rows * means[1]) / std).reshape(hat.shape)
    return dx, (dout * hat).sum(axis=(0, 2, 3)), dout.sum(axis=(0, 2, 3))


def test_gamma_of_group_normalisation():
    names = {"spatial_groupnorm_forward": group_forward, "spatial_groupnorm_backward": group_backward}
    for result in check.run(names, limit=GENEROUS, timeout=GENEROUS):
        assert result.words == "right (gamma and beta are (C,), as the docstring of 2018 to 2020 says)", result
    mistaken = names | {"spatial_groupnorm_backward": lambda dout, cache: (0, *group_backward(dout, cache)[1:])}
    result = check.run(mistaken, ["spatial_groupnorm_backward"], limit=GENEROUS, timeout=GENEROUS)[0]
    assert result.verdict == "wrong" and result.words.startswith("wrong dx") and result.score == pytest.approx(2 / 3)
