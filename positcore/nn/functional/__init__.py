"""Posit operations with gradients, as functions: what the layers of `positcore.nn.layers` call."""

from positcore.nn.functional.activations import dropout, gelu, hardtanh, leaky_relu, relu6, sigmoid, silu, tanh
from positcore.nn.functional.elementwise import abs, add, div, exp, log, mul, pow, sqrt, square, sub
from positcore.nn.functional.losses import cross_entropy
from positcore.nn.functional.normalization import batch_norm, group_norm, layer_norm, range_batch_norm
from positcore.nn.functional.pooling import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    avg_pool1d,
    avg_pool2d,
    max_pool1d,
    max_pool2d,
)
from positcore.nn.functional.products import conv2d, linear, matmul
from positcore.nn.functional.reductions import mean, sum

__all__ = [
    "abs", "adaptive_avg_pool1d", "adaptive_avg_pool2d", "add", "avg_pool1d", "avg_pool2d", "batch_norm", "conv2d",
    "cross_entropy", "div", "dropout", "exp", "gelu", "group_norm", "hardtanh", "layer_norm", "leaky_relu", "linear",
    "log", "matmul", "max_pool1d", "max_pool2d", "mean", "mul", "pow", "range_batch_norm", "relu6", "sigmoid", "silu",
    "sqrt", "square", "sub", "sum", "tanh",
]  # fmt: skip
