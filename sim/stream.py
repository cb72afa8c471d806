"""`NativeMac`: a compiled quire MAC, for matrix products and for term lists under random stalls."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from positcore.hw.emit import FlatUnit, emit_rtlil
from positcore.hw.units import Design
from positcore.mac import MacSpec
from positcore.rational import round_fraction
from positcore.sim.native import compile_library

__all__ = ["NativeMac", "StreamError", "native_mac"]

_DRIVER = """
#include "stream.h"
EXPORT int64_t matmul(int64_t n, int64_t k, int64_t lo, int64_t hi, const uint32_t *a, const uint32_t *b,
                      const uint32_t *bias, uint32_t one, uint32_t *out) {
  return positcore::matmul<Unit>(n, k, lo, hi, a, b, bias, one, out);
}
EXPORT int64_t replay(int64_t terms, const uint32_t *a, const uint32_t *b, const uint8_t *last, int64_t results,
                      uint32_t *out, uint64_t seed, uint32_t valid_share, uint32_t ready_share) {
  return positcore::replay<Unit>(terms, a, b, last, results, out, seed, valid_share, ready_share);
}
"""

_FAULTS = {
    -1: "the design has a combinational loop",
    -2: "a result changed before it was taken",
    -3: "there were more results than dot products",
    -4: "the stream got stuck: terms or results were lost",
}


class StreamError(RuntimeError):
    """A stream broke its protocol: results lost, doubled or changed while they waited."""


class NativeMac:
    """A quire MAC compiled to native code. Each call simulates an instance of its own and releases the GIL.

    Parameters
    ----------
    design : Design
        Of the unit `mac`.
    optimize : str
        The compiler's optimization flag.
    alter : callable, optional
        Changes the RTLIL before it is compiled: how tests plant faults.
    """

    def __init__(self, design: Design, *, optimize: str = "-O3", alter: Callable[[str], str] | None = None):
        self.design = design
        flat = FlatUnit(design.component())
        rtlil = emit_rtlil(flat, "unit", flat.signals)
        library = compile_library(alter(rtlil) if alter else rtlil, _DRIVER, optimize=optimize)
        whole, bits, pointer = ctypes.c_int64, ctypes.c_uint32, ctypes.c_void_p
        self._matmul = library.matmul
        self._matmul.argtypes = [whole] * 4 + [pointer] * 3 + [bits, pointer]
        self._matmul.restype = whole
        self._replay = library.replay
        self._replay.argtypes = [whole, *[pointer] * 3, whole, pointer, ctypes.c_uint64, bits, bits]
        self._replay.restype = whole
        self._one = round_fraction(design.spec.b, 1)

    def matmul_part(
        self,
        a: NDArray[np.uint32],
        b_columns: NDArray[np.uint32],
        bias: NDArray[np.uint32] | None,
        out: NDArray[np.uint32],
        lo: int,
        hi: int,
    ) -> int:
        """Compute out.flat[lo:hi] of the product; gives the clock cycles that it took.

        All arrays are contiguous: a is (M, K), b_columns (N, K), bias and out (M, N).
        """
        n, k = b_columns.shape
        bias_data = None if bias is None else bias.ctypes.data
        cycles: int = self._matmul(
            n, k, lo, hi, a.ctypes.data, b_columns.ctypes.data, bias_data, self._one, out.ctypes.data
        )
        if cycles < 0:
            raise StreamError(f"{self.design}: {_FAULTS[cycles]}")
        return cycles

    def replay(
        self,
        a: NDArray[np.uint32],
        b: NDArray[np.uint32],
        last: NDArray[np.uint8],
        *,
        seed: int,
        valid_share: int = 256,
        ready_share: int = 256,
    ) -> NDArray[np.uint32]:
        """The results of a list of terms, in order; producer and consumer act in so many of 256 cycles."""
        results = int(last.sum())
        out = np.zeros(results, np.uint32)
        cycles: int = self._replay(
            a.size, a.ctypes.data, b.ctypes.data, last.ctypes.data, results, out.ctypes.data,
            seed, valid_share, ready_share,
        )  # fmt: skip
        if cycles < 0:
            raise StreamError(f"{self.design}: {_FAULTS[cycles]}")
        return out


@lru_cache(maxsize=32)
def native_mac(spec: MacSpec, stages: int = 0) -> NativeMac:
    """The compiled MAC of a spec, made once a process."""
    return NativeMac(Design.of("mac", spec, stages))
