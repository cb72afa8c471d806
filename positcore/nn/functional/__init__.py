"""Posit operations with gradients, as functions: what the layers of `positcore.nn.layers` call."""

from positcore.nn.functional.activations import dropout, gelu, hardtanh, leaky_relu, relu6, sigmoid, silu, tanh
from positcore.nn.functional.attention import multi_head_attention, scaled_dot_product_attention
from positcore.nn.functional.convolutions import conv1d, conv_transpose2d
from positcore.nn.functional.elementwise import abs, add, div, exp, log, mul, pow, sqrt, square, sub
from positcore.nn.functional.embeddings import embedding
from positcore.nn.functional.losses import (
    binary_cross_entropy_with_logits,
    cross_entropy,
    huber_loss,
    mse_loss,
    nll_loss,
)
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
from positcore.nn.functional.softmaxes import log_softmax, softmax

__all__ = [
    "abs", "adaptive_avg_pool1d", "adaptive_avg_pool2d", "add", "avg_pool1d", "avg_pool2d", "batch_norm",
    "binary_cross_entropy_with_logits", "conv1d", "conv2d", "conv_transpose2d", "cross_entropy", "div", "dropout",
    "embedding", "exp", "gelu", "group_norm", "hardtanh", "huber_loss", "layer_norm", "leaky_relu", "linear", "log",
    "log_softmax", "matmul", "max_pool1d", "max_pool2d", "mean", "mse_loss", "mul", "multi_head_attention", "nll_loss",
    "pow", "range_batch_norm", "relu6", "scaled_dot_product_attention", "sigmoid", "silu", "softmax", "sqrt", "square",
    "sub", "sum", "tanh",
]  # fmt: skip
