"""Multi-head attention."""

from __future__ import annotations

import torch
from torch import Tensor

from positcore.nn.functional.activations import check_tables
from positcore.nn.functional.attention import multi_head_attention
from positcore.nn.layers.base import PositLayer
from positcore.nn.layers.products import Linear

__all__ = ["MultiheadAttention"]


class _Projection(Linear):
    """The last projection, as a layer: PyTorch's attention has a class of its own for it."""

    float_class = torch.nn.modules.linear.NonDynamicallyQuantizableLinear


class MultiheadAttention(PositLayer, torch.nn.MultiheadAttention):
    """`torch.nn.MultiheadAttention` in posit arithmetic; F of n ≤ 16. Parameters as there, and `policy`.

    Raises
    ------
    ValueError
        If F has n > 16, or with the options add_bias_kv or add_zero_attn.
    """

    float_class = torch.nn.MultiheadAttention

    def prepare(self) -> None:
        """Check the options; the last projection becomes a posit layer."""
        check_tables("MultiheadAttention", F=self.policy.forward.format)
        for option, given in (("add_bias_kv", self.bias_k is not None), ("add_zero_attn", self.add_zero_attn)):
            if given:
                raise ValueError(f"MultiheadAttention: there is no {option} in posits; leave it out")
        _Projection.from_float(self.out_proj, self.policy)

    def release(self) -> None:
        """The last projection becomes a float layer again."""
        if isinstance(self.out_proj, PositLayer):
            self.out_proj.to_float()

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """As in `torch.nn`: (L, N, E), (S, N, kdim) and (S, N, vdim) → (L, N, E), and the weights or None."""
        if is_causal and attn_mask is None:
            raise ValueError("MultiheadAttention: is_causal says of what kind attn_mask is; give attn_mask too")
        weights = [self.in_proj_weight] if self._qkv_same_embed_dim else [
            self.q_proj_weight, self.k_proj_weight, self.v_proj_weight,
        ]  # fmt: skip
        return multi_head_attention(
            query,
            key,
            value,
            self.num_heads,
            weights,
            self.in_proj_bias,
            self.out_proj.weight,
            self.out_proj.bias,
            self.policy,
            batch_first=self.batch_first,
            key_padding_mask=key_padding_mask,
            attn_mask=attn_mask,
            dropout_p=self.dropout if self.training else 0.0,
            need_weights=need_weights,
            average_weights=average_attn_weights,
        )
