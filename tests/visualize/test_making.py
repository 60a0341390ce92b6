"""Images that are made: fooling images, class images, dreams, styles, inversions; and the pieces they are made with."""

import numpy as np
import pytest
from naive_net import small_model, trained_digits

import fastnet as fn
from fastnet import visualize as v
from fastnet.visualize.canvas import Canvas, blurred, total_variation
from fastnet.visualize.subject import Subject


@pytest.fixture(scope="module")
def digits():
    pytest.importorskip("sklearn")
    return trained_digits()


@pytest.fixture
def x():
    return np.random.default_rng(5).standard_normal((3, 2, 8, 8))


def test_fooling_images_are_what_they_say(digits):
    """Whole numbers within the bounds, near the originals, and taken for the target with more than 0.9."""
    model, X, y = digits
    X, targets = X[:12], (y[:12] + 1) % 10
    found = v.fool(model, X, targets, bounds=(0, 250))
    assert found.images.dtype == np.uint8 and found.images.max() == 250
    np.testing.assert_allclose(model.predict_proba(found.images)[range(12), targets], found.probabilities, rtol=1e-4)
    np.testing.assert_allclose(model.predict_proba(X)[range(12), targets], found.before, rtol=1e-4, atol=1e-7)
    assert found.probabilities.min() > 0.9 > 0.1 > found.before.max()
    np.testing.assert_array_equal(found.perturbations, found.images.astype(float) - X)
    np.testing.assert_allclose(found.l2, np.sqrt((found.perturbations**2).sum(axis=(1, 2, 3))))
    np.testing.assert_allclose(found.linf, abs(found.perturbations).max(axis=(1, 2, 3)))
    norms = np.sqrt((X.astype(float) ** 2).sum(axis=(1, 2, 3)))
    np.testing.assert_allclose(found.relative, found.l2 / norms)
    assert found.relative.mean() < 0.4
    assert (abs(found.l2) < np.sqrt(((X[:, None].astype(float) - X) ** 2).sum(axis=(2, 3, 4))).max(axis=1)).all()


def test_an_image_that_is_the_target_already_stays(digits):
    model, X, y = digits
    sure = X[model.predict_proba(X)[np.arange(len(X)), y] > 0.99][:3]
    found = v.fool(model, sure, model.predict_classes(sure))
    assert (found.l2 == 0).all() and (found.images == sure).all()
    with pytest.warns(UserWarning, match="3 of 3 images stay below a probability of 0.9 after 1 steps"):
        v.fool(model, sure, (model.predict_classes(sure) + 1) % 10, steps=1)


def test_the_score_of_a_synthesised_class_rises(digits):
    model, _, _ = digits
    found = v.class_images(model, [3, 7], steps=200, blur=0.3, bounds=(5, 250))
    assert found.images.shape == (2, 1, 8, 8) and found.images.min() >= 5 and found.images.max() <= 250
    assert (found.scores[-1] > found.scores[0] + 5).all() and (found.probabilities > 0.9).all()
    np.testing.assert_allclose(model.predict(found.images)[[0, 1], [3, 7]], found.scores[-1], rtol=1e-4)
    np.testing.assert_array_equal(
        found.images, v.class_images(model, [3, 7], steps=200, blur=0.3, bounds=(5, 250)).images
    )
    free = v.class_images(model, 3, steps=5, l2=0, blur=0, jitter=0, clip=0.3, start=np.full((1, 8, 8), 2.0))
    assert free.scores[-1, 0] > free.scores[0, 0]
    zeros = (model.preprocessing(free.images, "float64") == 0) | (abs(model.preprocessing(free.images)) < 1e-6)
    assert zeros.mean() >= 0.29


