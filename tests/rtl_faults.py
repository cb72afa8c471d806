"""Planted faults in the RTL's generators, and for each the ordinary tests that must fail when it is there.

`tests/test_planted_rtl_faults.py` plants them one at a time in a copy of the package; `python -m tests.rtl_faults`
prints the table of `docs/verification.md`.
"""

from __future__ import annotations

from tests.faults import Fault, table

__all__ = ["RTL_FAULTS"]

RTL_FAULTS: list[Fault] = []


def _plant(path: str, name: str, old: str, new: str, *tests: str, count: int = 1) -> None:
    RTL_FAULTS.append(Fault(name, f"hw/{path}", old, new, tuple(f"hw/{test}" for test in tests), count))


def _logic(unit: str) -> str:
    """Every input of a unit without a handshake, from its Verilog, in four formats and at some depths."""
    return f"test_exhaustive_units.py::test_verilog[{unit}-some]"


# Codes and raw forms -------------------------------------------------------------------------------

_plant("decode.py", "NaR is decoded as a number", "raw.nar.eq(special & sign)", "raw.nar.eq(0)", _logic("decode"))
_plant("decode.py", "zero has no flag", "raw.zero.eq(special & ~sign)", "raw.zero.eq(0)", _logic("decode"))
_plant(
    "decode.py", "the exponent of negative codes is not complemented",
    "exponent ^ sign.replicate(fmt.es)", "exponent", _logic("decode"),
)  # fmt: skip
_plant(
    "decode.py", "the sign of the scale does not look at that of the code",
    "flip = ~(first ^ sign)", "flip = ~first", _logic("decode"),
)  # fmt: skip
_plant(
    "decode.py", "cut-off exponent bits read as the low ones",
    "Cat(Const(0, fmt.es + fmt.fraction_bits - len(tail)), tail)",
    "Cat(tail, Const(0, fmt.es + fmt.fraction_bits - len(tail)))",
    "test_exhaustive_units.py::test_decode",
)  # fmt: skip
_plant("encode.py", "saturation one regime too early", "run >= fmt.n - 2)", "run >= fmt.n - 3)", _logic("encode"))
_plant("encode.py", "ties away from zero", "guard & (body[0] | sticky)", "guard", _logic("encode"))
_plant("encode.py", "ties toward zero", "guard & (body[0] | sticky)", "guard & sticky", _logic("encode"))
_plant(
    "encode.py", "bits below the pattern are not sticky",
    "raw.sticky | pattern[:below].any()", "raw.sticky", _logic("encode"),
)  # fmt: skip
_plant(
    "encode.py", "the sticky bit that comes in is dropped",
    "raw.sticky | pattern[:below].any()", "pattern[:below].any()", _logic("encode"),
)  # fmt: skip
_plant(
    "encode.py", "what the regime shifts out is not sticky",
    "low_sticky | shift_sticky | at_end", "low_sticky | at_end", _logic("encode"),
)  # fmt: skip
_plant(
    "encode.py", "what is below minpos becomes 0",
    "low_sticky | shift_sticky | at_end", "low_sticky | shift_sticky", _logic("encode"),
)  # fmt: skip
_plant(
    "encode.py", "underflow one regime too early",
    "vanishing.eq(tiny & (run >= fmt.n - 1))", "vanishing.eq(tiny & (run >= fmt.n - 2))", _logic("encode"),
)  # fmt: skip
_plant(
    "encode.py", "flush: the threshold itself becomes 0",
    "& inside), power < -least))", "& inside), power <= -least))",
    "test_codec_units.py::test_encode_wide_formats[posit<16,1>f6]",
)  # fmt: skip
_plant("encode.py", "zero is rounded to minpos", "Mux(zero, 0, rounded)", "rounded", _logic("encode"))
_plant(
    "encode.py", "zero hides NaR",
    "Mux(nar, fmt.nar, Mux(zero, 0, rounded))", "Mux(zero, 0, Mux(nar, fmt.nar, rounded))", _logic("encode"),
)  # fmt: skip
_plant(
    "shifters.py", "a shift's sticky bit forgets the steps before",
    "lost.eq(sticky | (taken & shifted[:step].any()))", "lost.eq(taken & shifted[:step].any())", _logic("add"),
)  # fmt: skip
_plant(
    "shifters.py", "a shift by more than the width is one by what is left of it",
    "taken.eq(amount[level] | far)", "taken.eq(amount[level])", _logic("add"),
)  # fmt: skip
_plant(
    "shifters.py", "the carry of a rounding is cut between groups of bits",
    "passes = passed & part.all()", "passes = Const(0, 1)", _logic("encode"),
)  # fmt: skip
_plant(
    "shifters.py", "a run of ones goes on into the zeros below the value",
    "found.eq(same if low >= 0 else same & ~sign)", "found.eq(same)", _logic("decode"), _logic("sub"), _logic("fma"),
)  # fmt: skip
_plant(
    "rounder.py", "a sum rounded to the format: ties away from zero",
    "(guard & (last | sticky))", "guard", "test_rounder.py",
)  # fmt: skip
_plant(
    "rounder.py", "a sum rounded to the format: saturation one regime too late",
    "at_most(run, fmt.n - 3)", "at_most(run, fmt.n - 2)", "test_rounder.py",
)  # fmt: skip

