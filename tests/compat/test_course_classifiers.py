"""The course's classifiers of assignment 1: nearest neighbours, linear classifiers, the two-layer network."""

from __future__ import annotations

import numpy as np
import pytest

from fastnet.compat.cs231n.classifiers import KNearestNeighbor, LinearClassifier, LinearSVM, Softmax
from fastnet.compat.cs231n.classifiers.linear_svm import svm_loss_naive, svm_loss_vectorized
from fastnet.compat.cs231n.classifiers.neural_net import TwoLayerNet
from fastnet.compat.cs231n.classifiers.softmax import softmax_loss_naive, softmax_loss_vectorized
from fastnet.compat.cs231n.gradient_check import eval_numerical_gradient

RNG = np.random.default_rng(9)
normal = RNG.standard_normal


# ---------------------------------------------------------------- nearest neighbours


def test_distances_are_the_same_with_two_loops_one_and_none():
    train, test = normal((20, 6)), normal((7, 6))
    classifier = KNearestNeighbor()
    classifier.train(train, np.zeros(20, int))
    expected = [[np.linalg.norm(a - b) for b in train] for a in test]
    for compute in ("two_loops", "one_loop", "no_loops"):
        distances = getattr(classifier, f"compute_distances_{compute}")(test)
        np.testing.assert_allclose(distances, expected, rtol=1e-12)
    assert np.isfinite(
        classifier.compute_distances_no_loops(train)
    ).all()  # the distance of a point to itself may not be NaN


def test_the_smallest_of_equally_frequent_labels_wins():
    classifier = KNearestNeighbor()
    classifier.train(np.array([[0.0], [1.0], [2.0], [3.0], [9.0]]), np.array([4, 2, 2, 4, 1]))
    for num_loops in (0, 1, 2):
        assert classifier.predict(np.array([[-1.0], [8.0]]), k=1, num_loops=num_loops).tolist() == [4, 1]
        assert classifier.predict(np.array([[-1.0]]), k=4, num_loops=num_loops).tolist() == [2]
        assert classifier.predict(np.array([[-1.0]]), k=3, num_loops=num_loops).tolist() == [2]
    assert classifier.predict(np.array([[-1.0]]), k=2).tolist() == [2]
    classifier.train(np.arange(1000.0)[:, None] % 3, np.arange(1000))  # of equally near neighbours, the first counts
    assert classifier.predict(np.array([[2.0]]), k=1).tolist() == [2]
    with pytest.raises(ValueError, match="^Invalid value 3 for num_loops$"):
        classifier.predict(np.zeros((1, 1)), num_loops=3)


# ---------------------------------------------------------------- linear classifiers


@pytest.mark.parametrize(
    "naive, vectorized", [(svm_loss_naive, svm_loss_vectorized), (softmax_loss_naive, softmax_loss_vectorized)]
)
def test_losses_of_linear_classifiers(naive, vectorized):
    W, X, y = 0.3 * normal((6, 4)), normal((15, 6)), RNG.integers(4, size=15)
    loss, grad = naive(W, X, y, 0.7)
    numerical = eval_numerical_gradient(lambda W: naive(W, X, y, 0.7)[0], W, verbose=False)
    np.testing.assert_allclose(grad, numerical, atol=1e-8)
    fast_loss, fast_grad = vectorized(W, X, y, 0.7)
    assert np.isclose(fast_loss, loss, rtol=1e-13)
    np.testing.assert_allclose(fast_grad, grad, rtol=1e-11, atol=1e-13)
    assert np.isclose(naive(W, X, y, 1.7)[0] - loss, np.sum(W**2))  # no factor 1/2


