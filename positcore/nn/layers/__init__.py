"""Posit layers and losses; parameters are named as in `torch.nn`, so state_dict keys are the same.

`TWINS` says which posit layer stands for which float one.
"""

import torch

from positcore.nn.layers.activations import GELU, Dropout, Hardtanh, LeakyReLU, ReLU6, Sigmoid, SiLU, Tanh
from positcore.nn.layers.attention import MultiheadAttention
from positcore.nn.layers.base import PositLayer, forget_rounding, round_parameters
from positcore.nn.layers.convolutions import Conv1d, ConvTranspose2d
from positcore.nn.layers.embedding import Embedding
from positcore.nn.layers.losses import BCEWithLogitsLoss, CrossEntropyLoss, HuberLoss, MSELoss, NLLLoss
from positcore.nn.layers.normalization import BatchNorm1d, BatchNorm2d, GroupNorm, LayerNorm, RangeBatchNorm1d
from positcore.nn.layers.pooling import AdaptiveAvgPool1d, AdaptiveAvgPool2d, AvgPool1d, AvgPool2d, MaxPool1d, MaxPool2d
from positcore.nn.layers.products import Conv2d, Linear
from positcore.nn.layers.softmax import LogSoftmax, Softmax

__all__ = [
    "GELU", "TWINS", "AdaptiveAvgPool1d", "AdaptiveAvgPool2d", "AvgPool1d", "AvgPool2d", "BCEWithLogitsLoss",
    "BatchNorm1d", "BatchNorm2d", "Conv1d", "Conv2d", "ConvTranspose2d", "CrossEntropyLoss", "Dropout", "Embedding",
    "GroupNorm", "Hardtanh", "HuberLoss", "LayerNorm", "LeakyReLU", "Linear", "LogSoftmax", "MSELoss", "MaxPool1d",
    "MaxPool2d", "MultiheadAttention", "NLLLoss", "PositLayer", "RangeBatchNorm1d", "ReLU6", "SiLU", "Sigmoid",
    "Softmax", "Tanh", "forget_rounding", "round_parameters",
]  # fmt: skip

TWINS: dict[type[torch.nn.Module], type[PositLayer]] = {
    twin.float_class: twin
    for twin in (
        AdaptiveAvgPool1d, AdaptiveAvgPool2d, AvgPool1d, AvgPool2d, BatchNorm1d, BatchNorm2d, Conv1d, Conv2d,
        ConvTranspose2d, Dropout, Embedding, GELU, GroupNorm, Hardtanh, LayerNorm, LeakyReLU, Linear, LogSoftmax,
        MaxPool1d, MaxPool2d, MultiheadAttention, ReLU6, Sigmoid, SiLU, Softmax, Tanh,
    )
}  # fmt: skip