# Arithmetic ----------------------------------------------------------------------------------------

_plant(
    "adder.py", "swapped operands",
    "decode_a.code.eq(self.a), decode_b.code.eq(self.b)", "decode_a.code.eq(self.b), decode_b.code.eq(self.a)",
    _logic("sub"),
)  # fmt: skip
_plant(
    "adder.py", "an alignment off by one place",
    "significand(a) << (GUARD_BITS - 1)", "significand(a) << GUARD_BITS", _logic("add"),
)  # fmt: skip
_plant("adder.py", "a guard bit of a sum too few", "GUARD_BITS = 2 ", "GUARD_BITS = 1 ", _logic("add"))
_plant("adder.py", "dropped sticky", "unrounded.sticky.eq(sticky)", "unrounded.sticky.eq(0)", _logic("add"))
_plant(
    "adder.py", "the missing unit of a difference is lost",
    "carry = swapped | ~sticky", "carry = ~sticky", _logic("sub"),
)  # fmt: skip
_plant("adder.py", "NaR of b is forgotten", "a.nar | b.nar", "a.nar", _logic("add"))
_plant(
    "adder.py", "the scale of the lesser term",
    "scale.eq(Mux(swapped, b.scale, a.scale))", "scale.eq(Mux(swapped, a.scale, b.scale))", _logic("add"),
)  # fmt: skip
_plant(
    "adder.py", "a sum of 0 has no flag", "unrounded.zero.eq(run.all() & ~sign)", "unrounded.zero.eq(0)", _logic("add")
)
_plant(
    "adder.py", "a pipeline's register is missing for one field",
    "sticky, scale, nar = pipeline.beside.values()", "sticky, _, nar = pipeline.beside.values()", _logic("add"),
)  # fmt: skip
_plant(
    "multiplier.py", "the product of two −2 is no 4",
    "scale.eq(a_scale + b_scale + four)", "scale.eq(a_scale + b_scale)", _logic("mul"),
)  # fmt: skip
_plant("multiplier.py", "zero only if both are", "a.zero | b.zero", "a.zero & b.zero", _logic("mul"))
_plant("multiplier.py", "NaR only if both are", "a.nar | b.nar", "a.nar & b.nar", _logic("mul"))
_plant(
    "multiplier.py", "a product of 2 and more is not normalized",
    "unrounded.scale.eq(scale + wide)", "unrounded.scale.eq(scale)", _logic("mul"),
)  # fmt: skip
_plant(
    "product.py", "the missing unit of a negative row is lost",
    "carry = 0 if high.carry is None else high.carry", "carry = 0", _logic("mul"),
)  # fmt: skip
_plant(
    "product.py", "the top digit's sign is not looked at",
    "Mux(low, double, single) ^ sign.replicate(len(row))", "Mux(low, double, single)", _logic("mul"),
)  # fmt: skip
_plant(
    "product.py", "zero times a number is not zero",
    "significand(b).as_unsigned() & ~a.zero.replicate(len(b.fraction) + 2)", "significand(b).as_unsigned()",
    _logic("fma"),
)  # fmt: skip
_plant("fma.py", "a guard bit of a fused sum too few", "GUARD_BITS = 2 ", "GUARD_BITS = 1 ", _logic("fma"))
_plant(
    "fma.py", "subtracting adds",
    "-significand(c) if self.subtract else significand(c)", "significand(c)", _logic("fms"),
)  # fmt: skip
_plant(
    "fma.py", "a product of 0 keeps its place",
    "product_zero | (difference[-1] & ~addend_zero)", "difference[-1] & ~addend_zero",
    "test_fma.py::test_strata_of_wide_formats[fma-posit<8,2>]",
)  # fmt: skip
_plant("fma.py", "NaR of the addend is forgotten", "a.nar | b.nar | c.nar", "a.nar | b.nar", _logic("fma"))
_plant("divider.py", "x / 0 is a number", "a.nar | b.nar | b.zero", "a.nar | b.nar", _logic("div"))
_plant(
    "divider.py", "a division's remainder is not sticky",
    "((remainder ^ divisor).as_unsigned() ^ carries).any()", "0", _logic("div"),
)  # fmt: skip
_plant(
    "divider.py",
    "a quotient of −1/2 is one binade off",
    "outlier.eq(narrow & sign & low[-1])",
    "outlier.eq(0)",
    _logic("div"),
)
_plant("divider.py", "a row too few", "return fmt.fraction_bits + 3", "return fmt.fraction_bits + 2", _logic("div"))
_plant(
    "root.py",
    "the root of a negative number is a number",
    "a.zero, a.nar | a.sign\n",
    "a.zero, a.nar\n",
    _logic("sqrt"),
)
_plant("root.py", "odd scales are taken for even", "odd = a.scale[0]", "odd = ~a.scale[0]", _logic("sqrt"))
_plant(
    "root.py", "a root's remainder is not sticky",
    "raw.sticky.eq(~(remainder ^ Cat(Const(0, 1), root)).all())", "raw.sticky.eq(0)", _logic("sqrt"),
)  # fmt: skip

