"""Class-balanced sampling."""

from __future__ import annotations

import numpy as np
import pytest

from fastnet.data import Loader

Y = np.repeat([0, 1, 4], [80, 15, 5])
X = np.arange(100, dtype=np.float32)[:, None]


def drawn(loader, epoch):
    return np.concatenate([x[:, 0] for x, _ in loader.batches(epoch)]).astype(int)


def test_each_class_has_its_share_and_no_sample_comes_too_often():
    loader = Loader(X, Y, 7, seed=1, sampling="balanced")
    for epoch in range(3):
        order = drawn(loader, epoch)
        shares = np.unique(Y[order], return_counts=True)[1]
        assert shares.sum() == 100 and set(shares) <= {33, 34}
        times = np.bincount(order, minlength=100)
        for k in (0, 1, 4):
            assert np.ptp(times[Y == k]) <= 1
    assert not np.array_equal(drawn(loader, 0), drawn(loader, 1))
    np.testing.assert_array_equal(drawn(loader, 1), drawn(Loader(X, Y, 7, seed=1, sampling="balanced"), 1))


def test_all_samples_of_a_large_class_are_seen_in_time():
    loader = Loader(X, Y, 10, sampling="balanced")
    seen = set(np.concatenate([drawn(loader, epoch) for epoch in range(20)]).tolist())
    assert len(seen) == 100


def test_uniform_is_a_permutation():
    assert sorted(drawn(Loader(X, Y, 7), 0)) == list(range(100))


def test_a_position_of_another_sampling_is_refused():
    state = Loader(X, Y, 7).state_dict()
    with pytest.raises(ValueError, match=r"sampling uniform \(here balanced\)"):
        Loader(X, Y, 7, sampling="balanced").load_state_dict(state)


@pytest.mark.parametrize(
    "options, words",
    [
        ({"sampling": "fair"}, "sampling must be one of uniform, balanced, got 'fair'"),
        ({"sampling": "balanced", "shuffle": False}, "does not go with shuffle=False"),
        ({"sampling": "balanced", "targets": True}, "does not go with y of shape"),
    ],
)
def test_what_is_refused(options, words):
    with pytest.raises(ValueError, match=words):
        Loader(X, Y, **options)
