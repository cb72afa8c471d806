"""`NativeStream`: a compiled unit with streams, for items under random stalls; `NativeMac` also multiplies matrices."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from positcore.errors import MismatchError
from positcore.hw.emit import FlatUnit, Port, emit_rtlil
from positcore.hw.units import Design
from positcore.mac import MacSpec
from positcore.rational import round_fraction
from positcore.sim.native import compile_library

__all__ = ["NativeMac", "NativeStream", "StreamError", "native_mac", "pack_words", "payload_fields"]

_FAULTS = {
    -1: "the design has a combinational loop",
    -2: "a result changed before it was taken",
    -3: "there were more results than there should be",
    -4: "the stream got stuck: items or results were lost",
}


class StreamError(MismatchError):
    """A stream broke its protocol: results lost, doubled or changed while they waited."""


class NativeStream:
    """A unit with a stream `i` of items and a stream `o` of results, compiled to native code.

    Each call simulates an instance of its own and releases the GIL.

    Parameters
    ----------
    design : Design
        Of a unit with a stream's handshake.
    optimize : str
        The compiler's optimization flag.
    alter : callable, optional
        Changes the RTLIL before it is compiled: how tests plant faults.

    Attributes
    ----------
    inputs, outputs : tuple of Port
        The fields of the two payloads, by their own names.
    """

    def __init__(self, design: Design, *, optimize: str = "-O2", alter: Callable[[str], str] | None = None):
        self.design = design
        flat = FlatUnit(design.component())
        self.inputs, self.outputs = payload_fields(flat.ports, "i_"), payload_fields(flat.ports, "o_")
        rtlil = emit_rtlil(flat, "unit", flat.signals)
        driver = _driver(self.inputs, self.outputs, sums=design.unit.kind == "dot")
        self._library = compile_library(alter(rtlil) if alter else rtlil, driver, optimize=optimize)
        whole, bits, pointer = ctypes.c_int64, ctypes.c_uint32, ctypes.c_void_p
        self._replay = self._library.replay
        self._replay.argtypes = [whole, pointer, whole, pointer, ctypes.c_uint64, bits, bits]
        self._replay.restype = whole

    def run(
        self,
        inputs: Mapping[str, ArrayLike],
        results: int,
        *,
        seed: int = 0,
        valid_share: int = 256,
        ready_share: int = 256,
    ) -> tuple[dict[str, NDArray[np.int64]], int]:
        """Send items, and give the results in order, by field, and the cycles up to the last one.

        Parameters
        ----------
        inputs : mapping of fields to integers, (items,), or (items, lanes) for a field that holds several
        results : int
            How many there must be.
        seed : int
            Of the stalls.
        valid_share, ready_share : int
            In how many of 256 cycles the producer offers and the consumer takes.

        Raises
        ------
        StreamError
            If results are lost, too many, or change while they wait.
        """
        columns = [pack_words(inputs[port.name], port.width) for port in self.inputs]
        sizes = [_words(port) for port in self.outputs]
        words = np.zeros((results, sum(sizes)), np.uint32)
        pointers = (ctypes.c_void_p * len(columns))(*(column.ctypes.data for column in columns))
        cycles: int = self._replay(
            len(columns[0]), pointers, results, words.ctypes.data, seed, valid_share, ready_share
        )  # fmt: skip
        self._check(cycles)
        starts = np.cumsum([0, *sizes]).tolist()
        return {port.name: _value(words[:, at:], port) for port, at in zip(self.outputs, starts, strict=False)}, cycles

    def _check(self, cycles: int) -> None:
        if cycles < 0:
            raise StreamError(f"{self.design}: {_FAULTS[cycles]}")


class NativeMac(NativeStream):
    """A unit of dot products compiled to native code; as a `NativeStream`, and for matrix products.

    Parameters
    ----------
    design : Design
        Of the unit `mac` or `dot`.
    optimize, alter
        As for `NativeStream`.
    """

    def __init__(self, design: Design, *, optimize: str = "-O3", alter: Callable[[str], str] | None = None):
        super().__init__(design, optimize=optimize, alter=alter)
        whole, pointer = ctypes.c_int64, ctypes.c_void_p
        self._matmul = self._library.matmul
        self._matmul.argtypes = [whole] * 4 + [pointer] * 5
        self._matmul.restype = whole
        self._one = self._chunks(np.full(1, round_fraction(design.spec.b, 1)), design.spec.b.n)

    def _chunks(self, codes: ArrayLike, n: int) -> NDArray[np.uint32]:
        """Rows of codes as rows of packed chunks, (rows, chunks, words); the last chunk ends in zeros."""
        codes = np.atleast_2d(np.asarray(codes))
        terms = self.design.terms
        chunks = -(-codes.shape[1] // terms)
        padded = np.zeros((len(codes), chunks * terms), np.uint32)
        padded[:, : codes.shape[1]] = codes
        return pack_words(padded.reshape(-1, terms), terms * n).reshape(len(codes), chunks, -(-terms * n // 32))

    def operands(
        self, a: NDArray[Any], b: NDArray[Any], bias: NDArray[Any] | None
    ) -> tuple[NDArray[np.uint32], NDArray[np.uint32], NDArray[np.uint32] | None]:
        """What `matmul_part` takes, from codes (M, K), (K, N) and perhaps (M, N)."""
        spec = self.design.spec
        start = None if bias is None else self._chunks(bias.reshape(-1, 1), spec.a.n)
        return self._chunks(a, spec.a.n), self._chunks(b.T, spec.b.n), start

    def matmul_part(
        self,
        a: NDArray[np.uint32],
        b_columns: NDArray[np.uint32],
        bias: NDArray[np.uint32] | None,
        out: NDArray[np.uint32],
        lo: int,
        hi: int,
    ) -> int:
        """Compute out.flat[lo:hi] of the product (M, N); gives the clock cycles that it took.

        All arrays are contiguous. Chunks of terms are packed: a is (M, chunks, words), b_columns (N, chunks, words) and
        bias (M·N, 1, words); `operands` makes them. Of one term a chunk they are the codes themselves.
        """
        start = None if bias is None else bias.ctypes.data
        cycles: int = self._matmul(
            out.shape[1], a.shape[1], lo, hi, a.ctypes.data, b_columns.ctypes.data, start, self._one.ctypes.data,
            out.ctypes.data,
        )  # fmt: skip
        self._check(cycles)
        return cycles

    def replay(
        self, a: ArrayLike, b: ArrayLike, last: ArrayLike, *, seed: int, valid_share: int = 256, ready_share: int = 256
    ) -> NDArray[np.int64]:
        """The results of a list of terms or of chunks of them, in order; as `run`."""
        stalls = {"seed": seed, "valid_share": valid_share, "ready_share": ready_share}
        return self.run({"a": a, "b": b, "last": last}, int(np.sum(last)), **stalls)[0]["code"]


@lru_cache(maxsize=32)
def native_mac(spec: MacSpec, stages: int = 0) -> NativeMac:
    """The compiled MAC of a spec, made once a process."""
    return NativeMac(Design.of("mac", spec, stages))


def pack_words(values: ArrayLike, width: int) -> NDArray[np.uint32]:
    """Items of so many bits as 32-bit words, low ones first: (items,) or (items, lanes) → (items, words)."""
    columns = np.atleast_2d(np.asarray(values).T).T.astype(np.uint64)
    lane = width // columns.shape[1]
    words = np.zeros((len(columns), -(-width // 32) + 2), np.uint64)
    low, mask = np.uint64(0xFFFFFFFF), np.uint64((1 << lane) - 1)
    for at, column in zip(range(0, width, lane), (columns & mask).T, strict=True):
        word, shift = at // 32, np.uint64(at % 32)
        words[:, word] |= column << shift & low
        words[:, word + 1] |= column >> (np.uint64(32) - shift) & low
        if shift:
            words[:, word + 2] |= column >> (np.uint64(64) - shift)
    return np.ascontiguousarray(words[:, : -(-width // 32)].astype(np.uint32))


def payload_fields(ports: Sequence[Port], prefix: str) -> tuple[Port, ...]:
    """The fields of a stream's payload under their own names."""
    handshake = (f"{prefix}valid", f"{prefix}ready")
    chosen = [port for port in ports if port.name.startswith(prefix) and port.name not in handshake]
    return tuple(port._replace(name=port.name.removeprefix(prefix)) for port in chosen)


