"""`FlatNetlist`: the modules of a design as one, with connected bits merged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from positcore.hw.netlist import Bits, Cell, Netlist

__all__ = ["FlatNetlist"]


class FlatNetlist:
    """All modules as one: bits are numbers, connected ones stand for one."""

    def __init__(self, modules: Mapping[str, Netlist], top: str):
        self.modules = modules
        self.parents: list[int] = []
        self.cells: list[tuple[Cell, dict[str, Bits], str]] = []
        self.initial: dict[int, int] = {}
        self.names: list[tuple[int, str]] = []  # where each wire begins
        self.ports = {wire.name: (wire.direction, modules[top].roots(wire.bits)) for wire in modules[top].ports}
        self._place(modules[top], "")

    def _place(self, module: Netlist, path: str) -> int:
        """Add a module; gives the number of its bit 0."""
        base = len(self.parents)
        self.parents += range(base, base + module.size)

        def here(bits: Sequence[int]) -> Bits:
            return tuple(bit if bit < 0 else base + bit for bit in module.roots(bits))

        for wire in module.wires.values():
            self.names += [(base + bit, f"{path}{wire.name}[{place}]") for place, bit in enumerate(wire.bits)]
            for bit, value in zip(here(wire.bits), reversed(wire.init), strict=False):
                if value in "01" and bit >= 0:
                    self.initial[bit] = int(value)
        for cell in module.cells:
            if cell.kind not in self.modules:
                connections = {name: here(bits) for name, bits in cell.connections.items()}
                self.cells.append((cell, connections, path))
                continue
            child = self.modules[cell.kind]
            start = self._place(child, f"{path}{cell.name}.")
            for wire in child.ports:
                outer = here(cell.connections.get(wire.name, ()))
                inner = [bit if bit < 0 else start + bit for bit in child.roots(wire.bits)]
                pairs = zip(inner, outer, strict=True) if outer else ()
                for x, y in pairs:
                    target, source = (x, y) if wire.direction == "input" else (y, x)
                    if target >= 0:
                        self.parents[target] = source
        return base

    def name(self, bit: int) -> str:
        """A bit as a message names it."""
        return next((name for at, name in self.names if at == bit), "")

    def root(self, bit: int) -> int:
        """The bit that stands for all that a bit is connected to."""
        path = []
        while bit >= 0 and self.parents[bit] != bit:
            path.append(bit)
            bit = self.parents[bit]
        for step in path:
            self.parents[step] = bit
        return bit
