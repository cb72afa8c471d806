"""Arrays of codes: float64 to codes, codes to float64, and floats rounded to posit values.

The three kernels work on the bits of a float64, branch-free, so that the compiler vectorises them. A
float64 that was *rounded to odd* stands for the exact number it came from: posits of n ≤ 32 have at
most 30 significand bits, so rounding it to a code is rounding the exact number
(Boldo and Melquiond, "Emulation of FMA and correctly rounded sums", 2008).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from positcore.format import PositFormat
from positcore.jit import count_leading_zeros, float_bits, float_from_bits, kernel
from positcore.threads import run_split

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "check_codes", "decode", "decode_into", "encode", "encode_bits", "encode_into", "exact_codes", "round_into",
    "round_value", "round_values",
]  # fmt: skip

_GRAIN = 1 << 16
_BIAS = 1023 << 52
_MAGNITUDE = (1 << 63) - 1
_INFINITY = 0x7FF << 52
_NAN = 0x7FF8 << 48


@kernel
def encode_bits(bits: int, n: int, es: int, flushed: int) -> int:
    """The code, as a sign-extended int64, of the float64 whose bits these are; 0 for magnitudes up to `flushed`.

    A magnitude is first brought between minpos and maxpos, so that regime and terminator fit the code.
    """
    top = (n - 2) << es
    size = bits & _MAGNITUDE
    scaled = min(max(size, (1023 - top) << 52), (1023 + top) << 52) - _BIAS  # scale · 2^52 + fraction
    k = scaled >> (52 + es)
    run = k ^ (k >> 63)
    seed = -(1 << 62) if k >= 0 else 1 << 61  # the regime's last two bits, 10 or 01, below a copy of the first
    word = seed | ((scaled & ((1 << (52 + es)) - 1)) << (9 - es))
    dropped = 64 - n + run  # the arithmetic shift below repeats the regime's first bit
    half = (1 << (dropped - 1)) - 1 + ((word >> dropped) & 1)
    code = ((word + half) >> dropped) & ((1 << (n - 1)) - 1)
    code = -code if bits < 0 else code
    code = 0 if size <= flushed else code
    return -(1 << (n - 1)) if size >= _INFINITY else code


@kernel
def decode_bits(code: Any, n: int, es: int) -> float:
    """The float64 of a sign-extended code; nan for NaR."""
    magnitude = -code if code < 0 else code
    body = magnitude << (65 - n)
    run = count_leading_zeros(body ^ (body >> 63))
    k = run - 1 if body < 0 else -run
    tail = (body << (run + 1)) >> (12 - es) & ((1 << (52 + es)) - 1)
    value = float_from_bits((k << (52 + es)) + tail + _BIAS)
    value = -value if code < 0 else value
    value = 0.0 if code == 0 else value
    return np.nan if code == -(1 << (n - 1)) else value


@kernel
def encode_into(x: Any, n: int, es: int, flushed: int, out: Any) -> None:
    """out[i] ← code of x[i]; x float64, out of the format's dtype, both 1-D."""
    mask = (1 << n) - 1
    for i in range(x.size):
        out[i] = encode_bits(float_bits(x[i]), n, es, flushed) & mask


@kernel
def decode_into(codes: Any, n: int, es: int, out: Any) -> None:
    """out[i] ← value of codes[i]; out float64 (or float32, where the format fits), both 1-D."""
    unused = 64 - n
    for i in range(codes.size):
        out[i] = decode_bits(np.int64(codes[i]) << unused >> unused, n, es)


@kernel
def round_value(x: float, n: int, es: int, flushed: int) -> float:
    """The posit value nearest to x: what encoding and decoding it gives, in fewer steps.

    Within the range, scale · 2^52 + fraction is rounded as an integer, at the place where the code ends: after a
    regime of run + 2 bits there is room for n − 3 − run bits of exponent and fraction. Where there is no room at
    all, the code's last bit is the regime's, which is 0 for a run of ones and 1 for a run of zeros.
    """
    top = (n - 2) << es
    bits = float_bits(x)
    size = bits & _MAGNITUDE
    scaled = min(max(size, (1023 - top) << 52), (1023 + top) << 52) - _BIAS
    negative = scaled >> 63
    room = n - 3 - ((scaled >> (52 + es)) ^ negative)
    dropped = 52 + es - max(room, 0)
    last = (scaled >> dropped) & 1 if room > 0 else negative & 1
    rounded = (scaled + ((1 << (dropped - 1)) - 1) + last) >> dropped << dropped
    rounded = (rounded + _BIAS) | (bits & ~_MAGNITUDE)
    rounded = 0 if size <= flushed else rounded
    return float_from_bits(_NAN if size >= _INFINITY else rounded)