# Iterative units: counters and handshakes ------------------------------------------------------------

_DIVISIONS = "test_divider.py::test_iterative_divider_of_all_pairs[posit<5,3>-2]"
_STALLED_DIVISIONS = "test_divider.py::test_iterative_divider_under_stalls_and_resets[posit<16,2>-2]"
_ROOTS = "test_root.py::test_iterative_root_of_every_code[posit<5,3>-2]"
_STALLED_ROOTS = "test_root.py::test_iterative_root_under_stalls_and_resets[posit<16,2>-4]"

_plant("divider.py", "the counter of digits begins one late", "digits.eq(1)", "digits.eq(2)", _DIVISIONS)
_plant(
    "divider.py", "valid falls while the result waits",
    "self.o.valid.eq(done)", "self.o.valid.eq(done & self.i.valid)", _STALLED_DIVISIONS,
)  # fmt: skip
_plant(
    "divider.py", "a pair enters before the result is taken",
    "~busy | (done & self.o.ready)", "~busy | done", _STALLED_DIVISIONS,
)  # fmt: skip
_plant(
    "divider.py",
    "reset does not end a division",
    "busy = Signal()",
    "busy = Signal(reset_less=True)",
    _STALLED_DIVISIONS,
)
_plant(
    "root.py", "an iterative root of a negative number is a number", "nar.eq(a.nar | a.sign)", "nar.eq(a.nar)", _ROOTS
)
_plant("root.py", "a result changes while it waits", "with m.Elif(~done):", "with m.Else():", _STALLED_ROOTS)
_plant(
    "root.py", "ready and valid swapped",
    "self.i.ready.eq(~busy | (done & self.o.ready))", "self.i.ready.eq(~busy | (done & self.i.valid))", _STALLED_ROOTS,
)  # fmt: skip

# Streams, the quire and its units ---------------------------------------------------------------------

_MACS = "test_mac.py::test_dot_products"
_DEEP_MAC = "test_mac.py::test_depth_changes_no_bit[15]"
_DOTS = "test_dot.py::test_dot_products[3 lanes, mixed formats]"
_DEEP_DOTS = "test_dot.py::test_dot_products[4 lanes, all stages]"
_PROGRAMS = "test_quire_unit.py::test_programs"

