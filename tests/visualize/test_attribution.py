"""Attributions against the formulas in float64 NumPy, on a network in plain NumPy."""

import warnings

import numpy as np
import pytest
from naive_net import Naive, small_model

import fastnet as fn
from fastnet import visualize as v


@pytest.fixture
def x():
    return np.random.default_rng(5).standard_normal((5, 2, 8, 8))


T = np.array([3, 0, 1, 4, 2])


@pytest.fixture(params=["float64", "float32"])
def case(request, x):
    """A model, images of its dtype, the network in NumPy, and the tolerance."""
    model = small_model(request.param)
    return model, x.astype(request.param), Naive(model), 1e-10 if request.param == "float64" else 2e-4


def close(found, expected, tolerance):
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance * abs(expected).max())


def test_gradients_by_their_formulas(case):
    model, x, naive, tolerance = case
    gradient = naive.backward(x.astype(float), T)
    close(v.saliency(model, x, T, batch_size=2), abs(gradient).max(axis=1), tolerance)
    close(v.gradient_x_input(model, x, T), x * gradient, tolerance)
    for rule, function in (("guided", v.guided_backprop), ("deconvnet", v.deconvnet)):
        close(function(model, x, T, batch_size=3), naive.backward(x.astype(float), T, rule), tolerance)


def test_activations_are_traced_back_from_their_strongest_place(case):
    """Of a channel, and of the strongest channel."""
    model, x, naive, tolerance = case
    naive.forward(x.astype(float))
    for channel in (2, None, np.array([0, 1, 2, 3, 4])):
        chosen = naive.a2.max(axis=(2, 3)).argmax(axis=1) if channel is None else np.broadcast_to(channel, 5)
        dy = np.zeros_like(naive.a2)
        for n, k in enumerate(chosen):
            place = np.unravel_index(naive.a2[n, k].argmax(), (4, 4))
            dy[n, k][place] = naive.a2[n, k][place]
        for rule, function in (("guided", v.guided_backprop), ("deconvnet", v.deconvnet)):
            found = function(model, x, channel, layer="4", batch_size=2)
            close(found, naive.from_second(x, dy, rule), tolerance)


