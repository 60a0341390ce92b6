"""The page about a model, and ``fastnet inspect``."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest

import fastnet as fn
from fastnet.cli import main
from fastnet.visualize import page, write_page
from fastnet.visualize.sections import OF_DATA, OF_IMAGE, OF_MODEL, Look, code_layer

pytest.importorskip("matplotlib")
Image = pytest.importorskip("PIL.Image")
pytest.importorskip("sklearn")

NAMES = ["<img src=x onerror=alert(1)>", "$\\frac{1}$", "a&b\n"]
VOID = {"meta", "img", "br"}


class Reader(HTMLParser):
    """Checks that every element is closed, and collects what a browser would load or run."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.loads, self.texts = [], [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.open += [tag] if tag not in VOID else []
        for name, value in attributes:
            if name in ("src", "href", "xlink:href", "srcset", "action", "data") or name.startswith("on"):
                self.loads.append(f"{name}={value}")

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-1:]}"
        self.open.pop()

    def handle_data(self, text):
        self.texts.append(text)


def read(path):
    text = path.read_text(encoding="utf-8")
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == [] and text.startswith("<!DOCTYPE html>")
    assert all(load.startswith("src=data:image/png;base64,") for load in reader.loads)
    assert not {"script", "link", "iframe", "object"} & set(reader.tags)
    assert not re.search(r"@import|url\((?!#)", text) and text.count("http://") == text.count(
        "http://www.w3.org/2000/svg"
    )
    return reader


@pytest.fixture(scope="module")
def model():
    made = fn.Sequential(
        fn.Conv2d(4, 3, padding=1), fn.ReLU(), fn.MaxPool2d(2), fn.Conv2d(5, 3), fn.ReLU(), fn.Flatten(), fn.Linear(3)
    )
    made.build((3, 9, 8), seed=0)
    made.preprocessing, made.class_names = fn.data.Standardize(np.full(3, 100.0), np.full(3, 50.0)), tuple(NAMES)
    return made


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (12, 3, 9, 8), np.uint8)


@pytest.fixture(scope="module")
def whole(model, images, tmp_path_factory):
    path, said = tmp_path_factory.mktemp("page") / "all.html", []
    hostile = "<script>alert('title')</script>"
    notes = write_page(
        path, model, images[0], (images, np.arange(12) % 3), title=hostile, facts=[hostile], say=said.append
    )
    return path, notes, said


def test_the_page_is_well_formed_and_loads_nothing(whole):
    path, notes, said = whole
    reader = read(path)
    assert notes == [] and said == [section.title for section in (*OF_IMAGE, *OF_DATA, *OF_MODEL)]
    assert reader.tags.count("section") == len(said) and reader.tags.count("svg") == 1 and len(reader.loads) >= 12
    texts = "\n".join(reader.texts)
    assert "<script>alert('title')</script>" in texts and NAMES[0] in texts and "a&b\\n" in texts


def test_parts_without_an_image_or_data(model, images, tmp_path):
    write_page(tmp_path / "model.html", model)
    assert read(tmp_path / "model.html").tags.count("section") == len(OF_MODEL)
    notes = write_page(tmp_path / "layers.html", model, images[0], layers=["2"])  # a pooling layer has no filters
    assert notes == ["Filters: none of the layers has weights that are pictures"]
    assert len(read(tmp_path / "layers.html").loads) == 5


def test_what_cannot_be_shown_is_said_on_the_page(tmp_path):
    model = fn.Sequential(fn.Flatten(), fn.Linear(4), fn.Tanh(), fn.Linear(2))
    model.build((1, 5, 5))
    X = np.random.default_rng(0).normal(size=(3, 1, 5, 5)).astype("float32")
    notes = write_page(tmp_path / "x.html", model, X[0], (X, np.array([0, 1, 1])))
    assert [note.split(":")[0] for note in notes] == ["t-SNE of the codes"] and "N >= 4" in notes[0]
    texts = "\n".join(read(tmp_path / "x.html").texts)
    assert "Not shown: embed: codes must have shape" in texts and "guided backprop: " in texts


def test_of_many_classes_those_that_occur():
    model = fn.Sequential(fn.Conv2d(2, 3), fn.Flatten(), fn.Linear(300))
    model.build((1, 5, 5), seed=0)
    model.class_names = tuple(f"kind {k}" for k in range(300))
    model[2].bias.value[7] = 100
    X = np.random.default_rng(0).normal(size=(6, 1, 5, 5)).astype("float32")
    made = OF_DATA[0].make(Look(model, None, X, np.array([7, 7, 3, 7, 7, 3]), None, 128, 0))
    assert re.findall(r"kind \d+", made) == ["kind 3", "kind 7"]


def test_maps_that_are_0_everywhere_are_said(tmp_path):
    model = fn.Sequential(fn.Conv2d(2, 3, padding=1), fn.ReLU(), fn.Flatten(), fn.Linear(2))
    model.build((1, 6, 6), seed=0)
    model[3].weight.value[:] = 0
    write_page(tmp_path / "page.html", model, np.ones((1, 6, 6), np.float32))
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "occlusion: 0 everywhere" in text and 'alt="maps"' in text


