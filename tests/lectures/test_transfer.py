"""``fastnet lecture transfer --weights``: what it begins with, and files that it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from fastnet import models, storage
from fastnet.cli import main
from fastnet.lectures import transfer

pytest.importorskip("sklearn")
pytest.importorskip("PIL")


def test_published_weights_and_their_two_tasks(tmp_path):
    state = models.resnet20(10, seed=5).state_dict()
    storage.write_arrays(tmp_path / "weights.npz", state)
    first = transfer._published(str(tmp_path / "weights.npz"), 0)
    assert all(np.array_equal(value, state[name]) for name, value in first.model.state_dict().items())
    for task, count, classes in (("similar", 480, 4), ("different", 896, 5)):
        X, y = first.tasks[task]
        assert X.shape == (count, 3, 32, 32) and X.dtype == np.float32 and set(y) == set(range(classes))
        assert np.abs(X.mean()) < 1.5 and 0.5 < X.std() < 2, "as the weights' own images were prepared"
    digits = first.tasks["different"][0]
    np.testing.assert_array_equal(digits[..., ::4, ::4], digits[..., 3::4, 3::4])
    assert first.build(4, 0).output_shape == (4,)


def test_a_file_of_another_network_is_refused(tmp_path, capsys):
    storage.write_arrays(tmp_path / "weights.npz", models.resnet32(10, seed=5).state_dict())
    for name, message in (("weights.npz", "another architecture"), ("none.th", "none.th")):
        words = ["lecture", "transfer", "--weights", str(tmp_path / name), "--out", str(tmp_path / "out")]
        assert main(words) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1, error
