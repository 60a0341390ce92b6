"""Ops: every operation as one record, with its shape rule, its definition on arrays, and its gradient."""

from fastnet.ops import (
    averages,
    channels,
    conv,
    conv_transpose,
    dense,
    distance,
    elementwise,
    fractional,
    fused,
    fused_conv,
    fused_inference,
    fused_prelu,
    group_norm,
    loss,
    norm,
    penalty,
    pool,
    random,
    resample,
    response_norm,
    scalar,
    shape,
    softmax,
    target_loss,
    updates,
)
from fastnet.ops.random import Stream
from fastnet.ops.record import ACTIVATION, REGISTRY, REQUIRED, STATE, WEIGHT, Example, Input, Op, register

__all__ = ["ACTIVATION", "REGISTRY", "REQUIRED", "STATE", "WEIGHT", "Example", "Input", "Op", "Stream", "register"]

FAMILIES = (
    *(elementwise, channels, softmax, dense, distance, conv, conv_transpose, pool, fractional, resample, norm),
    *(group_norm, response_norm, scalar, shape, random, loss, target_loss, updates, averages, penalty),
    *(fused, fused_conv, fused_prelu, fused_inference),
)
