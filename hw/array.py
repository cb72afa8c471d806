"""`SystolicArray`: rows × columns quire cells that multiply matrices, one outer product a cycle."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from positcore.hw.decode import Decoder
from positcore.hw.parameters import check_dsp, check_size, check_spec, check_stages
from positcore.hw.pipeline import Pipeline, deliver
from positcore.hw.quire import QuireAccumulator
from positcore.hw.quire_path import QuirePath
from positcore.hw.quire_rounder import SumRounder
from positcore.hw.raw import RawLayout
from positcore.hw.term import ProductTerm
from positcore.mac import MacSpec

__all__ = ["SystolicArray"]


class SystolicArray(wiring.Component):
    """The product of matrices, tile by tile: each cell keeps the exact sum of one output, which is rounded once.

    An item is one step k of a tile: a column of `rows` codes of A and a row of `columns` codes of B; `last` marks the
    final step, and the next item begins the next tile. Codes are decoded once, at the edges; numbers then move one cell
    a cycle, A to the right and B down. So the cells of a column finish one after the other, and each column has one
    rounder, which takes them in that order. Results are the tile's rows, from the first on, `columns` codes each, with
    `last` at the final one. NaR stays in its output. A bias is a step of its own, ones on the other side: (a, 1) for
    a bias by rows, (1, b) for one by columns.

    Throughput is one step a cycle, tiles back to back, as long as tiles have at least `rows` steps: the last step of a
    shorter one waits until the rounders are free. Latency is `columns` + `stages` cycles from a tile's last step to its
    first row. Where the consumer stalls, steps go in until two rows wait. Reset drops what was begun.

    Parameters
    ----------
    spec : MacSpec
    rows, columns : int
        1..64 each.
    stages : int
        0..len(cuts(spec)).
    dsp : bool
        Whether products are operators of which tools make DSPs.

    Members
    -------
    i : In(stream.Signature({a: ArrayLayout(n, rows), b: ArrayLayout(n, columns), last}))
    o : Out(stream.Signature({code: ArrayLayout(n, columns), last}))

    References
    ----------
    H. T. Kung, C. E. Leiserson, "Systolic Arrays (for VLSI)", 1978.
    """

    def __init__(self, spec: MacSpec, *, rows: int, columns: int, stages: int = 0, dsp: bool = False):
        self.spec = check_spec("SystolicArray", spec)
        self.rows = check_size("SystolicArray", "rows", rows)
        self.columns = check_size("SystolicArray", "columns", columns)
        self.stages = check_stages("SystolicArray", stages, self.cuts(spec))
        self.dsp = check_dsp("SystolicArray", dsp)
        shapes = _shapes(spec, rows, columns)
        super().__init__({"i": In(stream.Signature(shapes["i"])), "o": Out(stream.Signature(shapes["o"]))})

    @staticmethod
    def cuts(spec: MacSpec) -> tuple[str, ...]:
        """Where it can be cut, in order of preference: as the MAC, and behind the columns' drains."""
        first, *others = QuirePath.cuts(spec)
        return (first, "drained", *others)

    @property
    def latency(self) -> int:
        """Cycles from the last step of a tile to its first row."""
        return self.columns + self.stages

    def elaborate(self, platform: object) -> Module:
        """The logic, from submodules."""
        m = Module()
        # The last steps of two tiles are `rows` cycles apart at least.
        item = stream.Signature(self.i.payload.shape()).create(path=("item",))
        gap = Signal(range(self.rows))
        waits = Signal(name="waits_for_rounders")
        m.d.comb += [
            waits.eq(self.i.payload.last & (gap != 0)),
            Value.cast(item.payload).eq(Value.cast(self.i.payload)),
            item.valid.eq(self.i.valid & ~waits),
            self.i.ready.eq(item.ready & ~waits),
        ]
        with m.If(item.ready & item.valid & item.payload.last):
            m.d.sync += gap.eq(self.rows - 1)
        with m.Elif(item.ready & (gap != 0)):
            m.d.sync += gap.eq(gap - 1)
        path = ArrayPath(self.spec, self.rows, self.columns, self.stages, dsp=self.dsp)
        m.d.comb += Value.cast(path.i).eq(Value.cast(item.payload))
        m.submodules.path = path
        m.d.comb += path.i_valid.eq(item.valid)
        deliver(m, item, self.o, enable=path.enable, result=path.o, valid=path.o_valid)
        return m


