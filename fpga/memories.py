"""Distributed memories as a path sees them: data that depend on the address of their read, and on nothing else."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["DISTRIBUTED", "Distributed", "read_models"]

Ports = tuple[tuple[str, int], ...]  # names and widths


class Distributed(NamedTuple):
    """A memory in LUTs, written at a clock's edge and read at once.

    `reads` are its outputs, each with its width and its address; `inputs` are those of the write alone.
    """

    cell: str
    reads: tuple[tuple[str, int, Ports], ...]
    inputs: Ports
    parameters: tuple[str, ...]


def _bits(stem: str, count: int) -> Ports:
    return tuple((f"{stem}{bit}", 1) for bit in range(count))


def _quad(cell: str, address: int, width: int) -> Distributed:
    return Distributed(
        cell, tuple((f"DO{port}", width, ((f"ADDR{port}", address),)) for port in "ABCD"),
        (*((f"DI{port}", width) for port in "ABCD"), ("WCLK", 1), ("WE", 1)),
        (*(f"INIT_{port}" for port in "ABCD"), "IS_WCLK_INVERTED"),
    )  # fmt: skip


_WRITE: Ports = (("D", 1), ("WCLK", 1), ("WE", 1))
_INIT = ("INIT", "IS_WCLK_INVERTED")

# Those that `luts` of a target counts, as Yosys's libraries declare them.
DISTRIBUTED: dict[str, tuple[Distributed, ...]] = {
    "ecp5": (
        Distributed(
            "TRELLIS_DPR16X4", (("DO", 4, (("RAD", 4),)),), (("DI", 4), ("WAD", 4), ("WRE", 1), ("WCK", 1)),
            ("WCKMUX", "WREMUX", "INITVAL"),
        ),
    ),
    "xc7": (
        _quad("RAM32M", 5, 2),
        _quad("RAM64M", 6, 1),
        Distributed("RAM64X1S", (("O", 1, _bits("A", 6)),), _WRITE, _INIT),
        Distributed("RAM64X1D", (("SPO", 1, _bits("A", 6)), ("DPO", 1, _bits("DPRA", 6))), _WRITE, _INIT),
        Distributed("RAM128X1S", (("O", 1, _bits("A", 7)),), _WRITE, _INIT),
        Distributed("RAM128X1D", (("SPO", 1, (("A", 7),)), ("DPO", 1, (("DPRA", 7),))), _WRITE, _INIT),
        Distributed("RAM256X1S", (("O", 1, (("A", 8),)),), _WRITE, _INIT),
    ),
    "gowin": tuple(
        Distributed(
            f"RAM16SDP{width}", (("DO", width, (("RAD", 4),)),), (("DI", width), ("WAD", 4), ("WRE", 1), ("CLK", 1)),
            tuple(f"INIT_{bit}" for bit in range(width)),
        )
        for width in (1, 2, 4)
    ),
}  # fmt: skip


def read_models(target_name: str) -> str:
    """Verilog for `techmap`: each distributed memory of a target as one cell from an address to each bit of its data.

    Without it `ltp` would go on from a memory's write to its read, and find loops where there is none.
    """
    return "".join(_model(memory) for memory in DISTRIBUTED.get(target_name, ()))


def _model(memory: Distributed) -> str:
    addresses = [port for _, _, address in memory.reads for port in address]
    ports = [f"input [{width - 1}:0] {name}" for name, width in (*addresses, *memory.inputs)]
    ports += [f"output [{width - 1}:0] {name}" for name, width, _ in memory.reads]
    lines = [f"module {memory.cell}({', '.join(ports)});"]
    lines += [f"  parameter {name} = 0;" for name in memory.parameters]
    for name, width, address in memory.reads:
        read = f"^{{{', '.join(port for port, _ in address)}}}"
        lines += [f"  assign {name}[{bit}] = {read};" for bit in range(width)]
    return "\n".join([*lines, "endmodule", ""])
