"""Dot products that sums in floats left in doubt, computed again: steps 2 to 5 of `positcore.gemm.quire`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from positcore.codec import encode_into
from positcore.gemm.certificate import certified, smallest_lsb
from positcore.gemm.compensated import compensated_codes
from positcore.gemm.dots import paired_dots
from positcore.gemm.filter import filter_codes
from positcore.mac import MacSpec
from positcore.superaccumulator import exact_dots
from positcore.threads import run_split

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Doubtful", "Filtered", "Gather", "exact_codes", "settle", "settle_all", "settle_precise"]

Gather = Callable[[Any], Any]

_GATHERED = 1 << 23  # float64 items that one round on doubtful outputs may copy
_GRAIN = 1 << 14
_FEW = 1 << 15  # terms of doubtful outputs that are summed in integers sooner than anything is proven about them
_WORTH_CERTIFYING = 1  # doubtful outputs for each operand, from which looking at the operands' last bits pays


class Filtered(NamedTuple):
    """What the filter found."""

    codes: NDArray[Any]  # (M, N)
    doubtful: NDArray[np.intp]  # flat indices of codes that may be wrong
    values: NDArray[np.float64]  # the sums there, as computed
    precise: bool  # whether they were summed in float64


class Doubtful(NamedTuple):
    """Outputs in doubt, an array item each."""

    at: NDArray[np.intp]  # where in the flat result
    row: NDArray[np.intp]  # which of the gathered operands
    column: NDArray[np.intp]
    size: NDArray[np.float64]  # the product of the operands' norms
    bias: NDArray[np.float64]
    value: NDArray[np.float64]  # as computed

    def among(self, chosen: NDArray[Any]) -> Doubtful:
        """Those that an index or a mask chooses."""
        return Doubtful(*(column[chosen] for column in self))


def settle_all(
    spec: MacSpec,
    first: Filtered,
    length: int,
    rows: NDArray[np.float64],
    columns: NDArray[np.float64],
    gather_rows: Gather,
    gather_columns: Gather,
    bias: NDArray[Any] | None,
) -> NDArray[Any]:
    """Complete the codes that the filter left in doubt; other parameters as for `resolve`."""
    codes, doubtful, computed, precise = first
    if not doubtful.size:
        return codes
    offsets = np.broadcast_to(np.zeros(()) if bias is None else bias, codes.shape)
    if doubtful.size * length <= _FEW:
        i, j = np.divmod(doubtful, codes.shape[1])
        pair = np.arange(doubtful.size)
        exact = exact_codes(spec, gather_rows(i), gather_columns(j), pair, pair, offsets[i, j].astype(np.float64))
        codes.reshape(-1)[doubtful] = exact
        return codes
    most = max(1, _GATHERED // max(1, length))
    step = max(1, doubtful.size if sum(codes.shape) <= most else most // 2)
    for start in range(0, doubtful.size, step):
        at = doubtful[start : start + step]
        i, j = np.divmod(at, codes.shape[1])
        left = Doubtful(
            at, i, j, rows[i] * columns[j], offsets[i, j].astype(np.float64), computed[start : start + step]
        )
        _settle_gathered(spec, codes.reshape(-1), left, length, gather_rows, gather_columns, precise)
    return codes


def settle_precise(
    spec: MacSpec, codes: NDArray[Any], left: Doubtful, length: int, gather_rows: Gather, gather_columns: Gather
) -> None:
    """Compute those of the flat `codes` that sums in float64 left in doubt; `left` names operands as gathered.

    `length` is that of the dot products, a bias counted.
    """
    if not left.at.size:
        return
    if left.at.size * length <= _FEW:
        pair, (a, bt) = np.arange(left.at.size), (gather_rows(left.row), gather_columns(left.column))
        codes[left.at] = exact_codes(spec, a, bt, pair, pair, left.bias)
        return
    step = max(1, _GATHERED // max(1, 2 * length))
    for start in range(0, left.at.size, step):
        part = left.among(np.arange(start, min(start + step, left.at.size)))
        _settle_gathered(spec, codes, part, length, gather_rows, gather_columns, True)


def _settle_gathered(
    spec: MacSpec,
    codes: NDArray[Any],
    left: Doubtful,
    length: int,
    gather_rows: Gather,
    gather_columns: Gather,
    precise: bool,
) -> None:
    """`settle` with each operand gathered once."""
    (used_rows, row), (used_columns, column) = _compact(left.row), _compact(left.column)
    a, bt = gather_rows(used_rows), gather_columns(used_columns)
    settle(spec, codes, left._replace(row=row, column=column), length, a, bt, precise)


def settle(
    spec: MacSpec, codes: NDArray[Any], left: Doubtful, length: int, a: NDArray[Any], bt: NDArray[Any], precise: bool
) -> None:
    """Compute those of the flat `codes` that are in doubt, from their operands among the rows of `a` and `bt`.

    `length` is that of the dot products, a bias counted; `precise` says that `left.value` was summed in float64.
    """
    if left.at.size * length > _FEW:
        if not precise:
            values = paired_dots(a, bt, left.row, left.column) + left.bias
            proven, doubtful = filter_codes(spec.out, values[None], length, np.ones(1), left.size + np.abs(left.bias))
            codes[left.at] = proven[0]
            left = left._replace(value=values).among(doubtful)
        if left.at.size > _WORTH_CERTIFYING * (len(a) + len(bt)):
            lsb = smallest_lsb(a)[left.row] * smallest_lsb(bt)[left.column]
            sure = certified(lsb, left.size, left.bias)
            codes[left.at[sure]] = spec.out.encode(left.value[sure])
            left = left.among(~sure)
        if left.at.size:
            proven, doubt = compensated_codes(spec.out, a, bt, left.row, left.column, left.bias, left.size)
            codes[left.at] = proven
            left = left.among(doubt)
    if left.at.size:
        codes[left.at] = exact_codes(spec, a, bt, left.row, left.column, left.bias)


def _compact(indices: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The distinct indices, in order, and the place of each given index among them."""
    place = np.zeros(int(indices.max()) + 1, np.intp)
    place[indices] = 1
    used = np.flatnonzero(place)
    place[used] = np.arange(used.size)
    return used, place[indices]


def exact_codes(
    spec: MacSpec,
    a: NDArray[Any],
    bt: NDArray[Any],
    rows: NDArray[np.intp],
    columns: NDArray[np.intp],
    bias: NDArray[np.float64],
) -> NDArray[Any]:
    """Codes of the dot products a[rows[s]]·bt[columns[s]] + bias[s], summed in integers and rounded once."""
    short = spec.a.significand_bits + spec.b.significand_bits <= 27
    out = spec.out
    sums = np.empty(rows.size)
    codes = np.empty(rows.size, out.dtype)

    def work(i: int, j: int) -> None:
        exact_dots(a, bt, bias[i:j], rows[i:j], columns[i:j], short, sums[i:j])
        encode_into(sums[i:j], out.n, out.es, out.flushed, codes[i:j])

    run_split(work, rows.size, max(1, _GRAIN // max(1, a.shape[1])))
    return codes