_plant(
    "pipeline.py", "the result that is kept is overwritten",
    "    with m.If(~waits):\n        m.d.sync += kept.eq(result)", "    m.d.sync += kept.eq(result)", _DEEP_MAC,
)  # fmt: skip
_plant("pipeline.py", "items enter although two results wait", "enable.eq(~(waits & valid))", "enable.eq(1)", _DEEP_MAC)
_plant(
    "pipeline.py",
    "valid falls while a result waits",
    "waits.eq(o.valid & ~o.ready)",
    "waits.eq(valid & ~o.ready)",
    _DEEP_MAC,
)
_plant("pipeline.py", "a pipeline moves while it stands still", "if self._enable is None:", "if True:", _DEEP_MAC)
_plant("pipeline.py", "a stage loses the flag of what is in it", "full.eq(self.valid)", "full.eq(1)", _DEEP_MAC)
_plant(
    "quire.py", "the carry between segments is lost",
    'delayed(f"carry_{index}", following[-1])]', "Const(0, 1)]", _DEEP_MAC,
)  # fmt: skip
_plant(
    "quire.py", "the quire is not cleared",
    "ResetSignal() | (self.enable & counts & clear)", "ResetSignal()", _DEEP_MAC,
)  # fmt: skip
_plant(
    "quire.py", "reset does not clear the accumulator",
    "ResetSignal() | (self.enable & counts & clear)", "self.enable & counts & clear",
    "../sim/test_bench.py::test_streams_under_stalls_and_resets[mac]",
)  # fmt: skip
_plant(
    "quire.py", "products are not extended by their sign",
    "added = Cat(added, sign.replicate(len(bits) - width))", "added = Cat(added, Const(0, len(bits) - width))",
    _DEEP_MAC,
)  # fmt: skip
_plant("quire.py", "NaR is forgotten before the end", "(total_nar | nar) & ~clear)", "nar & ~clear)", _DEEP_MAC)
_plant("quire.py", "NaR stays after the end", "(total_nar | nar) & ~clear)", "total_nar | nar)", _DEEP_MAC)
_plant("quire.py", "a lane is dropped", "pair.eq(x + y + carries", "pair.eq(x + carries", _DOTS)
_plant(
    "quire.py",
    "the lanes' carries are lost between segments",
    "carries = [*carry_outs,",
    "carries = [*[Const(0, 1)] * len(carry_outs),",
    _DEEP_DOTS,
)
_plant(
    "quire_path.py",
    "NaR of the first lane alone counts",
    "Cat(term.nar for term in terms).any()",
    "terms[0].nar",
    _DOTS,
)
_plant(
    "quire_path.py",
    "each reading clears",
    "accumulator.clear.eq(flags[1])",
    "accumulator.clear.eq(flags[0])",
    _PROGRAMS,
)
_plant("quire_unit.py", "negation is forgotten", '(negated ^ one["NEGATE"]) & ~clear', "negated & ~clear", _PROGRAMS)
_plant(
    "quire_unit.py", "an operation that waits negates once a cycle",
    "with m.If(enable & self.i_valid):", "with m.If(self.i_valid):", _PROGRAMS,
)  # fmt: skip
_plant(
    "quire_unit.py",
    "subtracting a number adds it",
    '(one["SUBTRACT"] | one["MULTIPLY_SUBTRACT"])',
    'one["MULTIPLY_SUBTRACT"]',
    _PROGRAMS,
)
_plant("quire_unit.py", "operations that are not offered count", "enable & self.i_valid", "enable", _PROGRAMS)
_plant("quire_rounder.py", "what lies above the window is not looked at", "overflow ^ sign)", "sign)", _MACS)
_plant(
    "quire_rounder.py",
    "what lies below the window is not sticky",
    "lowest=self.total[:low].any()",
    "lowest=Const(0, 1)",
    _MACS,
)
_plant(
    "quire_rounder.py",
    "a word's number off by one",
    "Const(self._top_word - at, ",
    "Const(self._top_word - at - 1, ",
    _MACS,
)
_plant(
    "quire_rounder.py",
    "the fine shift's sticky bit is dropped",
    "self.raw.sticky.eq(sticky | lost)",
    "self.raw.sticky.eq(sticky)",
    _MACS,
)
_plant("term.py", "words above a negative product are not filled", "product[-1] & is_below", "0", _MACS)
_plant(
    "term.py",
    "even and odd words are swapped",
    "placed.even.eq(Mux(odd, high, low))",
    "placed.even.eq(Mux(odd, low, high))",
    _MACS,
)