def test_classes_by_name():
    """The six of the lectures, by the names and by the numbers that they have among ImageNet's 1,000."""
    six = {"strawberry": 949, "throne": 857, "mushroom": 947, "tarantula": 76, "flamingo": 130, "king penguin": 145}
    model = fn.Sequential(fn.Conv2d(8, 3, stride=2), fn.ReLU(), fn.GlobalAvgPool2d(), fn.Flatten(), fn.Linear(1000))
    model.build((3, 16, 16), seed=0)
    names = {number: name for name, number in six.items()}
    model.class_names = tuple(names.get(k, f"class {k}") for k in range(1000))
    found = v.class_images(model, list(six), steps=20)
    np.testing.assert_array_equal(found.targets, list(six.values()))
    assert (found.scores[-1] > found.scores[0]).all()
    np.testing.assert_array_equal(found.images, v.class_images(model, list(six.values()), steps=20).images)
    with pytest.raises(ValueError, match="no class 'flamengo'; did you mean flamingo"):
        v.class_images(model, "flamengo")


def test_one_step_of_a_class_image_by_hand(x):
    """x + rate g / rms(g), without priors."""
    model = small_model()
    start = x[:1].copy()
    found = v.class_images(model, 2, start=start, steps=1, rate=0.3, l2=0.25, blur=0, jitter=0)
    dy = np.zeros((1, 5))
    dy[0, 2] = 1
    g = model.forward(start)[1](dy)
    np.testing.assert_allclose(found.images, (start + 0.3 * g / np.sqrt((g**2).mean())) * 0.75, rtol=1e-10)


def test_dreams_raise_the_norm_of_their_layer(x):
    model = small_model()
    images = np.random.default_rng(0).integers(0, 256, (2, 2, 20, 16)).astype(np.uint8)  # not what it was built for
    for channel in (None, 3):
        dream = v.deep_dream(model, images, "3", channel=channel, octaves=2, steps=5)
        assert dream.shape == images.shape and dream.dtype == np.uint8
        probe = fn.layers.Probe(model, ["3"])
        before, after = (probe(each.astype(float))[0]["3"] for each in (images, dream))
        chosen = slice(None) if channel is None else channel
        assert (after[:, chosen] ** 2).sum() > 1.2 * (before[:, chosen] ** 2).sum()


def test_dreams_of_layers_that_take_one_size(x):
    model = fn.Sequential(fn.Conv2d(3, 3), fn.Flatten(), fn.Linear(4))
    model.build(x.shape[1:])
    with pytest.raises(ValueError, match="up to '2' take no images of .* give octaves=1"):
        v.deep_dream(model, x, "2", octaves=2)
    assert v.deep_dream(model, x, "2", octaves=1, steps=1).shape == x.shape


def test_one_step_of_a_dream_by_hand(x):
    """x + rate g / mean|g|, with g the gradient of half the squared norm."""
    model = small_model()
    first = fn.Sequential(*list(model)[:4])
    first.build((2, 8, 8), dtype="float64")
    y, backward = first.forward(x)
    g = backward(y)
    g /= abs(g).mean(axis=(1, 2, 3), keepdims=True)
    found = v.deep_dream(model, x, "3", octaves=1, steps=1, rate=0.01, jitter=0, bounds=(-10, 10))
    np.testing.assert_allclose(found, x + 0.2 * g, rtol=1e-9)


def test_style_and_its_gradient(x):
    pytest.importorskip("scipy")
    model = small_model()
    content, style = x[:1], np.random.default_rng(1).standard_normal((1, 2, 12, 10))
    layers = {"1": 1.0, "4": 0.5}
    options = {"content_layer": "4", "style_layers": layers, "content_weight": 0.2, "tv_weight": 0.3, "bounds": (-9, 9)}
    found = v.style_transfer(model, content, style, steps=40, **options)

    def total(image):
        probe = fn.layers.Probe(model, list(layers))
        F, S, P = (probe(each)[0] for each in (image, style, content))
        result = 0.2 * ((F["4"] - P["4"]) ** 2).sum() / (P["4"] ** 2).sum()
        for name, weight in layers.items():
            G, A = (np.einsum("niab,njab->nij", f[name], f[name]) / f[name][0, 0].size for f in (F, S))
            result += weight / 2 * ((G - A) ** 2).sum() / (A**2).sum()
        steps = (np.diff(image, axis=2) ** 2).sum() + (np.diff(image, axis=3) ** 2).sum()
        return result + 0.3 * steps / image.size

    assert found.losses[0] == pytest.approx(total(content), rel=1e-9)
    assert found.losses.min() == pytest.approx(total(found.image), rel=1e-6)  # so SciPy was given the right gradient
    assert found.losses.min() < 0.5 * found.losses[0]
    noise = v.style_transfer(model, content, style, steps=40, start="noise", **options)
    assert noise.losses.min() < 0.2 * noise.losses[0]
    np.testing.assert_allclose(v.gram_matrices(content), np.einsum("niab,njab->nij", content, content) / 64)


