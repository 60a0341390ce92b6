"""Receptive fields, patches, feature maps, filters."""

import numpy as np
import pytest

import fastnet as fn
from fastnet.visualize import (
    feature_maps,
    filters,
    maps,
    plot_feature_maps,
    plot_filters,
    plot_patches,
    receptive_field,
    stretch,
    tile,
    top_patches,
)

rng = np.random.default_rng(0)
NETS = {
    "convolutions": ((2, 11, 9), [fn.Conv2d(2, 3, padding=1), fn.ReLU(), fn.Conv2d(2, 3, stride=2, padding=1)]),
    "left over": ((1, 8, 10), [fn.Conv2d(2, 3, stride=2), fn.Conv2d(2, 3, padding=1)]),
    "dilated": ((1, 13, 9), [fn.Conv2d(2, 3, padding=(2, 1), dilation=(2, 1)), fn.MaxPool2d(3, stride=2, padding=1)]),
    "far padding": ((1, 6, 6), [fn.Conv2d(2, 3, padding=4), fn.Conv2d(1, 3, stride=2)]),
    "pooling": ((1, 12, 12), [fn.MaxPool2d(3, 2, ceil_mode=True), fn.BatchNorm2d(), fn.AvgPool2d(2, 1, padding=1)]),
    "same": ((1, 9, 7), [fn.Conv2d(2, 4, stride=2, padding="same"), fn.LocalResponseNorm(2), fn.Conv2d(2, (1, 3))]),
    "residual": (
        (2, 10, 9),
        [fn.Residual([fn.Conv2d(4, 3, stride=2, padding=1)], fn.Conv2d(4, 1, stride=2)), fn.ReLU()],
    ),
    "subsample": ((2, 9, 9), [fn.Residual(fn.Conv2d(4, 3, stride=2, padding=1), fn.Subsample(2, 4)), fn.ReLU()]),
    "concat": ((1, 9, 8), [fn.Concat([fn.Conv2d(1, 1), fn.Conv2d(2, 5, padding=2), fn.MaxPool2d(3, 1, padding=1)])]),
    "transposed": ((1, 5, 6), [fn.Conv2d(2, 3, padding=1), fn.ConvTranspose2d(2, 3, stride=2, padding=1)]),
    "upsample": ((1, 5, 6), [fn.Upsample(scale_factor=2, mode="bilinear"), fn.Conv2d(2, 3, padding=1)]),
    "shuffled": ((4, 6, 8), [fn.PixelShuffle(2), fn.Conv2d(2, 3), fn.ZeroPad2d(2), fn.PixelUnshuffle(2)]),
    "reflected": ((1, 6, 7), [fn.ReflectionPad2d(2), fn.Conv2d(2, 3), fn.MaxPool2d(2)]),
    "adaptive": ((1, 11, 9), [fn.Conv2d(2, 3), fn.AdaptiveMaxPool2d(4), fn.AdaptiveAvgPool2d((3, 2))]),
    "fractional": ((1, 11, 9), [fn.FractionalMaxPool2d(output_size=(5, 4)), fn.Conv2d(1, 2)]),
    "group norm": ((2, 6, 5), [fn.Conv2d(2, 3), fn.GroupNorm(1)]),
    "linear": ((1, 6, 5), [fn.Conv2d(2, 3), fn.Flatten(), fn.Linear(3)]),
    "global": ((1, 6, 5), [fn.Conv2d(2, 3, stride=2), fn.GlobalAvgPool2d(), fn.Flatten(), fn.Linear(3)]),
    "signal": ((2, 12), [fn.Conv1d(3, 3, padding=1), fn.MaxPool1d(2), fn.Conv1d(2, 3)]),
}


def positive_model(shape, layers):
    """A model in which a larger pixel makes every unit that sees it larger, unless a norm is in between."""
    model = fn.Sequential(*layers)
    model.build(shape, dtype="float64")
    for parameter in model.parameters():
        parameter.value = np.abs(np.asarray(parameter.value)) + 0.1
    return model


def seen(model, shape, layer):
    """By brute force: (top, bottom, left, right) of the pixels that change each position's units."""
    x = rng.uniform(0.5, 1.0, (1, *shape))
    before = feature_maps(model, x, layer)
    sizes = (1, *shape[1:]) if len(shape) == 2 else shape[1:]
    changes = np.zeros((*sizes, *(before.shape[2:] or (1, 1))[-2:]), bool).reshape(*sizes, -1)
    for row, column in np.ndindex(*sizes):
        changed = x.copy().reshape(1, shape[0], *sizes)
        changed[0, :, row, column] += 1e3
        after = feature_maps(model, changed.reshape(x.shape), layer)
        changes[row, column] = (after != before).reshape(*before.shape[:2], -1).any(axis=(0, 1))
    boxes = []
    for position in range(changes.shape[-1]):
        rows, columns = (np.flatnonzero(changes[..., position].any(axis=axis)) for axis in (1, 0))
        boxes.append((rows[0], rows[-1] + 1, columns[0], columns[-1] + 1) if len(rows) else None)
    return boxes


