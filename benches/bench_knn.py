"""Nearest neighbours: fastnet against scikit-learn's brute force and the course's formula in NumPy.  For Linux.

    python benches/bench_knn.py [--train 50000] [--test 10000] [--dim 3072] [--k 5] [--cifar10 DIR] [--repeat 2]

Each side runs in a process of its own, in turn, `repeat` times, and predicts the labels of all test examples, uint8 as
images are.  Reported are the least time, and the peak of the resident memory during the prediction beyond that of the
data.  scikit-learn and NumPy get float32 copies, made before the clock starts; NumPy makes the whole matrix of
distances, as the course's "no loops" does.  All sides must find the same distance to the k-th neighbour.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time

import memory
import numpy as np


def examples(options):
    """(X, y, Q): CIFAR-10's images if they are given, else random ones, as smooth as photos."""
    if options.data:
        from fastnet.data import cifar10

        data = cifar10(options.data)
        flat = data.X_train.reshape(len(data.X_train), -1), data.X_test.reshape(len(data.X_test), -1)
        return flat[0][: options.train], data.y_train[: options.train], flat[1][: options.test]
    rng = np.random.default_rng(0)
    count = options.train + options.test
    basis = rng.normal(size=(64, options.dim)).astype(np.float32)
    X = np.empty((count, options.dim), np.uint8)
    for start in range(0, count, 1000):
        some = min(1000, count - start)
        values = rng.normal(size=(some, 64)).astype(np.float32) @ basis * 5 + rng.normal(size=(some, 1)) * 20 + 128
        X[start : start + some] = np.clip(values, 0, 255)
    return X[: options.train], rng.integers(0, 10, options.train), X[options.train :]


def fastnet_side(metric, X, y, Q, k):
    from fastnet.classical import KNearestNeighbors

    model = KNearestNeighbors(k, metric).fit(X, y)
    return lambda: (model.predict(Q), lambda: model.neighbors(Q[:50])[0][:, -1])


def sklearn_side(metric, X, y, Q, k):
    from sklearn.neighbors import KNeighborsClassifier

    name = {"l1": "manhattan", "l2": "euclidean"}[metric]
    X, Q = X.astype(np.float32), Q.astype(np.float32)
    model = KNeighborsClassifier(k, metric=name, algorithm="brute", n_jobs=-1).fit(X, y)
    return lambda: (model.predict(Q), lambda: model.kneighbors(Q[:50])[0][:, -1])


def numpy_side(metric, X, y, Q, k):
    if metric == "l1":
        return None  # the matrix would need (M, N, D) numbers, or loops
    X, Q = X.astype(np.float32), Q.astype(np.float32)

    def predict():
        squares = np.sum(Q**2, axis=1)[:, None] - 2 * Q @ X.T + np.sum(X**2, axis=1)
        distances = np.sqrt(np.maximum(squares, 0))
        nearest = y[np.argsort(distances, axis=1)[:, :k]]
        return np.array([np.bincount(votes).argmax() for votes in nearest]), lambda: np.sort(distances[:50])[:, k - 1]

    return predict


SIDES = {"fastnet": fastnet_side, "scikit-learn": sklearn_side, "NumPy": numpy_side}


def work(options):
    """One side, in its own process."""
    X, y, Q = examples(options)
    run = SIDES[options.side](options.metric, X, y, Q, options.k)
    if run is None:
        return None
    start = memory.settle()
    begin = time.perf_counter()
    _, kth = run()
    seconds = time.perf_counter() - begin
    peak = memory.resident("VmHWM") - start
    return {"seconds": seconds, "megabytes": peak / memory.MIB, "kth": np.asarray(kth(), float).tolist()}


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=int, default=50000)
    parser.add_argument("--test", type=int, default=10000)
    parser.add_argument("--dim", type=int, default=3072)
    parser.add_argument("--k", type=int, default=5)
    parser.add_argument("--cifar10", dest="data", metavar="DIR", help="the images of CIFAR-10 in this folder")
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--metrics", nargs="+", default=["l2", "l1"], choices=["l2", "l1"])
    parser.add_argument("--sides", nargs="+", default=list(SIDES), choices=list(SIDES))
    parser.add_argument("--side", choices=list(SIDES), help=argparse.SUPPRESS)
    parser.add_argument("--metric", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.side:
        print(json.dumps(work(options)))
        return
    given = list(sys.argv[1:] if arguments is None else arguments)
    print(f"{options.test:,} x {options.train:,} examples of {options.dim:,} numbers, k = {options.k}")
    print(f"{'metric':<8}{'side':<14}{'seconds':>9}{'peak MiB':>10}{'fastnet is':>14}")
    for metric in options.metrics:
        best = {}
        for _ in range(options.repeat):
            for side in options.sides:
                command = [sys.executable, __file__, *given, "--side", side, "--metric", metric]
                done = subprocess.run(command, capture_output=True, text=True)
                if done.returncode:
                    raise SystemExit(f"{side} failed:\n{done.stderr}")
                result = json.loads(done.stdout)
                if result and (side not in best or result["seconds"] < best[side]["seconds"]):
                    best[side] = result
        first = next(iter(best.values()))
        for side, result in best.items():
            np.testing.assert_allclose(result["kth"], first["kth"], rtol=1e-3)
            ratio = result["seconds"] / first["seconds"]
            faster = "" if result is first else f"{ratio:.2f}x"
            print(f"{metric:<8}{side:<14}{result['seconds']:>9.2f}{result['megabytes']:>10.0f}{faster:>14}")


if __name__ == "__main__":
    main()
