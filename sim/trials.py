"""`Trial`: what a campaign compares, cut into blocks of inputs; a block depends on the seed and its number alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from positcore.hw.driver import GemmDriver
from positcore.hw.emit import FlatUnit, Port, unit_ports
from positcore.hw.golden import CLEARING, ROUNDING
from positcore.hw.units import Design
from positcore.sim.compare import first_difference
from positcore.sim.coverage import Coverage
from positcore.sim.directed import counted_inputs, directed_inputs, random_dots, random_operations
from positcore.sim.exhaustive import and_graph
from positcore.sim.gemm import NativeGemm
from positcore.sim.report import Mismatch
from positcore.sim.stream import NativeStream
from positcore.sim.vectors import VectorUnit
from positcore.sim.yosys import verilog_as_rtlil

__all__ = ["Outcome", "Plan", "operand_ports", "trial"]

_GRAPH_BLOCK = 1 << 20
_VECTORS = 1 << 14
_DOTS = 1 << 10
_OPERATIONS = 1 << 12
_PRODUCTS = 8
# Shares of 256 cycles in which producer and consumer act, in the order of the coverage's paces: free running, then
# stalls on either side and both.
_PACES = ((256, 256), (128, 256), (256, 128), (90, 40), (200, 220))

Columns = Mapping[str, NDArray[Any]]
Run = Callable[[int], "Outcome"]
Alter = Callable[[str], str] | None


class Outcome(NamedTuple):
    """What came of a block: the inputs compared, the bins that they met, the first difference."""

    vectors: int
    coverage: dict[str, NDArray[np.int64]]
    mismatch: Mismatch | None


@dataclass(frozen=True)
class Plan:
    """What is to be compared, and on what.

    Parameters
    ----------
    design : Design
    inputs : str
        "all", "drawn" or "given".
    total : int
        How many vectors.
    seed : int
    engine : str
        "native", or for units without a handshake "graph".
    netlist : str
        "verilog", the emitted text, or "rtlil", which it is made from.
    given : mapping of str to list of int, optional
        The inputs themselves, of "given".
    optimize : str
        The C++ compiler's optimization flag.
    alter : callable, optional
        Changes the netlist before it is used: how tests plant faults.
    """

    design: Design
    inputs: str
    total: int
    seed: int
    engine: str
    netlist: str
    given: Mapping[str, list[int]] | None = None
    optimize: str = "-O2"
    alter: Alter = None

    @property
    def block(self) -> int:
        """The vectors of a block; of products of matrices, how many of these."""
        kind = self.design.unit.kind
        if kind == "vector":
            return _GRAPH_BLOCK if self.engine == "graph" else _VECTORS
        if kind == "bus":
            return _PRODUCTS
        # Even a short campaign goes through all paces.
        return min({"stream": _VECTORS, "dot": _DOTS, "operations": _OPERATIONS}[kind], -(-self.total // len(_PACES)))

    @property
    def blocks(self) -> int | None:
        """How many blocks there are; None where they go on until there are enough vectors."""
        if self.given is not None:
            return len(_PACES) if self.design.unit.kind not in ("vector", "bus") else 1
        return None if self.design.unit.kind == "bus" else -(-self.total // self.block)

    def size(self, index: int) -> int:
        """The vectors of one block: fewer in the last one."""
        return min(self.block, self.total - index * self.block)

    def generator(self, index: int) -> np.random.Generator:
        """The random numbers of a block."""
        return np.random.default_rng([self.seed, index])

    def pace(self, index: int) -> tuple[int, dict[str, int]]:
        """The number and the stalls of a block's pace."""
        turn = index % len(_PACES)
        valid_share, ready_share = _PACES[turn]
        return turn, {"seed": self.seed + index, "valid_share": valid_share, "ready_share": ready_share}

    def altered(self) -> Alter:
        """What makes the netlist for the compiled simulation out of the RTLIL."""
        if self.netlist == "rtlil":
            return self.alter

        def from_text(rtlil: str) -> str:
            text = verilog_as_rtlil(self.design)
            return self.alter(text) if self.alter else text

        return from_text


