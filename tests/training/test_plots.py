"""Pictures of several runs."""

import numpy as np
import pytest

import fastnet as fn
from fastnet.training.history import moving_average

RNG = np.random.default_rng(0)


def runs(rates=(0.1, 0.01), validation=True):
    X, y = RNG.standard_normal((60, 6)).astype(np.float32), np.arange(60) % 3
    found = {}
    for rate in rates:
        model = fn.Sequential(fn.Linear(8), fn.ReLU(), fn.Linear(3))
        options = {"validation": (X, y)} if validation else {}
        found[f"rate {rate}"] = model.fit(
            X, y, 3, batch_size=10, optimizer=fn.optim.SGD(rate), verbose=False, **options
        )
    return found


def test_curves_of_several_runs(tmp_path):
    found = runs()
    figure = fn.plot_runs(found, path=tmp_path / "runs.png")
    assert (tmp_path / "runs.png").read_bytes().startswith(b"\x89PNG")
    loss, training, validation = figure.axes
    assert [text.get_text() for text in figure.legends[0].texts] == ["rate 0.1", "rate 0.01"]
    for axes, column in ((training, "accuracy"), (validation, "val_accuracy")):
        for line, history in zip(axes.lines, found.values(), strict=True):
            np.testing.assert_allclose(line.get_ydata(), history.history[column])
    for points, line, history in zip(loss.collections, loss.lines, found.values(), strict=True):
        np.testing.assert_allclose(points.get_offsets()[:, 1], history.losses)
        assert line.get_ydata()[0] == pytest.approx(np.mean(history.losses[:5])) and line.get_xdata()[0] == 5
    figure = fn.plot_runs(list(found.values()), names=["a", "b"], path=tmp_path / "runs.svg")
    assert [text.get_text() for text in figure.legends[0].texts] == ["a", "b"]
    figure = fn.plot_runs(list(runs(validation=False).values()), path=tmp_path / "runs.png")
    assert figure.axes[2].lines[:] == []


def test_moving_averages():
    at, smooth = moving_average(np.arange(1000.0))
    assert (at[0], at[-1]) == (20, 1000)
    np.testing.assert_allclose(smooth[[0, -1]], [np.arange(20).mean(), np.arange(980, 1000).mean()])
    assert len(moving_average(np.arange(4.0))[0]) == 0


def test_errors():
    with pytest.raises(ValueError, match="needs a name for each of at least one run, got 0 runs, 0 names"):
        fn.plot_runs([])
    with pytest.raises(ValueError, match="got 2 runs, 1 names"):
        fn.plot_runs(runs(), names=["one"])
    with pytest.raises(TypeError, match="runs must be History objects"):
        fn.plot_runs([3])
