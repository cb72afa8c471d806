"""Units in 512 copies that run in lockstep: elements of vectors, and products of matrices in an array or a MAC."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from positcore.hw.array import SystolicArray
from positcore.hw.emit import FlatUnit, emit_rtlil
from positcore.hw.units import Design
from positcore.mac import MacSpec
from positcore.sim.native import compile_sliced
from positcore.threads import get_num_threads

__all__ = ["COPIES", "LockstepProduct", "LockstepUnit"]

COPIES = 512
_GRAIN = 1 << 14  # elements that pay for a thread
_CYCLES_A_PIECE = 1 << 15  # a tenth of a second or so: an interrupt is heard

Alter = Callable[[str], str]
Codes = NDArray[np.unsignedinteger[Any]]

_FAULTS = {
    -1: "copies that were given the same handshake gave different ones",
    -2: "there were more results than there should be",
    -3: "the stream got stuck: items or results were lost",
}


class LockstepUnit:
    """A unit without a handshake, compiled: arrays of inputs in, arrays of outputs out.

    Parameters
    ----------
    design : Design
        Without stages.
    alter : callable, optional
        Changes the RTLIL before it is compiled: how tests plant faults.
    """

    def __init__(self, design: Design, alter: Alter | None = None):
        if design.unit.streaming or design.stages:
            raise ValueError(f"LockstepUnit: {design} must be a unit without a handshake and without stages")
        self.design = design
        flat = FlatUnit(design.component())
        self._inputs = [port for port in flat.ports if port.direction == "input"]
        self._outputs = [port for port in flat.ports if port.direction == "output"]
        self._library = compile_sliced(_rtlil(flat, alter), _elements(self._inputs, self._outputs))
        self._library.apply.argtypes = [ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p]

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, Codes]:
        """The outputs for vectors of one length, by port, as bits; on several threads if that pays."""
        columns = [np.ascontiguousarray(inputs[port.name], _dtype(port.width)) for port in self._inputs]
        count = len(columns[0])
        results = {port.name: np.empty(count, _dtype(port.width)) for port in self._outputs}
        starts = (_pointers(columns), _pointers(list(results.values())))
        pieces = max(1, min(get_num_threads(), count // _GRAIN))
        step = -(-count // pieces // COPIES) * COPIES
        _share([lambda lo=lo: self._library.apply(lo, min(lo + step, count), *starts) for lo in range(0, count, step)])
        return results


class LockstepProduct:
    """Products of matrices of codes in copies of a unit that sums products, each copy a tile at a time.

    Parameters
    ----------
    spec : MacSpec
    rows, columns : int, optional
        The shape of the `SystolicArray`; without, the unit is `mac`, whose tiles are single sums.
    stages : int
        Pipeline stages; they change no bit.
    alter : callable, optional
        As for `LockstepUnit`.
    """

    def __init__(
        self, spec: MacSpec, rows: int = 0, columns: int = 0, stages: int = 0, alter: Alter | None = None
    ) -> None:
        self.spec = spec
        self.rows, self.columns, self.terms = rows or 1, columns or 1, 1
        if rows:
            component: Any = SystolicArray(spec, rows=rows, columns=columns, stages=stages)
            self.name = f"array {rows}×{columns}[{spec}]"
        else:
            design = Design.of("mac", spec, stages)
            component, self.terms, self.name = design.component(), design.terms, str(design)
        self._lines = self.rows * self.terms, self.columns * self.terms
        self._library = compile_sliced(_rtlil(FlatUnit(component), alter), self._driver(), {"o_ready": 1})
        whole, pointer = ctypes.c_int64, ctypes.c_void_p
        self._library.product.argtypes = [
            whole,
            pointer,
            pointer,
            *[whole] * 3,
            pointer,
            pointer,
            whole,
            whole,
            pointer,
        ]
        self._library.product.restype = whole

    def _driver(self) -> str:
        spec = self.spec
        constants = {"ROWS": self.rows, "COLUMNS": self.columns, "A_LINES": self._lines[0], "B_LINES": self._lines[1]}
        for name, fmt in (("A", spec.a), ("B", spec.b), ("C", spec.out)):
            constants |= {f"{name}_BITS": fmt.n, f"{name}_BYTES": fmt.dtype.itemsize}
        values = ", ".join(f"{name} = {value}" for name, value in constants.items())
        return f"""
