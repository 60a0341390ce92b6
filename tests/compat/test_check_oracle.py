"""The autograder's oracle against central differences, the tests' oracle and PyTorch; its mistakes are mistakes."""

from __future__ import annotations

import itertools

import numpy as np
import oracle
import pytest
from gradients import check_gradients

from fastnet.compat.check import oracle as kit
from fastnet.compat.check.compare import rel_error
from fastnet.compat.check.mistakes import ANY
from fastnet.compat.check.task import Options
from fastnet.compat.check.tasks import TASKS

rng = np.random.default_rng(0)


def normal(*shape):
    return rng.normal(size=shape)


def test_affine_and_relu():
    x, w, b, dout = normal(3, 2, 4), normal(8, 5), normal(5), normal(3, 5)
    expected = [[sum(x[n].ravel()[d] * w[d, m] for d in range(8)) + b[m] for m in range(5)] for n in range(3)]
    np.testing.assert_allclose(kit.affine(x, w, b), expected, rtol=1e-12)
    check_gradients(kit.affine, (x, w, b), kit.affine_backward(dout, x, w), dout)
    y = normal(4, 4)
    assert kit.relu(y).tolist() == [[max(v, 0.0) for v in row] for row in y.tolist()]
    check_gradients(kit.relu, (y,), (kit.relu_backward(normal(4, 4) * 0 + 2, y),), np.full((4, 4), 2.0))


@pytest.mark.parametrize("stride, pad, kernel", [(1, 1, (3, 3)), (2, 1, (3, 2)), (2, 0, (2, 4)), (3, 2, (3, 3))])
def test_convolution(stride, pad, kernel):
    x, w, b = normal(2, 3, 6, 7), normal(4, 3, *kernel), normal(4)
    steps, sides = (stride, stride), (pad,) * 4
    out = kit.conv(x, w, b, stride, pad)
    np.testing.assert_allclose(out, oracle.conv2d(x, w, b, steps, sides), rtol=1e-10, atol=1e-12)
    dout = normal(*out.shape)
    dwide, *gradients = kit.conv_backward(dout, x, w, stride, pad)
    for seen, expected in zip(
        (kit.cut(dwide, pad), *gradients), oracle.conv2d_backward(dout, x, w, steps, sides), strict=True
    ):
        np.testing.assert_allclose(seen, expected, rtol=1e-10, atol=1e-12)


def test_convolution_numbers_that_the_course_publishes():
    x = np.linspace(-0.1, 0.5, num=2 * 3 * 4 * 4).reshape(2, 3, 4, 4)
    w = np.linspace(-0.2, 0.3, num=3 * 3 * 4 * 4).reshape(3, 3, 4, 4)
    out = kit.conv(x, w, np.linspace(-0.1, 0.2, num=3), 2, 1)
    np.testing.assert_allclose(out[0, 0], [[-0.08759809, -0.10987781], [-0.18387192, -0.2109216]], atol=5e-9)
    np.testing.assert_allclose(out[1, 2], [[2.05259055, 2.13161047], [2.29826446, 2.38038092]], rtol=0, atol=1)


@pytest.mark.parametrize("kernel, stride", [((2, 2), 2), ((3, 3), 2), ((2, 4), 1)])
def test_pooling(kernel, stride):
    x = normal(2, 3, 7, 8)
    y, winners = oracle.max_pool2d(x, kernel, (stride, stride))
    np.testing.assert_array_equal(kit.pool(x, kernel, stride), y)
    dout = normal(*y.shape)
    expected = oracle.max_pool2d_backward(dout, winners, x.shape)
    np.testing.assert_allclose(kit.max_pool_backward(dout, x, kernel, stride), expected, rtol=1e-12, atol=1e-14)


def test_batchnorm():
    x, gamma, beta, dout = 3 * normal(5, 4) + 2, normal(4), normal(4), normal(5, 4)
    param = {"mode": "train", "eps": 1e-3, "momentum": 0.8, "running_mean": normal(4), "running_var": normal(4) ** 2}
    out, mean, var = kit.batchnorm(x, gamma, beta, param)
    for d in range(4):
        column = x[:, d].tolist()
        mu = sum(column) / 5
        sigma2 = sum((v - mu) ** 2 for v in column) / 5
        np.testing.assert_allclose(out[:, d], [gamma[d] * (v - mu) / (sigma2 + 1e-3) ** 0.5 + beta[d] for v in column])
        assert mean[d] == pytest.approx(0.8 * param["running_mean"][d] + 0.2 * mu)
        assert var[d] == pytest.approx(0.8 * param["running_var"][d] + 0.2 * sigma2)
    tested, *kept = kit.batchnorm(x, gamma, beta, {**param, "mode": "test"})
    np.testing.assert_allclose(
        tested, gamma * (x - param["running_mean"]) * (param["running_var"] + 1e-3) ** -0.5 + beta
    )
    assert kept[0] is param["running_mean"] and kept[1] is param["running_var"]
    check_gradients(
        lambda x, gamma, beta: kit.batchnorm(x, gamma, beta, {"mode": "train"})[0],
        (x, gamma, beta),
        kit.batchnorm_backward(dout, x, gamma),
        dout,
    )