def test_the_gradient_of_style_agrees_with_differences():
    from fastnet.visualize.style import _style

    rng = np.random.default_rng(0)
    F, A, d = rng.standard_normal((3, 1, 3, 4, 5))
    A = v.gram_matrices(A)
    difference = (_style(F + 1e-6 * d, A, 2.0)[0] - _style(F - 1e-6 * d, A, 2.0)[0]) / 2e-6
    assert (_style(F, A, 2.0)[1] * d).sum() == pytest.approx(difference, rel=1e-7)


def test_inversion_brings_the_features_back(digits):
    model, X, _ = digits
    found = v.invert(model, X[:4], "1", steps=200, tv=0.001, norm=0.001, bounds=(0, 255))
    assert found.images.dtype == np.uint8 and found.errors.shape == (201, 4)
    assert (found.errors[-1] < 0.2).all() and (found.errors[0] > 0.5).all()
    far = np.sqrt(((found.images.astype(float) - X[:4]) ** 2).mean(axis=(1, 2, 3)))
    apart = np.sqrt(((X[:4, None].astype(float) - X[4:20]) ** 2).mean(axis=(2, 3, 4)))
    assert (far < apart.min(axis=1)).all()  # nearer to its own image than any other image is
    np.testing.assert_allclose(found.errors[-1], _error(model, found.images, X[:4], "1"), rtol=1e-4)


def _error(model, images, originals, layer):
    probe = fn.layers.Probe(model, [layer])
    a, b = (probe(model.preprocessing(each))[0][layer].astype(float) for each in (images, originals))
    return ((a - b) ** 2).sum(axis=(1, 2, 3)) / (b**2).sum(axis=(1, 2, 3))


@pytest.mark.parametrize("beta", [1.0, 2.0, 3.0])
def test_total_variation(beta, x):
    value, gradient = total_variation(x, beta)
    down, right = np.zeros_like(x), np.zeros_like(x)
    down[:, :, :-1], right[..., :-1] = x[:, :, 1:] - x[:, :, :-1], x[..., 1:] - x[..., :-1]
    assert value == pytest.approx(((down**2 + right**2) ** (beta / 2)).sum())
    d = np.random.default_rng(0).standard_normal(x.shape)
    difference = (total_variation(x + 1e-6 * d, beta)[0] - total_variation(x - 1e-6 * d, beta)[0]) / 2e-6
    assert (gradient * d).sum() == pytest.approx(difference, rel=1e-6)


def test_blur_is_scipy_s(x):
    ndimage = pytest.importorskip("scipy.ndimage")
    for sigma in (0.3, 0.8, 1.0):
        expected = ndimage.gaussian_filter(x, (0, 0, sigma, sigma), mode="nearest", radius=int(np.ceil(3 * sigma)))
        np.testing.assert_allclose(blurred(x, sigma), expected, rtol=1e-10, atol=1e-12)