def test_integrated_gradients_by_their_formula(case):
    model, x, naive, tolerance = case
    baseline = np.float64(0.25)
    nodes, weights = np.polynomial.legendre.leggauss(20)
    expected = sum(
        w / 2 * naive.backward(baseline + (t + 1) / 2 * (x.astype(float) - baseline), T)
        for t, w in zip(nodes, weights, strict=True)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = [v.integrated_gradients(model, x, T, baseline=baseline, steps=20, batch_size=b) for b in (7, 64)]
    for each in found:
        close(each, (x - baseline) * expected, max(tolerance, 1e-3 if x.dtype == "float32" else 0))


def test_integrated_gradients_are_complete(x):
    model = small_model()
    few, many = (v.integrated_gradients(model, x, T, steps=steps) for steps in (30, 1000))
    gaps = [abs(v.completeness_gap(model, x, found, T)).max() for found in (few, many)]
    assert gaps[1] < gaps[0] / 5 and gaps[1] < 1e-2
    scores, at_zero = Naive(model).forward(x), Naive(model).forward(0 * x)
    np.testing.assert_allclose(many.sum(axis=(1, 2, 3)), (scores - at_zero)[range(5), T], atol=1e-2)
    smooth = fn.Sequential(fn.Conv2d(3, 3), fn.Sigmoid(), fn.Flatten(), fn.Linear(5))
    smooth.build((2, 8, 8), dtype="float64")
    found = v.integrated_gradients(smooth, x, T, steps=20)
    assert abs(v.completeness_gap(smooth, x, found, T)).max() < 1e-12
    with pytest.warns(UserWarning, match=r"miss S\(x\) - S\(baseline\).*more than 1 steps"):
        v.integrated_gradients(model, x, T, steps=1)


def test_smoothgrad_is_the_mean_over_its_noise(x):
    model = small_model()
    found = [v.smoothgrad(model, x, T, samples=7, noise=0.2, seed=3, batch_size=b) for b in (2, 7, 50)]
    gradient = np.zeros_like(x)
    for n in range(5):
        rng, deviation = np.random.default_rng([3, n]), 0.2 * (x[n].max() - x[n].min())
        noise = np.concatenate([rng.standard_normal((1, 2, 8, 8), dtype=np.float32) for _ in range(7)])
        gradient[n] = Naive(model).backward(x[n] + deviation * noise, np.full(7, T[n])).mean(axis=0)
    for each in found:
        close(each, abs(gradient).max(axis=1), 1e-10)
    close(v.smoothgrad(model, x, T, noise=0, samples=2), v.saliency(model, x, T), 1e-12)


def test_grad_cam_by_hand(case):
    model, x, naive, tolerance = case
    naive.backward(x.astype(float), T)
    signed = np.einsum("nk,nkhw->nhw", naive.da2.mean(axis=(2, 3)), naive.a2)
    close(v.grad_cam(model, x, T, upsample=False, positive=False, batch_size=2), signed, tolerance)
    whole = v.grad_cam(model, x, T, layer="4")
    assert whole.shape == (5, 8, 8) and whole.min() >= 0
    expected = fn.functional.interpolate(np.maximum(signed, 0)[:, None], size=(8, 8), mode="bilinear")[0][:, 0]
    close(whole, expected, tolerance)
    assert v.grad_cam(model, x, T, layer="1", upsample=False).shape == (5, 8, 8)


def test_grad_cam_in_the_middle_agrees_with_differences(x):
    """dS/dA at a layer that is fused when nobody looks."""
    model = small_model()
    rest = fn.Sequential(*list(model)[3:])
    rest.build((4, 4, 4), dtype="float64")
    values, _ = fn.layers.Probe(model, ["2"])(x)
    A, slope = values["2"], np.zeros((5, 4))
    for k in range(4):
        up, down = A.copy(), A.copy()
        up[:, k] += 1e-6
        down[:, k] -= 1e-6
        slope[:, k] = (rest(up) - rest(down))[range(5), T] / 2e-6 / 16  # the mean over 16 positions
    found = v.grad_cam(model, x, T, layer="2", upsample=False, positive=False)
    np.testing.assert_allclose(found, np.einsum("nk,nkhw->nhw", slope, A), rtol=1e-6, atol=1e-7)


def test_what_is_looked_at_is_the_score_before_a_softmax(x):
    model = small_model()
    ended = fn.Sequential(model, fn.Softmax())
    ended.build((2, 8, 8), dtype="float64")
    for function in (v.saliency, v.guided_backprop, v.grad_cam):
        close(function(ended, x, T), function(model, x, T), 1e-12)
        close(function(ended, x), function(model, x), 1e-12)


def test_raw_images_classes_by_name_and_the_class_predicted():
    raw = np.random.default_rng(0).integers(0, 256, (4, 2, 8, 8)).astype(np.uint8)
    plain, model = small_model("float32"), small_model("float32")
    model.preprocessing = fn.data.Standardize([0.4, 0.6], [0.2, 0.3], 255)
    model.class_names = ("ant", "bee", "cat", "dog", "eel")
    x = model.preprocessing(raw)
    predicted = model.predict(raw).argmax(1)
    close(v.saliency(model, raw), v.saliency(plain, x, predicted), 1e-6)
    close(v.saliency(model, raw, "cat"), v.saliency(plain, x, 2), 1e-6)
    close(v.saliency(model, raw, ["cat", "ant", "bee", "eel"]), v.saliency(plain, x, [2, 0, 1, 4]), 1e-6)
    black = model.preprocessing(np.zeros_like(raw))
    found = v.integrated_gradients(model, raw, 1, steps=300)
    close(found, v.integrated_gradients(plain, x, 1, baseline=black, steps=300), 1e-4)
    assert abs(v.completeness_gap(model, raw, found, 1)).max() < 0.2


def test_a_black_baseline_is_no_image_of_small_values():
    raw = np.random.default_rng(0).integers(0, 256, (3, 2, 8, 8))  # neither uint8 nor from 0 to 1
    model = small_model()
    model.preprocessing = fn.data.Standardize.fit(raw.astype(np.uint8))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        v.completeness_gap(model, raw, v.integrated_gradients(model, raw, 1, steps=300), 1)


def test_nothing_of_the_model_changes(x):
    model = fn.Sequential(fn.Conv2d(4, 3), fn.BatchNorm2d(), fn.ReLU(), fn.Dropout(0.5), fn.Flatten(), fn.Linear(3))
    model.build((2, 8, 8), dtype="float64")
    before, streams = model.state_dict(), model.rng_state()
    first = v.guided_backprop(model, x, 1)
    np.testing.assert_array_equal(first, v.guided_backprop(model, x, 1))
    after = model.state_dict()
    assert all((before[name] == after[name]).all() for name in before) and model.rng_state() == streams
    assert all(p.grad is None for p in model.parameters())


def test_maps_of_attributions():
    a = np.array([[[[1.0, -3.0]], [[-2.0, 0.5]]]])
    np.testing.assert_array_equal(v.to_maps(a), [[[2, 3]]])
    np.testing.assert_array_equal(v.to_maps(a[:, 0]), a[:, 0])
    with pytest.raises(ValueError, match=r"got shape \(2,\)"):
        v.to_maps(np.zeros(2))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m, x: v.saliency(m, x, 5), ValueError, "target must be a class from 0 to 4, got 5"),
        (lambda m, x: v.saliency(m, x, [0, 1, 2, 3, -1]), ValueError, "from 0 to 4, got -1"),
        (lambda m, x: v.saliency(m, x, [0, 1]), ValueError, "one for each of the 5 images, got 2"),
        (lambda m, x: v.saliency(m, x, 1.5), TypeError, "a class number or name"),
        (lambda m, x: v.saliency(m, x, "cat"), ValueError, "no class names"),
        (lambda m, x: v.saliency(m, x[0], 0), ValueError, r"X\[None\]"),
        (lambda m, x: v.saliency(m, x[:, :1], 0), ValueError, r"examples of shape \(2, 8, 8\)"),
        (lambda m, x: v.saliency(m, np.zeros((1, 2, 10, 10)), 0), ValueError, "do not fit the model"),
        (lambda m, x: v.to_maps(x * np.nan), ValueError, "NaN"),
        (lambda m, x: v.grad_cam(m, x, 0, layer=4), TypeError, "which are str, got 4"),
        (lambda m, x: v.saliency(m, x[:0], 0), ValueError, "N >= 1"),
        (lambda m, x: v.saliency(m, x * np.nan, 0), ValueError, "NaN"),
        (lambda m, x: v.saliency(m, x, 0, batch_size=0), ValueError, "batch_size must be an integer"),
        (lambda m, x: v.saliency("net", x, 0), TypeError, "must be a fastnet model, got str"),
        (lambda m, x: v.saliency(fn.Sequential(fn.Linear(2)), x), RuntimeError, "not built"),
        (lambda m, x: v.integrated_gradients(m, x, 0, steps=0), ValueError, "steps must be an integer between 1"),
        (lambda m, x: v.integrated_gradients(m, x, 0, baseline=x[:2]), ValueError, "baseline must be a number or"),
        (lambda m, x: v.completeness_gap(m, x, x[0]), ValueError, "the images' shape"),
        (lambda m, x: v.smoothgrad(m, x, 0, samples=0), ValueError, "samples must be an integer"),
        (lambda m, x: v.smoothgrad(m, x, 0, noise=-1), ValueError, "noise must be >= 0"),
        (lambda m, x: v.guided_backprop(m, x, layer="9"), ValueError, "no layer '9'"),
        (lambda m, x: v.deconvnet(m, x, 6, layer="4"), ValueError, "a channel of 4 from 0 to 5, got 6"),
        (lambda m, x: v.deconvnet(m, x, [1, 2], layer="4"), ValueError, "one for each image, got 2"),
        (lambda m, x: v.grad_cam(m, x, 0, layer="5"), ValueError, r"'5' has no positions, its output is \(96,\).*'4'"),
    ],
)
def test_errors(call, error, message, x):
    with pytest.raises(error, match=message):
        call(small_model(), x)


