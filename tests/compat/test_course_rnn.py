"""The course's recurrent layers and CaptioningRNN: published results, numerical gradients, PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
from gradients import check_gradients

from fastnet.compat.cs231n import rnn_layers
from fastnet.compat.cs231n.captioning_solver import CaptioningSolver
from fastnet.compat.cs231n.classifiers.rnn import CaptioningRNN
from fastnet.compat.cs231n.coco_utils import decode_captions, sample_coco_minibatch
from fastnet.compat.cs231n.gradient_check import eval_numerical_gradient

RNG = np.random.default_rng(10)
normal = RNG.standard_normal


def line(start, end, *shape):
    return np.linspace(start, end, int(np.prod(shape))).reshape(shape)


# ---------------------------------------------------------------- layers


def test_rnn_step_gives_the_published_numbers():
    arrays = line(-0.4, 0.7, 3, 10), line(-0.2, 0.5, 3, 4), line(-0.1, 0.9, 10, 4), line(-0.3, 0.7, 4, 4)
    next_h, _ = rnn_layers.rnn_step_forward(*arrays, line(-0.2, 0.4, 4))
    published = [
        [-0.58172089, -0.50182032, -0.41232771, -0.31410098],
        [0.66854692, 0.79562378, 0.87755553, 0.92795967],
        [0.97934501, 0.99144213, 0.99646691, 0.99854353],
    ]
    np.testing.assert_allclose(next_h, published, atol=5e-9)


def test_lstm_step_gives_the_published_numbers():
    arrays = line(-0.4, 1.2, 3, 4), line(-0.3, 0.7, 3, 5), line(-0.4, 0.9, 3, 5)
    weights = line(-2.1, 1.3, 4, 20), line(-0.7, 2.2, 5, 20), line(0.3, 0.7, 20)
    next_h, _, _ = rnn_layers.lstm_step_forward(*arrays, *weights)
    published = [
        [0.24635157, 0.28610883, 0.32240467, 0.35525807, 0.38474904],
        [0.49223563, 0.55611431, 0.61507696, 0.66844003, 0.7159181],
        [0.56735664, 0.66310127, 0.74419266, 0.80889665, 0.858299],
    ]
    np.testing.assert_allclose(next_h, published, atol=5e-9)


def test_rnn_step_gradients():
    arrays = [normal((4, 5)), normal((4, 6)), normal((5, 6)), normal((6, 6)), normal(6)]
    next_h, cache = rnn_layers.rnn_step_forward(*arrays)
    dnext_h = normal(next_h.shape)
    gradients = rnn_layers.rnn_step_backward(dnext_h, cache)
    check_gradients(lambda *a: rnn_layers.rnn_step_forward(*a)[0], arrays, gradients, dnext_h)


def test_lstm_step_gradients():
    arrays = [normal((4, 5)), normal((4, 6)), normal((4, 6)), normal((5, 24)), normal((6, 24)), normal(24)]
    next_h, next_c, cache = rnn_layers.lstm_step_forward(*arrays)
    dnext_h, dnext_c = normal(next_h.shape), normal(next_c.shape)
    gradients = rnn_layers.lstm_step_backward(dnext_h, dnext_c, cache)
    check_gradients(
        lambda *a: np.stack(rnn_layers.lstm_step_forward(*a)[:2]),
        arrays,
        gradients,
        np.stack([dnext_h, dnext_c]),
    )


@pytest.mark.parametrize("cell, width", [("rnn", 1), ("lstm", 4)])
def test_gradients_through_time(cell, width):
    forward, backward = getattr(rnn_layers, f"{cell}_forward"), getattr(rnn_layers, f"{cell}_backward")
    arrays = [normal((2, 4, 3)), normal((2, 5)), normal((3, 5 * width)), normal((5, 5 * width)), normal(5 * width)]
    h, cache = forward(*arrays)
    dh = normal(h.shape)
    assert h.shape == (2, 4, 5)
    check_gradients(lambda *a: forward(*a)[0], arrays, backward(dh, cache), dh)


def test_sigmoid_does_not_overflow():
    x = np.array([-1e4, -30.0, 0.0, 30.0, 1e4])
    with np.errstate(all="raise", under="ignore"):
        found = rnn_layers.sigmoid(x)
    np.testing.assert_allclose(found, [0, 1 / (1 + np.exp(30)), 0.5, 1 / (1 + np.exp(-30)), 1], rtol=1e-15)
    assert rnn_layers.sigmoid(x.astype(np.float32)).dtype == np.float32


def test_word_embedding():
    words, W = np.array([[0, 3, 1, 2], [2, 1, 0, 3]]), line(0, 1, 5, 3)
    out, cache = rnn_layers.word_embedding_forward(words, W)
    assert np.array_equal(out[1, 3], W[3]) and out.shape == (2, 4, 3)
    repeated = np.array([[0, 0, 1], [1, 0, 4]])
    out, cache = rnn_layers.word_embedding_forward(repeated, W)
    dout = normal(out.shape)
    dW = rnn_layers.word_embedding_backward(dout, cache)
    check_gradients(lambda W: rnn_layers.word_embedding_forward(repeated, W)[0], [W.copy()], [dW], dout)


def test_temporal_affine():
    arrays = [normal((2, 3, 4)), normal((4, 5)), normal(5)]
    out, cache = rnn_layers.temporal_affine_forward(*arrays)
    np.testing.assert_allclose(out[1, 2], arrays[0][1, 2] @ arrays[1] + arrays[2])
    dout = normal(out.shape)
    gradients = rnn_layers.temporal_affine_backward(dout, cache)
    check_gradients(lambda *a: rnn_layers.temporal_affine_forward(*a)[0], arrays, gradients, dout)


@pytest.mark.parametrize("N, T, p, expected", [(100, 1, 1.0, 2.3), (100, 10, 1.0, 23), (5000, 10, 0.1, 2.3)])
def test_temporal_softmax_sums_over_steps_and_averages_over_sequences(N, T, p, expected):
    x, y, mask = 0.001 * normal((N, T, 10)), RNG.integers(10, size=(N, T)), RNG.random((N, T)) <= p
    loss, _ = rnn_layers.temporal_softmax_loss(x, y, mask)
    assert abs(loss - expected) < 0.1 * expected / 2.3


def test_temporal_softmax_gradient(capsys):
    x, y, mask = normal((3, 4, 5)), RNG.integers(5, size=(3, 4)), RNG.random((3, 4)) > 0.5
    _, dx = rnn_layers.temporal_softmax_loss(x, y, mask, verbose=True)
    assert capsys.readouterr().out == "dx_flat:  (12, 5)\n"
    numerical = eval_numerical_gradient(lambda x: rnn_layers.temporal_softmax_loss(x, y, mask)[0], x, verbose=False)
    np.testing.assert_allclose(dx, numerical, atol=1e-9)
    assert not dx[~mask].any()


# ---------------------------------------------------------------- CaptioningRNN


@pytest.mark.parametrize(
    "cell, ends, published", [("rnn", (-1.5, 0.3), 9.83235591003), ("lstm", (-0.5, 1.7), 9.82445935443)]
)
def test_captioning_loss_is_the_published_one(cell, ends, published):
    vocabulary = {"<NULL>": 0, "cat": 2, "dog": 3}
    model = CaptioningRNN(vocabulary, input_dim=20, wordvec_dim=30, hidden_dim=40, cell_type=cell, dtype=np.float64)
    for name, value in model.params.items():
        model.params[name] = line(-1.4, 1.3, *value.shape)
    captions = (np.arange(10 * 13) % 3).reshape(10, 13)
    loss, grads = model.loss(line(*ends, 10, 20), captions)
    assert abs(loss - published) < 1e-10
    assert {name: grad.shape for name, grad in grads.items()} == {n: p.shape for n, p in model.params.items()}


WORDS = {word: number for number, word in enumerate(["<NULL>", "<START>", "<END>", "a", "cat", "sits", "dog", "runs"])}


@pytest.mark.parametrize("cell", ["rnn", "lstm"])
def test_captioning_gradients(cell):
    np.random.seed(0)
    model = CaptioningRNN(WORDS, input_dim=5, wordvec_dim=3, hidden_dim=4, cell_type=cell, dtype=np.float64)
    captions, features = RNG.integers(len(WORDS), size=(2, 5)), normal((2, 5))
    _, grads = model.loss(features, captions)
    for name, w in model.params.items():
        numerical = eval_numerical_gradient(lambda _: model.loss(features, captions)[0], w, verbose=False, h=1e-6)
        np.testing.assert_allclose(grads[name], numerical, atol=1e-8, err_msg=name)


def test_captioning_starts_from_the_courses_random_stream():
    np.random.seed(3)
    model = CaptioningRNN(WORDS, input_dim=6, wordvec_dim=3, hidden_dim=5, cell_type="lstm")
    np.random.seed(3)
    shapes = {"W_embed": (8, 3), "W_proj": (6, 5), "Wx": (3, 20), "Wh": (5, 20), "W_vocab": (5, 8)}
    for name, shape in shapes.items():
        scale = 100 if name == "W_embed" else np.sqrt(shape[0])
        assert np.array_equal(model.params[name], (np.random.randn(*shape) / scale).astype(np.float32))
    assert [model.params[name].shape for name in ("b_proj", "b", "b_vocab")] == [(5,), (20,), (8,)]
    assert all(value.dtype == np.float32 for value in model.params.values())
    with pytest.raises(ValueError, match='^Invalid cell_type "gru"$'):
        CaptioningRNN(WORDS, cell_type="gru")


@pytest.mark.parametrize("cell", ["rnn", "lstm"])
def test_captioning_overfits_and_samples_its_captions(cell):
    captions = np.array([[1, 3, 4, 5, 2, 0], [1, 3, 6, 7, 2, 0], [1, 6, 5, 2, 0, 0]])
    data = {
        "train_captions": captions,
        "train_image_idxs": np.arange(3),
        "train_features": normal((3, 6)),
        "train_urls": np.array(["u0", "u1", "u2"]),
    }
    np.random.seed(0)
    model = CaptioningRNN(WORDS, input_dim=6, wordvec_dim=8, hidden_dim=16, cell_type=cell, dtype=np.float64)
    settings = {"update_rule": "adam", "optim_config": {"learning_rate": 2e-2}, "batch_size": 3, "num_epochs": 120}
    solver = CaptioningSolver(model, data, verbose=False, **settings)
    solver.train()
    assert solver.loss_history[-1] < 0.1 < solver.loss_history[0]
    sampled = model.sample(data["train_features"], max_length=5)
    assert sampled.shape == (3, 5) and sampled.dtype == np.int32
    assert decode_captions(sampled, model.idx_to_word) == decode_captions(captions[:, 1:], model.idx_to_word)


def test_captions_are_decoded():
    words = {number: word for word, number in WORDS.items()}
    assert decode_captions(np.array([1, 3, 0, 4, 2, 5]), words) == "<START> a cat <END>"
    assert decode_captions(np.array([[3, 4, 5], [0, 0, 0]]), words) == ["a cat sits", ""]


def test_minibatches_of_captions():
    data = {
        "val_captions": np.arange(12).reshape(6, 2),
        "val_image_idxs": np.arange(6)[::-1],
        "val_features": normal((6, 3)),
        "val_urls": np.array([f"u{i}" for i in range(6)]),
    }
    np.random.seed(1)
    captions, features, urls = sample_coco_minibatch(data, batch_size=4, split="val")
    np.random.seed(1)
    chosen = np.random.choice(6, 4)
    assert np.array_equal(captions, data["val_captions"][chosen]) and urls.tolist() == [f"u{5 - i}" for i in chosen]
    assert np.array_equal(features, data["val_features"][5 - chosen])


# ---------------------------------------------------------------- PyTorch


@pytest.mark.peers
@pytest.mark.parametrize("cell", ["rnn", "lstm"])
def test_recurrent_layers_agree_with_pytorch(cell):
    """PyTorch's LSTM orders its gates i, f, g, o."""
    torch = pytest.importorskip("torch")
    N, T, D, H = 3, 5, 4, 6
    width = H if cell == "rnn" else 4 * H
    x, Wx, Wh, b = normal((N, T, D)), normal((D, width)), normal((H, width)), normal(width)
    h0, dh = normal((N, H)), normal((N, T, H))
    order = np.arange(width) if cell == "rnn" else np.r_[0 : 2 * H, 3 * H : 4 * H, 2 * H : 3 * H]
    net = (torch.nn.RNN if cell == "rnn" else torch.nn.LSTM)(D, H, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        for name, value in (("weight_ih_l0", Wx.T), ("weight_hh_l0", Wh.T), ("bias_ih_l0", b), ("bias_hh_l0", 0 * b)):
            getattr(net, name).copy_(torch.from_numpy(value[order].copy()))
    tx, th = torch.from_numpy(x).requires_grad_(), torch.from_numpy(h0).requires_grad_()
    state = th[None] if cell == "rnn" else (th[None], torch.zeros(1, N, H, dtype=torch.float64))
    out, _ = net(tx, state)
    out.backward(torch.from_numpy(dh))

    h, cache = getattr(rnn_layers, f"{cell}_forward")(x, h0, Wx, Wh, b)
    dx, dh0, dWx, dWh, db = getattr(rnn_layers, f"{cell}_backward")(dh, cache)
    theirs = out, tx.grad, th.grad, net.weight_ih_l0.grad.T, net.weight_hh_l0.grad.T, net.bias_ih_l0.grad
    ours = h, dx, dh0, dWx[:, order], dWh[:, order], db[order]
    for got, expected in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(got, expected.detach().numpy(), rtol=1e-9, atol=1e-11)