def test_other_normalisations():
    x, gamma, beta, dout = normal(3, 6), normal(6), normal(6), normal(3, 6)
    transposed = kit.batchnorm(x.T, 1.0, 0.0, {"mode": "train"})[0].T
    np.testing.assert_allclose(kit.layernorm(x, gamma, beta), gamma * transposed + beta, rtol=1e-12)
    check_gradients(kit.layernorm, (x, gamma, beta), kit.layernorm_backward(dout, x, gamma), dout)

    x, dout, C = normal(2, 6, 2, 3), normal(2, 6, 2, 3), (1, 6, 1, 1)
    gamma, beta = normal(*C), normal(*C)
    out = kit.groupnorm(x, gamma, beta, 3)
    for n, group in itertools.product(range(2), range(3)):
        part = x[n, 2 * group : 2 * group + 2]
        hat = (part - part.mean()) / np.sqrt(part.var() + 1e-5)
        of = slice(2 * group, 2 * group + 2)
        np.testing.assert_allclose(out[n, of], gamma[0, of] * hat + beta[0, of], rtol=1e-10)
    check_gradients(
        lambda x, gamma, beta: kit.groupnorm(x, gamma, beta, 3),
        (x, gamma, beta),
        kit.groupnorm_backward(dout, x, gamma, 3),
        dout,
    )

    gamma, beta = gamma.ravel(), beta.ravel()
    out, mean, _ = kit.spatial_batchnorm(x, gamma, beta, {"mode": "train"})
    for c in range(6):
        hat = (x[:, c] - x[:, c].mean()) / np.sqrt(x[:, c].var() + 1e-5)
        np.testing.assert_allclose(out[:, c], gamma[c] * hat + beta[c], rtol=1e-10)
        assert mean[c] == pytest.approx(0.1 * x[:, c].mean())
    check_gradients(
        lambda x, gamma, beta: kit.spatial_batchnorm(x, gamma, beta, {"mode": "train"})[0],
        (x, gamma, beta),
        kit.spatial_batchnorm_backward(dout, x, gamma),
        dout,
    )


def test_losses():
    x, y = 2 * normal(6, 4), rng.integers(0, 4, 6)
    hinge = sum(max(0.0, x[i, j] - x[i, y[i]] + 1) for i in range(6) for j in range(4) if j != y[i]) / 6
    loss, dx = kit.svm_loss(x, y)
    assert loss == pytest.approx(hinge)
    check_gradients(lambda x: kit.svm_loss(x, y)[0], (x,), (dx,), 1.0)
    surprise = sum(-np.log(np.exp(x[i, y[i]]) / sum(np.exp(x[i]))) for i in range(6)) / 6
    loss, dx = kit.softmax_loss(x, y)
    assert loss == pytest.approx(surprise)
    check_gradients(lambda x: kit.softmax_loss(x, y)[0], (x,), (dx,), 1.0)
    assert kit.softmax_loss(x + 1000, y)[0] == pytest.approx(surprise)
    np.testing.assert_allclose(kit.softmax(x).sum(axis=1), 1)

    W, X = normal(5, 4), normal(6, 5)
    for right, l2 in itertools.product((kit.svm_loss, kit.softmax_loss), (1.0, 0.5)):
        value, dW = kit.linear_loss(right, W, X, y, 0.3, l2)
        assert value == pytest.approx(right(X @ W, y)[0] + l2 * 0.3 * (W**2).sum())
        check_gradients(lambda W, right=right, l2=l2: kit.linear_loss(right, W, X, y, 0.3, l2)[0], (W,), (dW,), 1.0)


