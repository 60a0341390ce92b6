"""``fastnet inspect``."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastnet.cli import data, published
from fastnet.cli.arguments import add_batch_size, add_device, add_threads, whole
from fastnet.cli.errors import UserError, user_mistakes
from fastnet.cli.predict import Reader
from fastnet.cli.testing import check_fit, choose, take_any_size

if TYPE_CHECKING:
    from fastnet.training.saved import Saved
    from fastnet.types import Array

_EPILOG = """The page has the network as a drawing and its filters; of an IMAGE, the prediction, what it rests on
(saliency, SmoothGrad, integrated gradients, guided backprop, deconvnet, Grad-CAM, occlusion), feature maps and a
fooling image; of data, the confusion matrix, the worst mistakes, the patches that excite units most, t-SNE and
nearest neighbours. It is one file, which needs no network. Without an IMAGE, the data are the test images of the
model's own data set. An image is turned upright, scaled, cropped and made grey as the model needs it.

examples:
  fastnet inspect runs/photos-resnet18 cat.jpg
  fastnet inspect runs/digits-three_layer_convnet
  fastnet inspect runs/mnist-lenet5 digit.png --data mnist:DIR --out digit.html
  fastnet inspect runs/photos-resnet18 cat.jpg --layer layer1.0.conv1 --layer layer4
  fastnet inspect resnet18.pth cat.jpg --architecture resnet18 --class-names imagenet.txt --out cat.html
"""


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "inspect",
        help="a page that shows the inside of a trained model",
        description="Write a page (HTML) about a model that `fastnet train` wrote: its parts, its views, its mistakes.",
        epilog=f"{_EPILOG}\n{data.KINDS}",
    )
    add = parser.add_argument
    add("model", type=Path, metavar="MODEL", help="a run's folder, a model file or a checkpoint")
    image = add("image", type=Path, metavar="[IMAGE]", help="an image file")
    image.required = False  # nargs="?" would take no IMAGE behind an option
    data.add_data(parser, None, "default: without an IMAGE, the test images of the model's own data set; else none")
    add(
        "--layer",
        action="append",
        metavar="NAME",
        help="show the filters, maps and patches of this layer; may be repeated (default: up to four convolutions)",
    )
    published.add_options(parser, "numbers")
    add("--out", type=Path, metavar="FILE", help="the page (default: inspect.html beside the model)")
    add("--seed", type=whole, default=0, metavar="N", help="of t-SNE, and of the images in it (default: 0)")
    add_batch_size(parser)
    add_threads(parser)
    add_device(parser)
    parser.set_defaults(run=run)


def run(args: Namespace) -> int:
    from fastnet import visualize

    if args.architecture is not None and args.image is None and args.data is None:
        raise UserError("published weights come without images: give an IMAGE, or --data")
    with user_mistakes():
        found = published.read(args, args.model)
    image = None if args.image is None else _image(found, args.image)
    facts, tested = _facts(found, args), None
    if image is None or args.data is not None:
        dataset, remark = choose(args, found.card)
        if None in dataset.image_shape:
            take_any_size(found.model)
        check_fit(found.card, dataset)
        with user_mistakes():
            tested = dataset.X_test, dataset.with_classes(found.card["classes"]).y_test
        facts.append(f"The data are {len(tested[1]):,} test images of {dataset.name}{remark}.")
    path = args.out or found.path.with_name("inspect.html")
    with user_mistakes():
        notes = visualize.write_page(
            path,
            found.model,
            image,
            tested,
            layers=args.layer,
            title=f"{found.card['model']}: {args.image.name if args.image else args.model}",
            facts=facts,
            batch_size=args.batch_size,
            seed=args.seed,
            say=lambda section: print(f"{section} ...", file=sys.stderr, flush=True),
        )
    for note in notes:
        print(f"fastnet inspect: not shown: {note}", file=sys.stderr)
    print(f"{path} is written")
    return 0


def _image(found: Saved, file: Path) -> Array:
    """The image as the model takes it; what was not used of it, or scaled, is said."""
    with user_mistakes():
        reader = Reader(found, whole=hasattr(found.model.preprocessing, "windows"))
        image = reader.read(file)
    if image is None:
        raise UserError("; ".join(reader.bad))
    for remark in reader.notes:
        print(f"fastnet inspect: {file}: 1 of 1 images {remark}", file=sys.stderr)
    if reader.scaled:
        print(f"fastnet inspect: {file}: scaled to cover {reader.size}, and its centre cropped", file=sys.stderr)
    return image


def _facts(found: Saved, args: Namespace) -> list[str]:
    origin = f"trained on {found.card['data'][0]}" if args.architecture is None else "with published weights"
    facts = [
        f"{found.path}: {found.card['model']}, {origin}, for images of "
        f"{' x '.join(map(str, found.card['input_shape']))} and {len(found.card['classes'])} classes."
    ]
    if found.model.preprocessing is not None:
        facts.append(f"Preprocessing: {found.model.preprocessing!r}.")
    return facts if args.image is None else [*facts, f"The image is {args.image}."]
