"""The PyTorch bridge: networks trained and tested in exactly the arithmetic that a `Policy` describes.

A normal PyTorch loop works on the twin of a float model::

    policy = pnn.Policy.parse("O12-L12-FBG8q")
    twin = pnn.convert(model, policy)
    loss_function = pnn.CrossEntropyLoss(policy)
    optimizer = pnn.SGD(twin.parameters(), policy, lr=1 / 16, momentum=0.5)

and `pnn.use_backend("rtl")` runs all its arithmetic in the simulated hardware, with the same bits.
"""

from positcore.nn.audit import AuditError, audit
from positcore.nn.backends import use_backend
from positcore.nn.convert import convert, to_float
from positcore.nn.gradients import accumulate
from positcore.nn.layer_errors import LayerError, compare_layers, layer_table
from positcore.nn.layers import (
    GELU,
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AvgPool1d,
    AvgPool2d,
    BatchNorm1d,
    BatchNorm2d,
    BCEWithLogitsLoss,
    Conv1d,
    Conv2d,
    ConvTranspose2d,
    CrossEntropyLoss,
    Dropout,
    Embedding,
    GroupNorm,
    Hardtanh,
    HuberLoss,
    LayerNorm,
    LeakyReLU,
    Linear,
    LogSoftmax,
    MaxPool1d,
    MaxPool2d,
    MSELoss,
    MultiheadAttention,
    NLLLoss,
    RangeBatchNorm1d,
    ReLU6,
    Sigmoid,
    SiLU,
    Softmax,
    Tanh,
)
from positcore.nn.optim import SGD, Adam, AdamW, RMSprop, clip_grad_norm_, clip_grad_value_
from positcore.nn.policy import Override, Policy, Stage
from positcore.nn.quantization import quantize_model
from positcore.nn.ranges import RangeRow, RangeWarning, range_report
from positcore.nn.scaling import AdaptiveScale, BackScale, DynamicScaler, GradientScale, scale_gradient
from positcore.nn.tensors import quantize

__all__ = [
    "GELU", "SGD", "Adam", "AdamW", "AdaptiveAvgPool1d", "AdaptiveAvgPool2d", "AdaptiveScale", "AuditError",
    "AvgPool1d", "AvgPool2d", "BCEWithLogitsLoss", "BackScale", "BatchNorm1d", "BatchNorm2d", "Conv1d", "Conv2d",
    "ConvTranspose2d", "CrossEntropyLoss", "Dropout", "DynamicScaler", "Embedding", "GradientScale", "GroupNorm",
    "Hardtanh", "HuberLoss", "LayerError", "LayerNorm", "LeakyReLU", "Linear", "LogSoftmax", "MSELoss", "MaxPool1d",
    "MaxPool2d", "MultiheadAttention", "NLLLoss", "Override", "Policy", "RMSprop", "RangeBatchNorm1d", "RangeRow",
    "RangeWarning", "ReLU6", "SiLU", "Sigmoid", "Softmax", "Stage", "Tanh", "accumulate", "audit", "clip_grad_norm_",
    "clip_grad_value_", "compare_layers", "convert", "layer_table", "quantize", "quantize_model", "range_report",
    "scale_gradient", "to_float", "use_backend",
]  # fmt: skip