_CHAINS = "test_chain.py::test_dot_products"
_ALIGNED = "test_aligned.py::test_dot_products"

_plant(
    "chain.py",
    "the accumulator is not cleared",
    'total.eq(total.shape().const({"zero": 1}))',
    "total.eq(total_next)",
    _CHAINS,
)
_plant("chain.py", "the product is not rounded", "if isinstance(spec.accumulator, Rounded):", "if not spec:", _CHAINS)
_plant("chain.py", "NaR of the sum so far is forgotten", "term.nar | total.nar", "term.nar", _CHAINS)
_plant(
    "chain.py",
    "the lesser term is aligned one place off",
    "Mux(swapped, left >> 1, right)",
    "Mux(swapped, left, right)",
    _CHAINS,
)
_plant(
    "aligned.py",
    "the scale of −2^k is that of its significand",
    "lead.eq(scale + Cat(minus_twos[0] ^ minus_twos[1], minus_twos[0] & minus_twos[1]))",
    "lead.eq(scale)",
    _ALIGNED,
)
_plant(
    "aligned.py",
    "terms far below the grid come around again",
    "kept.eq(~amount[levels:].any())",
    "kept.eq(1)",
    _ALIGNED,
)
_plant("aligned.py", "the lowest bits' carry is lost", "+ (x[0] & y[0])", "", _ALIGNED)
_plant(
    "aligned.py",
    "the largest scale is one of zeros",
    "return Cat(scale[:-1], ~scale[-1], nonzero)",
    "return Cat(scale[:-1], ~scale[-1])",
    _ALIGNED,
)

# Order, conversions, tables ---------------------------------------------------------------------------

_plant(
    "order.py",
    "codes compared as unsigned integers",
    "less, equal = self.a.as_signed() < self.b.as_signed()",
    "less, equal = self.a < self.b",
    _logic("compare"),
)
_plant("order.py", "equal is not less or equal", '"le": less | equal', '"le": less', _logic("compare"))
_plant(
    "order.py",
    "the greater for the lesser",
    "self.b.as_signed(), self.a, self.b)",
    "self.b.as_signed(), self.b, self.a)",
    _logic("min"),
)
_plant(
    "order.py",
    "the magnitude without its unit",
    "sign.replicate(self.fmt.n)) + sign)",
    "sign.replicate(self.fmt.n)))",
    _logic("abs"),
)
_plant(
    "order.py", "the sign of NaR is −1", "self.a[:-1].any(), self.a[-1])", "self.a.any(), self.a[-1])", _logic("sign")
)
_CUT_SHORT = "test_conversions.py::test_convert_every_code_of_16_bits[posit<16,2>-posit<8,2>]"
_plant(
    "convert.py",
    "beyond maxpos lies NaR",
    "guard & (body[0] | sticky) & ~high",
    "guard & (body[0] | sticky)",
    _CUT_SHORT,
)
_plant(
    "convert.py", "below minpos lies 0", "Mux(low, guard | sticky, guard", "Mux(low, guard & sticky, guard", _CUT_SHORT
)
_plant(
    "integers.py",
    "an integral posit's ties go up alone",
    "total.eq(a + mask[1:] + odd)",
    "total.eq(a + mask[1:])",
    _logic("round-to-int"),
)
_plant("integers.py", "the lowest integer is a number", "nar=nothing & sign", "nar=Const(0, 1)", _logic("from-int"))
_plant(
    "integers.py",
    "what is too large for an integer wraps",
    "excess=excess | raw.nar",
    "excess=raw.nar",
    "test_conversions.py::test_integers_of_every_width[to-int-posit<8,2>-8-True]",
)
_plant(
    "integers.py",
    "an integer's ties away from zero",
    "(shifted[below - 1] & (integer[0] | sticky))",
    "shifted[below - 1]",
    _logic("to-int"),
)
_plant(
    "floats.py",
    "infinity is a number",
    "nar = exponent.all()",
    "nar = exponent.all() & fraction.any()",
    _logic("from-float"),
)
_plant(
    "floats.py",
    "the bias off by one",
    "return (1 << (exponent_bits - 1)) - 1",
    "return 1 << (exponent_bits - 1)",
    _logic("to-float"),
)
_plant("floats.py", "a signaling nan", "nan = infinity | 1 << (width - 1)", "nan = infinity | 1", _logic("to-float"))
_plant(
    "rom.py",
    "an entry of a table is wrong",
    "codes = table(self.fmt, self.function).tolist()",
    "codes = [*table(self.fmt, self.function).tolist()]\n        codes[-2] ^= 1",
    _logic("function"),
)

