"""Attention: products with transposed keys, softmax, products with values, and projections before and after."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from positcore.mac import MacSpec
from positcore.nn import tensors
from positcore.nn.backends import Sums, current_backend
from positcore.nn.functional.activations import check_tables, dropout
from positcore.nn.functional.elementwise import add, mul
from positcore.nn.functional.operands import expand, reader
from positcore.nn.functional.operation import carrier, operation, shaped
from positcore.nn.functional.products import linear, matmul
from positcore.nn.functional.reductions import mean
from positcore.nn.functional.softmaxes import softmax
from positcore.nn.gradients import MatmulTerms, Terms, deliver, row_sums
from positcore.nn.policy import Policy

__all__ = ["CALLS", "StackedTerms", "multi_head_attention", "scaled_dot_product_attention"]


@operation
def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    policy: Policy,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
) -> Tensor:
    """softmax(R_F(q·c)·kᵀ + mask)·v with c = R_F(scale), each product with one rounding an element.

    What is masked has the weight 0, exactly, and a query with all keys masked the result 0, as in PyTorch. Gradients
    are those of the operations: `mul`, `matmul`, `softmax`, `dropout`, `add`.

    Parameters
    ----------
    query, key, value : float tensors, (..., L, E), (..., S, E) and (..., S, V)
        Rounded to F first.
    policy : Policy
        With F of n ≤ 16.
    attn_mask : tensor that broadcasts to (..., L, S), optional
        Of booleans, true for what takes part; or of floats, which are added in F, but for −inf: that masks.
    dropout_p : float
        Of the weights; see `dropout`.
    is_causal : bool
        Query i sees the keys 0..i.
    scale : float, optional
        1 / √E unless given.

    Returns
    -------
    tensor of F values, (..., L, V)

    Raises
    ------
    ValueError
        If the shapes do not fit, there are both a mask and `is_causal`, or F has n > 16.
    """
    check_tables("scaled_dot_product_attention", F=policy.forward.format)
    shapes = [tuple(x.shape) for x in (query, key, value)]
    if any(len(shape) < 2 for shape in shapes) or shapes[0][-1] != shapes[1][-1] or shapes[1][-2] != shapes[2][-2]:
        raise ValueError(
            "scaled_dot_product_attention: query, key and value must be (..., L, E), (..., S, E) and (..., S, V), not "
            f"{shapes[0]}, {shapes[1]} and {shapes[2]}"
        )
    if is_causal and attn_mask is not None:
        raise ValueError("scaled_dot_product_attention: give attn_mask or is_causal, not both")
    if is_causal:
        attn_mask = torch.ones(query.shape[-2], key.shape[-2], dtype=torch.bool, device=query.device).tril()
    masks = [] if attn_mask is None else [attn_mask]
    key = expand(key, key.shape, policy)  # a reading, before it is transposed
    return _attend(query, key, value, policy, masks, dropout_p, scale)[0]


def _attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    policy: Policy,
    masks: Sequence[Tensor],
    dropout_p: float,
    scale: float | None = None,
) -> tuple[Tensor, Tensor]:
    """The result and the weights, after dropout; masks as of `scaled_dot_product_attention`."""
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = matmul(mul(query, scale, policy), key.transpose(-1, -2), policy)
    allowed = torch.ones((), dtype=torch.bool, device=scores.device)
    for mask in masks:
        if mask.dtype == torch.bool:
            allowed = allowed & mask
            continue
        absent = mask == -torch.inf
        allowed = allowed & ~absent
        if mask.requires_grad or bool((mask.masked_fill(absent, 0.0) != 0).any()):
            scores = add(scores, expand(mask, mask.shape, policy).masked_fill(absent, 0.0), policy)
    if bool(allowed.all()):
        weights = softmax(scores, -1, policy)
    else:
        alone = ~allowed.any(-1, keepdim=True)
        weights = softmax(scores.masked_fill(~(allowed | alone), -torch.inf), -1, policy).masked_fill(alone, 0.0)
    weights = dropout(weights, dropout_p, True, policy)
    return matmul(weights, value, policy), weights


# Several heads ---------------------------------------------------------------------------------------


@operation
def multi_head_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    heads: int,
    in_weights: Sequence[Tensor],
    in_bias: Tensor | None,
    out_weight: Tensor,
    out_bias: Tensor | None,
    policy: Policy,
    batch_first: bool = False,
    key_padding_mask: Tensor | None = None,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    need_weights: bool = True,
    average_weights: bool = True,
) -> tuple[Tensor, Tensor | None]:
    """What `torch.nn.MultiheadAttention` computes: projections, `scaled_dot_product_attention`, a projection.

    Where query, key and value are one tensor and one weight holds all projections, they are one `linear`; else each is
    one, and what a tensor gets from several is summed in B. The bias is preloaded as in `linear`.

    Parameters
    ----------
    query, key, value : float tensors, (L, N, E), (S, N, kdim) and (S, N, vdim)
        Or (N, L, E) … if `batch_first`, or (L, E) … of one sample.
    heads : int
    in_weights : one tensor (3·E, E), or three of (E, E), (E, kdim) and (E, vdim)
        Master weights in O.
    in_bias : tensor, (3·E,), or None
    out_weight, out_bias : tensors, (E, E) and (E,), or None
    policy : Policy
    batch_first : bool
    key_padding_mask : tensor, (N, S), or (S,) of one sample, optional
        Of booleans, true for keys that take no part, or of floats to be added.
    attn_mask : tensor, (L, S) or (N·heads, L, S), optional
        Likewise.
    dropout_p : float
    need_weights, average_weights : bool
        Whether to return the weights, and R_F of their mean over the heads.

    Returns
    -------
    tensor of F values, the shape of `query`, and the weights, (N, L, S), or (N, heads, L, S), or None

    Raises
    ------
    ValueError
        If the shapes do not fit, or F has n > 16.
    """
    check_tables("multi_head_attention", F=policy.forward.format)
    alone = query.ndim == 2
    if query.ndim not in (2, 3) or not query.ndim == key.ndim == value.ndim:
        raise ValueError(
            "multi_head_attention: query, key and value must all have 3 dimensions, or 2 for one sample, not "
            f"{query.ndim}, {key.ndim} and {value.ndim}"
        )
    if len(in_weights) == 1 and query is key and key is value:
        parts: Sequence[Tensor] = linear(query, in_weights[0], in_bias, policy).chunk(3, dim=-1)
    else:
        parts = _project((query, key, value), in_weights, in_bias, policy)

    def split(x: Tensor) -> Tensor:
        x = x[None] if alone else x if batch_first else x.transpose(0, 1)
        return x.reshape(*x.shape[:-1], heads, x.shape[-1] // heads).transpose(1, 2)

    q, k, v = map(split, parts)
    masks = _masks((len(q), heads, q.shape[2], k.shape[2]), key_padding_mask, attn_mask)
    y, weights = _attend(q, k, v, policy, masks, dropout_p)
    y = y.transpose(1, 2).flatten(2)
    y = y[0] if alone else y if batch_first else y.transpose(0, 1)
    result = linear(y, out_weight, out_bias, policy)
    if not need_weights:
        return result, None
    shown = mean(weights, 1, policy) if average_weights else weights
    return result, shown[0] if alone else shown


def _masks(shape: tuple[int, int, int, int], key_padding_mask: Tensor | None, attn_mask: Tensor | None) -> list[Tensor]:
    """Masks as `_attend` takes them; booleans of `torch.nn.MultiheadAttention` say what takes no part."""
    n, heads, queries, keys = shape
    masks = []
    if attn_mask is not None:
        if attn_mask.shape not in ((queries, keys), (n * heads, queries, keys)):
            raise ValueError(
                f"multi_head_attention: attn_mask must be ({queries}, {keys}) or ({n * heads}, {queries}, {keys}), not "
                f"{tuple(attn_mask.shape)}"
            )
        masks.append(attn_mask if attn_mask.ndim == 2 else attn_mask.reshape(shape))
    if key_padding_mask is not None:
        if key_padding_mask.shape not in ((n, keys), (keys,)):
            raise ValueError(
                f"multi_head_attention: key_padding_mask must be ({n}, {keys}), not {tuple(key_padding_mask.shape)}"
            )
        masks.append(key_padding_mask.reshape(-1, 1, 1, keys))
    return [~mask if mask.dtype == torch.bool else mask for mask in masks]


# The projections of different tensors by one weight ----------------------------------------------------


@dataclass(frozen=True)
class StackedTerms:
    """The terms of a gradient's parts, one below the other."""

    parts: Sequence[Terms]
    rows: int

    def rounded(self, mac: MacSpec) -> Tensor:
        """See `positcore.nn.gradients.Terms`."""
        return torch.cat([part.rounded(mac) for part in self.parts])

    def add_to(self, quires: Sums) -> None:
        """See `positcore.nn.gradients.Terms`."""
        for i, part in enumerate(self.parts):
            part.add_to(quires[i * self.rows : (i + 1) * self.rows])


