"""CS182's conventions are those of CS231n in 2016 and 2017, whatever year is set."""

from __future__ import annotations

import numpy as np
import pytest

from fastnet.compat import check, cs182
from fastnet.compat.cs231n import get_year, set_year

pytestmark = pytest.mark.usefixtures("frozen")


@pytest.fixture(autouse=True, params=[2016, 2026])
def year(request):
    """CS182 does not depend on the process's year, and does not change it."""
    before = get_year()
    set_year(request.param)
    yield request.param
    assert get_year() == request.param
    set_year(before)


def test_p_is_dropped():
    x = np.ones((200, 200))
    out, cache = cs182.dropout_forward(x, {"mode": "train", "p": 0.2, "seed": 1})
    assert np.mean(out == 0) == pytest.approx(0.2, abs=0.02) and set(np.unique(out)) == {0.0, 1 / 0.8}
    dout = np.arange(x.size, dtype=float).reshape(x.shape)
    np.testing.assert_array_equal(cs182.dropout_backward(dout, cache), dout * out)


def test_the_network_of_that_year():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(6, 20)), rng.integers(0, 4, 6)
    settings = {"reg": 0.1, "weight_scale": 0.5, "dtype": np.float64}
    np.random.seed(0)
    plain = cs182.FullyConnectedNet([8, 7], 20, 4, 0, True, **settings)  # dropout and batch norm by position
    assert not plain.use_dropout and "gamma1" in plain.params and plain.params["W2"].shape == (8, 7)
    np.random.seed(0)
    dropping = cs182.FullyConnectedNet([8, 7], 20, 4, dropout=0.25, seed=5, **settings)
    assert dropping.use_dropout and "gamma1" not in dropping.params
    loss, grads = dropping.loss(X, y)

    # computed by hand: three layers, with the masks that the seed draws
    hidden, masks = X, []
    for i in ("1", "2"):
        hidden = np.maximum(hidden @ dropping.params[f"W{i}"] + dropping.params[f"b{i}"], 0)
        np.random.seed(5)
        masks.append((np.random.rand(*hidden.shape) < 0.75) / 0.75)
        hidden = hidden * masks[-1]
    scores = hidden @ dropping.params["W3"] + dropping.params["b3"]
    probs = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    squares = sum((dropping.params[f"W{i}"] ** 2).sum() for i in "123")
    expected = -np.log(probs[np.arange(6), y]).mean() + 0.05 * squares
    assert loss == pytest.approx(expected, rel=1e-12) and set(grads) == set(dropping.params)


def test_strides_must_divide():
    rng = np.random.default_rng(0)
    x, w, b = rng.normal(size=(2, 3, 8, 7)), rng.normal(size=(4, 3, 3, 3)), np.zeros(4)
    for conv in (cs182.conv_forward_fast, cs182.conv_forward_strides):
        with pytest.raises(AssertionError, match="height does not work"):
            conv(x, w, b, {"stride": 2, "pad": 1})
        with pytest.raises(AssertionError, match="width does not work"):
            conv(x.swapaxes(2, 3), w, b, {"stride": 2, "pad": 1})
    naive, _ = cs182.conv_forward_naive(x, w, b, {"stride": 1, "pad": 1})
    out, cache = cs182.conv_forward_fast(x, w, b, {"stride": 1, "pad": 1})
    np.testing.assert_allclose(out, naive, atol=1e-12)
    assert cs182.conv_backward_fast(out, cache)[0].shape == x.shape


def test_a_solver_that_records_histories(tmp_path, capsys):
    rng = np.random.default_rng(0)
    data = {"X_train": rng.normal(size=(20, 12)), "y_train": rng.integers(0, 3, 20)}
    data |= {"X_val": data["X_train"], "y_val": data["y_train"]}
    model = cs182.FullyConnectedNet([5], 12, 3, dropout=0.1, seed=1)
    solver = cs182.Solver(model, data, num_epochs=2, batch_size=10, optim_config={"learning_rate": 1e-2})
    solver.train()
    solver.record_histories_as_npz(tmp_path / "history.npz")
    with np.load(tmp_path / "history.npz") as file:
        assert sorted(file) == ["train_accs", "train_losses", "val_accs"]
        np.testing.assert_array_equal(file["train_losses"], solver.loss_history)
    assert "(Epoch 2 / 2)" in capsys.readouterr().out


def test_the_checks_agree(year):
    dependent = ["dropout_forward", "dropout_backward", "conv_backward_fast"]
    names = None if year == 2026 else dependent  # the others are slow, and 2016 is CS182's year
    report = check.run(cs182, names, drop_p=True, limit=60.0, timeout=60.0)
    assert report.passed and report["dropout_forward"].passed and report["conv_backward_fast"].passed
    assert not check.run(cs182, ["dropout_forward"], limit=60.0, timeout=60.0).passed  # p is not kept


def test_later_names_are_missing():
    assert not any("layernorm" in name or "groupnorm" in name for name in cs182.__all__)
    assert all(hasattr(cs182, name) for name in cs182.__all__)