def _shapes(spec: MacSpec, rows: int, columns: int) -> dict[str, data.StructLayout]:
    a, b = data.ArrayLayout(spec.a.n, rows), data.ArrayLayout(spec.b.n, columns)
    return {
        "i": data.StructLayout({"a": a, "b": b, "last": 1}),
        "o": data.StructLayout({"code": data.ArrayLayout(spec.out.n, columns), "last": 1}),
    }


class ArrayPath(wiring.Component):
    """The cells between their edges, which move in the cycles of `enable`."""

    def __init__(self, spec: MacSpec, rows: int, columns: int, stages: int, *, dsp: bool):
        self.spec, self.rows, self.columns, self.stages, self.dsp = spec, rows, columns, stages, dsp
        self.all_cuts = SystolicArray.cuts(spec)
        shapes = _shapes(spec, rows, columns)
        flags = {"i_valid": In(1), "o_valid": Out(1), "enable": In(1)}
        super().__init__({"i": In(shapes["i"]), "o": Out(shapes["o"]), **flags})

    def elaborate(self, platform: object) -> Module:
        """The logic, from submodules."""
        m = Module()
        spec, enable = self.spec, self.enable
        control = Pipeline(m, self.all_cuts, self.stages, valid=self.i_valid, enable=enable)
        raws: dict[str, Any] = {}
        for side, fmt, count in (("a", spec.a, self.rows), ("b", spec.b, self.columns)):
            for at in range(count):
                m.submodules[f"decode_{side}{at}"] = decoder = Decoder(fmt)
                m.d.comb += decoder.code.eq(self.i[side][at])
                raws[f"{side}{at}"] = decoder.raw
        last, *decoded = control.cut("decoded", last=self.i.last, **raws)
        a_edge = [self._late(m, f"a{row}", value, row) for row, value in enumerate(decoded[: self.rows])]
        b_edge = [self._late(m, f"b{column}", value, column) for column, value in enumerate(decoded[self.rows :])]
        flags_edge = [self._late(m, f"flags{row}", Cat(control.valid, last), row, init=0) for row in range(self.rows)]

        cells: list[list[ArrayCell]] = []
        for row in range(self.rows):
            a, flags = a_edge[row], flags_edge[row]
            cells.append([])
            for column in range(self.columns):
                cell = ArrayCell(spec, self.all_cuts, self.stages, dsp=self.dsp)
                m.submodules[f"cell_{row}_{column}"] = cell
                b = cells[row - 1][column].b_next if row else b_edge[column]
                m.d.comb += [cell.a.eq(a), cell.b.eq(b), cell.flags.eq(flags), cell.enable.eq(enable)]
                a, flags = cell.a_next, cell.flags_next
                cells[row].append(cell)

        # The last column is the latest; the codes of the others wait for it.
        for column in range(self.columns):
            drain = ColumnDrain(spec, self.all_cuts, self.stages)
            m.submodules[f"drain_{column}"] = drain
            sums = [
                Cat(cells[row][column].total, cells[row][column].nar, cells[row][column].done)
                for row in range(self.rows)
            ]
            gathered = sums[0]
            for value in sums[1:]:
                gathered = gathered | value
            m.d.comb += [drain.sums.eq(gathered), drain.enable.eq(enable)]
            m.d.comb += self.o.code[column].eq(self._late(m, f"code{column}", drain.code, self.columns - 1 - column))
        m.d.comb += self.o_valid.eq(drain.done)
        row_count = Signal(range(self.rows))
        m.d.comb += self.o.last.eq(row_count == self.rows - 1)
        with m.If(enable & self.o_valid):
            m.d.sync += row_count.eq(Mux(self.o.last, 0, row_count + 1))
        return m

    def _late(self, m: Module, name: str, value: Any, cycles: int, *, init: int | None = None) -> Any:
        """The value so many cycles later."""
        for cycle in range(cycles):
            shape = value.shape()
            register = Signal(shape, name=f"{name}_late{cycle}", reset_less=init is None)
            with m.If(self.enable):
                m.d.sync += register.eq(value)
            value = register
        return value


