"""The images on which a trained model is tested or inspected."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING, Any

from fastnet.cli import data
from fastnet.cli.errors import UserError

if TYPE_CHECKING:
    from fastnet.data import Dataset
    from fastnet.layers import Model

__all__ = ["check_fit", "choose", "take_any_size"]


def choose(args: Namespace, card: dict[str, Any], larger: tuple[int, int] | None = None) -> tuple[Dataset, str]:
    """The data set to test on, and a remark on its other images.

    With a size `larger`, (height, width), image files that would be scaled to the model's size are scaled to this one,
    since views are cut from them, and other sizes are not an error.  Files that training read whole are whole here,
    too.

    Those that the model was trained with are divided as in training.  Of others, all images are test images if they
    have no test part; they are scaled as in training, and grey if the model has one channel.
    """
    source, given = data.Source.of_card(card["data"]), data.Source.of_arguments(args)
    other = given.spec is not None and given.absolute().spec != source.spec
    if other:
        folders = source.of_pictures and given.of_pictures
        source = data.Source(given.spec, source.image_size, whole=source.whole) if folders else data.Source(given.spec)
        if source.of_pictures:
            source = source._replace(grey=card["input_shape"][0] == 1)
    source = source.changed_by(given)
    if larger is not None and source.image_size is not None and given.image_size is None:
        source = source._replace(image_size=larger)
    size = tuple(card["input_shape"][1:])
    if source.whole and given.image_size not in (None, size):
        raise UserError(
            f"--image-size: whole images are brought to the size of the model, {size[0]}x{size[1]}; leave it out, or "
            "give --views center:SIDE to look at another scale of them"
        )
    dataset = data.load(source, everything=other)
    wanted, found = (f"{height}x{width}" for _, height, width in (card["input_shape"], dataset.image_shape))
    if larger is None and source.of_pictures and not source.whole and wanted != found:
        raise UserError(
            f"the model takes images of {wanted} pixels, {dataset.name} has {found}; use --image-size {wanted}"
        )
    rest = {"training": len(dataset.y_train), "validation": 0 if dataset.y_val is None else len(dataset.y_val)}
    left = " and ".join(f"{count:,} {part}" for part, count in rest.items() if count)
    return dataset, f"; its {left} images are left out" if left else ""


def check_fit(card: dict[str, Any], dataset: Dataset, any_size: bool = False) -> None:
    """Raise UserError for images of another shape; with `any_size`, or of different sizes, of other channels."""
    shape, found = tuple(card["input_shape"]), dataset.image_shape
    any_size = any_size or None in found
    if (found[0] if any_size else found) != (shape[0] if any_size else shape):
        raise UserError(
            f"the model takes images of {' x '.join(map(str, shape))}, {dataset.name} has {' x '.join(map(str, found))}"
        )


def take_any_size(model: Model) -> None:
    """Let a model take images in their own sizes, of which it sees the centres, if training did not do that."""
    from fastnet.data import OneSize

    own: Any = model.preprocessing
    if not getattr(own, "resizes", False):
        _, height, width = model.input_shape
        model.preprocessing = OneSize((height, width), own)