@kernel
def round_into(x: Any, n: int, es: int, flushed: int, out: Any) -> None:
    """out[i] ← x[i] rounded to a posit value; nan for NaR. Floats in and out, both 1-D."""
    for i in range(x.size):
        out[i] = round_value(np.float64(x[i]), n, es, flushed)


def encode(fmt: PositFormat, x: ArrayLike) -> NDArray[Any]:
    """Round an array of real numbers to codes, each correctly: nearest, ties to the even code.

    Parameters
    ----------
    fmt : PositFormat
    x : array_like of float16, float32, float64 or integers of at most 32 bits
        Infinities and nan give NaR.

    Returns
    -------
    ndarray of `fmt.dtype`, the shape of `x`

    Raises
    ------
    TypeError
        If `x` is of a kind that float64 does not hold exactly.
    """
    values = as_float64(x, "encode")
    codes = np.empty(values.shape, fmt.dtype)
    flat, out = values.reshape(-1), codes.reshape(-1)
    run_split(lambda i, j: encode_into(flat[i:j], fmt.n, fmt.es, fmt.flushed, out[i:j]), flat.size, _GRAIN)
    return codes


def decode(fmt: PositFormat, codes: ArrayLike, dtype: np.dtype[Any] | type = np.float64) -> NDArray[Any]:
    """The exact values of an array of codes; NaR gives nan.

    Parameters
    ----------
    fmt : PositFormat
    codes : array_like of unsigned integers below 2^n
    dtype : float64, or float32 where `fmt.tensor_dtype` is float32

    Returns
    -------
    ndarray of float64 (or `dtype`), the shape of `codes`

    Raises
    ------
    TypeError, ValueError
        If `codes` are not integers, or not codes of the format.
    """
    codes = check_codes(fmt, codes, "decode")
    values = np.empty(codes.shape, dtype)
    flat, out = codes.reshape(-1), values.reshape(-1)
    run_split(lambda i, j: decode_into(flat[i:j], fmt.n, fmt.es, out[i:j]), flat.size, _GRAIN)
    return values


def exact_codes(fmt: PositFormat, x: NDArray[Any]) -> NDArray[Any] | None:
    """The codes of floats that are all values of `fmt`, nan for NaR; None if one is not, and would be rounded."""
    codes = encode(fmt, x)
    back = decode(fmt, codes)
    return codes if ((back == x) | (np.isnan(back) & np.isnan(x))).all() else None


def round_values(fmt: PositFormat, x: NDArray[Any], dtype: np.dtype[Any] | None = None) -> NDArray[Any]:
    """Round floats to the nearest posit values, given as floats of `dtype` (that of `x` unless told)."""
    values = np.asarray(x, order="C")
    rounded = np.empty(values.shape, values.dtype if dtype is None else dtype)
    flat, out = values.reshape(-1), rounded.reshape(-1)
    run_split(lambda i, j: round_into(flat[i:j], fmt.n, fmt.es, fmt.flushed, out[i:j]), flat.size, _GRAIN)
    return rounded


def as_float64(x: ArrayLike, name: str) -> NDArray[np.float64]:
    """`x` as a contiguous float64 array, if float64 holds its kind exactly."""
    array = np.asarray(x)
    kind, size = array.dtype.kind, array.dtype.itemsize
    exact = (kind == "f" and size <= 8) or (kind in "iu" and (size <= 4 or _fits_53_bits(array))) or array.size == 0
    if not exact:
        raise TypeError(f"{name}: x must be real numbers that float64 holds exactly, not an array of {array.dtype}")
    return np.asarray(array, np.float64, order="C")


def _fits_53_bits(integers: NDArray[Any]) -> bool:
    return not integers.size or (int(integers.max()) <= 1 << 53 and int(integers.min()) >= -(1 << 53))


def check_codes(fmt: PositFormat, codes: ArrayLike, name: str) -> NDArray[Any]:
    """`codes` as a contiguous array of `fmt.dtype`, checked to be codes of the format."""
    array = np.asarray(codes)
    if array.dtype.kind not in "iu" and array.size:
        raise TypeError(
            f"{name}: codes of {fmt} must be unsigned integers, not {array.dtype}; "
            "PositFormat.encode turns numbers into codes"
        )
    fits = array.dtype == fmt.dtype and fmt.n == 8 * fmt.dtype.itemsize
    if not fits and array.size and (int(array.max()) > fmt.mask or int(array.min()) < 0):
        wrong = int(array.max()) if int(array.max()) > fmt.mask else int(array.min())
        raise ValueError(f"{name}: codes of {fmt} must be in 0..{fmt.mask}, not {wrong}")
    return np.asarray(array, fmt.dtype, order="C")