def trial(plan: Plan) -> Run:
    """Prepare the simulation; gives what compares the block of a number."""
    kinds = {"vector": _vectors, "stream": _vectors, "dot": _dots, "operations": _operations, "bus": _products}
    return kinds[plan.design.unit.kind](plan)


def operand_ports(design: Design) -> tuple[Port, ...]:
    """The inputs of a unit besides a handshake: the fields of an item, where it has a stream of them."""
    ports = tuple(port for port in unit_ports(design) if port.direction == "input")
    if not design.unit.streaming:
        return ports
    fields = (port for port in ports if port.name.startswith("i_") and port.name != "i_valid")
    return tuple(port._replace(name=port.name.removeprefix("i_")) for port in fields)


def _runner(plan: Plan) -> Callable[[Columns, int], Columns]:
    """What runs a unit over the inputs of a block."""
    design = plan.design
    if design.unit.streaming:
        stream = NativeStream(design, optimize=plan.optimize, alter=plan.altered())
        return lambda inputs, index: stream.run(inputs, len(next(iter(inputs.values()))), **plan.pace(index)[1])[0]
    flat = FlatUnit(design.component())
    if plan.engine == "graph":
        graph = and_graph(flat, verilog=plan.netlist == "verilog", alter=plan.alter)
        wrong = set(graph.latency.values()) - {-1, design.latency}
        if wrong:
            raise ValueError(f"verify: {design} has {wrong.pop()} registers before an output, not {design.latency}")
        return lambda inputs, index: graph.run(inputs)
    unit = VectorUnit(flat, latency=design.latency, optimize=plan.optimize, alter=plan.altered())
    return lambda inputs, index: unit.run(inputs)


def _vectors(plan: Plan) -> Run:
    design, run, ports = plan.design, _runner(plan), operand_ports(plan.design)
    coverage = Coverage(design)

    def block(index: int) -> Outcome:
        if plan.given is not None:
            inputs = {name: np.array(values) for name, values in plan.given.items()}
        elif plan.inputs == "all":
            start = index * plan.block
            inputs = counted_inputs(ports, start, start + plan.size(index))
        else:
            inputs = directed_inputs(design, ports, plan.size(index), plan.generator(index))
        got = run(inputs, index)
        want = design.golden(inputs)
        met = coverage.measure(inputs, want, plan.pace(index)[0])
        return Outcome(next(iter(inputs.values())).size, met, first_difference(design, inputs, got, want))

    return block


def _dots(plan: Plan) -> Run:
    """Dot products of random lengths, back to back."""
    design, coverage = plan.design, Coverage(plan.design)
    mac = NativeStream(design, optimize=plan.optimize, alter=plan.altered())

    def block(index: int) -> Outcome:
        if plan.given is not None:
            a, b = (np.array(plan.given[name]) for name in ("a", "b"))
            if design.terms > 1:
                a, b = a.reshape(-1, design.terms), b.reshape(-1, design.terms)
            lengths = np.array([len(a)])
        else:
            a, b, lengths = random_dots(design.spec, plan.size(index), plan.generator(index), lanes=design.terms)
        ends = np.cumsum(lengths)
        last = np.zeros(len(a), np.uint8)
        last[ends - 1] = 1
        inputs = {"a": a, "b": b, "last": last}
        turn, stalls = plan.pace(index)
        got, _ = mac.run(inputs, lengths.size, **stalls)
        want = design.golden(inputs)

        def operands(at: int) -> dict[str, list[int]]:
            part = slice(int(ends[at] - lengths[at]), int(ends[at]))
            return {"a": a[part].ravel().tolist(), "b": b[part].ravel().tolist()}

        first = _first_code(got["code"], want["code"], operands)
        return Outcome(lengths.size, coverage.measure(inputs, want, turn), first)

    return block