class ArrayCell(wiring.Component):
    """One output of a tile: its sum, in the cycle in which it is done, and 0 in all others."""

    def __init__(self, spec: MacSpec, all_cuts: tuple[str, ...], stages: int, *, dsp: bool):
        self.spec, self.all_cuts, self.stages, self.dsp = spec, all_cuts, stages, dsp
        a, b = RawLayout.of(spec.a), RawLayout.of(spec.b)
        super().__init__({
            "a": In(a), "b": In(b), "flags": In(2), "a_next": Out(a), "b_next": Out(b), "flags_next": Out(2),
            "enable": In(1), "total": Out(spec.accumulator_bits), "nar": Out(1), "done": Out(1),
        })  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        """The logic, from submodules."""
        m = Module()
        spec = self.spec
        a_held = Signal(self.a.shape(), reset_less=True)
        b_held = Signal(self.b.shape(), reset_less=True)
        flags_held = Signal(2)
        with m.If(self.enable):
            m.d.sync += [a_held.eq(self.a), b_held.eq(self.b), flags_held.eq(self.flags)]
        m.d.comb += [self.a_next.eq(a_held), self.b_next.eq(b_held), self.flags_next.eq(flags_held)]

        inside = ProductTerm.cuts(spec)
        control = Pipeline(m, self.all_cuts, self.stages, valid=self.flags[0], enable=self.enable)
        term = ProductTerm(spec, dsp=self.dsp, stages=sum(map(control.made, inside)))
        m.submodules.term = EnableInserter(self.enable)(term)
        last = self.flags[1]
        for cut in inside:
            (last,) = control.cut(cut, last=last)
        segments = 1 + sum(control.made(cut) for cut in self.all_cuts if cut.startswith("carry_"))
        m.submodules.accumulator = accumulator = QuireAccumulator(spec, segments=segments)
        m.d.comb += [
            term.a.eq(self.a),
            term.b.eq(self.b),
            accumulator.terms[0].eq(term.term),
            accumulator.nar.eq(term.nar),
            accumulator.read.eq(last),
            accumulator.clear.eq(last),
            accumulator.valid.eq(control.valid),
            accumulator.enable.eq(self.enable),
            self.total.eq(accumulator.total),
            self.nar.eq(accumulator.total_nar),
            self.done.eq(accumulator.done),
        ]
        return m


class ColumnDrain(wiring.Component):
    """The rounder of a column."""

    def __init__(self, spec: MacSpec, all_cuts: tuple[str, ...], stages: int):
        self.spec, self.all_cuts, self.stages = spec, all_cuts, stages
        sums = In(spec.accumulator_bits + 2)
        super().__init__({"sums": sums, "enable": In(1), "code": Out(spec.out.n), "done": Out(1)})

    def elaborate(self, platform: object) -> Module:
        """The logic, from submodules."""
        m = Module()
        spec = self.spec
        bits = spec.accumulator_bits
        pipeline = Pipeline(m, self.all_cuts, self.stages, valid=self.sums[-1], enable=self.enable)
        (sums,) = pipeline.cut("drained", sums=self.sums)
        rounder = SumRounder(spec, stages=sum(map(pipeline.made, SumRounder.CUTS)))
        m.submodules.rounder = EnableInserter(self.enable)(rounder)
        for cut in SumRounder.CUTS:
            pipeline.cut(cut)
        m.d.comb += [
            rounder.total.eq(sums[:bits].as_signed()),
            rounder.nar.eq(sums[bits]),
            self.code.eq(rounder.code),
            self.done.eq(pipeline.valid),
        ]
        return m
