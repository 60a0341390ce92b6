"""``fastnet evaluate``."""

from __future__ import annotations

import contextlib
import shlex
import sys
import warnings
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastnet.cli import data, published, views
from fastnet.cli.arguments import add_batch_size, add_device, add_threads, count, folder
from fastnet.cli.errors import UserError, user_mistakes
from fastnet.cli.testing import check_fit, choose, take_any_size
from fastnet.columns import clip, pad, visible, width
from fastnet.tables import aligned

if TYPE_CHECKING:
    from fastnet.data import Dataset
    from fastnet.layers import Model
    from fastnet.training import Ensemble
    from fastnet.types import Array

_NAME = 12  # cells of a class's name in a confusion matrix

_EXAMPLES = """examples:
  fastnet evaluate runs/digits-three_layer_convnet
  fastnet evaluate runs/mnist-lenet5/model.safetensors
  fastnet evaluate runs/mnist-lenet5 --data other.npz        other images of the same classes
  fastnet evaluate runs/photos-resnet18 --data new/          the images in new/test/, or all in new/ if it has no test/
  fastnet evaluate runs/mnist-lenet5 --confusion --mistakes 10
  fastnet evaluate runs/a runs/b runs/c --out runs/all       the mean probabilities of three runs, and each alone
  fastnet evaluate runs/photos-resnet18 --views ten-crop:256 ten windows of each image, read with a shorter side of 256
  fastnet evaluate resnet18.pth --architecture resnet18 --data imagenet/ --whole --lazy
                                                             published weights, as their accuracy is usually given:
                                                             a shorter side of 256, and the centre of it
"""


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "evaluate",
        help="test a trained model, class by class",
        description="Test a model that `fastnet train` wrote, or published weights: loss, accuracy, and a table of the "
        "classes.",
        epilog=f"{data.KINDS}\n{_EXAMPLES}",
    )
    parser.add_argument(
        "models",
        nargs="+",
        type=Path,
        metavar="MODEL",
        help="a run's folder, a model file or a checkpoint; several are an ensemble, whose probabilities are averaged; "
        "an ensemble's folder",
    )
    data.add_data(
        parser, None, "default: the test images of the model's own data set; of others, all if none are test images"
    )
    parser.add_argument("--out", type=folder, metavar="DIR", help="write the ensemble to this folder")
    parser.add_argument("--confusion", action="store_true", help="print how many of each class were taken for each")
    parser.add_argument(
        "--mistakes", type=count, metavar="N", help="list the N mistakes of which the model is most certain"
    )
    published.add_options(parser, "those of the data, in their order")
    views.add_options(parser)
    add_batch_size(parser)
    add_threads(parser)
    add_device(parser)
    parser.set_defaults(run=run)


def run(args: Namespace) -> int:
    import fastnet

    with user_mistakes():
        model, card, path = _read(args)
    if args.out and not isinstance(model, fastnet.Ensemble):
        raise UserError("--out writes an ensemble; give several models")
    several = views.chosen(args, model)
    dataset, remark = choose(args, card, several.size if several else None)
    check_fit(card, dataset, several is not None)
    if None in dataset.image_shape:
        for member in model.members if isinstance(model, fastnet.Ensemble) else [model]:
            take_any_size(member)
    if args.architecture is not None:
        card = {**card, "classes": _published_classes(args, card, dataset)}
    with user_mistakes():
        y = dataset.with_classes(card["classes"]).y_test
        answering = several or model
        scores = answering.predict(dataset.X_test, args.batch_size)
        loss, _ = fastnet.losses.softmax_cross_entropy(scores, y)
    _check_finite(path, dataset, loss)
    taken = scores.argmax(axis=1)
    print(f"{path}: {card['model']}, {'trained on ' * (args.architecture is None)}{card['data'][0]}")
    print(f"{len(taken):,} test images of {dataset.name}{remark}")
    print()
    _table(card["classes"], y, taken, dataset.classes)
    print()
    print(f"test loss: {loss:.4f}")
    print(f"test accuracy: {(taken == y).mean():.4f}")
    plain = _as_they_are(args, card, dataset)
    if several is not None and plain is not None:
        with user_mistakes():
            alone = model.predict_classes(plain, args.batch_size)
        print(f"test accuracy of the images as they are, without {args.views}: {(alone == y).mean():.4f}")
    if args.confusion:
        _confusion(card["classes"], y, taken)
    if args.mistakes:
        _mistakes(card["classes"], y, answering.predict_proba(dataset.X_test, args.batch_size), args.mistakes)
    if isinstance(model, fastnet.Ensemble):
        if plain is not None:
            _compare(model, [str(member) for member in args.models], plain, y, args.batch_size, args.views)
        if args.out:
            with user_mistakes():
                model.save(args.out)
            print(f"the ensemble is in {args.out}/; to test it again: fastnet evaluate {shlex.quote(str(args.out))}")
    return 0


def _read(args: Namespace) -> tuple[Model | Ensemble, dict[str, Any], str]:
    """The model, or the ensemble of several, with its card and its name."""
    import fastnet

    paths = args.models
    if args.architecture is not None and len(paths) > 1:
        raise UserError("--architecture is of one file of published weights; give one MODEL")
    if args.architecture is not None and args.data is None:
        raise UserError("--architecture: no test images are known for published weights; give --data")
    if len(paths) == 1 and not (paths[0] / "ensemble.json").is_file():
        found = published.read(args, paths[0])
        return found.model, found.card, str(found.path)
    ensemble = fastnet.Ensemble(paths) if len(paths) > 1 else fastnet.Ensemble.load(paths[0])
    card = ensemble.card
    assert card is not None  # members that were loaded have one
    return ensemble, card, f"an ensemble of {len(ensemble)} models"


