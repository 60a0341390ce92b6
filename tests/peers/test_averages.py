"""PyTorch's averaged models and ``update_bn``."""

from __future__ import annotations

import numpy as np
import pytest

import fastnet as fn
from fastnet.training import WeightAverage, update_bn

torch = pytest.importorskip("torch")
swa_utils = torch.optim.swa_utils
pytestmark = pytest.mark.peers


@pytest.mark.parametrize("decay", [None, 0.9, 0.995])
def test_averages_and_running_statistics(decay):
    mine = fn.Sequential(fn.Conv2d(4, 3), fn.BatchNorm2d(), fn.ReLU(), fn.Flatten(), fn.Linear(3))
    mine.build((2, 6, 6), seed=0, dtype="float64")
    theirs = torch.nn.Sequential(
        torch.nn.Conv2d(2, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(64, 3)
    ).double()
    average = WeightAverage(mine, decay)
    rule = swa_utils.get_ema_avg_fn(decay) if decay else swa_utils.get_swa_avg_fn()
    averaged = swa_utils.AveragedModel(
        theirs, avg_fn=lambda a, w, n: rule(a, w, n) if w.is_floating_point() else w, use_buffers=True
    )
    rng = np.random.default_rng(0)
    for _ in range(9):
        state = {name: value + 0.1 * rng.standard_normal(value.shape) for name, value in mine.state_dict().items()}
        mine.load_state_dict(state)
        theirs.load_state_dict(
            {**{k: torch.from_numpy(v) for k, v in state.items()}, "1.num_batches_tracked": torch.tensor(1)}
        )
        average.update()
        averaged.update_parameters(theirs)
    expected = averaged.module.state_dict()
    for name, value in average.state_dict().items():
        np.testing.assert_allclose(value, expected[name].numpy(), rtol=0, atol=1e-12, err_msg=name)
    X = rng.standard_normal((60, 2, 6, 6))
    with average.swapped():
        update_bn(mine, X, batch_size=15)
        swa_utils.update_bn(torch.from_numpy(X).split(15), averaged)
        for name in ("running_mean", "running_var"):
            np.testing.assert_allclose(
                mine.state_dict()[f"1.{name}"], averaged.module.state_dict()[f"1.{name}"].numpy(), rtol=0, atol=1e-12
            )
