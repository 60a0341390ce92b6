"""``cs231n.layers``: the layers of assignments 1 and 2.

``name_forward`` returns (out, cache), and ``name_backward(dout, cache)`` returns the gradients of its arrays.
"""

from __future__ import annotations

from fastnet.compat.cs231n.affine import affine_backward, affine_forward, relu_backward, relu_forward
from fastnet.compat.cs231n.dropout import dropout_backward, dropout_forward
from fastnet.compat.cs231n.losses import softmax_loss, svm_loss
from fastnet.compat.cs231n.naive import (
    conv_backward_naive,
    conv_forward_naive,
    max_pool_backward_naive,
    max_pool_forward_naive,
)
from fastnet.compat.cs231n.normalization import (
    batchnorm_backward,
    batchnorm_backward_alt,
    batchnorm_forward,
    layernorm_backward,
    layernorm_forward,
    spatial_batchnorm_backward,
    spatial_batchnorm_forward,
    spatial_groupnorm_backward,
    spatial_groupnorm_forward,
)

__all__ = [
    "affine_backward",
    "affine_forward",
    "batchnorm_backward",
    "batchnorm_backward_alt",
    "batchnorm_forward",
    "conv_backward_naive",
    "conv_forward_naive",
    "dropout_backward",
    "dropout_forward",
    "layernorm_backward",
    "layernorm_forward",
    "max_pool_backward_naive",
    "max_pool_forward_naive",
    "relu_backward",
    "relu_forward",
    "softmax_loss",
    "spatial_batchnorm_backward",
    "spatial_batchnorm_forward",
    "spatial_groupnorm_backward",
    "spatial_groupnorm_forward",
    "svm_loss",
]