def _project(
    inputs: tuple[Tensor, Tensor, Tensor], weights: Sequence[Tensor], bias: Tensor | None, policy: Policy
) -> tuple[Tensor, Tensor, Tensor]:
    """`linear` of three tensors, with the thirds of a weight or with three weights, and with the thirds of a bias."""
    each = weights[0].chunk(3) if len(weights) == 1 else weights
    for x, weight in zip(inputs, each, strict=True):
        if x.shape[-1] != weight.shape[1]:
            raise ValueError(
                f"multi_head_attention: query, key and value must end in {', '.join(str(w.shape[1]) for w in each)}, "
                f"not {', '.join(str(x.shape[-1]) for x in inputs)}"
            )
    uses = [reader(x, policy) for x in inputs]
    result: tuple[Tensor, Tensor, Tensor] = _Projections.apply(*inputs, policy, uses, bias, *weights)  # type: ignore[no-untyped-call]
    return result


class _Projections(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, policy: Policy, uses: Any, bias: Tensor | None,
        *weights: Tensor,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        fmt = policy.forward.format
        ctx.policy, ctx.uses, ctx.bias, ctx.weights = policy, uses, bias, weights
        rows = [tensors.quantize(fmt, x).reshape(-1, x.shape[-1]) for x in (query, key, value)]
        ctx.save_for_backward(*rows, *weights)
        ctx.shapes = [x.shape for x in (query, key, value)]
        copies = _thirds([tensors.quantize(fmt, weight) for weight in weights])
        starts = [None] * 3 if bias is None else tensors.quantize(fmt, bias).chunk(3)
        outputs = []
        for x, copy, start, shape in zip(rows, copies, starts, ctx.shapes, strict=True):
            y = current_backend().matmul(policy.forward_mac, x, copy.T, start).to(carrier(policy))
            outputs.append(shaped(y, (*shape[:-1], len(copy))))
        return tuple(outputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        policy: Policy = ctx.policy
        fmt = policy.backward.format
        rows, weights = ctx.saved_tensors[:3], ctx.saved_tensors[3:]
        g = [tensors.quantize(fmt, x).reshape(-1, x.shape[-1]) for x in gradients]
        wanted = ctx.needs_input_grad
        sent: list[Tensor | None] = [None] * (6 + len(weights))
        copies = _thirds([tensors.quantize(fmt, weight) for weight in weights])
        for i, (part, copy, use, shape) in enumerate(zip(g, copies, ctx.uses, ctx.shapes, strict=True)):
            if wanted[i]:
                sent[i] = use(current_backend().matmul(policy.backward_mac, part, copy).reshape(shape))
        size = g[0].shape[1]
        if wanted[5]:
            sent[5] = deliver(ctx.bias, policy, StackedTerms([row_sums(part.T) for part in g], size))
        terms = [MatmulTerms(part.T, x, (size, x.shape[1])) for part, x in zip(g, rows, strict=True)]
        if len(weights) == 1 and wanted[6]:
            sent[6] = deliver(ctx.weights[0], policy, StackedTerms(terms, size))
        elif len(weights) == 3:
            for i, (weight, term) in enumerate(zip(ctx.weights, terms, strict=True)):
                if wanted[6 + i]:
                    sent[6 + i] = deliver(weight, policy, term)
        return tuple(sent)


def _thirds(weights: list[Tensor]) -> Sequence[Tensor]:
    return weights[0].chunk(3) if len(weights) == 1 else weights


# As PyTorch's functions -------------------------------------------------------------------------------


def _call(
    policy: Policy,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    if enable_gqa:
        raise ValueError("scaled_dot_product_attention: there is no enable_gqa in posits; repeat the heads of the keys")
    return scaled_dot_product_attention(query, key, value, policy, attn_mask, dropout_p, is_causal, scale)


CALLS: dict[str, Callable[..., Any]] = {"scaled_dot_product_attention": _call}
