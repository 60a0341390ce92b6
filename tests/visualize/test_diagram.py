"""The network drawn as a picture."""

import itertools
import re
from xml.etree import ElementTree

import numpy as np
import pytest

import fastnet as fn
from fastnet.visualize import plot_model
from fastnet.visualize.layout import Layout
from fastnet.visualize.structure import boxes_of

NAMES = ["vgg11", "resnet20", "googlenet", "squeezenet1_1", "mobilenet_v2", "fixup_resnet20", "lenet5"]


@pytest.fixture(scope="module", params=NAMES)
def model(request):
    return (
        fn.models.create(request.param, 10, (3, 32, 32))
        if request.param == "vgg11"
        else fn.models.create(request.param)
    )


def test_every_layer_and_parameter_is_drawn(model):
    boxes = boxes_of(model)
    drawn = [box.title.split()[0] for box in boxes] + [name for box in boxes for name in box.added]
    summary = model.summary()
    rows = [row for row in summary.rows if not row.name.startswith("aux")]  # heads that only training has
    assert sorted(name for name in drawn if name[0].isupper() and name != "Input") == sorted(row.layer for row in rows)
    assert sum(box.parameters for box in boxes) == sum(row.parameters for row in rows)
    assert boxes[-1].shape == tuple(model.output_shape) and boxes[0].shape == tuple(model.input_shape)


def test_boxes_and_lines_are_apart(model):
    boxes = boxes_of(model)
    layout = Layout(boxes, [box.inputs for box in boxes], [150.0] * len(boxes), 16.0)
    for rank in layout.ranks:
        for left, right in itertools.pairwise(rank):
            assert right.x - left.x >= (left.width + right.width) / 2 + 16 - 1e-6
    for line in layout.lines:
        assert [slot.rank for slot in line] == list(range(line[0].rank, line[-1].rank + 1))
        assert all(slot.item is None for slot in line[1:-1])
    arrows = {(id(line[0].item), id(line[-1].item)) for line in layout.lines}
    assert arrows == {(id(other), id(box)) for box in boxes for other in box.inputs}


def test_branches_of_residual_and_concat():
    model = fn.Sequential(
        fn.Residual([fn.Conv2d(3, 3, padding=1), fn.BatchNorm2d()]),
        fn.ReLU(),
        fn.Concat([fn.Conv2d(2, 1), fn.MaxPool2d(3, 1, padding=1), fn.Identity()]),
        fn.Flatten(),
        fn.Linear(4),
        fn.Softmax(),
    )
    model.build((3, 6, 5))
    boxes = boxes_of(model)
    told = [(box.title, box.added, box.shape, [other.title for other in box.inputs]) for box in boxes]
    assert told == [
        ("Input", [], (3, 6, 5), []),
        ("Conv2d 3x3, 3", ["BatchNorm2d"], (3, 6, 5), ["Input"]),
        ("add", ["ReLU"], (3, 6, 5), ["Conv2d 3x3, 3", "Input"]),
        ("Conv2d 1x1, 2", [], (2, 6, 5), ["add"]),
        ("MaxPool2d 3x3", [], (3, 6, 5), ["add"]),
        ("Identity", [], (3, 6, 5), ["add"]),
        ("concat", [], (8, 6, 5), ["Conv2d 1x1, 2", "MaxPool2d 3x3", "Identity"]),
        ("Flatten", [], (240,), ["concat"]),
        ("Linear 4", ["Softmax"], (4,), ["Flatten"]),
    ]


def test_a_shared_layer_is_drawn_at_each_use():
    shared = fn.Conv2d(2, 3, padding=1)
    model = fn.Sequential(shared, fn.ReLU(), shared)
    model.build((2, 4, 4))
    counts = [box.parameters for box in boxes_of(model)]
    assert counts == [0, 38, 0]


def test_the_file_is_well_formed_and_stands_alone(tmp_path):
    hostile = '<script>alert("&")</script>'
    model = fn.Sequential(**{hostile: fn.Conv2d(2, 3), "ünï\n": fn.ReLU(), "b": fn.MaxPool2d(2)})
    drawing = plot_model(model, (1, 6, 6), tmp_path / "net.svg")
    written = (tmp_path / "net.svg").read_text(encoding="utf-8")
    assert written == drawing.svg == drawing._repr_svg_()
    tree = ElementTree.fromstring(written)
    texts = [element.text for element in tree.iter("{http://www.w3.org/2000/svg}text")]
    assert hostile in texts and "script" not in {element.tag.rpartition("}")[2] for element in tree.iter()}
    assert not re.search(r"href|src=|@import", written) and written.count("http") == 1  # the name space
    left, top, width, height = map(float, tree.get("viewBox").split())
    for box in tree.iter("{http://www.w3.org/2000/svg}rect"):
        x, y, w, h = (float(box.get(name)) for name in ("x", "y", "width", "height"))
        assert left <= x and x + w <= left + width and top <= y and y + h <= top + height
    assert plot_model(model, (1, 6, 6)).svg == drawing.svg


def test_bad_calls(tmp_path):
    with pytest.raises(RuntimeError, match="not built"):
        plot_model(fn.Sequential(fn.Conv2d(2, 3)))
    with pytest.raises(ValueError, match=r"must end in \.svg, got .*net\.png"):
        plot_model(fn.models.create("lenet5"), path=tmp_path / "net.png")
    assert np.isfinite(plot_model(fn.models.create("lenet5")).width)
