"""Fine-tuning: a network trained on clean digits learns noisy ones from few images, with frozen convolutions."""

import tempfile
from pathlib import Path

import numpy as np

import fastnet as fn


def build_model():
    model = fn.Sequential(
        features=fn.Sequential(fn.Conv2d(32, 3, padding=1), fn.ReLU(), fn.Conv2d(32, 3), fn.ReLU(), fn.MaxPool2d(2)),
        flatten=fn.Flatten(),
        classifier=fn.Linear(10),
    )
    model.build((1, 8, 8), seed=0)
    return model


def train(model, X, y, epochs: int) -> None:
    optimizer = fn.optim.Adam(2e-3)
    fn.Solver(model, (X, y), optimizer=optimizer, batch_size=32, epochs=epochs, verbose=False).train()


def main() -> None:
    digits, rng = fn.data.digits(), np.random.default_rng(0)

    def noisy(X):
        return (X + rng.normal(0, 0.4, X.shape)).astype(np.float32)

    clean, labels = np.float32(digits.X_train) / 255, digits.y_train
    X, y = noisy(clean[:60]), labels[:60]
    X_test, y_test = noisy(np.float32(digits.X_test) / 255), digits.y_test

    first = build_model()
    train(first, clean, labels, epochs=10)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clean.npz"
        first.save(path)
        tuned = build_model()
        tuned.load(path)
    print(f"frozen: {', '.join(tuned.freeze('features'))}")
    train(tuned, X, y, epochs=20)

    scratch = build_model()
    train(scratch, X, y, epochs=20)
    for name, model in {
        "trained on clean digits": first,
        "then on 60 noisy ones": tuned,
        "on those alone": scratch,
    }.items():
        print(f"accuracy on noisy digits, {name:<23}: {model.evaluate(X_test, y_test).accuracy:.3f}")


if __name__ == "__main__":
    main()
