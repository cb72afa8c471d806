"""`GemmEngine`: the tiles of a matrix product, one after another, from two streams of operands to a stream of rows."""

from __future__ import annotations

from amaranth.hdl import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from positcore.hw.array import SystolicArray
from positcore.hw.buffers import ReplayBuffer, SkidBuffer
from positcore.hw.sequencer import JOB, StepSequencer
from positcore.mac import MacSpec

__all__ = ["GemmEngine"]

IN_FLIGHT = 8  # bits that count tiles whose last step was fetched, and whose final row has not left the array


class GemmEngine(wiring.Component):
    """Computes the tiles of a job: an array of quire cells between rings of block RAM. `Gemm` gives it a bus.

    Each step of a tile takes a vector of A and one of B, from rings that the streams fill ahead of it, also before
    `start`; a bias takes one, and ones in place of the other. One step a cycle, also from one tile to the next.
    Reset forgets everything.

    Parameters
    ----------
    spec : MacSpec
    rows, columns, depth, stages, dsp : int
        As of `Gemm`, which checks them.

    Members
    -------
    start : In(1)
        Begin a job, if not busy.
    job : In(JOB)
        What to do (see `StepSequencer`); `whole`: `last` marks the job's final row only. Must not change while busy.
    a : In(stream.Signature(ArrayLayout(n_a, rows)))
    b : In(stream.Signature(ArrayLayout(n_b, columns)))
    o : Out(stream.Signature({code: ArrayLayout(n_out, columns), last}))
        The rows of each tile.
    busy : Out(1)
        From the cycle after `start` until the last row is taken.
    tile : Out(1)
        The final row of a tile is being taken.
    stuck_a, stuck_b : Out(1)
        A block to be kept is longer than its ring.
    """

    def __init__(self, spec: MacSpec, *, rows: int, columns: int, depth: int, stages: int, dsp: bool):
        self.spec = spec
        self.rows, self.columns, self.depth, self.stages, self.dsp = rows, columns, depth, stages, dsp
        self._row = data.StructLayout({"code": data.ArrayLayout(spec.out.n, columns), "last": 1})
        super().__init__(
            {
                "start": In(1),
                "job": In(JOB),
                "a": In(stream.Signature(data.ArrayLayout(spec.a.n, rows))),
                "b": In(stream.Signature(data.ArrayLayout(spec.b.n, columns))),
                "o": Out(stream.Signature(self._row)),
                **dict.fromkeys(("busy", "tile", "stuck_a", "stuck_b"), Out(1)),
            }
        )

    @property
    def result_depth(self) -> int:
        """Rows in the ring of results: two tiles or more, so that a consumer may pause while the array goes on."""
        return 1 << (2 * self.rows - 1).bit_length()

    def elaborate(self, platform: object) -> Module:
        """The operands' side and the results' side of the array."""
        m = Module()
        m.submodules.sequencer = sequencer = StepSequencer()
        m.submodules.steps = steps = SkidBuffer(sequencer.o.payload.shape())
        wiring.connect(m, sequencer.o, steps.i)
        m.submodules.array = array = SystolicArray(
            self.spec, rows=self.rows, columns=self.columns, stages=self.stages, dsp=self.dsp
        )
        m.d.comb += [sequencer.start.eq(self.start & ~self.busy), sequencer.job.eq(self.job)]
        in_flight = Signal(IN_FLIGHT)
        entered = self._feed(m, steps, array, room=~in_flight.all())
        final_is_next = ~sequencer.running & ~steps.o.valid & (in_flight == 1)
        left = self._deliver(m, array, final_is_next)
        m.d.sync += in_flight.eq(in_flight + entered - left)
        return m

    def _feed(self, m: Module, steps: SkidBuffer, array: SystolicArray, *, room: Value) -> Value:
        """Rings → the memories' own output registers (`fetched`) → operand registers (`loaded`) → array.

        A tile's last step waits for `room`. Gives whether it is fetched.
        """
        step = steps.o.payload
        fetch, fetched, loaded, take, load = (
            Signal(name=name) for name in ("fetch", "fetched", "loaded", "take", "load")
        )
        present = []
        for name, side, fmt in (("a", self.a, self.spec.a), ("b", self.b, self.spec.b)):
            used = step[f"use_{name}"]
            m.submodules[f"ring_{name}"] = ring = ReplayBuffer(len(Value.cast(side.payload)), depth=self.depth)
            m.d.comb += [
                ring.i.payload.eq(side.payload), ring.i.valid.eq(side.valid), side.ready.eq(ring.i.ready),
                ring.read.eq(fetch & used),
                ring.keep.eq(step[f"keep_{name}"]), ring.rewind.eq(step[f"rewind_{name}"]),
                getattr(self, f"stuck_{name}").eq(ring.stuck),
            ]  # fmt: skip
            present.append(ring.available | ~used)
            one = Signal(name=f"one_{name}", reset_less=True)
            operand = Signal.like(side.payload, name=f"operand_{name}", reset_less=True)
            ones = Const(fmt.nar >> 1, fmt.n).replicate(len(ring.row) // fmt.n)
            with m.If(take):
                m.d.sync += one.eq(~used)
            with m.If(load):
                m.d.sync += operand.eq(Mux(one, ones, ring.row))
            m.d.comb += array.i.payload[name].eq(operand)
        last_fetched = Signal(reset_less=True)
        last_loaded = Signal(reset_less=True)
        m.d.comb += [
            load.eq(~loaded | array.i.ready),
            take.eq(~fetched | load),
            steps.o.ready.eq(take & present[0] & present[1] & (room | ~step.last)),
            fetch.eq(steps.o.valid & steps.o.ready),
            array.i.valid.eq(loaded),
            array.i.payload.last.eq(last_loaded),
        ]
        with m.If(take):
            m.d.sync += [fetched.eq(fetch), last_fetched.eq(step.last)]
        with m.If(load):
            m.d.sync += [loaded.eq(fetched), last_loaded.eq(last_fetched)]
        return fetch & step.last

    def _deliver(self, m: Module, array: SystolicArray, final_is_next: Value) -> Value:
        """Array → ring of results → stream, the job's final row marked. Gives whether a tile leaves the array."""
        entry = data.StructLayout({"row": self._row, "final": 1})
        m.submodules.ring_o = ring = ReplayBuffer(entry.size, depth=self.result_depth)
        left, taken, offered = (Signal(name=name) for name in ("left", "taken", "offered"))
        incoming = Signal(entry)
        m.d.comb += [
            left.eq(array.o.valid & array.o.ready & array.o.payload.last),
            incoming.row.eq(array.o.payload),
            incoming.final.eq(array.o.payload.last & final_is_next),
            ring.i.payload.eq(incoming),
            ring.i.valid.eq(array.o.valid),
            array.o.ready.eq(ring.i.ready),
            ring.read.eq(ring.available & (~offered | self.o.ready)),
        ]
        with m.If(~offered | self.o.ready):
            m.d.sync += offered.eq(ring.available)
        outgoing = data.View(entry, ring.row)
        m.d.comb += [
            taken.eq(offered & self.o.ready),
            self.o.payload.code.eq(outgoing.row.code),
            self.o.payload.last.eq(Mux(self.job.whole, outgoing.final, outgoing.row.last)),
            self.o.valid.eq(offered),
            self.tile.eq(taken & outgoing.row.last),
        ]
        with m.If(taken & outgoing.final):
            m.d.sync += self.busy.eq(0)
        with m.If(self.start):
            m.d.sync += self.busy.eq(1)
        return left
