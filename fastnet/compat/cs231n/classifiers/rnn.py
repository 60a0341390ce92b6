"""Image captioning with a recurrent network (assignment 3, 2016 to 2024)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastnet.compat.cs231n.layers import affine_backward, affine_forward
from fastnet.compat.cs231n.rnn_layers import (
    lstm_backward,
    lstm_forward,
    lstm_step_forward,
    rnn_backward,
    rnn_forward,
    rnn_step_forward,
    temporal_affine_backward,
    temporal_affine_forward,
    temporal_softmax_loss,
    word_embedding_backward,
    word_embedding_forward,
)

__all__ = ["CaptioningRNN"]


class CaptioningRNN:
    """The initial hidden state is computed from an image's features; each state and word predict the next word.

    Parameters
    ----------
    word_to_idx : dict of str to int
        The vocabulary, V words, including "<NULL>", which pads captions, and for `sample` "<START>" and "<END>".
    input_dim, wordvec_dim, hidden_dim : int
        The sizes of features (D), word vectors (W) and states (H).
    cell_type : "rnn" or "lstm"
    dtype : dtype
        The dtype of the parameters.

    Attributes
    ----------
    params : dict
        W_embed (V, W); W_proj (D, H), b_proj; Wx (W, H), Wh (H, H), b, four times as wide for "lstm"; W_vocab (H, V),
        b_vocab.  Drawn by ``np.random.randn`` in this order: words / 100, weights / sqrt(inputs), biases 0.

    Raises
    ------
    ValueError
        If `cell_type` is neither of these.
    """

    def __init__(
        self,
        word_to_idx: Mapping[str, int],
        input_dim: int = 512,
        wordvec_dim: int = 128,
        hidden_dim: int = 128,
        cell_type: str = "rnn",
        dtype: DTypeLike = np.float32,
    ):
        if cell_type not in ("rnn", "lstm"):
            raise ValueError(f'Invalid cell_type "{cell_type}"')
        self.cell_type, self.dtype, self.word_to_idx = cell_type, dtype, word_to_idx
        self.idx_to_word = {number: word for word, number in word_to_idx.items()}
        self._null = word_to_idx["<NULL>"]
        self._start, self._end = word_to_idx.get("<START>"), word_to_idx.get("<END>")
        vocabulary, width = len(word_to_idx), hidden_dim * (4 if cell_type == "lstm" else 1)

        def weights(inputs, outputs):
            return np.random.randn(inputs, outputs) / np.sqrt(inputs)

        params = {
            "W_embed": np.random.randn(vocabulary, wordvec_dim) / 100,
            "W_proj": weights(input_dim, hidden_dim),
            "b_proj": np.zeros(hidden_dim),
            "Wx": weights(wordvec_dim, width),
            "Wh": weights(hidden_dim, width),
            "b": np.zeros(width),
            "W_vocab": weights(hidden_dim, vocabulary),
            "b_vocab": np.zeros(vocabulary),
        }
        self.params = {name: value.astype(dtype) for name, value in params.items()}

    def loss(self, features: np.ndarray, captions: np.ndarray) -> Any:
        """The loss of predicting each word of a caption from those before it.

        Parameters
        ----------
        features : array, (N, D)
        captions : array of int, (N, T)
            Words 0 to T - 2 are the input, words 1 to T - 1 the targets; targets "<NULL>" do not count.

        Returns
        -------
        loss : float
        grads : dict
            Gradients by the names of the parameters.
        """
        p, grads = self.params, {}
        forward, backward = (rnn_forward, rnn_backward) if self.cell_type == "rnn" else (lstm_forward, lstm_backward)
        words_in, words_out = captions[:, :-1], captions[:, 1:]

        h0, projection_cache = affine_forward(features, p["W_proj"], p["b_proj"])
        vectors, embedding_cache = word_embedding_forward(words_in, p["W_embed"])
        states, cell_cache = forward(vectors, h0, p["Wx"], p["Wh"], p["b"])
        scores, vocabulary_cache = temporal_affine_forward(states, p["W_vocab"], p["b_vocab"])
        loss, dscores = temporal_softmax_loss(scores, words_out, words_out != self._null)

        dstates, grads["W_vocab"], grads["b_vocab"] = temporal_affine_backward(dscores, vocabulary_cache)
        dvectors, dh0, grads["Wx"], grads["Wh"], grads["b"] = backward(dstates, cell_cache)
        grads["W_embed"] = word_embedding_backward(dvectors, embedding_cache)
        _, grads["W_proj"], grads["b_proj"] = affine_backward(dh0, projection_cache)
        return loss, grads

    def sample(self, features: np.ndarray, max_length: int = 30) -> np.ndarray:
        """Generate captions (N, max_length), word indices, for features (N, D).

        The first input is "<START>", and each further one the most likely word.  Captions continue after "<END>";
        :func:`~fastnet.compat.cs231n.coco_utils.decode_captions` stops there.
        """
        p = self.params
        captions = np.full((len(features), max_length), self._null, np.int32)
        h, _ = affine_forward(features, p["W_proj"], p["b_proj"])
        c = np.zeros_like(h)
        words = np.full(len(features), self._start)
        for t in range(max_length):
            vectors = p["W_embed"][words]
            if self.cell_type == "rnn":
                h, _ = rnn_step_forward(vectors, h, p["Wx"], p["Wh"], p["b"])
            else:
                h, c, _ = lstm_step_forward(vectors, h, c, p["Wx"], p["Wh"], p["b"])
            scores, _ = affine_forward(h, p["W_vocab"], p["b_vocab"])
            captions[:, t] = words = np.argmax(scores, axis=1)
        return captions
