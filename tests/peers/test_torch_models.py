"""AlexNet of 2012 and GoogLeNet with its auxiliary heads, written with PyTorch's functions: values and gradients."""

from __future__ import annotations

import cases
import numpy as np
import pytest

import fastnet as fn
from fastnet import models

torch = pytest.importorskip("torch")
F = torch.nn.functional
pytestmark = pytest.mark.peers

LABELS = np.array([1, 4, 0])


def alexnet_2012(w, x):
    def conv(name, x, **given):
        return F.relu(F.conv2d(x, w[f"{name}.weight"], w[f"{name}.bias"], **given))

    def norm(x):
        return F.local_response_norm(x, 5, alpha=5e-4, beta=0.75, k=2)

    x = F.max_pool2d(norm(conv("conv1", x, padding=1)), 3, 2)
    x = F.max_pool2d(norm(conv("conv2", x, padding=2, groups=2)), 3, 2)
    x = conv("conv4", conv("conv3", x, padding=1), padding=1, groups=2)
    x = F.max_pool2d(conv("conv5", x, padding=1, groups=2), 3, 2).flatten(1)
    for name in ("fc6", "fc7"):
        x = F.relu(F.linear(x, w[f"{name}.weight"], w[f"{name}.bias"]))
    return [F.linear(x, w["fc8.weight"], w["fc8.bias"])]


def googlenet(w, x):
    def conv(name, x, size=1):
        x = F.conv2d(x, w[f"{name}.conv.weight"], padding=size // 2)
        return F.relu(F.batch_norm(x, None, None, w[f"{name}.bn.weight"], w[f"{name}.bn.bias"], True, eps=1e-3))

    def inception(name, x):
        two, three = conv(f"{name}.branch2.0", x), conv(f"{name}.branch3.0", x)
        pooled = F.max_pool2d(x, 3, 1, 1, ceil_mode=True)
        branches = (
            *(conv(f"{name}.branch1", x), conv(f"{name}.branch2.1", two, 3)),
            *(conv(f"{name}.branch3.1", three, 3), conv(f"{name}.branch4.1", pooled)),
        )
        return torch.cat(branches, 1)

    def linear(name, x):
        return F.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])

    def head(name, x):
        x = conv(f"{name}.conv", F.avg_pool2d(x, 5, 3)).flatten(1)
        return linear(f"{name}.fc2", F.relu(linear(f"{name}.fc1", x)))

    x, heads = conv("conv3", conv("conv2", conv("conv1", x, 3)), 3), []
    x = F.max_pool2d(x, 3, 2, ceil_mode=True)
    x = F.max_pool2d(inception("inception3b", inception("inception3a", x)), 3, 2, ceil_mode=True)
    for name in "abcde":
        x = inception(f"inception4{name}", x)
        if name in "ad":
            heads.append(head(f"aux{len(heads) + 1}", x))
    x = F.max_pool2d(x, 2, 2, ceil_mode=True)
    x = inception("inception5b", inception("inception5a", x))
    return [linear("fc", x.mean((2, 3))), *heads]


def googlenet_without_dropout():
    model = models.googlenet(5, (3, 32, 32), dropout=0.0, aux_logits=True, seed=1, dtype="float64")
    for name in ("aux1", "aux2"):
        model[name]["dropout"].p = 0.0
    return model


NETWORKS = {
    "alexnet_2012": (lambda: models.alexnet_2012(5, (3, 32, 32), dropout=0.0, seed=1, dtype="float64"), alexnet_2012),
    "googlenet": (googlenet_without_dropout, googlenet),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_loss_and_gradients(name):
    make, theirs = NETWORKS[name]
    model = make()
    x = cases.normal((3, 3, 32, 32), np.float64)
    weights = {key: torch.from_numpy(value.copy()) for key, value in model.state_dict().items()}
    trained = {key: weights[key].requires_grad_() for key, _ in model.named_parameters() if "running" not in key}
    outputs = theirs(weights, torch.from_numpy(x))
    each = [F.cross_entropy(scores, torch.from_numpy(LABELS)) for scores in outputs]
    total = each[0] + 0.3 * sum(each[1:])
    total.backward()
    loss, scores = fn.TrainingPlan(model)(x, LABELS)
    assert loss == pytest.approx(total.item(), rel=1e-10)
    np.testing.assert_allclose(scores, outputs[0].detach().numpy(), rtol=1e-8, atol=1e-9)
    gradients = {key: parameter.grad for key, parameter in model.named_parameters() if parameter.grad is not None}
    assert set(gradients) == set(trained)
    for key, gradient in gradients.items():
        wanted = trained[key].grad.numpy()
        scale = np.abs(wanted).max() + 1e-12
        np.testing.assert_allclose(gradient, wanted, rtol=1e-6, atol=1e-7 * scale, err_msg=key)
