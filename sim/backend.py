"""The `rtl` backend: matrix products computed by the simulated MAC."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import ArrayLike, NDArray

from positcore.gemm import check_operands
from positcore.gemm.quire import check_capacity
from positcore.mac import Aligned, MacSpec, Quire
from positcore.sim.stream import native_mac
from positcore.threads import get_num_threads

__all__ = ["matmul"]

_TERMS_A_PIECE = 1 << 19  # a few hundredths of a second: progress moves and an interrupt is heard


def matmul(
    spec: MacSpec,
    a: ArrayLike,
    b: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    stages: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.unsignedinteger]:
    """The matrix product of codes, streamed through the RTL of the MAC.

    The same call and the same bits as `positcore.matmul`. The first call for a spec compiles the simulation, in
    a few seconds; it is kept on disk. Outputs are shared out over `positcore.get_num_threads()` instances.

    Parameters
    ----------
    spec : MacSpec
    a : array_like of codes of `spec.a`, (M, K)
    b : array_like of codes of `spec.b`, (K, N)
    bias : array_like of codes of `spec.a` that broadcasts to (M, N), optional
        Where the sums start: the first term of each dot product, times 1.
    stages : int
        The pipeline stages of the simulated MAC; they change no bit.
    progress : callable, optional
        Called as progress(done, total), in outputs, now and then.

    Returns
    -------
    ndarray of `spec.out.dtype`, (M, N)

    Raises
    ------
    TypeError, ValueError
        If an operand is not an array of codes, shapes do not fit, a dot product exceeds the quire, or a bias has more
        bits than the grid of an `Aligned` accumulator.
    MissingToolError
        If there is no C++ compiler.
    """
    a, b, bias = check_operands(spec, a, b, bias)
    if isinstance(spec.accumulator, Quire):
        check_capacity(spec, a.shape[1] + (bias is not None))
    if bias is not None and isinstance(spec.accumulator, Aligned) and spec.accumulator.width < spec.a.fraction_bits:
        raise ValueError(
            f"matmul: a bias is a first chunk of one term, which {spec.accumulator} would cut; take a width of at "
            f"least the {spec.a.fraction_bits} fraction bits of {spec.a}"
        )
    (m, k), n = a.shape, b.shape[1]
    out = np.zeros((m, n), np.uint32)
    if out.size and (k or bias is not None):
        mac = native_mac(spec, stages)
        operands = mac.operands(a, b, None if bias is None else np.broadcast_to(bias, (m, n)))

        step = max(1, min(_TERMS_A_PIECE // max(k, 1), -(-out.size // get_num_threads())))
        pieces = range(0, out.size, step)
        with ThreadPoolExecutor(min(get_num_threads(), len(pieces))) as pool:
            ends = [min(lo + step, out.size) for lo in pieces]
            parts = [pool.submit(mac.matmul_part, *operands, out, lo, hi) for lo, hi in zip(pieces, ends, strict=True)]
            try:
                for part, hi in zip(parts, ends, strict=True):
                    part.result()
                    if progress is not None:
                        progress(hi, out.size)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
    return out.astype(spec.out.dtype)
