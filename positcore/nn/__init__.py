"""The PyTorch bridge: networks trained and tested in exactly the arithmetic that a `Policy` describes.

A normal PyTorch loop works on the twin of a float model::

    policy = pnn.Policy.parse("O12-L12-FBG8q")
    twin = pnn.convert(model, policy)
    loss_function = pnn.CrossEntropyLoss(policy)
    optimizer = pnn.SGD(twin.parameters(), policy, lr=1 / 16, momentum=0.5)

and `pnn.use_backend("rtl")` runs its matrix products in the simulated hardware, with the same bits.
"""

from positcore.nn.audit import AuditError, audit
from positcore.nn.backends import use_backend
from positcore.nn.convert import convert, to_float
from positcore.nn.gradients import accumulate
from positcore.nn.layers import (
    BatchNorm1d,
    BatchNorm2d,
    Conv2d,
    CrossEntropyLoss,
    GroupNorm,
    LayerNorm,
    Linear,
    RangeBatchNorm1d,
)
from positcore.nn.optim import SGD, Adam, AdamW, RMSprop, clip_grad_norm_, clip_grad_value_
from positcore.nn.policy import Override, Policy, Stage
from positcore.nn.scaling import AdaptiveScale, BackScale, DynamicScaler, GradientScale, scale_gradient
from positcore.nn.tensors import quantize

__all__ = [
    "SGD", "Adam", "AdamW", "AdaptiveScale", "AuditError", "BackScale", "BatchNorm1d", "BatchNorm2d", "Conv2d",
    "CrossEntropyLoss", "DynamicScaler", "GradientScale", "GroupNorm", "LayerNorm", "Linear", "Override", "Policy",
    "RMSprop", "RangeBatchNorm1d", "Stage", "accumulate", "audit", "clip_grad_norm_", "clip_grad_value_", "convert",
    "quantize", "scale_gradient", "to_float", "use_backend",
]  # fmt: skip