# The array, its buffers and its buses -----------------------------------------------------------------

_BUFFERS = "test_buffers.py::test_blocks_and_passes[4]"
_SEQUENCES = "test_sequencer.py::test_random_jobs"
_ARRAY = "test_array.py::test_tiles_back_to_back[16]"
_GEMM = "test_gemm.py::test_products_of_random_shapes_under_stalls"

_plant("buffers.py", "a ring one row short", "== self.depth - 1", "== self.depth - 2", _BUFFERS)
_plant(
    "buffers.py",
    "a pass begins where the last one ended",
    "Mux(self.rewind, oldest, next_read + 1)",
    "next_read + 1",
    _BUFFERS,
)
_plant(
    "buffers.py",
    "rows are read that are not there",
    "self.available.eq((next_read + 1)[: len(written)] != written)",
    "self.available.eq(1)",
    _BUFFERS,
)
_plant(
    "buffers.py", "a full ring is written", "write.en.eq(self.i.valid & ~full)", "write.en.eq(self.i.valid)", _BUFFERS
)
_plant("buffers.py", "what was set aside is lost", "Mux(spared, spare, self.i.payload)", "self.i.payload", _GEMM)
_plant(
    "axi.py",
    "lanes in the wrong order",
    "word_select(lane, lane_bits",
    "word_select(self.lanes - 1 - lane, lane_bits",
    "test_axi.py::test_a_beat_is_a_row_in_memory",
)
_plant(
    "axi.py",
    "tlast is missing",
    "self.axis.tlast.eq(self.i.payload.last)",
    "self.axis.tlast.eq(0)",
    "test_axi.py::test_a_beat_is_a_row_in_memory",
)
_plant("registers.py", "strobes are not heeded", "(word & mask) | (member & ~mask)", "word", "test_registers.py")
_plant(
    "registers.py",
    "settings can be written while locked",
    "with m.If(write & ~self.locked):",
    "with m.If(write):",
    "test_registers.py",
)
_plant(
    "registers.py",
    "an address without a register is answered well",
    "bus.rdata.eq(0), bus.rresp.eq(SLVERR)",
    "bus.rdata.eq(0), bus.rresp.eq(OKAY)",
    "test_registers.py",
)
_plant(
    "registers.py",
    "a response is withdrawn before it is taken",
    "with m.If(bus.bvalid & bus.bready):",
    "with m.If(bus.bvalid):",
    "test_registers.py",
)
_plant(
    "registers.py",
    "a setting's wrong value after reset",
    "Out(WORD, init=register.value)",
    "Out(WORD, init=register.value ^ 1)",
    "test_registers.py",
)
_plant(
    "gemm_registers.py",
    "two bits of a register are swapped",
    'Field("done", 1, 1,',
    'Field("done", 2, 1,',
    "test_gemm.py::test_registers_in_the_documentation",
)
_plant("sequencer.py", "a bias ends a tile", "product.last & ~bias_a & ~bias_b", "product.last", _SEQUENCES)
_plant(
    "sequencer.py",
    "B is kept after its last pass",
    "keep_b.eq(job.hold_b & ~row.last)",
    "keep_b.eq(job.hold_b)",
    _SEQUENCES,
)
_plant(
    "sequencer.py", "a count off by one", "self.last.eq(self.count == 2)", "self.last.eq(self.count == 1)", _SEQUENCES
)
_plant(
    "array.py",
    "last steps too close for the rounders",
    "gap.eq(self.rows - 1)",
    "gap.eq(0)",
    "test_array.py::test_tiles_back_to_back",
)
_plant(
    "array.py",
    "a tile's first row is marked as its last",
    "self.o.last.eq(row_count == self.rows - 1)",
    "self.o.last.eq(row_count == 0)",
    _ARRAY,
)
_plant(
    "array.py",
    "the columns' codes do not wait for the last",
    "drain.code, self.columns - 1 - column)",
    "drain.code, 0)",
    _ARRAY,
)
_plant(
    "engine.py",
    "a bias times what the ring holds",
    "operand.eq(Mux(one, ones, ring.row))",
    "operand.eq(ring.row)",
    _GEMM,
)
_plant(
    "engine.py",
    "each tile's last row ends the job",
    "array.o.payload.last & final_is_next",
    "array.o.payload.last",
    "test_gemm.py::test_tlast_of_tiles_and_of_jobs",
)
_plant(
    "gemm.py",
    "a soft reset spares the engine",
    "domain.rst.eq(ResetSignal() | reset)",
    "domain.rst.eq(ResetSignal())",
    "test_gemm.py::test_reset_at_any_moment",
)
_plant(
    "gemm.py",
    "sums beyond the quire are not rejected",
    "job.steps <= capacity - 2",
    "job.steps <= capacity",
    "test_gemm.py::test_jobs_that_are_rejected",
)


