"""Attributions against PyTorch's autograd, with hooks as captum sets them, in float64."""

from __future__ import annotations

import numpy as np
import pytest

import fastnet as fn
from fastnet import visualize as v

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.peers

TARGETS = np.array([3, 0, 4])


@pytest.fixture(scope="module")
def pair():
    """The same network twice: norms, ReLU and ReLU6, a residual sum, overlapping max pooling, depthwise convolution."""
    nn = torch.nn

    class Residual(nn.Module):
        def __init__(self, *body):
            super().__init__()
            self.body = nn.Sequential(*body)

        def forward(self, x):
            return self.body(x) + x

    theirs = nn.Sequential(
        *(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(3, 2, 1)),
        Residual(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 1)),
        *(nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.ReLU6(), nn.AvgPool2d(2), nn.Flatten()),
        nn.Linear(8 * 16, 5),
    )
    ours = fn.Sequential(
        *(fn.Conv2d(8, 3, padding=1), fn.BatchNorm2d(), fn.ReLU(), fn.MaxPool2d(3, 2, padding=1)),
        fn.Residual([fn.Conv2d(8, 3, padding=1), fn.BatchNorm2d(), fn.ReLU(), fn.Conv2d(8, 1)]),
        *(fn.ReLU(), fn.Conv2d(8, 3, padding=1, groups=8), fn.ReLU6(), fn.AvgPool2d(2), fn.Flatten(), fn.Linear(5)),
    )
    ours.build((3, 16, 16), dtype="float64")
    rng = np.random.default_rng(0)
    for p in ours.parameters() + ours.buffers():
        p.value[...] = rng.uniform(0.5, 1.5, p.shape) if p.buffer else rng.standard_normal(p.shape) * 0.5
    state = {name: torch.from_numpy(value) for name, value in ours.state_dict().items()}
    theirs.double().load_state_dict(state, strict=False)
    return ours, theirs.eval(), rng.standard_normal((3, 3, 16, 16))


def gradient(model, x, targets=TARGETS):
    given = torch.from_numpy(np.ascontiguousarray(x)).requires_grad_()
    model(given)[range(len(x)), targets].sum().backward()
    return given.grad.numpy()


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-9 * abs(expected).max())


def test_gradients(pair):
    ours, theirs, x = pair
    close(v.saliency(ours, x, TARGETS), abs(gradient(theirs, x)).max(axis=1))
    close(v.gradient_x_input(ours, x, TARGETS), x * gradient(theirs, x))


@pytest.mark.parametrize("rule", ["guided_backprop", "deconvnet"])
def test_rules_are_captum_s_hooks(pair, rule):
    ours, theirs, x = pair

    def hook(module, grad_input, grad_output):
        return (torch.relu(grad_input[0] if rule == "guided_backprop" else grad_output[0]),)

    rectifiers = [m for m in theirs.modules() if isinstance(m, torch.nn.ReLU | torch.nn.ReLU6)]
    hooks = [m.register_full_backward_hook(hook) for m in rectifiers]
    try:
        close(getattr(v, rule)(ours, x, TARGETS), gradient(theirs, x))
    finally:
        for each in hooks:
            each.remove()


def test_integrated_gradients(pair):
    ours, theirs, x = pair
    nodes, weights = np.polynomial.legendre.leggauss(40)
    total = sum(w / 2 * gradient(theirs, (t + 1) / 2 * x) for t, w in zip(nodes, weights, strict=True))
    close(v.integrated_gradients(ours, x, TARGETS, steps=40), x * total)


@pytest.mark.parametrize("layer", ["2", "4.body.2", "4", "7"])
def test_grad_cam(pair, layer):
    ours, theirs, x = pair
    kept = []

    def keep(module, given, output):
        output.retain_grad()
        kept.append(output)

    hook = theirs.get_submodule(layer).register_forward_hook(keep)
    try:
        gradient(theirs, x)
    finally:
        hook.remove()
    (A,) = kept
    cam = torch.relu((A.grad.mean(dim=(2, 3), keepdim=True) * A).sum(dim=1))
    close(v.grad_cam(ours, x, TARGETS, layer=layer, upsample=False), cam.detach().numpy())
    large = torch.nn.functional.interpolate(cam[:, None], (16, 16), mode="bilinear")[:, 0]
    close(v.grad_cam(ours, x, TARGETS, layer=layer), large.detach().numpy())
