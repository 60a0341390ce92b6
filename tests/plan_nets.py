"""Trained networks for the tests of plans, and how closely results agree."""

from __future__ import annotations

import numpy as np

import fastnet as fn

TOLERANCE = {"float32": 2e-5, "float64": 1e-12}


def trained(model, seed=0):
    """Weights and statistics as after training, so that each affects the result."""
    rng = np.random.default_rng(seed)
    state = model.state_dict()
    for name, array in state.items():
        if "running_var" in name:
            array[...] = rng.uniform(0.5, 1.5, array.shape)
        else:
            array += rng.normal(0, 0.1, array.shape)
    model.load_state_dict(state)
    return model


def images(model, N, seed=1):
    return np.random.default_rng(seed).normal(size=(N, *model.input_shape)).astype(model.dtype)


def close(got, expected, tolerance):
    assert got.shape == expected.shape and got.dtype == expected.dtype
    assert expected.std() > 0, "a test that sees constants sees nothing"
    np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance * np.abs(expected).max())


def everything(dtype="float64", seed=3):
    """Every layer, and every way in which steps are fused, at odd sizes."""
    same = fn.Conv2d(20, 3, padding=1)  # at two places
    model = fn.Sequential(
        *(fn.BatchNorm2d(), fn.Conv2d(20, 5, padding=2), fn.BatchNorm2d(affine=False), fn.ReLU()),
        *(fn.Residual([fn.Conv2d(20, 3, padding=1, bias=False), fn.BatchNorm2d()]), fn.ReLU()),
        *(fn.GroupNorm(5), fn.ReLU(), fn.LayerNorm(), fn.InstanceNorm2d(affine=True), fn.LocalResponseNorm(5, 2.0)),
        *(fn.InstanceNorm2d(track_running_stats=True), fn.ReLU(), fn.LayerNorm(23, bias=False)),
        *(fn.Residual(same), fn.LeakyReLU(0.1), fn.Residual([same, fn.Tanh()], fn.Identity())),
        fn.Concat(
            [
                [fn.Conv2d(17, 3, padding="same"), fn.ReLU()],
                fn.Concat([fn.Identity(), fn.Conv2d(5, 1), [fn.MaxPool2d(3, 1, padding=1), fn.ReLU()]]),
                fn.Identity(),
            ]
        ),
        *(fn.Conv2d(20, 3, padding=1, padding_mode="reflect"), fn.ConstantPad2d((1, 0, 2, 0), 0.5)),
        *(fn.AdaptiveMaxPool2d((30, 22)), fn.ConvTranspose2d(20, 2, output_padding=(1, 2), dilation=3)),
        *(fn.Flatten(), fn.Unflatten(1, (20, -1, 27)), fn.AdaptiveMaxPool2d((31, 24))),
        *(fn.ConvTranspose2d(20, 3, stride=2, padding=1, output_padding=1), fn.AvgPool2d(2)),
        *(fn.Upsample(scale_factor=2, mode="bilinear"), fn.AdaptiveAvgPool2d((11, 13)), fn.Upsample((21, 17))),
        *(
            fn.Conv2d(32, 1),
            fn.PixelShuffle(2),
            fn.PixelUnshuffle(2),
            fn.PixelShuffle(2),
            fn.AdaptiveMaxPool2d((21, 17)),
        ),
        *(fn.ConvTranspose2d(20, 3, padding=1, groups=4, bias=False), fn.ReLU()),
        *(fn.ZeroPad2d((0, -1, -2, 0)), fn.Conv2d(24, 3, stride=2, padding=1, groups=2), fn.Sigmoid(), fn.Dropout(0.5)),
        fn.Residual(
            [fn.Conv2d(32, 3, stride=2, padding=(0, 2, 2, 0), bias=False), fn.BatchNorm2d()], fn.Subsample(2, 32)
        ),
        fn.Residual([fn.ReLU(), fn.Conv2d(40, 1)], [fn.Conv2d(40, 1), fn.BatchNorm2d()]),
        *(
            fn.Conv2d(40, 3, padding=2, dilation=2, groups="depthwise"),
            fn.ReLU(),
            fn.AvgPool2d(2, ceil_mode=True, divisor_override=3),
        ),
        *(fn.MaxPool2d(2), fn.Flatten(), fn.Linear(33, bias=False), fn.BatchNorm1d(), fn.ReLU()),
        fn.Concat([fn.Linear(4), [fn.Linear(3), fn.ReLU()], fn.Identity()]),
        *(fn.Residual(fn.Linear(40)), fn.BatchNorm1d(), fn.ReLU(), fn.Linear(7), fn.LogSoftmax(1)),
    )
    model.build((3, 29, 23), seed, dtype)
    return trained(model)


def small():
    """A network with a batch norm, dropout and both kinds of weights."""
    model = fn.Sequential(
        *(fn.Conv2d(8, 3, padding=1), fn.BatchNorm2d(), fn.LeakyReLU(0.1), fn.Conv2d(8, 3, padding=1), fn.ReLU()),
        *(fn.MaxPool2d(2), fn.Dropout(0.5), fn.Flatten(), fn.Linear(5)),
    )
    model.build((2, 6, 6), seed=0)
    return trained(model)


def fresh(model, x):
    """What a plan gives that is made now, as those are that models keep."""
    return model.compile(128, x.shape[1:])(x)
