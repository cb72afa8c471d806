"""Planted faults in the golden model, and for each the ordinary tests that must fail when it is there.

`tests/test_planted_faults.py` plants them one at a time in a copy of the package; `python tests/faults.py` prints the
table of `docs/verification.md`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["FAULTS", "Fault", "table"]


@dataclass(frozen=True)
class Fault:
    """One wrong edit of a source file.

    Parameters
    ----------
    name : str
        What is wrong, in words.
    path : str
        The file, inside `positcore/`.
    old, new : str
        The fragment that is replaced, and by what.
    tests : tuple of str
        Node ids inside `tests/` that pass without the fault; at least one of them must fail with it.
    count : int
        How often `old` occurs; every occurrence is replaced.
    """

    name: str
    path: str
    old: str
    new: str
    tests: tuple[str, ...]
    count: int = 1

    def planted(self, text: str) -> str:
        """The source with the fault; an AssertionError where the fragment is not found as often as it should."""
        found = text.count(self.old)
        assert found == self.count, f"{self.name}: {self.path} has the fragment {found} times, not {self.count}"
        return text.replace(self.old, self.new)


FAULTS: list[Fault] = []


def _plant(path: str, name: str, old: str, new: str, *tests: str, **options: Any) -> None:
    FAULTS.append(Fault(name, path, old, new, tests, **options))


# The codec -----------------------------------------------------------------------------------------

_TIES = "test_codec.py::test_encode_at_ties_and_beside_them"

_plant(
    "codec.py", "ties away from zero",
    "half = (1 << (dropped - 1)) - 1 + ((word >> dropped) & 1)", "half = 1 << (dropped - 1)",
    f"{_TIES}[posit<8,2>]",
)  # fmt: skip
_plant(
    "codec.py", "ties toward zero",
    "half = (1 << (dropped - 1)) - 1 + ((word >> dropped) & 1)", "half = (1 << (dropped - 1)) - 1",
    f"{_TIES}[posit<8,2>]",
)  # fmt: skip
_plant(
    "codec.py", "a tie by value, the arithmetic mean, where one exponent bit is cut off",
    "half = (1 << (dropped - 1)) - 1 + ((word >> dropped) & 1)",
    "half = (1 << (dropped - 1)) - 1 + ((word >> dropped) & 1) - ((1 << (dropped - 3)) if dropped == 62 - es else 0)",
    f"{_TIES}[posit<8,2>]",
)  # fmt: skip
_plant(
    "codec.py", "a lost sticky bit: the last twenty bits of a float64 are not looked at",
    "(scaled & ((1 << (52 + es)) - 1)) << (9 - es)", "(scaled >> 20 << 20 & ((1 << (52 + es)) - 1)) << (9 - es)",
    f"{_TIES}[posit<8,2>]",
)  # fmt: skip
_plant(
    "codec.py", "an off-by-one saturation: one regime beyond maxpos",
    "(1023 + top) << 52) - _BIAS  # scale", "(1023 + top + (1 << es)) << 52) - _BIAS  # scale",
    f"{_TIES}[posit<8,2>]",
)  # fmt: skip
_plant(
    "codec.py", "what is below minpos becomes 0",
    "code = 0 if size <= flushed else code", "code = 0 if size < (1023 - top) << 52 else code",
    f"{_TIES}[posit<8,2>]",
)  # fmt: skip
_plant(
    "codec.py", "infinity is a number",
    "return -(1 << (n - 1)) if size >= _INFINITY else code", "return -(1 << (n - 1)) if size > _INFINITY else code",
    "test_codec.py::test_infinity_and_nan_encode_to_nar",
)  # fmt: skip
_plant(
    "codec.py", "NaR decodes to a number",
    "return np.nan if code == -(1 << (n - 1)) else value", "return value",
    "test_codec.py::test_decode[posit<8,2>]",
)  # fmt: skip
_plant(
    "codec.py", "values rounded without a code: the last bit of a regime of zeros is taken for 0",
    "last = (scaled >> dropped) & 1 if room > 0 else negative & 1",
    "last = (scaled >> dropped) & 1 if room > 0 else 0",
    "test_codec.py::test_round_values_equals_encode_then_decode[posit<6,2>]",
)  # fmt: skip
_plant(
    "format.py", "flush: the threshold itself becomes 0",
    "return 0 if self.flush is None else ((1023 - self.max_scale - self.flush) << 52) - 1",
    "return 0 if self.flush is None else (1023 - self.max_scale - self.flush) << 52",
    f"{_TIES}[posit<8,2>f3]",
)  # fmt: skip
_plant(
    "format.py", "underflow: a power of two too early",
    "return (1023 - self.max_scale - (1 << self.es)) << 52", "return (1024 - self.max_scale - (1 << self.es)) << 52",
    f"{_TIES}[posit<8,2>u]",
)  # fmt: skip

# The scalar reference, by the tests of its definition ------------------------------------------------

_plant(
    "rational.py", "the reference's tie by value",
    "code = min(round(body), fmt.maxpos_code)",
    "code = min((c for c in (int(body), int(body) + 1) if 0 < c <= fmt.maxpos_code), default=fmt.maxpos_code, "
    "key=lambda c: (abs(value_of(fmt, c) - x), c & 1))",
    "test_scalar.py::test_rounding_turns_at_the_encoding_between_two_neighbors[posit<8,2>]",
)  # fmt: skip
_plant(
    "rational.py", "the reference reads cut-off exponent bits as the low ones",
    "exponent=exponent << (fmt.es - exponent_bits)", "exponent=exponent",
    "test_scalar.py::test_value",
)  # fmt: skip
_plant(
    "rational.py", "the reference's minpos becomes 0",
    "return code if fmt.underflow else max(code, 1)", "return code",
    "test_scalar.py::test_extremes[posit<8,2>]",
)  # fmt: skip

# Exact operations ------------------------------------------------------------------------------------

_PAIRS = "test_arithmetic.py::test_some_pairs"

_plant(
    "odd.py", "rounding to odd goes to the wrong side",
    "step = (float_bits(error) ^ bits) >> 63 | 1", "step = -((float_bits(error) ^ bits) >> 63 | 1)",
    "test_arithmetic.py::test_products_next_to_ties[posit<32,2>]",
)  # fmt: skip
_plant(
    "odd.py", "rounding to odd moves odd numbers too",
    "inexact = error != 0.0 and bits & 1 == 0", "inexact = error != 0.0",
    "test_arithmetic.py::test_products_next_to_ties[posit<32,2>]",
)  # fmt: skip
_plant(
    "odd.py", "the error of a sum is dropped",
    "return s, (x - (s - t)) + (y - t)", "return s, 0.0 * s",
    "test_arithmetic.py::test_products_next_to_ties[posit<32,2>]",
)  # fmt: skip
_plant(
    "odd.py", "the error of a product is dropped",
    "return p, fused_multiply_add(x, y, -p)", "return p, 0.0 * p",
    "test_arithmetic.py::test_products_next_to_ties[posit<32,2>]",
)  # fmt: skip
_plant(
    "odd.py", "the sign of a division's remainder",
    "error = remainder if y > 0.0 else -remainder", "error = remainder",
    f"{_PAIRS}[posit<32,2>-div]",
)  # fmt: skip
_plant(
    "odd.py", "roots of negative numbers",
    "r = np.sqrt(x)", "r = np.sqrt(abs(x))",
    "test_arithmetic.py::test_sqrt[posit<8,2>]",
)  # fmt: skip
_plant(
    "odd.py", "the error of a root is dropped",
    "adjust_to_odd(r, fused_multiply_add(-r, r, x))", "r",
    "test_arithmetic.py::test_sqrt[posit<32,2>]",
)  # fmt: skip
_plant(
    "odd.py", "fma rounded to nearest first",
    "return adjust_to_odd(r, w if w != 0.0 else v)", "return r",
    "test_arithmetic.py::test_products_next_to_ties[posit<28,2>]",
)  # fmt: skip
_plant(
    "odd.py", "64-bit integers through float64",
    "np.float64(kept) * 2048.0", "np.float64(m)",
    "test_integers.py::test_a_second_rounding_is_caught",
)  # fmt: skip
_plant(
    "arithmetic.py", "sub that adds",
    '_on_codes("sub", difference_into, fmt, a, b)', '_on_codes("sub", sum_into, fmt, a, b)',
    "test_arithmetic.py::test_all_pairs[posit<4,1>-sub]",
)  # fmt: skip
_plant(
    "arithmetic.py", "a negated code longer than n bits",
    " & codes.dtype.type(fmt.mask)", "",
    "test_arithmetic.py::test_neg_is_exact_and_leaves_zero_and_nar",
)  # fmt: skip
_plant(
    "arithmetic.py", "an item that serves many places starts anew in each block",
    "(k + 1) * each - skipped", "(k + 1) * each",
    "test_arithmetic.py::test_items_that_serve_many_places[shape0]",
)  # fmt: skip
_plant(
    "threads.py", "an item between two threads is lost",
    "work(bounds[0], bounds[1])", "work(bounds[0], bounds[1] - 1)",
    "test_codec.py::test_any_thread_count_gives_the_same_codes",
)  # fmt: skip

# float32 lanes -------------------------------------------------------------------------------------

_LANES = "test_single.py::test_nearest_of_float32_is_that_of_float64"

_plant(
    "single.py", "ties of float32 toward zero",
    "b.add(b.add(scaled, half), last)", "b.add(scaled, half)",
    f"{_LANES}[posit<8,2>]",
)  # fmt: skip
_plant(
    "single.py", "a clamp of float32 one regime beyond maxpos",
    "b.shl(b.shl(b.sub(n, _I32(2)), es), _I32(23))", "b.shl(b.shl(b.sub(n, _I32(1)), es), _I32(23))",
    f"{_LANES}[posit<8,2>]",
)  # fmt: skip
_plant(
    "single.py", "rounding of float32 to odd goes to the wrong side",
    "b.or_(b.ashr(b.xor(error, bits), _I32(31)), _I32(1))",
    "b.or_(b.ashr(b.xor(b.not_(error), bits), _I32(31)), _I32(1))",
    "test_single.py::test_an_error_decides_a_tie",
)  # fmt: skip
_plant(
    "single.py", "float32 where products leave its range",
    "products = spec.a.max_scale + spec.b.max_scale", "products = spec.a.max_scale",
    "test_single.py::test_where_float32_is_taken",
)  # fmt: skip


# Order, integers, floats, text -----------------------------------------------------------------------

_plant(
    "comparison.py", "codes compared as unsigned integers",
    "return (x << shift).view(signed), (y << shift).view(signed)", "return x << shift, y << shift",
    "test_comparison.py::test_comparisons_follow_the_values[posit<8,2>]",
)  # fmt: skip
_plant(
    "comparison.py", "NaR is not less than numbers",
    'return np.less(*_signed_pair(fmt, a, b, "less"))',
    'return np.less(*_signed_pair(fmt, a, b, "less")) & (np.asarray(a) != fmt.nar)',
    "test_comparison.py::test_comparisons_follow_the_values[posit<8,2>]",
)  # fmt: skip
_plant(
    "comparison.py", "the sign of NaR",
    "return np.where((codes == 0) | (codes == fmt.nar), codes, signs)", "return np.where(codes == 0, codes, signs)",
    "test_comparison.py::test_abs_and_sign[posit<8,2>]",
)  # fmt: skip
_plant(
    "integers.py", "ties to the greater integer",
    "return _integral(fmt, np.rint, codes)", "return _integral(fmt, lambda x: np.floor(x + 0.5), codes)",
    "test_integers.py::test_integral_posits[posit<8,2>-round_to_int]",
)  # fmt: skip
_plant(
    "integers.py", "the most negative integer is a number",
    "values[wide == np.iinfo(array.dtype).min] = np.nan", "pass",
    "test_integers.py::test_the_most_negative_integer_is_that_of_the_dtype",
)  # fmt: skip
_plant(
    "integers.py", "unsigned integers end where signed ones do",
    "else (0.0, 2.0**bits)", "else (0.0, 2.0 ** (bits - 1))",
    "test_integers.py::test_to_int[posit<32,2>-uint8]",
)  # fmt: skip
_plant(
    "floats.py", "bfloat16 rounded twice",
    "rounded = (odd + np.uint32(0x7FFF) + (odd >> 16 & 1)) >> 16",
    "rounded = (bits + np.uint32(0x7FFF) + (bits >> 16 & 1)) >> 16",
    "test_floats.py::test_wide_posits_are_rounded_once",
)  # fmt: skip
_plant(
    "floats.py", "infinity becomes maxpos",
    "return encode(fmt, array)", "return encode(fmt, np.nan_to_num(array.astype(np.float64), nan=np.nan))",
    "test_floats.py::test_from_float[posit<8,2>-float16]",
)  # fmt: skip
_plant(
    "text.py", "decimals through float64",
    'return round_fraction(fmt, -magnitude if sign == "-" else magnitude)',
    'return round_fraction(fmt, Fraction(float(-magnitude if sign == "-" else magnitude)))',
    "test_text.py::test_a_decimal_is_rounded_once",
)  # fmt: skip
_plant(
    "text.py", "digits are cut off where they should be rounded",
    "for d in (below, below + 1)", "for d in (below,)",
    "test_text.py::test_no_shorter_decimal_reads_back",
)  # fmt: skip

# Functions -------------------------------------------------------------------------------------------

_plant(
    "elementary.py", "Ziv's loop believes the first evaluation",
    "todo = todo[below != above]", "todo = todo[:0]",
    "test_functions.py::test_precision_is_raised_until_a_code_is_proven",
)  # fmt: skip
_plant(
    "elementary.py", "exact results are not decided beforehand",
    '"log2": Elementary(_log2, _logarithms, _positive)', '"log2": Elementary(_log2, _nowhere, _positive)',
    "test_functions.py::test_function[posit<5,2>-log2]",
)  # fmt: skip
_plant(
    "elementary.py", "an odd function mirrored as an even one",
    "mirrored if function.parity > 0 else negated", "mirrored",
    "test_functions.py::test_function[posit<8,2>-tanh]",
)  # fmt: skip
_plant(
    "functions.py", "the logarithm to the wrong base",
    'return _look_up(fmt, "log2", a)', 'return _look_up(fmt, "log", a)',
    "test_functions.py::test_function[posit<6,1>-log2]",
)  # fmt: skip
_plant(
    "tables.py", "a table is read from a damaged file",
    " or content[:_HASH_BYTES] != _hash(fmt, name, payload)", "",
    "test_functions.py::test_a_damaged_file_is_made_anew",
)  # fmt: skip
_plant(
    "approximations.py", "the bit trick shifts by one",
    ">> fmt.dtype.type(2)", ">> fmt.dtype.type(1)",
    "test_approximations.py::test_sigmoid[posit<8,0>]",
)  # fmt: skip
_plant(
    "approximations.py", "the bit trick's sigmoid of NaR is a number",
    "return np.where(codes == fmt.nar, codes, flipped)", "return flipped",
    "test_approximations.py::test_sigmoid[posit<8,0>]",
)  # fmt: skip

# The quire's matrix product --------------------------------------------------------------------------

_plant(
    "gemm/filter.py", "a bound without its K",
    "roundings = (length + 2) * float(np.finfo(dtype).eps) / 2", "roundings = 3 * float(np.finfo(dtype).eps) / 2",
    "gemm/test_filter.py::test_the_bound_grows_with_the_length_and_the_bias",
)  # fmt: skip
_plant(
    "gemm/filter.py", "the bound of float64 for sums in float32",
    "relative = relative_bound(sums.dtype, length)", "relative = relative_bound(np.dtype(np.float64), length)",
    "gemm/test_filter.py::test_the_bound_grows_with_the_length_and_the_bias",
)  # fmt: skip
_plant(
    "gemm/filter.py", "the size of the bias is forgotten",
    "bound = relative * (row * columns[j] + size)", "bound = relative * (row * columns[j])",
    "gemm/test_filter.py::test_the_bound_grows_with_the_length_and_the_bias",
)  # fmt: skip
_plant(
    "gemm/doubt.py", "codes in doubt are taken for proven",
    "if not doubtful.size:", "if True:",
    "gemm/test_quire.py::test_ties_alone_and_broken[posit<8,2>]",
)  # fmt: skip
_plant(
    "gemm/certificate.py", "54 bits fit a float64",
    "<= lsb * 2.0**53", "<= lsb * 2.0**54",
    "gemm/test_certificate.py::test_a_sum_of_54_bits_is_not_certified",
)  # fmt: skip
_plant(
    "gemm/certificate.py", "the bias does not count",
    "size = size + np.abs(bias)", "size = size + 0.0",
    "gemm/test_certificate.py::test_a_bias_counts",
)  # fmt: skip
_plant(
    "gemm/compensated.py", "the errors of the sums are dropped",
    "errors[lane] += e + f", "errors[lane] += e",
    "gemm/test_compensated.py::test_a_tie_that_float64_cannot_tell_is_told[posit<32,2>-64]",
)  # fmt: skip
_plant(
    "gemm/compensated.py", "the errors of adding the lanes up are dropped",
    "errors[lane] += errors[width + lane] + e", "errors[lane] += errors[width + lane]",
    "gemm/test_compensated.py::test_a_tie_that_float64_cannot_tell_is_told[posit<32,2>-1]",
)  # fmt: skip
_plant(
    "gemm/compensated.py", "a bound of zero",
    "bound = relative * (sizes[s] + abs(bias[s]))", "bound = 0.0 * (sizes[s] + abs(bias[s]))",
    "gemm/test_compensated.py::test_total_cancellation_stays_in_doubt",
)  # fmt: skip
_plant(
    "superaccumulator.py", "carries between limbs are lost",
    "carry = total >> 32", "carry = 0",
    "test_superaccumulator.py::test_sums_are_exact_and_rounded_to_odd[0]",
)  # fmt: skip
_plant(
    "superaccumulator.py", "the sticky bit of the low limbs is lost",
    "sticky = sticky or limbs[i] != 0", "sticky = sticky or limbs[i] < 0",
    "test_superaccumulator.py::test_every_alignment_and_a_far_sticky_bit[40]",
)  # fmt: skip
_plant(
    "superaccumulator.py", "bins overfilled",
    "_SAFE = 1 << (53 - 15 - _SHORT)", "_SAFE = 1 << (53 - 8 - _SHORT)",
    "test_superaccumulator.py::test_bins_are_emptied_before_they_overflow",
)  # fmt: skip

# Accumulators that round at every step ---------------------------------------------------------------

_STEPS = "gemm/test_accumulators.py::test_against_the_definition"

_plant(
    "gemm/fused.py", "a sequential accumulator in the wrong order",
    "for k in range(a.shape[1]):", "for k in range(a.shape[1] - 1, -1, -1):",
    f"{_STEPS}[posit<8,2>-posit<8,2>-fused-normal]",
    count=2,
)  # fmt: skip
_plant(
    "gemm/fused.py", "a sum rounded to nearest before it is rounded to the format",
    "nearest(to_odd(s, e), n, es, flushed)", "nearest(s, n, es, flushed)",
    "gemm/test_accumulators.py::test_a_tie_that_only_the_sum_so_far_breaks[posit<16,2>]",
)  # fmt: skip
_plant(
    "gemm/fused.py", "a sum with a product wider than float64 rounded to nearest first",
    "nearest(to_odd(r, w if w != 0.0 else v), n, es, flushed)", "nearest(r, n, es, flushed)",
    "gemm/test_accumulators.py::test_a_tie_that_only_the_sum_so_far_breaks[posit<32,2>]",
)  # fmt: skip
_plant(
    "gemm/rounded.py", "the product is not rounded",
    "nearest(x * row[j], n, es, flushed)", "x * row[j]",
    f"{_STEPS}[posit<8,2>-posit<8,2>-rounded-normal]",
)  # fmt: skip
_plant(
    "gemm/aligned.py", "truncation toward zero",
    "total[j] += np.floor(x * row[j] * factors[j])", "total[j] += np.trunc(x * row[j] * factors[j])",
    f"{_STEPS}[posit<8,2>-posit<8,2>-aligned(1 lanes, 6 bits)-normal]",
)  # fmt: skip
_plant(
    "gemm/aligned.py", "a grid one bit too coarse",
    "float_from_bits(((2046 + width) << 52) - float_bits(factors[j]))",
    "float_from_bits(((2045 + width) << 52) - float_bits(factors[j]))",
    f"{_STEPS}[posit<8,2>-posit<8,2>-aligned(1 lanes, 6 bits)-normal]",
)  # fmt: skip
_plant(
    "gemm/aligned.py", "a short chunk is left out",
    "for first in range(0, a.shape[1], lanes):", "for first in range(0, a.shape[1] - lanes + 1, lanes):",
    f"{_STEPS}[posit<8,2>-posit<8,2>-aligned(4 lanes, 14 bits)-normal]",
    count=4,
)  # fmt: skip
_plant(
    "gemm/aligned.py", "the scale of a product taken after normalization",
    "factors[j] = max(factors[j], x * _power(row[j]))", "factors[j] = max(factors[j], _power(a[k] * row[j]))",
    f"{_STEPS}[posit<16,2>-posit<16,2>-aligned(1 lanes, 6 bits)-normal]",
)  # fmt: skip
_plant(
    "gemm/stepwise.py", "the bias is not rounded to the output's format",
    "sums[:] = round_values(spec.out, np.asarray(bias, np.float64))", "sums[:] = bias",
    f"{_STEPS}[posit<16,4>-posit<12,3>-fused-normal]",
)  # fmt: skip

# Convolutions ----------------------------------------------------------------------------------------

_PATCHES = "gemm/test_convolution.py::test_unfold_fold_and_gather"
_CONVOLUTIONS = "gemm/test_convolutions.py::TestAgainstRationals"

_plant(
    "gemm/convolution.py", "the kernel is not turned",
    "weight[:, :, ::-1, ::-1].transpose(1, 0, 2, 3)", "weight.transpose(1, 0, 2, 3)",
    f"{_CONVOLUTIONS}::test_input_gradient[((2,3),(2,1),(0,1),1,2)-8-fused]",
)  # fmt: skip
_plant(
    "gemm/patches.py", "padding off by one",
    "pv - first * sv, ph, *self.dilation", "pv - first * sv, ph + 1, *self.dilation",
    _PATCHES,
)  # fmt: skip
_plant(
    "gemm/patches.py", "stride and dilation swapped",
    "*self.stride, pv - first * sv, ph, *self.dilation", "*self.dilation, pv - first * sv, ph, *self.stride",
    _PATCHES,
)  # fmt: skip
_plant(
    "gemm/patches.py", "each tile of output rows begins at the first",
    "pv - first * sv, ph, *self.dilation", "pv, ph, *self.dilation",
    f"{_CONVOLUTIONS}::test_forward[((2,3),(2,1),(0,1),1,2)-8-fused]",
)  # fmt: skip
_plant(
    "gemm/patches.py", "the last column of a patch is taken for padding",
    "(width - 1 - left) // stride + 1", "(width - 1 - left) // stride",
    _PATCHES,
)  # fmt: skip

# Sums and quires -------------------------------------------------------------------------------------

_plant(
    "reductions.py", "a mean rounded twice",
    'sums = _sums(fmt, rows, count if name == "mean" else 1)',
    'sums = fmt.decode(fmt.encode(_sums(fmt, rows, 1))) / (count if name == "mean" else 1)',
    "test_reductions.py::test_sum_and_mean[posit<8,2>]",
)  # fmt: skip
_plant(
    "reductions.py", "a mean's remainder is not carried from limb to limb",
    "total = (remainder << 32) + limbs[i]", "total = limbs[i]",
    "test_reductions.py::test_a_mean_next_to_a_tie[posit<32,2>]",
)  # fmt: skip
_plant(
    "reductions.py", "slices of more bits than float64 sums exactly",
    "(_BLOCK_BITS + 1 - 53) << 52", "(1 - 53) << 52",
    "test_reductions.py::test_cancellation_within_a_block[posit<32,2>]",
)  # fmt: skip
_plant(
    "words.py", "a carry stops after three words",
    "elif carry == 0:\n            break", "elif carry == carry:\n            break",
    "test_quire_array.py::test_cancellation[posit<32,2>]",
)  # fmt: skip
_plant(
    "words.py", "a quire does not wrap at its width",
    "<< (32 + spare) >> (32 + spare)) & _LOW", "<< 32 >> 32) & _LOW",
    "test_quire_array.py::test_carry_widths[31]",
)  # fmt: skip
_plant(
    "words.py", "NaR does not stay when a product is added",
    "if _is_nar(row, spare):\n            continue\n        x = decode_bits", "x = decode_bits",
    "test_quire_array.py::test_nar_stays",
)  # fmt: skip
_plant(
    "words.py", "bits below the window are not looked at",
    "window |= 1 if rest else 0", "window |= 0",
    "test_quire_array.py::test_rounding[posit<16,2>]",
)  # fmt: skip

_plant(
    "quire.py", "subtracting from a quire adds",
    'return self._add_products("subtract", codes, None, negative=True)',
    'return self._add_products("subtract", codes, None, negative=False)',
    r"test_quire_array.py::test_every_operation[posit<2,0> \u2192 posit<2,0>, quire]",
)  # fmt: skip
_plant(
    "mac.py", "a quire's capacity one product too large",
    "return (1 << self.carry_bits) - 1", "return 1 << self.carry_bits",
    "test_mac.py::test_capacity",
)  # fmt: skip

# NumPy's names ---------------------------------------------------------------------------------------

_plant(
    "ufuncs.py", "np.maximum and np.minimum swapped",
    "np.maximum: comparison.maximum, np.minimum: comparison.minimum",
    "np.maximum: comparison.minimum, np.minimum: comparison.maximum",
    "test_arrays.py::test_orders_on_all_pairs[posit<6,1>]",
)  # fmt: skip
_plant(
    "ufuncs.py", "np.fmin prefers NaR",
    "np.fmin: _least_number", "np.fmin: comparison.minimum",
    "test_arrays.py::test_orders_on_all_pairs[posit<6,1>]",
)  # fmt: skip
_plant(
    "ufuncs.py", "np.floor cuts toward zero",
    "np.floor: integers.floor", "np.floor: integers.trunc",
    "test_arrays.py::test_unary_ufuncs_on_all_codes[posit<6,1>-floor]",
)  # fmt: skip
_plant(
    "ufuncs.py", "np.nextafter goes the wrong way",
    "up = comparison.less(fmt, a, b)", "up = comparison.less(fmt, b, a)",
    "test_arrays.py::test_orders_on_all_pairs[posit<6,1>]",
)  # fmt: skip


def table(faults: list[Fault] = FAULTS) -> str:
    """Faults as a table in Markdown: what is wrong, in which file, and the tests that catch it."""
    lines = ["| fault | in `positcore/` | caught by, in `tests/` |", "|---|---|---|"]
    for fault in faults:
        caught = dict.fromkeys(test.split("[")[0] for test in fault.tests)
        lines.append(f"| {fault.name} | `{fault.path}` | {', '.join(f'`{test}`' for test in caught)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(table(), end="")
