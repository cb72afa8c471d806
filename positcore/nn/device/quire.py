"""The quire on a device: dot products summed in float64, proven by a bound or a certificate, else summed in integers.

The steps are those of `positcore.gemm.quire`, in float64 throughout. Operands come in pieces along the sums, so that
what is summed over need never be in memory at once; each step goes over the pieces anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from positcore.format import PositFormat
from positcore.mac import MacSpec
from positcore.nn.device.bits import FRACTION, exponent_field, float_bits, power_of_two
from positcore.nn.device.blocks import block_items
from positcore.nn.device.codec import encode_signed
from positcore.nn.device.limbs import LIMBS, accumulate, new_limbs, propagate, read
from positcore.nn.device.odd import two_product
from positcore.nn.device.product import float64_product

__all__ = ["Pieces", "certified", "error_bound", "exact_sums", "filter_codes", "quire_signed", "smallest_lsb"]

Pieces = Callable[[], Iterable[tuple[Tensor, Tensor]]]

_SLACK = 1.0 + 2.0**-18  # covers the roundings of the norms and of the bounds themselves
_NONE = 3000  # above every exponent: all zeros


def quire_signed(spec: MacSpec, pieces: Pieces, sums: Tensor, length: int, bias: Tensor | None) -> Tensor:
    """The codes of bias + Σ A·B over the pieces, as sign-extended int64.

    Parameters
    ----------
    spec : MacSpec
        With a `Quire` accumulator.
    pieces : callable
        Gives pairs of float64 matrices (M, ·) and (·, N), the same at each call, whose products are summed.
    sums : float64 tensor of zeros, (M, N)
        Where they are summed.
    length : int
        Terms of a dot product, the bias counted.
    bias : float64 tensor (M, N), or None

    Returns
    -------
    tensor of int64, (M, N)
    """
    rows, columns = sums.new_zeros(sums.shape[0]), sums.new_zeros(sums.shape[1])
    for a, b in pieces():
        sums += float64_product(a, b)
        rows += _squares(a, 1)
        columns += _squares(b, 0)
    sums = sums if bias is None else sums + bias
    norms = rows.sqrt_()[:, None], columns.sqrt_()[None]
    codes, doubtful = filter_codes(spec.out, sums, error_bound(length, *norms, bias))
    if doubtful.numel():
        _settle(spec, pieces, sums, norms[0] * norms[1], bias, codes, doubtful)
    return codes


def _squares(x: Tensor, dim: int) -> Tensor:
    """The sums of squares, within a relative 2^−20."""
    norms: Tensor = torch.linalg.vector_norm(x, dim=dim)
    return norms.square()


def error_bound(length: int, rows: Tensor, columns: Tensor, bias: Tensor | None) -> Tensor:
    """What float64 dot products of `length` terms are off by at most: γ·(‖a‖·‖b‖ + |bias|); `positcore.gemm.filter`."""
    roundings = (length + 2) * 2.0**-53
    assert roundings < 0.5
    relative = (roundings / (1 - roundings) + 2.0**-51) * _SLACK
    sizes = rows * columns
    return relative * (sizes if bias is None else sizes + bias.abs())


def filter_codes(fmt: PositFormat, sums: Tensor, bound: Tensor) -> tuple[Tensor, Tensor]:
    """Codes of computed sums as sign-extended int64, and flat indices of those that the bound does not prove."""
    codes = encode_signed(fmt, sums - bound)
    doubt = codes != encode_signed(fmt, sums + bound)
    return codes, doubt.view(-1).nonzero()[:, 0]


def _settle(
    spec: MacSpec, pieces: Pieces, sums: Tensor, sizes: Tensor, bias: Tensor | None, codes: Tensor, doubtful: Tensor
) -> None:
    """Certify doubtful sums or sum them again in integers, and put the right codes in their places."""
    i, j = doubtful // sums.shape[1], doubtful % sums.shape[1]
    least_a, least_b = torch.full_like(sums[:, 0], torch.inf), torch.full_like(sums[0], torch.inf)
    for a, b in pieces():
        least_a, least_b = torch.minimum(least_a, smallest_lsb(a)), torch.minimum(least_b, smallest_lsb(b.T))
    terms = None if bias is None else bias[i, j]
    sure = certified(least_a[i] * least_b[j], sizes[i, j], terms)
    flat = codes.view(-1)
    flat[doubtful[sure]] = encode_signed(spec.out, sums[i[sure], j[sure]])
    left = (~sure).nonzero()[:, 0]
    step = max(1, block_items(sums.device) // LIMBS)
    for start in range(0, left.numel(), step):
        chosen = left[start : start + step]
        exact = exact_sums(spec, pieces, i[chosen], j[chosen], None if terms is None else terms[chosen])
        flat[doubtful[chosen]] = encode_signed(spec.out, exact)


def smallest_lsb(rows: Tensor) -> Tensor:
    """The weight of the smallest least significant bit in each row of a float64 matrix; inf for a row of zeros."""
    count, width = rows.shape
    least = torch.full((count,), _NONE, dtype=torch.int64, device=rows.device)
    step = max(1, block_items(rows.device) // max(1, width))
    for start in range(0, count if width else 0, step):
        part = rows[start : start + step]
        significand = (float_bits(part) & FRACTION) | (1 << 52)
        lowest = exponent_field((significand & -significand).double()) - 1023
        weight = torch.where(part == 0.0, _NONE, exponent_field(part) + lowest)
        least[start : start + step] = weight.amin(1)
    return torch.where(least == _NONE, torch.inf, power_of_two(least - 1075))


def certified(lsb: Tensor, size: Tensor, bias: Tensor | None) -> Tensor:
    """Whether float64 sums are exact: `size`, a bound on Σ|aₖ·bₖ|, takes at most 53 bits above `lsb`."""
    if bias is not None:
        lsb = torch.minimum(lsb, smallest_lsb(bias[:, None]))
        size = size + bias.abs()
    return size * _SLACK <= lsb * 2.0**53


def exact_sums(spec: MacSpec, pieces: Pieces, i: Tensor, j: Tensor, terms: Tensor | None) -> Tensor:
    """The dot products of rows i with columns j, plus `terms`, summed in integers and rounded to odd in float64."""
    split = spec.a.significand_bits + spec.b.significand_bits > 53
    limbs = new_limbs(i.numel(), i.device)
    if terms is not None:
        accumulate(limbs, terms[:, None])
    step = max(1, block_items(i.device) // max(1, i.numel()))
    for a, b in pieces():
        for k in range(0, a.shape[1], step):
            x, y = a[:, k : k + step][i], b[k : k + step][:, j].T
            if split:
                for part in two_product(x, y):
                    accumulate(limbs, part)
            else:
                accumulate(limbs, x * y)
            propagate(limbs)
    return read(limbs)