@pytest.mark.peers
def test_update_rules_agree_with_pytorch():
    torch = pytest.importorskip("torch")
    w, grads = normal(4), normal(3, 4)

    def descend(make):
        parameter = torch.nn.Parameter(torch.tensor(w))
        optimizer = make([parameter])
        for grad in grads:
            parameter.grad = torch.tensor(grad)
            optimizer.step()
        return parameter.detach().numpy()

    mine, v = w, np.zeros(4)
    for grad in grads:
        mine, v = kit.sgd_momentum(mine, grad, 0.1, 0.9, v)
    np.testing.assert_allclose(mine, descend(lambda p: torch.optim.SGD(p, 0.1, momentum=0.9)), rtol=1e-12)
    mine, cache = w, np.zeros(4)
    for grad in grads:
        mine, cache = kit.rmsprop(mine, grad, 0.1, 0.9, 1e-8, cache)
    np.testing.assert_allclose(mine, descend(lambda p: torch.optim.RMSprop(p, 0.1, alpha=0.9)), rtol=1e-12)
    mine, m, v, t = w, np.zeros(4), np.zeros(4), 0
    for grad in grads:
        mine, m, v, t = kit.adam(mine, grad, 0.1, 0.9, 0.999, 1e-8, m, v, t)
    np.testing.assert_allclose(mine, descend(lambda p: torch.optim.Adam(p, 0.1)), rtol=1e-12)
    np.testing.assert_array_equal(kit.sgd(w, grads[0], 0.5)[0], w - 0.5 * grads[0])


def test_neighbours():
    train, test = normal(5, 3), normal(4, 3)
    expected = [[sum((a - b) ** 2 for a, b in zip(x, z, strict=True)) ** 0.5 for z in train] for x in test]
    np.testing.assert_allclose(kit.distances(train, test), expected)
    y = np.array([2, 1, 1, 0, 2])
    assert kit.vote(np.array([[1.0, 2, 3, 4, 5], [5, 4, 3, 2, 1]]), y, 1).tolist() == [2, 2]
    assert kit.vote(np.array([[1.0, 2, 3, 4, 5], [3, 9, 9, 1, 2]]), y, 3).tolist() == [1, 2]
    assert kit.vote(np.array([[1.0, 2, 9, 9, 9]]), y, 2).tolist() == [1]  # of equally common ones the smallest


# ---------------------------------------------------------------- the mistakes

OUTPUTS = [(task, output) for task in TASKS.values() for output in task.outputs]


def _size(g):
    return sum(np.size(value) for value in vars(g).values())


def answers(task, output, sentences):
    """The results of each mistake for each example."""
    at = list(task.outputs).index(output)
    examples = [example.make(Options()) for example in task.examples]
    examples = [g for g in examples if _size(g) < 30_000] or examples
    rights = [np.asarray(task.right(g)[at], float) for g in examples]
    with np.errstate(all="ignore"):
        made = {sentence: [np.asarray(wrong(g), float) for g in examples] for sentence, wrong in sentences.items()}
    return rights, made


def same(a, b, tolerance):
    return a.shape == b.shape and rel_error(a, b) <= tolerance


@pytest.mark.parametrize("task, output", OUTPUTS, ids=lambda value: getattr(value, "name", value))
def test_each_mistake_can_be_recognised(task, output):
    """A mistake's result differs from the right one in some example, and from that of each other mistake."""
    rights, made = answers(task, output, task.outputs[output])
    for sentence, mistakes in made.items():
        assert not all(same(a, b, task.tolerance) for a, b in zip(mistakes, rights, strict=True)), sentence
    for (one, a), (other, b) in itertools.combinations(made.items(), 2):
        assert not all(same(x, y, task.tolerance) for x, y in zip(a, b, strict=True)), (one, other)


def test_mistakes_for_any_output_differ():
    g = TASKS["affine_forward"].examples[1].make(Options())
    right = normal(4, 4)
    made = [wrong(right, g) for wrong in ANY.values()]
    for a, b in itertools.combinations([right, *made], 2):
        assert not same(a, b, 1e-6)


def test_examples_are_new_and_the_same():
    for task in TASKS.values():
        for example in task.examples:
            one, two = (vars(example.make(Options())) for _ in range(2))
            for name, value in one.items():
                if isinstance(value, np.ndarray):
                    np.testing.assert_array_equal(value, two[name])
                    assert not np.shares_memory(value, two[name])


def test_relative_errors():
    assert rel_error([1.0, 2.0], [1.0, 2.0]) == 0
    assert rel_error([1.0], [3.0]) == 0.5  # as the course defines it
    assert rel_error([1e-12], [-1e-12]) == pytest.approx(2e-4)  # below 1e-8 it counts as 1e-8
    assert rel_error([1e-9, 1000.0], [2e-9, 1000.0]) == pytest.approx(1e-6)  # and a millionth of the largest, as that
    assert rel_error([np.nan], [1.0]) == rel_error([1.0], [np.inf]) == np.inf
    assert rel_error([np.nan, np.inf], [np.nan, np.inf]) == 0
    assert rel_error([], []) == 0
