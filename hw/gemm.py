"""`Gemm`: matrix products of any size, by an array of quire cells between AXI4-Streams, controlled over AXI4-Lite."""

from __future__ import annotations

from amaranth.hdl import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from positcore.hw.array import SystolicArray
from positcore.hw.axi import CodeSink, CodeSource, axi_stream, lane_bits
from positcore.hw.buffers import check_depth
from positcore.hw.engine import GemmEngine
from positcore.hw.gemm_registers import gemm_registers
from positcore.hw.parameters import check_dsp, check_size, check_spec, check_stages
from positcore.hw.registers import WORD, RegisterBank, axi_lite
from positcore.hw.sequencer import JOB
from positcore.mac import MacSpec

__all__ = ["Gemm"]


class Gemm(wiring.Component):
    """C = A·B (+ bias) for matrices of any size: each element summed exactly and rounded once.

    An array of rows × columns cells computes a tile of C at a time, one step k of the dot products in each cycle,
    tile after tile without a bubble, as long as both operands are there and the results are taken. Operands stream
    in through rings of block RAM, which hold what is used again; K may exceed their depth. What is sent, and in what
    order: docs/gemm.md, or `positcore.hw.gemm_job`, which does it. The edges of M and N are padded with zeros by
    software. NaR in A makes NaR of its row of C, NaR in B of its column, and of nothing else.

    `rst` is synchronous and active high; a soft reset by register does the same to all but the settings, and may
    break off beats that are offered on `m_axis_c`. Ports are plain AXI, named as vendors' tools expect them.

    Parameters
    ----------
    spec : MacSpec
        With a quire.
    rows, columns : int
        R and C, the shape of the array, 1..64 each.
    depth : int
        Rows of each operand's ring: a power of two, 2..65536.
    stages : int
        Pipeline stages of the array, 0..len(cuts(spec)); they change no bit.
    dsp : bool
        Whether products are operators of which tools make DSPs; it changes no bit, either.

    Members
    -------
    s_axil : In(axi_lite())
        The registers (`gemm_registers`).
    s_axis_a : In(axi_stream(R · w))
        Columns of A's panels, a beat a step (`CodeSource`).
    s_axis_b : In(axi_stream(C · w))
        Rows of B's panels.
    m_axis_c : Out(axi_stream(C · w, last=True))
        Rows of C's tiles.
    """

    def __init__(self, spec: MacSpec, *, rows: int, columns: int, depth: int = 256, stages: int = 0, dsp: bool = False):
        self.spec = check_spec("Gemm", spec)
        self.rows = check_size("Gemm", "rows", rows)
        self.columns = check_size("Gemm", "columns", columns)
        self.depth = check_depth("Gemm", depth)
        self.stages = check_stages("Gemm", stages, self.cuts(spec))
        self.dsp = check_dsp("Gemm", dsp)
        self.registers = gemm_registers(spec, rows=rows, columns=columns, depth=depth)
        super().__init__(
            {
                "s_axil": In(axi_lite()),
                "s_axis_a": In(axi_stream(rows * lane_bits(spec.a))),
                "s_axis_b": In(axi_stream(columns * lane_bits(spec.b))),
                "m_axis_c": Out(axi_stream(columns * lane_bits(spec.out), last=True)),
            }
        )

    cuts = staticmethod(SystolicArray.cuts)

    @property
    def latency(self) -> int:
        """Cycles from a tile's last step in the array to its first row; buffers and buses add a few more."""
        return self.columns + self.stages

    def elaborate(self, platform: object) -> Module:
        """Registers, sequencer, rings, array and the ring of results."""
        m = Module()
        m.submodules.registers = bank = RegisterBank(self.registers)
        wiring.connect(m, bank.bus, wiring.flipped(self.s_axil))
        job = Signal(JOB)
        m.d.comb += [job[name].eq(getattr(bank, name)) for name in ("steps", "row_tiles", "column_tiles")]
        m.d.comb += [job[name].eq(bit) for name, bit in self._fields(bank, "mode").items()]

        # Commands and what a start depends on are registered: settings stand for two cycles before a start can come.
        start, reset, counted, fits, possible = (
            Signal(name=name) for name in ("start", "reset", "counted", "fits", "possible")
        )
        command, capacity = self._fields(bank, "control"), self.spec.quire.capacity
        m.d.sync += [
            start.eq(command["start"]),
            reset.eq(command["reset"]),
            counted.eq(job.steps.any() & job.row_tiles.any() & job.column_tiles.any()),
            fits.eq(
                Mux(
                    job.bias_rows & job.bias_columns,
                    job.steps <= capacity - 2,
                    job.steps <= capacity - (job.bias_rows | job.bias_columns),
                )
            ),
        ]
        m.d.comb += possible.eq(counted & fits)

        engine = GemmEngine(
            self.spec, rows=self.rows, columns=self.columns, depth=self.depth, stages=self.stages, dsp=self.dsp
        )
        m.domains.engine = domain = ClockDomain(local=True)  # the same clock, but reset by register, too
        domain.clk.name = "clk"
        m.d.comb += [domain.clk.eq(ClockSignal()), domain.rst.eq(ResetSignal() | reset)]
        m.submodules.engine = DomainRenamer("engine")(engine)
        m.d.comb += [engine.job.eq(job), engine.start.eq(start & possible), bank.locked.eq(engine.busy)]
        m.submodules.source_a = source_a = CodeSource(self.spec.a, self.rows)
        m.submodules.source_b = source_b = CodeSource(self.spec.b, self.columns)
        m.submodules.sink = sink = CodeSink(self.spec.out, self.columns)
        wiring.connect(m, wiring.flipped(self.s_axis_a), source_a.axis)
        wiring.connect(m, wiring.flipped(self.s_axis_b), source_b.axis)
        wiring.connect(m, source_a.o, engine.a)
        wiring.connect(m, source_b.o, engine.b)
        wiring.connect(m, engine.o, sink.i)
        wiring.connect(m, sink.axis, wiring.flipped(self.m_axis_c))

        begun, rejected = Signal(name="begun"), Signal(name="rejected")
        tiles, cycles = Signal(WORD, name="tile_count"), Signal(WORD, name="cycle_count")
        status = self._fields(bank, "status")
        m.d.comb += [
            status["busy"].eq(engine.busy), status["done"].eq(begun & ~engine.busy), status["rejected"].eq(rejected),
            status["stuck_a"].eq(engine.stuck_a), status["stuck_b"].eq(engine.stuck_b),
            bank.tiles.eq(tiles), bank.cycles.eq(cycles),
        ]  # fmt: skip
        m.d.sync += [cycles.eq(cycles + engine.busy), tiles.eq(tiles + engine.tile)]
        with m.If(start):
            m.d.sync += rejected.eq(engine.busy | ~possible)
            with m.If(~engine.busy & possible):
                m.d.sync += [begun.eq(1), tiles.eq(0), cycles.eq(0)]
        with m.If(reset):
            m.d.sync += [signal.eq(0) for signal in (begun, rejected, tiles, cycles)]
        return m

    def _fields(self, bank: RegisterBank, name: str) -> dict[str, Value]:
        """The fields of a register's member."""
        (register,) = [register for register in self.registers if register.name == name]
        member = getattr(bank, name)
        return {field.name: member[field.low : field.low + field.width] for field in register.fields}
