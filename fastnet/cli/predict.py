"""``fastnet predict``."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastnet.cli import data, published, views
from fastnet.cli.arguments import add_batch_size, add_device, add_threads, count
from fastnet.cli.errors import UserError, user_mistakes
from fastnet.columns import visible
from fastnet.tables import aligned

if TYPE_CHECKING:
    from fastnet.layers import Model
    from fastnet.training import Views
    from fastnet.training.saved import Saved
    from fastnet.types import Array

_EPILOG = """Images are turned upright, scaled, cropped and made grey as the model needs them. A folder stands for all
images in it and in its sub-folders.

exit status: 0 if every image was classified, 1 if some could not be read, 2 if none

examples:
  fastnet predict runs/photos-resnet18 cat.jpg dog.jpg
  fastnet predict runs/photos-resnet18/model.safetensors new/ --top 5
  fastnet predict runs/mnist-lenet5 digit.png --json
  fastnet predict resnet18.pth cat.jpg --architecture resnet18 --class-names imagenet.txt --views ten-crop:256
"""


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "predict",
        help="what a trained model sees in images",
        description="Classify image files with a model that `fastnet train` wrote.",
        epilog=_EPILOG,
    )
    add = parser.add_argument
    add("model", type=Path, metavar="MODEL", help="a run's folder, a model file or a checkpoint; an ensemble's folder")
    add("images", type=Path, metavar="IMAGES", nargs="+", help="image files, or folders of images")
    add("--top", type=count, default=1, metavar="K", help="show the K most likely classes (default: 1)")
    published.add_options(parser, "numbers")
    add("--json", action="store_true", help="print JSON: a list of images with their classes and probabilities")
    views.add_options(parser)
    add_batch_size(parser)
    add_threads(parser)
    add_device(parser)
    parser.set_defaults(run=run)


def run(args: Namespace) -> int:
    import numpy as np

    from fastnet.storage import to_json
    from fastnet.wording import name_some

    with user_mistakes():
        found = _read(args)
        several = views.chosen(args, found.model)
        trained_whole = data.Source.of_card(found.card["data"]).whole
        reader = Reader(found, whole=bool(trained_whole) or (several is not None and several.scales))
        files = _files(args.images)
        seen = [
            (file, probabilities)
            for start in range(0, len(files), args.batch_size)
            for file, probabilities in _classify(several or found.model, reader, files[start : start + args.batch_size])
        ]
        if not all(np.isfinite(probabilities).all() for _, probabilities in seen):
            raise UserError(f"{found.path}: the model's outputs are not finite; was it trained to the end?")
    if not seen:
        raise UserError("; ".join(reader.bad))
    for problem in reader.bad:
        print(f"fastnet predict: {problem}", file=sys.stderr)
    for remark, noted in reader.notes.items():
        print(f"fastnet predict: {len(noted)} of {len(seen)} images {remark}: {name_some(noted, 3)}", file=sys.stderr)
    if reader.scaled:
        print(
            f"fastnet predict: {reader.scaled} of {len(seen)} images did not have the model's {reader.size}: scaled to "
            "cover it, and their centres cropped",
            file=sys.stderr,
        )
    results = [{"image": str(file), "classes": _best(found, one, args.top)} for file, one in seen]
    if args.json:
        print(to_json(results, indent=1))
    else:
        _table(results)
    return 1 if reader.bad else 0


def _read(args: Namespace) -> Saved:
    """The model, or an ensemble in its place, with the card of its first member."""
    from fastnet.training import Ensemble
    from fastnet.training.saved import Saved

    if args.architecture is not None or not (args.model / "ensemble.json").is_file():
        return published.read(args, args.model)
    ensemble: Any = Ensemble.load(args.model)
    return Saved(ensemble, ensemble.card, args.model)


def _files(paths: Sequence[Path]) -> list[Path]:
    """The files, and those in the folders that have the suffix of an image."""
    from fastnet.data.pictures import SUFFIXES

    files: list[Path] = []
    for path in paths:
        inside = sorted(file for file in path.rglob("[!.]*") if file.suffix.lower() in SUFFIXES and file.is_file())
        if path.is_dir() and not inside:
            raise UserError(f"{path} holds no images ({', '.join(sorted(SUFFIXES))})")
        files += inside or [path]
    return files


class Reader:
    """Reads image files as the training images of a model were.

    Parameters
    ----------
    found : Saved
    whole : bool
        Whether images keep their size, for views or a preprocessing that scale them.

    Attributes
    ----------
    bad : list of str
        What could not be read, and why.
    notes : dict of list of Path
        By remark, the images of which something was not used.
    scaled : int
        How many images had another size than the model's, though the training images were not scaled.
    size : str
    """

    def __init__(self, found: Saved, whole: bool = False) -> None:
        self.whole = whole
        self.channels, self.height, self.width = found.card["input_shape"]
        self.bad: list[str] = []
        self.notes: dict[str, list[Path]] = {}
        self.scaled = 0
        self.size = f"{self.height}x{self.width} pixels"
        self.scales = data.Source.of_card(found.card["data"]).image_size is not None
        if self.channels not in (1, 3):
            raise UserError(f"the model takes images of {self.channels} channels; image files give 1 or 3")
        if "pixels" not in found.card:
            raise UserError(f"the card of {found.path} does not say which pixel values the model takes (no 'pixels')")
        low, high = found.card["pixels"]
        if low < 0 or high > 255:
            raise UserError(
                f"the model was trained on values from {low:g} to {high:g}, which are not those of image files; "
                "prepare images in the same way, then use fastnet.load(...).predict_proba in Python"
            )
        self.unit = 255.0 if high <= 1 else 1.0

    def read(self, file: Path) -> Array | None:
        """(C, H, W), or None for a bad file."""
        from fastnet.data.pictures import read_with_remarks

        size, grey = (self.height, self.width), self.channels == 1
        try:
            if not file.exists():
                raise ValueError(f"{file} does not exist")
            image, remarks = read_with_remarks(file, size if self.scales and not self.whole else None, grey)
            if image.shape[1:] != size and not self.whole:
                image, remarks = read_with_remarks(file, size, grey)
                self.scaled += 1
        except ValueError as error:
            self.bad.append(str(error))
            return None
        for remark in remarks:
            self.notes.setdefault(remark, []).append(file)
        return image if self.unit == 1 else (image / self.unit).astype("float32")


def _classify(model: Model | Views, reader: Reader, files: Sequence[Path]) -> list[tuple[Path, Array]]:
    """The files that can be read, each with the probabilities of the classes; those of one size at a time."""
    import numpy as np

    images = {file: image for file in files if (image := reader.read(file)) is not None}
    found: dict[Path, Array] = {}
    for shape in {image.shape for image in images.values()}:
        alike = [file for file, image in images.items() if image.shape == shape]
        found.update(zip(alike, model.predict_proba(np.stack([images[file] for file in alike])), strict=True))
    return [(file, found[file]) for file in files if file in found]


def _best(found: Saved, probabilities: Array, top: int) -> list[dict[str, Any]]:
    best = (-probabilities).argsort(kind="stable")[:top]
    return [{"class": found.card["classes"][k], "probability": round(float(probabilities[k]), 6)} for k in best]


def _table(results: Sequence[dict[str, Any]]) -> None:
    """A row for each image and class; the image is named in its first."""
    encoding = sys.stdout.encoding
    rows = [("image", "class", "probability")]
    for result in results:
        name = visible(result["image"], encoding)
        for one in result["classes"]:
            rows.append((name, visible(one["class"], encoding), f"{one['probability']:.4f}"))
            name = ""
    print(*aligned(rows, left=2), sep="\n")
