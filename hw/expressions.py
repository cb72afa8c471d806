"""Names and expressions of a module: every operand as wide as the result, values of no name put where they are used."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence

from positcore.hw.liveness import (
    BITWISE,
    BY_BIT,
    BY_PREFIX,
    COMPARISONS,
    LOGIC,
    REDUCTIONS,
    RIGHT,
    LiveModule,
    LivePort,
)
from positcore.hw.netlist import ONE, UNDEFINED, ZERO, Bits

__all__ = ["Expressions", "constant", "span"]

_KEYWORDS = frozenset(
    re.findall(
        r"\w+",
        """always and assign automatic begin buf case casex casez cell config deassign default defparam design
        disable edge else end endcase endconfig endfunction endgenerate endmodule endtask event for force
        forever fork function generate genvar if initial inout input instance integer join large liblist
        library localparam macromodule medium module nand negedge nor not or output parameter posedge
        primitive pulldown pullup real realtime reg release repeat scalared signed small specify specparam
        strength supply0 supply1 table task time tri tri0 tri1 triand trior trireg unsigned use vectored
        wait wand while wire wor xnor xor bit byte int logic do final import export return static string
        type var void""",
    )
)
_LINE = 100  # characters of an expression, above which its parts get names


class Expressions:
    """The names that a module's values have in its text, and the values in these names."""

    def __init__(self, unit: LiveModule, below: dict[int, str]):
        self.unit, self.below = unit, below
        self.net = unit.net
        self.labels: dict[int, tuple[str, int]] = {}  # bit → name and index in it
        self.shapes: dict[str, tuple[int, int]] = {}  # name → low and high index
        self.owner: dict[str, int] = {}  # name → the cell that drives it
        self.registers: set[str] = set()
        self.declared: list[str] = []
        self.statements: list[str] = []
        self.taken: set[str] = set(_KEYWORDS)
        self.uses: dict[int, int] = defaultdict(int)
        self.aliases: dict[Bits, list[str]] = defaultdict(list)
        self.named: dict[Bits, str] = {}  # values that have a name of their own without being driven by one cell
        self.inlined: set[int] = set()
        self.temporary: set[int] = set()
        self.stated: set[int] = set()  # cells assigned already, where they were first read
        self.serial = 0
        self.mentioned: dict[str, set[int]] = defaultdict(set)

    # -- names

    def _take(self, name: str) -> str:
        candidate, count = name, 1
        while candidate in self.taken:
            count += 1
            candidate = f"{name}_{count}"
        self.taken.add(candidate)
        return candidate

    def _declare(self, name: str, low: int, high: int, register: bool = False) -> str:
        name = self._take(name)
        self.shapes[name] = (low, high)
        self.declared.append(f"  {'reg ' if register else 'wire'} {span(low, high)}{name};")
        return name

    def _label(self, name: str, bits: Sequence[int], low: int) -> None:
        for place, bit in enumerate(bits):
            self.labels.setdefault(bit, (name, place + low))

    def _drives(self, port: LivePort) -> bool:
        """Whether an output is just what one cell or instance gives; then that is named after it."""
        bits = self.net.roots(port.bits)
        if bits[0] < 0 or bits[0] in self.labels or len(set(bits)) != len(bits):
            return False
        if bits[0] in self.unit.of_child:
            index, other = self.unit.of_child[bits[0]]
            whole = self.unit.outside(index, other) == bits
        elif bits[0] in self.unit.drivers:
            index, _ = self.unit.drivers[bits[0]]
            low, high = self.unit.ranges[index]
            whole = self.unit.outputs[index][low : high + 1] == bits
            if whole:
                self.owner[port.name] = index
                if self._holds(index):
                    self.registers.add(port.name)
        else:
            whole = False
        if whole:
            self._label(port.name, bits, 0)
        return whole

    def _holds(self, index: int) -> bool:
        """Whether a cell is a register, or a read that is registered."""
        cell = self.net.cells[index]
        return cell.kind == "$dff" or (cell.kind == "$memrd_v2" and cell.number("CLK_ENABLE") == 1)

    def _name_cells(self) -> None:
        for index in sorted(self.unit.ranges):
            low, high = self.unit.ranges[index]
            output = self.unit.outputs[index]
            bits = output[low : high + 1]
            if bits[0] in self.labels:
                continue
            register = self._holds(index)
            name = self._best(bits, register)
            base = 0
            if name is None:
                name, base = self._best(output, register), low
            if name is None:
                self.temporary.add(index)
                self.labels.update({bit: (f"\0{index}", place) for place, bit in enumerate(bits)})
                self.shapes[f"\0{index}"] = (0, len(bits) - 1)
                self.owner[f"\0{index}"] = index
                if register or self.net.cells[index].kind == "$memrd_v2":
                    self._name_temporary(index)
                continue
            name = self._declare(name, base, base + high - low, register)
            self.owner[name] = index
            self._label(name, bits, base)

    def _name_temporary(self, index: int) -> str:
        """Give a value without a name a number, so that it can be declared."""
        self.serial += 1
        low, high = self.unit.ranges[index]
        name = self._declare(f"t{self.serial}", 0, high - low, self._holds(index))
        self.owner[name] = index
        self.temporary.discard(index)
        self.inlined.discard(index)
        for place, bit in enumerate(self.unit.outputs[index][low : high + 1]):
            self.labels[bit] = (name, place)
        return name

    def _best(self, bits: Bits, register: bool) -> str | None:
        """The wire by whose name a value is called: that of its register, else the plainest, else the first."""

        def rank(name: str) -> tuple[bool, bool]:
            numbered = re.fullmatch(r"(.+?)_\d+(_.*)?", name)
            return (not (register and self.net.wires[name].init), bool(numbered and numbered[1] in self.net.wires))

        names = [name for name in self.aliases.get(bits, ()) if not self.net.wires[name].port]
        return min(names, key=rank, default=None)

    # -- values

    def _split(self, bits: Bits) -> Iterator[tuple[str, str, int, int]]:
        """A value in pieces from the top: a constant's digits, a name with bit and count, or with low and high."""
        at = len(bits)
        while at:
            bit = bits[at - 1]
            low = at - 1
            if bit < 0:
                while low and bits[low - 1] < 0:
                    low -= 1
                digits = "".join({ZERO: "0", ONE: "1", UNDEFINED: "x"}[each] for each in reversed(bits[low:at]))
                yield "constant", digits, 0, 0
            elif low and bits[low - 1] == bit:
                while low and bits[low - 1] == bit:
                    low -= 1
                name, index = self.labels[bit]
                if low and bits[low - 1] >= 0 and self.labels[bits[low - 1]] == (name, index - 1):
                    low += 1  # the sign of what follows
                if at - low == 1:
                    yield "slice", name, index, index
                else:
                    yield "repeat", name, index, at - low
            else:
                name, index = self.labels[bit]
                first = index
                while low and bits[low - 1] >= 0 and self.labels[bits[low - 1]] == (name, first - 1):
                    low, first = low - 1, first - 1
                yield "slice", name, first, index
            at = low

    def _count_uses(self, assigned: list[LivePort]) -> None:
        """How often each cell's output is used; 1 only if it is used whole."""

        def use(bits: Bits) -> None:
            for kind, name, low, high in self._split(bits):
                if kind != "constant" and name in self.owner:
                    whole = kind == "slice" and (low, high) == self.shapes[name]
                    self.uses[self.owner[name]] += 1 if whole else 2

        for index in self.unit.ranges:
            for bits in self._operands(index):
                use(bits)
        for index, cell in enumerate(self.net.cells):
            if cell.kind == "$memwr_v2" and cell.parameters["MEMID"] in self.unit.live_memories:
                for bits in self.unit.inputs[index].values():
                    use(bits)
                    use(bits)  # in more than one place of the text
        for index in self.below:
            for port in self.unit.children[index].ports:
                if port.live and port.direction == "input":
                    use(self.unit.outside(index, port))
        for port in assigned:
            use(self.net.roots(port.bits))

    def _operands(self, index: int) -> list[Bits]:
        """The operands of a cell, as wide as they are written."""
        cell, inputs = self.net.cells[index], self.unit.inputs[index]
        low, high = self.unit.ranges[index]
        operand = self.unit.operand
        if cell.kind == "$dff":
            return [inputs["D"][low : high + 1]]
        if cell.kind == "$memrd_v2":
            return [inputs["ADDR"], inputs["EN"]]
        if cell.kind in ("$mux", "$pmux"):
            width = len(self.unit.outputs[index])
            data = [inputs["B"][at + low : at + high + 1] for at in range(0, len(inputs["B"]), width)]
            return [inputs["A"][low : high + 1], *data, *[(bit,) for bit in inputs["S"]]]
        if cell.kind in ("$shl", "$sshl"):
            return [operand(index, "A", high + 1), inputs["B"]]
        if cell.kind in BY_BIT or cell.kind in BY_PREFIX:
            return [operand(index, name, high + 1)[low:] for name in ("A", "B") if name in inputs]
        if cell.kind in RIGHT:
            return [operand(index, "A", max(len(inputs["A"]), high + 1)), inputs["B"]]
        if cell.kind in COMPARISONS:
            width = max(len(inputs["A"]), len(inputs["B"]))
            return [operand(index, "A", width), operand(index, "B", width)]
        return [inputs[name] for name in ("A", "B") if name in inputs]

    def _target(self, index: int) -> str:
        low, _ = self.unit.ranges[index]
        if index in self.temporary:
            return self._name_temporary(index)
        return self.labels[self.unit.outputs[index][low]][0]

    def _bits(self, bits: Bits, *, loose: bool = False, arm: bool = False, under: str = "") -> str:
        """A value as an expression; in parentheses where it is one of an operator, unless `loose`."""
        pieces = list(self._split(bits))
        if len(pieces) > 1 or (pieces[0][0] == "slice" and len(bits) > 1 and not self._whole(pieces[0])):
            name = self._known(bits, pieces)
            if name is not None:
                return name
        if len(pieces) == 1:
            return self._piece(pieces[0], loose=loose, arm=arm, under=under)
        texts = [self._piece(piece, loose=True) for piece in pieces]
        return f"{{{', '.join(texts)}}}"

    def _whole(self, piece: tuple[str, str, int, int]) -> bool:
        return self.shapes[piece[1]] == piece[2:]

    def _known(self, bits: Bits, pieces: list[tuple[str, str, int, int]]) -> str | None:
        """The design's own name of a value that is put together or cut out; declared when it is first used."""
        if bits in self.named:
            self.mentioned[self.named[bits]].update(range(len(bits)))
            return self.named[bits]
        stems = {piece[1] for piece in pieces if piece[0] != "constant"}
        names = [
            name for name in self.aliases.get(bits, ())
            if not self.net.wires[name].port
            and (len(pieces) > 1 or any(name.startswith(f"{stem}_") for stem in stems))
            and not re.search(r"_\d+$", name)
        ]  # fmt: skip
        if not names or not stems:
            return None
        name = self._declare(names[0], 0, len(bits) - 1)
        texts = [self._piece(piece) for piece in pieces]
        self.statements.append(f"  assign {name} = {texts[0] if len(texts) == 1 else '{' + ', '.join(texts) + '}'};")
        self.named[bits] = name
        self.mentioned[name].update(range(len(bits)))
        return name

    def _piece(
        self, piece: tuple[str, str, int, int], *, loose: bool = False, arm: bool = False, under: str = ""
    ) -> str:
        kind, name, low, high = piece
        if kind == "constant":
            return constant(name)
        if kind == "repeat":
            return f"{{{high}{{{self._piece(('slice', name, low, low))}}}}}"
        if name.startswith("\0"):
            index = self.owner[name]
            if index in self.inlined:
                mixed = self.net.cells[index].kind in {*BY_PREFIX, *RIGHT}
                text = (
                    None
                    if mixed and not (loose or arm)
                    else self._expression(index, loose=loose or self.net.cells[index].kind == under)
                )
                if text is not None and len(text) <= _LINE:
                    return text
            if index in self.temporary:
                fresh = self._name_temporary(index)
                self.statements.append(f"  assign {fresh} = {self._expression(index, loose=True)};")
                self.stated.add(index)
            name = self.labels[self.unit.outputs[index][self.unit.ranges[index][0]]][0]
        self.mentioned[name].update(range(low, high + 1))
        if self.shapes[name] == (low, high):
            return name
        return f"{name}[{high}]" if low == high else f"{name}[{high}:{low}]"

    def _expression(self, index: int, *, loose: bool = False) -> str:
        """What a cell computes, every operand as wide as the result; in parentheses unless `loose`."""
        cell = self.net.cells[index]
        kind = cell.kind
        operands = self._operands(index)
        if kind in ("$mux", "$pmux"):
            count = (len(operands) - 1) // 2
            text = self._bits(operands[0], arm=True)
            for data, select in reversed(list(zip(operands[1 : 1 + count], operands[1 + count :], strict=True))):
                text = f"{self._bits(select)} ? {self._bits(data, arm=True)} : {text}"
        elif kind in ("$not", "$neg") or kind in REDUCTIONS:
            if kind in REDUCTIONS and len(operands[0]) == 1:
                return f"~{self._bits(operands[0])}" if kind == "$logic_not" else self._bits(operands[0], loose=loose)
            sign = {"$not": "~", "$neg": "-"}.get(kind) or REDUCTIONS[kind]
            text = sign + self._bits(operands[0])
            loose = loose or kind == "$not"
        elif kind == "$xnor":
            text = f"~({self._bits(operands[0])} ^ {self._bits(operands[1])})"
        else:
            table = BITWISE | BY_PREFIX | RIGHT | COMPARISONS | LOGIC
            under = kind if kind in BITWISE else ""
            a, b = self._bits(operands[0], under=under), self._bits(operands[1], under=under)
            if kind in ("$mul", "$lt", "$le", "$gt", "$ge") and cell.signed("A") and cell.signed("B"):
                a, b = f"$signed({a})", f"$signed({b})"
            if kind == "$sshr" and cell.signed("A"):
                a = f"$signed({a})"
            text = f"{a} {table[kind]} {b}"
        return text if loose else f"({text})"

    def _unmentioned(self, name: str) -> Iterator[str]:
        """The bits of a name that no expression reads, in slices."""
        if name.startswith("\0"):
            return
        low, high = self.shapes[name]
        bits = [bit for bit in range(low, high + 1) if bit not in self.mentioned[name]]
        if len(bits) == high - low + 1:
            yield name
            return
        while bits:
            count = next((at for at in range(1, len(bits)) if bits[at] != bits[0] + at), len(bits))
            yield f"{name}[{bits[count - 1]}:{bits[0]}]" if count > 1 else f"{name}[{bits[0]}]"
            bits = bits[count:]


def span(low: int, high: int) -> str:
    """A range of bits, and a space; nothing for a single bit."""
    return "" if high == low == 0 else f"[{high}:{low}] "


def constant(digits: str) -> str:
    """A constant of binary digits."""
    if "x" in digits or len(digits) <= 4:
        return f"{len(digits)}'b{digits}"
    return f"{len(digits)}'h{int(digits, 2):0{-(-len(digits) // 4)}x}"