def _words(port: Port) -> int:
    return -(-port.width // 32)


def _value(words: NDArray[np.uint32], port: Port) -> NDArray[np.int64]:
    """The first words of each row as a number of at most 64 bits."""
    values = words[:, 0].astype(np.uint64)
    if port.width > 32:
        values |= words[:, 1].astype(np.uint64) << np.uint64(32)
    signed = values.astype(np.int64)
    return signed - (signed >> (port.width - 1) << port.width) if port.signed else signed


def _driver(inputs: Sequence[Port], outputs: Sequence[Port], *, sums: bool) -> str:
    def member(stream: str, port: Port) -> str:
        return f"design.p_{stream}__{port.name.replace('_', '__')}"

    sizes = ", ".join(str(_words(port)) for port in inputs)
    puts = " ".join(f"put_words({member('i', port)}, fields[{k}]);" for k, port in enumerate(inputs))
    starts = np.cumsum([0, *map(_words, outputs)]).tolist()
    gets = " ".join(f"get_words({member('o', port)}, words + {at});" for port, at in zip(outputs, starts, strict=False))
    text = f"""
#include "stream.h"
using namespace positcore;
struct Ports {{
  static constexpr int FIELDS = {len(inputs)}, RESULT_WORDS = {starts[-1]};
  static constexpr int WORDS[] = {{{sizes}}};
  static void put(Unit &design, const uint32_t *const *fields) {{ {puts} }}
  static void get(const Unit &design, uint32_t *words) {{ {gets} }}
}};
EXPORT int64_t replay(int64_t items, const uint32_t *const *columns, int64_t results, uint32_t *out, uint64_t seed,
                      uint32_t valid_share, uint32_t ready_share) {{
  return positcore::replay<Unit, Ports>(items, columns, results, out, seed, valid_share, ready_share);
}}
"""
    if sums:
        text += """
EXPORT int64_t matmul(int64_t n, int64_t chunks, int64_t lo, int64_t hi, const uint32_t *a, const uint32_t *b,
                      const uint32_t *bias, const uint32_t *one, uint32_t *out) {
  return positcore::matmul<Unit, Ports>(n, chunks, lo, hi, a, b, bias, one, out);
}
"""
    return text