@pytest.mark.parametrize("name", NETS)
def test_fields_against_brute_force(name):
    shape, layers = NETS[name]
    model = positive_model(shape, layers)
    for number in range(len(layers)):
        field = receptive_field(model, str(number))
        P, Q = len(field.rows), len(field.columns)
        boxes = [field.box(row, column) for row in range(P) for column in range(Q)]
        for box, expected in zip(boxes, seen(model, shape, str(number)), strict=True):
            empty = box[0] == box[1] or box[2] == box[3]
            assert (empty and expected is None) or box == expected


def test_fields_of_known_networks():
    """As Araujo et al. 2019 (distill.pub/2019/computing-receptive-fields) list them."""
    model = fn.models.create("vgg16", 10, (3, 32, 32))
    field = receptive_field(model, "features.30")
    assert (field.size, field.stride, field.offset) == ((212, 212), (32, 32), (-90, -90))
    model = fn.models.create("resnet18", 10, (3, 224, 224))
    assert receptive_field(model, "layer4").size == (435, 435)
    larger = receptive_field(model, "layer4", (3, 500, 480))
    assert larger.stride == (32, 32) and larger.rows.shape == (16, 2) and larger.columns.max() == 480


class Own(fn.Layer):
    def run(self, x, training, ops):
        return x, lambda dy, input_gradient=True: dy


def test_fields_that_are_not_known():
    model = fn.Sequential(Own(), fn.Conv2d(2, 3))
    with pytest.raises(RuntimeError, match="not built"):
        receptive_field(model, "1")
    model.build((1, 5, 5))
    with pytest.raises(TypeError, match="no rule for opaque in layer '0'"):
        receptive_field(model, "1")
    with pytest.raises(ValueError, match="no layer '2'"):
        receptive_field(model, "2")
    with pytest.raises(TypeError, match="must be a sequence of sizes, got 5"):
        receptive_field(model, "1", 5)
    for function in (filters, lambda model: receptive_field(model, "0")):
        with pytest.raises(TypeError, match="must be a fastnet model, got list"):
            function([])
    vectors = fn.Sequential(fn.Linear(3))
    vectors.build((4,))
    with pytest.raises(ValueError, match=r"must take images .* not inputs of shape \(4,\)"):
        receptive_field(vectors, "0")


@pytest.fixture(scope="module")
def model():
    made = fn.Sequential(
        conv=fn.Conv2d(4, 3, padding=1), relu=fn.ReLU(), pool=fn.MaxPool2d(2), deep=fn.Conv2d(5, 3, padding=1)
    )
    made.build((3, 8, 10), seed=1)
    made.preprocessing = lambda x, dtype: (x / 255).astype(dtype)
    return made


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).integers(0, 256, (23, 3, 8, 10), np.uint8)


@pytest.mark.parametrize("layer", ["conv", "pool", "deep"])
def test_patches_against_a_search(model, images, layer):
    found = top_patches(model, images, layer, units=[3, 1], count=4, batch_size=5)
    maps, field = feature_maps(model, images, layer), receptive_field(model, layer)
    assert found.units == (3, 1) and found.patches.dtype == np.uint8
    for n, unit in enumerate(found.units):
        best = sorted(((maps[i, unit].max(), i) for i in range(len(images))), key=lambda pair: (-pair[0], pair[1]))[:4]
        assert found.images[n].tolist() == [i for _, i in best]
        np.testing.assert_array_equal(found.values[n], np.array([value for value, _ in best]))
        for m, (_, i) in enumerate(best):
            row, column = np.unravel_index(maps[i, unit].argmax(), maps.shape[2:])
            top, bottom, left, right = box = field.box(row, column)
            assert tuple(found.boxes[n, m]) == box
            patch, part = found.patches[n, m], images[i][:, top:bottom, left:right]
            assert patch.shape[1:] == (field.size[0], field.size[1])
            down = top - int(field.offset[0] + row * field.stride[0])
            across = left - int(field.offset[1] + column * field.stride[1])
            whole = np.zeros_like(patch)
            whole[:, down : down + bottom - top, across : across + right - left] = part
            np.testing.assert_array_equal(patch, whole)
            assert (
                found.inside[n, m].sum() == (bottom - top) * (right - left) and not patch[:, ~found.inside[n, m]].any()
            )