@pytest.mark.parametrize("kind", [LinearSVM, Softmax])
def test_linear_classifiers_train_on_the_courses_random_stream(kind, capsys):
    y = RNG.integers(3, size=300)
    X = normal((300, 5)) + 4 * np.eye(3, 5)[y]
    np.random.seed(4)
    classifier = kind()
    losses = classifier.train(X, y, learning_rate=0.01, reg=1e-3, num_iters=150, batch_size=50, verbose=True)
    assert np.mean(classifier.predict(X) == y) > 0.95 and losses[-1] < losses[0] / 2

    np.random.seed(4)
    W, lines = 0.001 * np.random.randn(5, 3), []
    loss_of = {LinearSVM: svm_loss_naive, Softmax: softmax_loss_naive}[kind]
    for it in range(150):
        batch = np.random.choice(300, 50, replace=True)
        loss, grad = loss_of(W, X[batch], y[batch], 1e-3)
        W -= 0.01 * grad
        assert np.isclose(losses[it], loss, rtol=1e-9)
        if it % 100 == 0:
            lines.append(f"iteration {it} / 150: loss {loss:.6f}")
    assert capsys.readouterr().out.splitlines() == lines
    np.testing.assert_allclose(classifier.W, W, rtol=1e-8, atol=1e-12)
    more = classifier.train(X, y, num_iters=1, batch_size=300)
    assert more[0] < losses[0] / 2  # training continues from the current weights


def test_linear_classifiers_are_saved(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    classifier, other = Softmax(), Softmax()
    classifier.W = normal((3, 2))
    assert other.load("w.npy") is False and other.W is None
    classifier.save("w.npy")
    assert other.load("w.npy") is True and np.array_equal(other.W, classifier.W)
    with pytest.raises(NotImplementedError, match="use LinearSVM or Softmax"):
        LinearClassifier().loss(None, None, 0)


# ---------------------------------------------------------------- the network of assignment 1


def toy():
    np.random.seed(0)
    net = TwoLayerNet(4, 10, 3, std=1e-1)
    np.random.seed(1)
    return net, 10 * np.random.randn(5, 4), np.array([0, 1, 2, 2, 1])


def test_two_layer_net_gives_the_published_numbers():
    net, X, y = toy()
    published = [
        [-0.81233741, -1.27654624, -0.70335995],
        [-0.17129677, -1.18803311, -0.47310444],
        [-0.51590475, -1.01354314, -0.8504215],
        [-0.15419291, -0.48629638, -0.52901952],
        [-0.00618733, -0.12435261, -0.15226949],
    ]
    np.testing.assert_allclose(net.loss(X), published, atol=5e-9)
    assert abs(net.loss(X, y, reg=0.05)[0] - 1.30378789133) < 1e-11


def test_two_layer_net_has_its_gradients():
    net, X, y = toy()
    _, grads = net.loss(X, y, reg=0.05)
    for name, w in net.params.items():
        numerical = eval_numerical_gradient(lambda _: net.loss(X, y, reg=0.05)[0], w, verbose=False)
        np.testing.assert_allclose(grads[name], numerical, atol=1e-8, err_msg=name)


def test_two_layer_net_trains_itself(capsys):
    net, X, y = toy()
    stats = net.train(X, y, X, y, learning_rate=1e-1, reg=5e-6, num_iters=101, batch_size=5, verbose=True)
    assert [len(stats[name]) for name in ("loss_history", "train_acc_history", "val_acc_history")] == [101, 101, 101]
    assert stats["loss_history"][-1] < 0.1 and (net.predict(X) == y).all()
    first, last = stats["loss_history"][0], stats["loss_history"][-1]
    assert capsys.readouterr().out == f"iteration 0 / 101: loss {first:f}\niteration 100 / 101: loss {last:f}\n"

    np.random.seed(6)
    net, X, y = toy()
    np.random.seed(6)
    stats = net.train(X, y, X, y, learning_rate=0.1, learning_rate_decay=0.5, num_iters=4, batch_size=2)
    np.random.seed(6)
    same, rate = toy()[0], 0.1
    np.random.seed(6)
    for it in range(4):
        batch = np.random.choice(5, 2)
        loss, grads = same.loss(X[batch], y[batch], reg=5e-6)
        assert loss == stats["loss_history"][it]
        for name in same.params:
            same.params[name] -= rate * grads[name]
        rate *= 0.5 if it == 0 else 1  # 2.5 iterations an epoch: the next epoch ends at 5
    assert len(stats["val_acc_history"]) == 1
