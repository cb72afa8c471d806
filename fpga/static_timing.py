"""Static timing: the longest path between the registers of a netlist of standard cells, by its library's tables.

Block-oriented, as in R. B. Hitchcock, G. L. Smith and D. D. Cheng, "Timing analysis of computer hardware" (IBM Journal
of Research and Development 26(1), 1982), with the tables of Liberty's nonlinear delay model: from cell to cell in
topological order, of each net and edge the latest arrival and the slowest slew. ABC's `stime` does the same.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from positcore.fpga.liberty import EDGES, Arc, Cell, Liberty
from positcore.fpga.yowasp import SynthesisError

__all__ = ["LongestPath", "Step", "longest_path"]

Bit = int | str  # of a netlist: a net's number, or a constant
Node = tuple[Bit, str]  # a net and its edge
OTHER = {"rise": "fall", "fall": "rise"}


@dataclass(frozen=True)
class Step:
    """A cell on a path.

    Parameters
    ----------
    cell, through : str
        Its type, and the pins that the path goes through: `A → Y`; of a register at the end `D`.
    edge : str
        rise or fall, at the output.
    delay_ns : float
        From pin to pin; of the register at the end, its setup time.
    signal : str
        The signal of the Verilog at the output, empty where mapping left none; of the end, that of the register.
    """

    cell: str
    through: str
    edge: str
    delay_ns: float
    signal: str


@dataclass(frozen=True)
class LongestPath:
    """The longest path from register to register: its delay with clock-to-output and setup times, and its cells."""

    delay_ns: float
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class _Instance:
    kind: str
    model: Cell
    pins: Mapping[str, Bit]


class _Timer:
    """Arrivals and slews of a netlist, in ns."""

    def __init__(self, module: Mapping[str, Any], models: Mapping[str, Cell]):
        self.instances: dict[str, _Instance] = {}
        for name, cell in module["cells"].items():
            if cell["type"] in models:
                pins = {pin: bits[0] for pin, bits in cell["connections"].items() if bits}
                self.instances[name] = _Instance(cell["type"], models[cell["type"]], pins)
        self.loads: dict[Node, float] = defaultdict(float)
        for instance in self.instances.values():
            for pin, capacitance in instance.model.inputs.items():
                for edge in EDGES:
                    self.loads[instance.pins.get(pin, ""), edge] += capacitance[edge]
        self.arrivals: dict[Node, float] = {}
        self.slews: dict[Node, float] = {}
        self.made_by: dict[Node, tuple[_Instance, Arc, Node | None, float]] = {}

    def start(self, bit: Bit) -> None:
        """Let both edges of a net arrive at 0, without a slew."""
        for edge in EDGES:
            self.arrivals[bit, edge], self.slews[bit, edge] = 0.0, 0.0

    def run(self) -> None:
        """Propagate through all cells.

        Raises
        ------
        SynthesisError
            If there is a combinational loop.
        """
        readers: dict[Bit, list[str]] = defaultdict(list)
        waits: dict[str, int] = {}
        driven = {bit for instance in self.instances.values() for bit in _outputs(instance)}
        for name, instance in self.instances.items():
            sources = {instance.pins.get(arc.source, "") for arc in instance.model.arcs if arc.sense != "clock"}
            for bit in sources & driven:
                readers[bit].append(name)
            waits[name] = len(sources & driven)
        ready = [name for name, count in waits.items() if not count]
        done = 0
        for name in ready:  # which grows
            done += 1
            self._propagate(self.instances[name])
            for bit in _outputs(self.instances[name]):
                for reader in readers[bit]:
                    waits[reader] -= 1
                    if not waits[reader]:
                        ready.append(reader)
        if done < len(waits):
            stuck = next(name for name, count in waits.items() if count)
            raise SynthesisError(f"static timing: a combinational loop, through {stuck} ({self.instances[stuck].kind})")

    def _propagate(self, instance: _Instance) -> None:
        for arc in instance.model.arcs:
            sink = instance.pins.get(arc.sink)
            if sink is None:
                continue
            for edge, table in arc.delays.items():
                load = self.loads[sink, edge]
                for source in _sources(arc, edge):
                    begins = None if source is None else (instance.pins.get(arc.source, ""), source)
                    if begins is not None and begins not in self.arrivals:
                        continue  # a constant, or an input that no register holds
                    slew = 0.0 if begins is None else self.slews[begins]
                    delay = table.at(slew, load)
                    arrival = delay + (0.0 if begins is None else self.arrivals[begins])
                    made = arc.slews[edge].at(slew, load) if edge in arc.slews else 0.0
                    if arrival > self.arrivals.get((sink, edge), float("-inf")):
                        self.arrivals[sink, edge] = arrival
                        self.made_by[sink, edge] = (instance, arc, begins, delay)
                    self.slews[sink, edge] = max(made, self.slews.get((sink, edge), 0.0))

    def ends(self) -> Iterator[tuple[float, _Instance, Arc, Node, float]]:
        """The ends of paths at registers: the delay up to there, the register, and its setup time."""
        for instance in self.instances.values():
            for setup in instance.model.setups:
                for edge, table in setup.delays.items():
                    node = (instance.pins.get(setup.sink, ""), edge)
                    if node in self.arrivals:
                        time = table.at(self.slews[node], 0.0)
                        yield self.arrivals[node] + time, instance, setup, node, time


def longest_path(netlist: str, liberty: Liberty) -> LongestPath | None:
    """The longest path from register to register of a netlist of Yosys's, as `write_json` gives it.

    The clock is ideal: it arrives everywhere at once, without a slew. A net's load is the sum of the pins that it
    drives; wires have none. Inputs and outputs of the netlist, constants, resets and enables of registers that are no
    data do not count.

    Parameters
    ----------
    netlist : str
        Of one module, flattened and mapped to the library.
    liberty : Liberty

    Returns
    -------
    LongestPath, or None if the library has no tables of delays for some of the netlist's cells.

    Raises
    ------
    SynthesisError
        If the netlist is cut off, has a combinational loop, or has no path between registers.
    ValueError
        If the Liberty file is not whole.
    """
    module = _module(netlist)
    kinds = {cell["type"] for cell in module["cells"].values() if cell["type"] != "$scopeinfo"}
    models = liberty.cells(kinds)
    if any(not model.arcs and model.inputs and model.outputs for model in models.values()) or set(models) != kinds:
        return None
    timer = _Timer(module, models)
    timer.run()
    delay, register, setup, node, time = max(
        timer.ends(), key=lambda end: end[0], default=(0.0, None, None, ("", ""), 0.0)
    )
    if register is None or setup is None:
        raise SynthesisError("static timing: no path from one register to another; a pipeline or an operand has some")
    signals = _signals(module)
    end = next((signals[bit] for bit in _outputs(register) if bit in signals), "")
    steps = [Step(register.kind, setup.sink, node[1], round(time, 4), end)]
    at: Node | None = node
    while at is not None and at in timer.made_by:
        instance, arc, before, took = timer.made_by[at]
        steps.append(Step(instance.kind, f"{arc.source} → {arc.sink}", at[1], round(took, 4), signals.get(at[0], "")))
        at = before
    return LongestPath(round(delay, 4), tuple(reversed(steps)))


def _outputs(instance: _Instance) -> list[Bit]:
    return [instance.pins[pin] for pin in instance.model.outputs if pin in instance.pins]


def _sources(arc: Arc, edge: str) -> tuple[str | None, ...]:
    """The edges at an arc's source that make an edge at its sink; None is the clock's."""
    every: dict[str, tuple[str | None, ...]] = {
        "positive": (edge,), "negative": (OTHER[edge],), "both": EDGES, "clock": (None,),
    }  # fmt: skip
    return every[arc.sense]


def _module(netlist: str) -> Mapping[str, Any]:
    try:
        (module,) = json.loads(netlist)["modules"].values()
        return {"cells": dict(module["cells"]), "netnames": dict(module["netnames"])}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SynthesisError(
            f"Yosys's netlist is not whole ({type(error).__name__}: {error}): {netlist[-200:]!r}"
        ) from error


def _signals(module: Mapping[str, Any]) -> dict[Bit, str]:
    """The signal of the source that each net is, where one was left."""
    found: dict[Bit, str] = {}
    for name, entry in sorted(module["netnames"].items(), key=lambda item: len(item[0])):
        if "$" not in name:
            for bit in entry["bits"]:
                found.setdefault(bit, re.sub(r"\[\d+\]$", "", name).removeprefix("unit."))
    return found