def test_a_patch_alone_excites_as_much(model, images):
    """The unit sees nothing else: what lies outside its patch may be anything."""
    found = top_patches(model, images, "deep", units=2, count=1)
    top, bottom, left, right = found.boxes[0, 0]
    other = 255 - images[found.images[0]]
    other[0, :, top:bottom, left:right] = images[found.images[0, 0]][:, top:bottom, left:right]
    assert feature_maps(model, other, "deep")[0, 2].max() >= found.values[0, 0] * (1 - 1e-6)


def test_units_of_a_linear_layer_see_the_whole_image(images):
    model = fn.Sequential(fn.Conv2d(4, 3), fn.GlobalAvgPool2d(), fn.Flatten(), fn.Linear(3))
    model.build((3, 8, 10))
    found = top_patches(model, images.astype("float32"), "3", count=2)
    assert found.patches.shape == (3, 2, 3, 8, 10)
    np.testing.assert_array_equal(found.patches[1, 0], images[found.images[1, 0]])


def test_bad_units_and_layers(model, images):
    with pytest.raises(ValueError, match="units must be numbers from 0 to 4"):
        top_patches(model, images, "deep", units=5)
    with pytest.raises(ValueError, match="did you mean conv"):
        top_patches(model, images, "cnv")
    with pytest.raises(ValueError, match=r"at least one, got shape \(0, 3, 8, 10\)"):
        top_patches(model, images[:0], "deep")


def test_feature_maps_are_those_of_trace(model, images):
    traced = {}
    with fn.layers.trace(lambda name, phase, array: traced.__setitem__(name, np.array(array))):
        model(model.preprocessing(images, "float32"))
    for layer in ("conv", "pool", "deep"):
        np.testing.assert_allclose(feature_maps(model, images, layer, 7), traced[layer], rtol=1e-5, atol=1e-5)


def test_large_layers_take_few_images_at_a_time(model, images, monkeypatch):
    whole = feature_maps(model, images, "deep")
    elements = sum(int(np.prod(row.output_shape)) for row in model.summary().rows)
    monkeypatch.setattr(maps, "_ELEMENTS", 4 * elements + 1)
    parts = list(maps.each_batch(model, images, "deep", 128))
    sizes = [len(part) for part in parts]
    assert sizes == [4] * 5 + [3]
    np.testing.assert_allclose(np.concatenate(parts), whole, rtol=1e-5, atol=1e-6)


def test_filters(model):
    weights = np.asarray(model["conv"].weight.value)
    each, joint = filters(model), filters(model, "conv", jointly=True)
    for w, picture in zip(weights, each, strict=True):
        np.testing.assert_allclose(picture, w / (2 * np.abs(w).max()) + 0.5, atol=1e-6)
    np.testing.assert_allclose(joint, weights / (2 * np.abs(weights).max()) + 0.5, atol=1e-6)
    assert filters(model, "deep").shape == (5, 4, 3, 3)
    with pytest.raises(ValueError, match="no layer 'dep' has weights that are pictures; did you mean deep"):
        filters(model, "dep")
    templates = fn.Sequential(fn.Flatten(), fn.Linear(2))
    templates.build((1, 4, 5))
    assert filters(templates).shape == (2, 1, 4, 5)


def test_stretch_and_tile():
    x = np.array([[1.0, 3.0], [-2.0, 2.0], [4.0, 4.0], [0.0, 0.0]])
    np.testing.assert_allclose(stretch(x), [[0, 1], [0, 1], [0.5, 0.5], [0, 0]])
    np.testing.assert_allclose(stretch(x, jointly=True)[1], [0, 4 / 6])
    np.testing.assert_allclose(stretch(x, symmetric=True), [[4 / 6, 1], [0, 1], [1, 1], [0.5, 0.5]])
    with pytest.raises(ValueError, match="finite"):
        stretch(x * np.nan)
    sheet = tile(np.arange(5).reshape(5, 1, 1, 1), columns=2, gap=1, fill=9)
    np.testing.assert_array_equal(sheet[0], [[0, 9, 1], [9, 9, 9], [2, 9, 3], [9, 9, 9], [4, 9, 9]])
    with pytest.raises(ValueError, match=r"\(N, C, H, W\)"):
        tile(x)


def test_plots(model, images, tmp_path):
    pytest.importorskip("matplotlib")
    plot_filters(model, path=tmp_path / "filters.png")
    plot_filters(model, "deep", most=3, path=tmp_path / "deep.png")
    plot_feature_maps(model, images[0], "conv", path=tmp_path / "maps.png")
    plot_patches(top_patches(model, images, "deep"), path=tmp_path / "patches.svg")
    assert all(len(file.read_bytes()) > 1000 for file in tmp_path.iterdir())
    with pytest.raises(TypeError, match="must be the result of top_patches"):
        plot_patches(images)
