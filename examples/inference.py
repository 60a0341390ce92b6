"""Classify images with the network trained by train_digits.py.

python examples/inference.py [FOLDER]
"""

import sys
from pathlib import Path

from train_digits import build_model

import fastnet as fn
from fastnet.training import load_checkpoint


def main(folder: Path) -> None:
    digits = fn.data.digits()
    model = build_model()
    model.build(digits.image_shape)
    checkpoint = load_checkpoint(folder)  # the newest one; it also holds how images were standardised
    model.load_state_dict(checkpoint.model_state())
    images = digits.X_test[:3]
    scores = model.predict(checkpoint.preprocess(images))
    for image, label, guess in zip(images[:, 0], digits.y_test, scores.argmax(axis=1), strict=False):
        for row in image:
            print("".join(" .:-=+*#%@"[pixel // 26] * 2 for pixel in row))
        print(f"this is a {label}, the network says {guess}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/example"))
