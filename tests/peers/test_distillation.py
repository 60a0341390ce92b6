"""PyTorch's kl_div and cross_entropy make the loss of distillation."""

from __future__ import annotations

import numpy as np
import pytest

from fastnet.training import Distillation

torch = pytest.importorskip("torch")
F = torch.nn.functional
pytestmark = pytest.mark.peers


@pytest.mark.parametrize("T, alpha", [(1.0, 0.5), (4.0, 0.9), (20.0, 1.0), (3.0, 0.0)])
def test_loss_and_gradient(T, alpha):
    rng = np.random.default_rng(0)
    scores, teacher, classes = 3 * rng.standard_normal((9, 5)), rng.standard_normal((9, 5)), rng.integers(0, 5, 9)
    theirs = torch.tensor(scores, requires_grad=True)
    divergence = F.kl_div(
        F.log_softmax(theirs / T, dim=1),
        F.log_softmax(torch.tensor(teacher) / T, dim=1),
        reduction="batchmean",
        log_target=True,
    )
    expected = alpha * T * T * divergence + (1 - alpha) * F.cross_entropy(theirs, torch.tensor(classes))
    expected.backward()
    loss, gradient = Distillation(T, alpha)(scores, np.concatenate([teacher, classes[:, None]], axis=1))
    assert loss == pytest.approx(float(expected), rel=1e-12)
    np.testing.assert_allclose(gradient, theirs.grad.numpy(), rtol=1e-10, atol=1e-14)
