"""Gradients scaled by powers of two, so that they lie where small posits are precise.

Between layers gradients are values of B. A factor 2^k before them is one golden multiplication, and taking it out of
`parameter.grad` is one in O. `DynamicScaler` has one factor for the loss; `BackScale` and `AdaptiveScale` one
for every layer.
"""

from positcore.nn.scaling.adaptive import AdaptiveScale
from positcore.nn.scaling.back import BackScale
from positcore.nn.scaling.dynamic import DynamicScaler
from positcore.nn.scaling.factors import GradientScale, scale_gradient
from positcore.nn.scaling.layers import LayerScale

__all__ = ["AdaptiveScale", "BackScale", "DynamicScaler", "GradientScale", "LayerScale", "scale_gradient"]
