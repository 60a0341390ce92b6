"""Train a small network on scikit-learn's handwritten digits, with the Python API.

    python examples/train_digits.py [FOLDER]

Writes a checkpoint, the model and the learning curves to FOLDER (runs/example).
"""

import sys
from pathlib import Path

import fastnet as fn


def build_model():
    return fn.Sequential(
        fn.Conv2d(32, 3, padding=1),
        fn.BatchNorm2d(),
        fn.ReLU(),
        fn.MaxPool2d(2),
        fn.Conv2d(64, 3, padding=1),
        fn.BatchNorm2d(),
        fn.ReLU(),
        fn.Flatten(),
        fn.Dropout(0.3),
        fn.Linear(10),
    )


def main(folder: Path) -> None:
    digits = fn.data.digits().split(validation=0.1)
    model = build_model()
    model.build(digits.image_shape, seed=0)
    print(model.summary())
    solver = fn.Solver(
        model,
        digits,
        preprocess="standardize",
        optimizer=fn.optim.AdamW(2e-3),
        schedule=fn.optim.CosineDecay(),
        batch_size=32,
        epochs=8,
        checkpoint=folder,
    )
    history = solver.train()
    history.plot(folder / "curves.png")
    model.save(folder / "model.npz")
    test = solver.evaluate(digits.X_test, digits.y_test)
    print(f"test accuracy: {test.accuracy:.3f}; everything is in {folder}/")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/example"))