def _operations(plan: Plan) -> Run:
    """Lists of operations, after a clearing one; a difference is told from the last clearing on."""
    design, coverage = plan.design, Coverage(plan.design)
    unit = NativeStream(design, optimize=plan.optimize, alter=plan.altered())

    def block(index: int) -> Outcome:
        if plan.given is not None:
            inputs = {name: np.array(values) for name, values in plan.given.items()}
        else:
            inputs = random_operations(design.spec, plan.size(index), plan.generator(index))
        operation = inputs["operation"]
        want = design.golden(inputs)
        turn, stalls = plan.pace(index)
        got, _ = unit.run(inputs, want["code"].size, **stalls)

        def operands(at: int) -> dict[str, list[int]]:
            end = int(np.flatnonzero(np.isin(operation, ROUNDING))[at])
            clearings = np.flatnonzero(np.isin(operation[:end], CLEARING))
            part = slice(int(clearings[-1]) if clearings.size else 0, end + 1)
            return {name: column[part].tolist() for name, column in inputs.items()}

        first = _first_code(got["code"], want["code"], operands)
        return Outcome(len(operation), coverage.measure(inputs, want, turn), first)

    return block


def _products(plan: Plan) -> Run:
    """Products of random shapes, K up to more than twice the buffers, each at another pace, one after the other."""
    design, coverage = plan.design, Coverage(plan.design)
    gemm = NativeGemm(design.component(), optimize=plan.optimize, alter=plan.altered())

    def block(index: int) -> Outcome:
        device = gemm.another()
        driver, rng = GemmDriver(device), plan.generator(index)
        compared, first = 0, None
        counts = Coverage(design)
        for turn in range(1 if plan.given is not None else plan.block):
            shares = {name: int(rng.choice([60, 128, 256])) for name in ("a", "b", "results", "bus")}
            device.pace(plan.seed + index * plan.block + turn, **shares)
            a, b = _matrices(plan, driver, rng)
            got, want = driver.matmul(a, b), design.golden({"a": a, "b": b})["code"]
            compared += want.size
            counts.add(coverage.measure({"a": a, "b": b}, {"code": want}))
            if (got != want).any():
                row, column = np.argwhere(got != want)[0]
                operands = {"a": a[row].tolist(), "b": b[:, column].tolist()}
                first = _mismatch(operands, got[row, column], want[row, column])
                break
        return Outcome(compared, counts.counts, first)

    return block


def _matrices(plan: Plan, driver: GemmDriver, rng: np.random.Generator) -> tuple[NDArray[Any], NDArray[Any]]:
    spec = plan.design.spec
    if plan.given is not None:
        a, b = (np.array(plan.given[name]) for name in ("a", "b"))
        return a[None, :].astype(spec.a.dtype), b[:, None].astype(spec.b.dtype)
    m, n = (int(rng.integers(1, 3 * size + 2)) for size in (driver.rows, driver.columns))
    k = int(rng.integers(1, rng.choice([driver.depth // 2 + 2, 2 * driver.depth + 4])))
    a, b, _ = random_dots(spec, max(m, n), rng, longest=k)
    a = np.resize(rng.permutation(a.ravel()), (m, k)).astype(spec.a.dtype)
    b = np.resize(rng.permutation(b.ravel()), (k, n)).astype(spec.b.dtype)
    return a, b


def _first_code(
    got: NDArray[Any], want: NDArray[Any], operands: Callable[[int], dict[str, list[int]]]
) -> Mismatch | None:
    """The first of two lists of codes that differs, with what made it."""
    differs = got != want
    if not differs.any():
        return None
    at = int(differs.argmax())
    return _mismatch(operands(at), got[at], want[at])


def _mismatch(operands: dict[str, list[int]], got: Any, want: Any) -> Mismatch:
    return Mismatch(inputs=operands, got={"code": int(got)}, want={"code": int(want)})
