"""`VectorUnit`: a compiled unit without a handshake, run over arrays of inputs."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from positcore.hw.emit import FlatUnit, Port, emit_rtlil
from positcore.sim.native import compile_library

__all__ = ["VectorUnit"]


class VectorUnit:
    """A unit that takes one input in each cycle, compiled to native code.

    Parameters
    ----------
    flat : FlatUnit
        The unit, with its plain ports.
    latency : int
        Cycles from an input to its result.
    optimize : str
        The compiler's optimization flag.
    alter : callable, optional
        Changes the RTLIL before it is compiled: how tests plant faults.
    """

    def __init__(
        self,
        flat: FlatUnit,
        *,
        latency: int = 0,
        optimize: str = "-O2",
        alter: Callable[[str], str] | None = None,
    ):
        self.latency = latency
        self.inputs = tuple(port for port in flat.ports if port.direction == "input")
        self.outputs = tuple(port for port in flat.ports if port.direction == "output")
        rtlil = emit_rtlil(flat, "unit", flat.signals)
        driver = _driver(self.inputs, self.outputs, latency)
        library = compile_library(alter(rtlil) if alter else rtlil, driver, optimize=optimize)
        self._run = library.run
        self._run.argtypes = [ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p]
        self._run.restype = ctypes.c_int

    def run(self, inputs: Mapping[str, ArrayLike]) -> dict[str, NDArray[np.int64]]:
        """The outputs for arrays of inputs, all of one length, by port; signed ports read as signed.

        Raises
        ------
        ValueError
            If a port is missing, or the arrays are not of one length.
        """
        missing = [port.name for port in self.inputs if port.name not in inputs]
        if missing:
            raise ValueError(f"VectorUnit.run: an array for each input is needed; missing: {', '.join(missing)}")
        columns = [np.ascontiguousarray(inputs[port.name]).astype(np.uint64) for port in self.inputs]
        count = columns[0].size
        if any(column.shape != (count,) for column in columns):
            raise ValueError("VectorUnit.run: inputs must be vectors of one length")
        results = [np.empty(count, np.uint64) for _ in self.outputs]
        if self._run(count, _pointers(columns), _pointers(results)):
            raise RuntimeError("VectorUnit.run: the design has a combinational loop")
        return {port.name: _signed(port, result) for port, result in zip(self.outputs, results, strict=True)}


def _pointers(columns: Sequence[NDArray[np.uint64]]) -> ctypes.Array[ctypes.c_void_p]:
    return (ctypes.c_void_p * len(columns))(*(column.ctypes.data for column in columns))


def _signed(port: Port, bits: NDArray[np.uint64]) -> NDArray[np.int64]:
    values = bits.astype(np.int64)
    if not port.signed:
        return values
    return values - ((values >> (port.width - 1)) << port.width)


def _driver(inputs: Sequence[Port], outputs: Sequence[Port], latency: int) -> str:
    def member(port: Port) -> str:
        return "design.p_" + port.name.replace("_", "__")

    puts = "\n".join(f"    put({member(port)}, in[{i}][at]);" for i, port in enumerate(inputs))
    gets = "\n".join(f"      out[{i}][t - {latency}] = get({member(port)});" for i, port in enumerate(outputs))
    return f"""
#include "driver.h"
using namespace positcore;
EXPORT int run(int64_t count, const uint64_t *const *in, uint64_t *const *out) {{
  Unit design;
  for (int64_t t = 0; t < count + {latency}; ++t) {{
    const int64_t at = t < count ? t : count - 1;
{puts}
    if (!evaluate(design)) return 1;
    if (t >= {latency}) {{
{gets}
    }}
    step(design);
  }}
  return 0;
}}
"""
