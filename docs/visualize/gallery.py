"""The pictures of docs/visualize.md: ``python docs/visualize/gallery.py`` draws them anew, beside this file.

They are those of the experiments, made smaller.
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


def run() -> int:
    """Draw all pictures; the number of experiments that did not find what they should."""
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        for name in EXPERIMENTS:
            wrong += main(["lecture", name, "--out", folder])
            for source in sorted((Path(folder) / name).glob("*.png")):
                shrink(source, Path(__file__).parent / source.name)
    return wrong


if __name__ == "__main__":
    sys.exit(run())