def test_preprocessing_without_an_inverse(digits):
    model = small_model()
    model.preprocessing = lambda x, dtype: x.astype(dtype) / 255
    assert v.saliency(model, np.ones((1, 2, 8, 8), np.uint8), 1).shape == (1, 8, 8)
    with pytest.raises(TypeError, match=r"has no method inverse\(x\)"):
        v.class_images(model, 1, steps=1)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m, x: v.fool(m, x, None), TypeError, "target must be a class"),
        (lambda m, x: v.fool(m, x, 7), ValueError, "from 0 to 4, got 7"),
        (lambda m, x: v.fool(m, x, 1, confidence=1), ValueError, "between 0 and 1"),
        (lambda m, x: v.fool(m, x, 1, steps=0), ValueError, "fool: steps must be an integer"),
        (lambda m, x: v.fool(m, x, 1, bounds=(1, 0)), ValueError, "low < high"),
        (lambda m, x: v.fool(m, x, 1, bounds=3), TypeError, "bounds must be a sequence"),
        (lambda m, x: v.class_images(m, 5), ValueError, "from 0 to 4, got 5"),
        (lambda m, x: v.class_images(m, None), TypeError, "one or several classes"),
        (lambda m, x: v.class_images(m, 1, steps=0), ValueError, "steps must be an integer"),
        (lambda m, x: v.fool(m, 0 * x, 1), ValueError, "images that are all alike; give bounds"),
        (lambda m, x: v.class_images(m, 1, size=(9, 10)), ValueError, r"shape \(2, 9, 10\) do not fit the model"),
        (lambda m, x: v.class_images(m, 1, rate=1e308, l2=0, steps=9), ValueError, "rate=1e.308 is too large"),
        (lambda m, x: v.deep_dream(m, x, 3), TypeError, "which are str, got 3"),
        (lambda m, x: v.class_images(m, 1, clip=1), ValueError, "clip and l2 must be from 0"),
        (lambda m, x: v.class_images(m, [1, 2], start=x), ValueError, "one image or one for each of 2 classes"),
        (lambda m, x: v.deep_dream(m, x, "33"), ValueError, "no layer '33'; did you mean 3"),
        (lambda m, x: v.deep_dream(m, x, "3", channel=6), ValueError, "has channels 0 to 5, got 6"),
        (lambda m, x: v.deep_dream(m, x, "3", octaves=30), ValueError, "images of 8 x 8 vanish"),
        (lambda m, x: v.deep_dream(m, x, "3", scale=1), ValueError, "scale must be > 1"),
        (lambda m, x: v.style_transfer(m, x, x, content_layer="1", style_layers=["1"]), ValueError, "single images"),
        (lambda m, x: v.style_transfer(m, x, x, content_layer="1", style_layers="1"), TypeError, "layers' names"),
        (
            lambda m, x: v.style_transfer(m, x[:1], x[:1], content_layer="1", style_layers=["5"]),
            ValueError,
            "no positions",
        ),
        (lambda m, x: v.gram_matrices(x[0]), ValueError, r"must be \(N, C, H, W\)"),
        (lambda m, x: v.invert(m, x, "1", steps=0), ValueError, "steps must be an integer"),
        (lambda m, x: v.invert(m, x, "1", tv=-1), ValueError, "tv must be >= 0"),
    ],
)
def test_errors(call, error, message, x):
    with pytest.raises(error, match=message):
        call(small_model(), x)


def test_preprocessing_of_one_size(x):
    """Whitened images can be made, but not in octaves."""
    model = small_model("float32")
    raw = np.random.default_rng(0).integers(0, 256, (40, 2, 8, 8)).astype(np.uint8)
    model.preprocessing = fn.data.PCA.fit(raw, whiten="zca")
    made = v.class_images(model, 1, steps=20, bounds=(0, 255))
    assert made.images.min() >= 0 and made.scores[-1, 0] > made.scores[0, 0]
    assert v.deep_dream(model, raw[:2], "3", octaves=1).dtype == np.uint8
    with pytest.raises(ValueError, match="takes no images of 6 x 6; give octaves=1"):
        v.deep_dream(model, raw[:2], "3", octaves=2)


def test_bounds_follow_from_the_images():
    subject = Subject("test", small_model())
    assert (Canvas(subject, None, np.zeros((1, 2, 8, 8), np.uint8)).low, Canvas(subject).high) == (0, np.inf)
    canvas = Canvas(subject, None, np.linspace(-1, 3, 128).reshape(1, 2, 8, 8))
    assert (canvas.low, canvas.high, canvas.span((2, 8, 8))) == (-1, 3, 4)
