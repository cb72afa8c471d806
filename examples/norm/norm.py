"""The 2-norm of vectors in Amaranth: components of this package instantiated in another, and simulated.

    python examples/norm/norm.py

The sum of squares is exact and rounded once by the MAC, and the square root is rounded once more; the golden model
does the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from amaranth.hdl import Module
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

import positcore as pc
from positcore.hw.mac import QuireMac
from positcore.hw.root import IterativeSquareRoot

FMT = pc.PositFormat(16, 1)


class Norm(wiring.Component):
    """√(Σ aᵢ²), the elements of a vector coming one a cycle, the last of them marked.

    Parameters
    ----------
    fmt : PositFormat

    Members
    -------
    i : In(stream.Signature({a, last}))
    o : Out(stream.Signature({code}))
    """

    def __init__(self, fmt: pc.PositFormat):
        self.fmt = fmt
        element = data.StructLayout({"a": fmt.n, "last": 1})
        result = data.StructLayout({"code": fmt.n})
        super().__init__({"i": In(stream.Signature(element)), "o": Out(stream.Signature(result))})

    def elaborate(self, platform: object) -> Module:
        """The MAC with both operands the same, and the square root of what it gives."""
        m = Module()
        m.submodules.squares = squares = QuireMac(pc.MacSpec(self.fmt), stages=1)
        m.submodules.root = root = IterativeSquareRoot(self.fmt, radix=4)
        m.d.comb += [
            squares.i.payload.a.eq(self.i.payload.a),
            squares.i.payload.b.eq(self.i.payload.a),
            squares.i.payload.last.eq(self.i.payload.last),
            squares.i.valid.eq(self.i.valid),
            self.i.ready.eq(squares.i.ready),
            root.i.payload.a.eq(squares.o.payload.code),
            root.i.valid.eq(squares.o.valid),
            squares.o.ready.eq(root.i.ready),
        ]
        wiring.connect(m, wiring.flipped(self.o), root.o)
        return m


def golden(vectors: list[np.ndarray[Any, Any]]) -> list[int]:
    """What the bits must be."""
    spec = pc.MacSpec(FMT)
    return [int(pc.sqrt(FMT, pc.dot(spec, a, a))) for a in vectors]


def simulate(vectors: list[np.ndarray[Any, Any]]) -> list[int]:
    """The results of the design, in order; the consumer takes one in every other cycle."""
    norm = Norm(FMT)
    results: list[int] = []

    async def produce(context: Any) -> None:
        for vector in vectors:
            for place, code in enumerate(vector.tolist()):
                await put(context, norm.i, {"a": code, "last": int(place == len(vector) - 1)})

    async def put(context: Any, port: Any, payload: dict[str, int]) -> None:
        context.set(port.payload, payload)
        context.set(port.valid, 1)
        await context.tick().until(port.ready)
        context.set(port.valid, 0)

    async def consume(context: Any) -> None:
        while len(results) < len(vectors):
            context.set(norm.o.ready, 1)
            (payload,) = await context.tick().sample(norm.o.payload.code).until(norm.o.valid)
            results.append(payload)
            context.set(norm.o.ready, 0)
            await context.tick()

    simulator = Simulator(norm)
    simulator.add_clock(1e-8)
    simulator.add_testbench(produce, background=True)
    simulator.add_testbench(consume)
    simulator.run()
    return results


def main() -> str:
    """Says PASS if the design gives what the golden model says."""
    rng = np.random.default_rng(2)
    vectors = [FMT.encode(rng.normal(size=length)) for length in (1, 3, 10, 2, 25)]
    got, expected = simulate(vectors), golden(vectors)
    if got != expected:
        raise RuntimeError(f"norm: {got}, not {expected}")
    return f"PASS: {len(got)} norms"


if __name__ == "__main__":
    print(main())