struct Shape {{ static constexpr int {values}; }};
EXPORT int64_t product(int64_t steps, const uint8_t *a, const uint8_t *b, int64_t stack, int64_t down, int64_t across,
                       const uint8_t *first_a, const uint8_t *first_b, int64_t lo, int64_t hi, uint8_t *out) {{
  return multiply<Unit, Shape>(steps, a, b, stack, down, across, first_a, first_b, lo, hi, out);
}}
"""

    def matmul(
        self,
        a: Codes,
        b: Codes,
        first: tuple[Codes, Codes] | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Codes:
        """The products (S, M, N) of stacks of codes (S, M, K) and (S, K, N), on as many threads as there may be.

        Parameters
        ----------
        a, b : ndarray of codes
        first : pair of ndarray of codes, (S, M, N), optional
            A product that each sum begins with, for the unit `mac`.
        progress : callable, optional
            Called as progress(done, total), in tiles, now and then.

        Raises
        ------
        RuntimeError
            If the unit breaks its protocol.
        """
        (stack, m, k), n = a.shape, b.shape[2]
        down, across, steps = -(-m // self.rows), -(-n // self.columns), -(-k // self.terms)
        left = self._side(a, self.rows, down, steps)
        right = self._side(b.swapaxes(1, 2), self.columns, across, steps)
        tiles = stack * down * across
        a_moves = down >= across or (down == across == 1)
        begin: list[Codes] = []
        if first is not None:
            assert self.rows == self.columns == 1
            order = (0, 2, 1) if a_moves else (0, 1, 2)
            for codes, fmt in zip(first, (self.spec.a, self.spec.b), strict=True):
                line = np.zeros((self.terms, tiles), fmt.dtype)
                line[0] = codes.transpose(order).reshape(-1)
                begin.append(line)
        out = np.empty((self.rows, self.columns, tiles), self.spec.out.dtype)
        operands = (left.ctypes.data, right.ctypes.data, stack, down, across)
        starts: list[int | None] = [line.ctypes.data for line in begin] or [None, None]

        def part(lo: int, hi: int) -> None:
            cycles = self._library.product(steps, *operands, *starts, lo, hi, out.ctypes.data)
            if cycles < 0:
                raise RuntimeError(f"{self.name}: {_FAULTS[cycles]}")

        blocks = -(-tiles // COPIES)
        each = max(1, min(-(-blocks // get_num_threads()), _CYCLES_A_PIECE // max(1, steps))) * COPIES
        pieces = [(lo, min(lo + each, tiles)) for lo in range(0, tiles, each)]
        _share([lambda piece=piece: part(*piece) for piece in pieces], progress, [hi for _, hi in pieces])
        shape = (stack, across, down) if a_moves else (stack, down, across)
        placed = out.reshape(self.rows, self.columns, *shape)
        placed = placed.transpose(*((2, 4, 0, 3, 1) if a_moves else (2, 3, 0, 4, 1)))
        return placed.reshape(stack, down * self.rows, across * self.columns)[:, :m, :n]

    def _side(self, codes: Codes, lines: int, tiles: int, steps: int) -> Codes:
        """Codes (S, lines of all tiles, K) as (steps, lines · terms, S · tiles), filled up with zeros."""
        stack, count, length = codes.shape
        if (count, length) != (tiles * lines, steps * self.terms):
            padded = np.zeros((stack, tiles * lines, steps * self.terms), codes.dtype)
            padded[:, :count, :length] = codes
            codes = padded
        shaped = codes.reshape(stack, tiles, lines, steps, self.terms).transpose(3, 2, 4, 0, 1)
        return np.ascontiguousarray(shaped).reshape(steps, lines * self.terms, stack * tiles)


def _rtlil(flat: FlatUnit, alter: Alter | None) -> str:
    text = emit_rtlil(flat, "unit", flat.signals)
    return alter(text) if alter else text


def _dtype(width: int) -> np.dtype[Any]:
    if width > 32:
        raise ValueError(f"LockstepUnit: ports have up to 32 bits, not {width}")
    return np.dtype(np.uint8 if width <= 8 else np.uint16 if width <= 16 else np.uint32)


def _pointers(arrays: list[Any]) -> Any:
    return (ctypes.c_void_p * len(arrays))(*(array.ctypes.data for array in arrays))


def _elements(inputs: list[Any], outputs: list[Any]) -> str:
    def lines(ports: list[Any], call: str) -> str:
        return "\n    ".join(call.format(i=i, bytes=_dtype(p.width).itemsize, name=p.name) for i, p in enumerate(ports))

    reads = lines(
        inputs, "slice<{bytes}>(in[{i}] + at * {bytes}, count, Unit::in_{name}_bits, unit->x + Unit::in_{name});"
    )
    writes = lines(
        outputs, "join<{bytes}>(unit->y + Unit::out_{name}, Unit::out_{name}_bits, count, out[{i}] + at * {bytes});"
    )
    return f"""
EXPORT void apply(int64_t lo, int64_t hi, const uint8_t *const *in, uint8_t *const *out) {{
  Unit *const unit = new Unit;
  for (int64_t at = lo; at < hi; at += COPIES) {{
    const int64_t count = hi - at < COPIES ? hi - at : COPIES;
    {reads}
    unit->cycle();
    {writes}
  }}
  delete unit;
}}
"""


def _share(
    calls: list[Callable[[], None]], progress: Callable[[int, int], None] | None = None, ends: list[int] | None = None
) -> None:
    """Make calls, on several threads where there are several; an error or an interrupt ends those not begun."""
    if len(calls) == 1:
        calls[0]()
        if progress and ends:
            progress(ends[0], ends[0])
        return
    with ThreadPoolExecutor(max(1, min(get_num_threads(), len(calls)))) as pool:
        parts = [pool.submit(call) for call in calls]
        try:
            for number, part in enumerate(parts):
                part.result()
                if progress and ends:
                    progress(ends[number], ends[-1])
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