def test_a_failure_leaves_the_old_page(model, tmp_path, monkeypatch):
    path = tmp_path / "page.html"
    path.write_text("old")

    def broken(*arguments):
        raise OSError("disk full")

    monkeypatch.setattr(page, "_page", broken)
    monkeypatch.setattr(page, "OF_MODEL", ())
    with pytest.raises(OSError, match="disk full"):
        write_page(path, model)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_bad_calls(model, images, tmp_path):
    path = tmp_path / "x.html"
    with pytest.raises(ValueError, match=r"must end in \.html, got 'x\.pdf'"):
        write_page("x.pdf", model)
    with pytest.raises(ValueError, match="no layer '33'"):
        write_page(path, model, layers=["33"])
    with pytest.raises(ValueError, match=r"image must have the model's shape \(3, 9, 8\), got \(3, 5, 5\)"):
        write_page(path, model, images[0, :, :5, :5])
    with pytest.raises(ValueError, match="one length, at least 1, got 12 and 2"):
        write_page(path, model, data=(images, [0, 1]))
    with pytest.raises(ValueError, match="must be from 0 to 2, got 3 to 3"):
        write_page(path, model, data=(images[:1], [3]))
    with pytest.raises(FileNotFoundError, match="nosuch does not exist"):
        write_page(tmp_path / "nosuch" / "x.html", model)
    with pytest.raises(TypeError, match="must be a fastnet model, got ReLU"):
        write_page(path, fn.ReLU())
    with pytest.raises(RuntimeError, match="not built"):
        write_page(path, fn.Sequential(fn.ReLU()))
    assert not path.exists()


def test_the_layer_of_codes(model):
    assert code_layer(model) == "5"


# ---------------------------------------------------------------- the command


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inspect")
    for name in ("cat", "<b>dog"):
        for i in range(10):
            pixels = np.random.default_rng(i).integers(0, 100, (8, 8, 3), np.uint8) + np.uint8(100 * (name == "cat"))
            (folder / "photos" / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / "photos" / name / f"{i}.png")
    options = ["--epochs", "2", "--quiet", "--no-plot", "--out", str(folder / "run")]
    assert main(["train", "--data", str(folder / "photos"), *options]) == 0
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(folder / "<i>large.png")
    return folder


def test_inspect_an_image(run, capsys):
    assert main(["inspect", str(run / "run"), str(run / "<i>large.png"), "--out", str(run / "image.html")]) == 0
    out, err = capsys.readouterr()
    assert f"{run / 'image.html'} is written" in out and "scaled to cover 8x8 pixels, and its centre cropped" in err
    texts = "\n".join(read(run / "image.html").texts)
    assert "<i>large.png" in texts and "<b>dog" in texts and "Confusion" not in texts


def test_inspect_the_models_own_data(run, capsys):
    assert main(["inspect", str(run / "run")]) == 0
    assert "run/inspect.html is written" in capsys.readouterr().out
    texts = "\n".join(read(run / "run" / "inspect.html").texts)
    assert "Confusion" in texts and "Prediction" not in texts and "4 test images of photos" in texts


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["nosuch"], "nosuch does not exist"),
        (["photos"], "holds no model.json"),
        (["photos/cat/1.png"], "is not a model of fastnet"),
        (["run", "nosuch.png"], "nosuch.png does not exist"),
        (["run", "run/model.json"], "not an image that Pillow can read"),
        (["run", "photos/cat/1.png", "--layer", "conv1"], "the model has no layer 'conv1'"),
        (["run", "--data", "digits"], "the model takes images of 3 x 8 x 8"),
        (["run", "photos/cat/1.png", "--out", "page.txt"], "must end in .html"),
    ],
)
def test_mistakes_are_answered_in_one_line(run, words, problem, monkeypatch, capsys):
    monkeypatch.chdir(run)
    assert main(["inspect", *words]) == 2
    err = capsys.readouterr().err
    assert problem in err and err.count("\n") == 1


def test_evaluate_prints_confusions_and_mistakes(run, capsys):
    assert main(["evaluate", str(run / "run"), "--confusion", "--mistakes", "2"]) == 0
    out = capsys.readouterr().out
    matrix = [line.split()[1:] for line in out.split("taken for  ")[1].splitlines()[1:3]]
    counts = np.array([[0 if cell == "." else int(cell) for cell in row] for row in matrix])
    model, data = fn.load(run / "run"), fn.data.image_folder(run / "photos")
    expected = np.zeros((2, 2), int)
    np.add.at(expected, (data.y_test, model.predict_classes(data.X_test)), 1)
    np.testing.assert_array_equal(counts, expected)
    assert out.count("test image  class") == 1


def test_summary_of_an_architecture_and_of_a_trained_model(run, capsys):
    words = ["summary", "resnet20", "--classes", "7", "--input-shape", "1x16x16", "--plot", str(run / "net.svg")]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "input 1 x 16 x 16; " in out and "Linear" in out and (run / "net.svg").read_text().count("<rect") > 20
    assert main(["summary", str(run / "run")]) == 0
    assert str(fn.load(run / "run").summary()) in capsys.readouterr().out
    assert main(["summary", "resnet2"]) == 2
    assert "did you mean resnet" in capsys.readouterr().err
    assert main(["summary", str(run / "run"), "--classes", "3"]) == 2
