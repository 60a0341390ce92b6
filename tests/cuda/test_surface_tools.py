"""Tools on the backend "cupy": pictures, diagnoses, transfer, foreign files, classical methods, courses."""

from __future__ import annotations

import numpy as np
import pytest
from cuda import devices
from cuda.surface import IMAGES, X, Y, alike, network, same

import fastnet as fn
from fastnet import classical, diagnose, transfer, visualize
from fastnet.compat import kernels
from fastnet.compat.interop import as_course_model, from_course_model

PICTURES = {
    "saliency": lambda m: visualize.saliency(m, IMAGES[:2], 1),
    "guided": lambda m: visualize.guided_backprop(m, IMAGES[:2]),
    "deconvnet": lambda m: visualize.deconvnet(m, IMAGES[:2], layer="2"),
    "integrated": lambda m: visualize.integrated_gradients(m, IMAGES[:2], 1, steps=3),
    "smoothgrad": lambda m: visualize.smoothgrad(m, IMAGES[:2], 1, samples=2),
    "grad_cam": lambda m: visualize.grad_cam(m, IMAGES[:2], 1, layer="2"),
    "occlusion": lambda m: visualize.occlusion(m, IMAGES[:1], 1, window=3),
    "deletion": lambda m: visualize.deletion_test(m, IMAGES[:1], np.ones((1, 6, 6)), 1, steps=3),
    "class images": lambda m: visualize.class_images(m, [1], steps=2),
    "invert": lambda m: visualize.invert(m, IMAGES[:1], "2", steps=2),
    "style": lambda m: visualize.style_transfer(
        m, IMAGES[:1], IMAGES[1:2], content_layer="2", style_layers=["0"], steps=1
    ),
    "fool": lambda m: visualize.fool(m, IMAGES[:1], 2, steps=2),
    "dream": lambda m: visualize.deep_dream(m, IMAGES[:1], "0", steps=1, octaves=1),
    "feature maps": lambda m: visualize.feature_maps(m, IMAGES[:1], "0"),
    "filters": lambda m: visualize.filters(m, "0"),
    "patches": lambda m: visualize.top_patches(m, IMAGES, "2", count=2),
    "neighbours": lambda m: visualize.nearest_codes(m.predict(IMAGES), IMAGES[:2, 0, 0, :3], 2),
    "mistakes": lambda m: visualize.confusion_matrix(Y[:5], m.predict_classes(IMAGES), 3),
}


@pytest.mark.parametrize("name", PICTURES)
def test_pictures(name):
    if name == "style":
        pytest.importorskip("scipy")
    same(lambda: PICTURES[name](network()), 1e-3)


def test_diagnoses_take_labels_of_a_gpu_on_the_cpu():
    with devices.device() as device:
        labels = device.xp.asarray(Y)
    found = [diagnose.gradient_statistics(network(0), IMAGES, each).rows for each in (labels[:5], Y[:5])]
    alike(*found)


def test_diagnoses():
    def found():
        model = network(0)
        check = diagnose.sanity_check(network(0), (X, Y), rates=[0.1], examples=4, epochs=2, iterations=2)
        rates = diagnose.lr_range_test(network(0), (X, Y), iterations=10, batch_size=2)
        return [
            [(row.name, row.mean, row.std) for row in diagnose.activation_statistics(model, IMAGES).rows],
            [(row.name, row.std) for row in diagnose.gradient_statistics(model, IMAGES, Y[:5]).rows],
            check.ok,
            rates.losses,
            model.state_dict(),
        ]

    same(found, 1e-3)


def test_live_diagnosis(device):
    ratios, live = diagnose.UpdateRatios(2), diagnose.LiveDiagnosis()
    options = {"batch_size": 5, "epochs": 2, "verbose": False, "callbacks": [ratios, live]}
    fn.Solver(network(), (X, Y), **options).train()
    assert {type(ratio) for row in ratios.ratios.values() for ratio in row} == {float}


def test_transfer(tmp_path):
    def found():
        model = network(0)
        codes = transfer.features(model, IMAGES, "2", pool="mean", batch_size=2)
        names = transfer.replace_head(model, ["a", "b"], seed=1)
        transfer.train_head(model, IMAGES, Y[:5] % 2, epochs=2, optimizer=fn.optim.SGD(0.1), verbose=False)
        return [codes, names, transfer.freeze(model, "2"), model.state_dict()]

    same(found)


def test_state_of_pytorch(device, tmp_path):
    torch = pytest.importorskip("torch")
    model = network()
    torch.save({name: torch.from_numpy(value) for name, value in model.state_dict().items()}, tmp_path / "model.pt")
    other = network(seed=1)
    other.load_state_dict(fn.interop.load_torch(tmp_path / "model.pt"))
    np.testing.assert_array_equal(other.predict(IMAGES), model.predict(IMAGES))


CLASSIFIERS = {
    "neighbours": lambda: classical.KNearestNeighbors(3),
    "city-block": lambda: classical.KNearestNeighbors(1, metric="l1"),
    "svm": lambda: classical.LinearSVM(epochs=2),
    "softmax": lambda: classical.SoftmaxClassifier(epochs=2),
    "perceptron": lambda: classical.Perceptron(epochs=2),
}


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classical_methods(name):
    def found():
        method = CLASSIFIERS[name]()
        method.fit(X[:15], Y[:15])
        return method.predict(X[15:])

    same(found)


def test_clusters():
    same(lambda: classical.KMeans(3, seed=0).fit(IMAGES.reshape(5, -1)).predict(X.reshape(20, -1) / 255.0))


def test_courses_get_numpys_arrays():
    rng = np.random.default_rng(3)
    x, w, b = rng.normal(size=(2, 3, 6, 6)), rng.normal(size=(4, 3, 3, 3)), rng.normal(size=4)

    def found():
        y, saved = kernels.conv_forward(x, w, b, 1, 1)
        dx, dw, db = kernels.conv_backward(np.cos(y), saved, w)
        pooled = kernels.max_pool_forward(x, 2)
        results = [y, dx, dw, db, pooled, kernels.max_pool_backward(pooled, x, 2)]
        mean = kernels.avg_pool_forward(x, 2)
        results += [mean, kernels.avg_pool_backward(mean, x.shape, 2)]
        assert all(each.flags.c_contiguous for each in results)
        return results

    same(found, 1e-9)


def test_models_of_courses_share_arrays_with_numpy(device):
    with pytest.raises(RuntimeError, match="as_course_model: .*use_backend"):
        as_course_model(network())

    class Course:
        params = {"W": np.zeros((3, 2))}

        def loss(self, X, y=None):
            return X.reshape(len(X), -1)[:, :3] @ self.params["W"]

    with pytest.raises(RuntimeError, match="from_course_model: .*use_backend"):
        from_course_model(Course())
