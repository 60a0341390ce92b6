"""The Solver of assignment 3, which trains a CaptioningRNN and measures no accuracy."""

from __future__ import annotations

import numpy as np

from fastnet.compat.cs231n.coco_utils import sample_coco_minibatch
from fastnet.compat.cs231n.solver import Solver

__all__ = ["CaptioningSolver"]


class CaptioningSolver(Solver):
    """Trains ``model.loss(features, captions)`` -> (loss, grads) on captioned images.

    Parameters
    ----------
    model : CaptioningRNN
        Or anything with such a `loss`, and `params`.
    data : dict
        train_captions, train_image_idxs, train_features and train_urls; see
        :func:`~fastnet.compat.cs231n.coco_utils.sample_coco_minibatch`.
    update_rule, optim_config, lr_decay, batch_size, num_epochs, print_every, verbose
        As for :class:`~fastnet.compat.cs231n.solver.Solver`.
    """

    defaults = {
        name: Solver.defaults[name]
        for name in ("update_rule", "optim_config", "lr_decay", "batch_size", "num_epochs", "print_every", "verbose")
    }

    def _take(self, data):
        self.data = data

    def _num_train(self):
        return len(self.data["train_captions"])

    def _loss(self):
        captions, features, _ = sample_coco_minibatch(self.data, batch_size=self.batch_size, split="train")
        return self.model.loss(features, captions)

    def check_accuracy(
        self, X: np.ndarray, y: np.ndarray, num_samples: int | None = None, batch_size: int = 100
    ) -> float:
        """Always 0.0: captions have no accuracy."""
        return 0.0

    def train(self) -> None:
        """Train the model, which keeps the weights of the last iteration."""
        iterations_per_epoch = max(self._num_train() // self.batch_size, 1)
        num_iterations = self.num_epochs * iterations_per_epoch
        for t in range(num_iterations):
            self._step()
            self._print_loss(t, num_iterations)
            if (t + 1) % iterations_per_epoch == 0:
                self._end_epoch()
