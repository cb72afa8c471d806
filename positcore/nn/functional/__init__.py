"""Posit operations with gradients, as functions: what the layers of `positcore.nn.layers` call."""

from positcore.nn.functional.losses import cross_entropy
from positcore.nn.functional.products import conv2d, linear, matmul

__all__ = ["conv2d", "cross_entropy", "linear", "matmul"]
