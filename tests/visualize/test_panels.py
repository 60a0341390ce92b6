"""The drawings: what is on them, and what cannot be drawn."""

import numpy as np
import pytest
from naive_net import small_model

from fastnet import visualize as v

pytest.importorskip("matplotlib")


@pytest.fixture
def x():
    return np.random.default_rng(5).standard_normal((3, 2, 8, 8))


def shown(axes):
    return [np.asarray(image.get_array()) for image in axes.get_images()]


def test_images(tmp_path):
    colours = np.random.default_rng(0).integers(0, 256, (5, 3, 6, 7)).astype(np.uint8)
    figure = v.plot_images(colours, list("abcde"), columns=3, path=tmp_path / "images.png")
    assert (tmp_path / "images.png").read_bytes().startswith(b"\x89PNG")
    assert [ax.get_title() for ax in figure.axes] == ["a", "b", "c", "d", "e", ""]
    np.testing.assert_allclose(shown(figure.axes[1])[0], colours[1].transpose(1, 2, 0) / 255)
    grey = v.plot_images(np.array([[[[1.0, 3.0]]]]), path=tmp_path / "grey.svg")
    np.testing.assert_allclose(shown(grey.axes[0])[0], [[0, 1]])


def test_letters_that_no_font_has(tmp_path):
    with pytest.warns(UserWarning, match="boxes stand for .*, which the font of plots lacks") as caught:
        v.plot_images(np.zeros((2, 1, 4, 4)), ["\U00010c00", "b"], bounds=(0, 1), path=tmp_path / "a.png")
    assert not any("Glyph" in str(each.message) for each in caught)


def test_maps_beside_and_over(tmp_path, x):
    signed, plain = x[:, 0], abs(x)
    for overlay in (False, True):
        figure = v.plot_maps(
            x, {"cam": signed, "saliency": plain}, ["a", "b", "c"], overlay=overlay, path=tmp_path / "a.png"
        )
        assert len(figure.axes) == 9 and figure.axes[0].get_ylabel() == "a"
        assert [ax.get_title() for ax in figure.axes[:3]] == ["image", "cam", "saliency"]
        np.testing.assert_array_equal(shown(figure.axes[1])[-1], signed[0])
        np.testing.assert_array_equal(shown(figure.axes[2])[-1], plain[0].max(axis=0))
        assert len(figure.axes[1].get_images()) == 1 + overlay


def test_fooled_and_curves(tmp_path, x):
    model = small_model()
    fooled = v.fool(model, x, 1, step=0.01)
    figure = v.plot_fooled(x, fooled, list("abcde"), path=tmp_path / "fooled.png")
    assert figure.axes[2].get_title().startswith("P(b) = ") and f"{fooled.l2[0]:.3g}" in figure.axes[1].get_title()
    curves = v.deletion_test(model, x, abs(x), 1)
    figure = v.plot_removal({"saliency": curves, "random": curves}, path=tmp_path / "curves.png")
    np.testing.assert_allclose(figure.axes[0].lines[0].get_ydata(), curves.probabilities.mean(axis=0))
    assert len(v.plot_removal(curves, path=tmp_path / "one.png").axes[0].lines) == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: v.plot_images(x[0], path="a.png"), r"must be \(N, C, H, W\)"),
        (lambda x: v.plot_images(x, ["a"], path="a.png"), "a title for each of 3 images, got 1"),
        (lambda x: v.plot_maps(x, x[:, 0, :4], path="a.png"), r"must be \(3, 8, 8\)"),
        (lambda x: v.plot_maps(x, x, ["a"], path="a.png"), "a title for each of 3 images, got 1"),
        (lambda x: v.plot_images(x, columns=0, path="a.png"), "columns must be an integer"),
        (lambda x: v.plot_images(x, bounds=(0,), path="a.png"), r"bounds must be \(low, high\)"),
        (lambda x: v.plot_maps(x, {}, path="a.png"), "at least one array"),
        (lambda x: v.plot_removal({}, path="a.png"), "at least one test"),
        (lambda x: v.plot_fooled(x[:1], v.fool(small_model(), x, 1), path="a.png"), r"the shape \(3, 2, 8, 8\)"),
    ],
)
def test_errors(call, message, x):
    with pytest.raises(ValueError, match=message):
        call(x)