def test_networks_without_relu_or_positions(x):
    model = fn.Sequential(fn.Flatten(), fn.Linear(3))
    model.build((2, 8, 8), dtype="float64")
    assert v.saliency(model, x, 1).shape == (5, 8, 8)
    np.testing.assert_allclose(v.saliency(model, x, 1)[0], abs(model[1].weight.value[1]).reshape(2, 8, 8).max(0))
    with pytest.raises(ValueError, match="of which the model has none"):
        v.guided_backprop(model, x, 1)
    with pytest.raises(ValueError, match="no layer of the model has positions"):
        v.grad_cam(model, x, 1)
    rows = fn.Sequential(fn.Linear(3))
    rows.build((4,))
    with pytest.raises(ValueError, match=r"must take images \(C, H, W\), it was built for \(4,\)"):
        v.saliency(rows, np.zeros((1, 4)))


def test_maps_of_scores_are_summed(x):
    """A segmentation network: the score of a class is the sum over its map."""
    model = fn.Sequential(fn.Conv2d(3, 3, padding=1))
    model.build((2, 8, 8), dtype="float64")
    dy = np.zeros((5, 3, 8, 8))
    dy[:, 1] = 1
    np.testing.assert_allclose(v.saliency(model, x, 1), abs(model.forward(x)[1](dy)).max(axis=1), rtol=1e-12)