def _compare(
    ensemble: Ensemble, names: Sequence[str], X: Array, y: Array, batch_size: int, views: str | None = None
) -> None:
    """Print the members' losses and accuracies, and what the ensemble gains."""
    import numpy as np

    each = ensemble.evaluate_each(X, y, batch_size)
    names = names if len(names) == len(each) else [f"member {number}" for number in range(len(each))]
    cells = max(len("member"), *(width(name) for name in names))
    print()
    if views is not None:
        print(f"of the images as they are, without {views}:")
    print(f"{'member':<{cells}}    loss  accuracy")
    for name, found in zip(names, each, strict=True):
        print(f"{pad(visible(name, sys.stdout.encoding), cells)}  {found.loss:>6.4f}  {found.accuracy:>8.4f}")
    accuracies = np.array([found.accuracy for found in each])
    gain = ensemble.evaluate(X, y, batch_size).accuracy - accuracies.mean()
    print(
        f"members: {accuracies.mean():.4f} on average, standard deviation {accuracies.std():.4f}; the ensemble: "
        f"{100 * gain:+.2f} points"
    )


def _published_classes(args: Namespace, card: dict[str, Any], dataset: Dataset) -> Sequence[str]:
    """The classes of published weights: by default those of the data set, in its order."""
    if dataset.X_test.dtype != "uint8":
        raise UserError(
            f"published weights take images of bytes (uint8), and {dataset.name} has {dataset.X_test.dtype}"
        )
    classes: Sequence[str] = card["classes"]
    if args.class_names is not None:
        return classes
    if len(classes) != len(dataset.classes):
        raise UserError(
            f"the weights are for {len(classes)} classes, {dataset.name} has {len(dataset.classes)}; give the names of "
            "the weights' classes, in their order: --class-names FILE"
        )
    return dataset.classes


def _as_they_are(args: Namespace, card: dict[str, Any], dataset: Dataset) -> Array | None:
    """The test images with the model's size, or in their own sizes; None if they have another one."""
    shape = tuple(card["input_shape"])
    if None in dataset.image_shape:
        return dataset.X_test
    if dataset.image_shape != shape:
        with warnings.catch_warnings(), contextlib.suppress(UserError):
            warnings.simplefilter("ignore")  # they were said when the images were read larger
            dataset, _ = choose(args, card)
    return dataset.X_test if dataset.image_shape == shape else None


def _check_finite(path: str, dataset: Dataset, loss: float) -> None:
    import numpy as np

    from fastnet.data.rows import not_finite

    if np.isfinite(loss):
        return
    if bad := not_finite(dataset.X_test):
        raise UserError(f"{bad} of {len(dataset.X_test)} test images of {dataset.name} hold NaN or infinite values")
    raise UserError(f"{path}: the model's outputs are not finite; was it trained to the end?")


def _table(classes: Sequence[str], y: Array, taken: Array, tested: Sequence[str]) -> None:
    """A row for each class in `tested`."""
    import numpy as np

    from fastnet.data.classes import match_names

    numbers = sorted(match_names(tested, classes))
    names = [visible(name, sys.stdout.encoding) for name in classes]
    cells = max(5, *(width(names[number]) for number in numbers))
    print(f"{'class':<{cells}}  {'images':>6}  {'right':>6}  {'accuracy':>8}  most often taken for")
    for number in numbers:
        name, own = pad(names[number], cells), taken[y == number]
        if not len(own):
            print(f"{name}  {0:>6}  {'-':>6}  {'-':>8}")
            continue
        right = int((own == number).sum())
        wrong = np.bincount(own[own != number], minlength=len(classes))
        most = f"{names[wrong.argmax()]} ({wrong.max()})" if right < len(own) else ""
        print(f"{name}  {len(own):>6}  {right:>6}  {right / len(own):>8.4f}  {most}".rstrip())


def _confusion(classes: Sequence[str], y: Array, taken: Array) -> None:
    """Rows are the images' classes, columns what they were taken for; 0 is a point."""
    from fastnet.visualize import confusion_matrix

    names = [clip(visible(name, sys.stdout.encoding), _NAME) for name in classes]
    counts = [[f"{n}" if n else "." for n in row] for row in confusion_matrix(y, taken, len(classes)).tolist()]
    print()
    print(*aligned([["taken for", *names], *([name, *row] for name, row in zip(names, counts, strict=True))]), sep="\n")


def _mistakes(classes: Sequence[str], y: Array, probabilities: Array, most: int) -> None:
    from fastnet.visualize import worst_mistakes

    names = [visible(name, sys.stdout.encoding) for name in classes]
    rows = [
        [f"{image}", names[true], names[taken], f"{certainty:.4f}"]
        for image, true, taken, certainty in zip(*worst_mistakes(probabilities, y, most), strict=True)
    ]
    print()
    print(*aligned([["test image", "class", "taken for", "probability"], *rows], left=3), sep="\n")