# A board's link -------------------------------------------------------------------------------------

_plant(
    "uart.py", "a start bit is not looked at again",
    "with m.If(bit):\n                    m.next = \"IDLE\"", "with m.If(0):\n                    m.next = \"IDLE\"",
    "test_board.py::test_a_short_pulse_is_no_start_bit",
)  # fmt: skip
_plant(
    "uart.py", "a byte without a stop bit is a byte",
    "self.valid.eq(bit), self.broken.eq(~bit)", "self.valid.eq(1), self.broken.eq(0)",
    "test_board.py::test_a_byte_without_a_stop_bit_spoils_its_frame",
)  # fmt: skip
_plant(
    "framing.py", "a frame's check is not looked at",
    "check.match_detected & ~bad", "~bad", "test_board.py::test_what_is_dropped",
)  # fmt: skip
_plant(
    "framing.py", "a frame may be too long",
    " & (self.position <= MOST_CONTENTS)", "", "test_board.py::test_a_frame_with_too_long_a_body_is_dropped",
)  # fmt: skip
_plant(
    "framing.py", "an escaped byte is sent as it is",
    "Mux(escaped, byte ^ FLIP,", "Mux(escaped, byte,", "test_board.py::test_product_through_frames",
)  # fmt: skip
_plant(
    "exchange.py", "an unfinished beat outlives its exchange",
    "[filled.eq(0), arriving.eq(0), self.index.eq(0)", "[arriving.eq(0), self.index.eq(0)",
    "test_board.py::test_a_beat_that_was_not_filled",
)  # fmt: skip
_plant(
    "link.py", "a request that is repeated is not answered",
    "with m.If(~greeting & right & repeat)", "with m.If(0)",
    "test_board.py::test_a_request_is_done_once_and_answered_twice",
)  # fmt: skip
_plant(
    "link.py", "requests of another session are done",
    "right.eq(greeted & (self._session == session))", "right.eq(greeted)", "test_board.py::test_what_is_dropped",
)  # fmt: skip
_plant(
    "link.py", "both operands are fetched at once",
    "b.granted.eq(b.want & ~a.want)", "b.granted.eq(b.want)", "test_board.py::test_product_through_frames",
)  # fmt: skip
_plant(
    "link.py", "high addresses wrap",
    "refuse.eq(address[PAGE + 1 :].any())", "refuse.eq(0)", "test_board.py::test_addresses_that_are_refused[8192]",
)  # fmt: skip
_plant(
    "bus_master.py", "a write is answered as a read",
    "Mux(self.write, bus.bresp, bus.rresp)", "bus.rresp", "test_board.py::test_addresses_that_are_refused[4092]",
)  # fmt: skip
_plant(
    "bus_master.py", "a write reads too",
    "(bus.arvalid, bus.arready, ~self.write)", "(bus.arvalid, bus.arready, 1)",
    "test_board.py::test_product_through_frames",
)  # fmt: skip


if __name__ == "__main__":
    print(table(RTL_FAULTS), end="")
