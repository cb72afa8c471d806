"""Elementary functions proven to be correctly rounded: Ziv's loop over evaluations with a bound.

A function is evaluated by mpmath in p + 64 bits and taken to be right to a relative 2^−p. Where both ends of that
interval, themselves rounded to odd, round to one code, the code is proven; else p is doubled (Ziv 1991).
The 64 guard bits are the bound's margin: every formula below is a few operations of mpmath, each right to a
few units in its last place, without a subtraction of like numbers, and no argument enlarges a relative error
by more than 2^12.

The loop must not meet a result that is itself a posit or a tie: the rational results are decided exactly
beforehand. exp, expm1, log, log1p, tanh, sigmoid, softplus, sin and cos of other rationals are
transcendental (Lindemann-Weierstrass); 2^x, log2 and 1/√x of other dyadic numbers are no dyadic numbers. For
erf and gelu no such theorem is needed either: a loop that ends has proven its codes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from positcore.codec import decode, encode
from positcore.errors import MissingToolError
from positcore.format import PositFormat

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["FUNCTIONS", "Elementary", "proven_codes"]

_FIRST_PRECISION = 80
_LAST_PRECISION = 320  # ends below neglect less than 2^−400, relatively
_GUARD = 64
_ENDS = np.finfo(np.float64).max


@dataclass(frozen=True)
class Elementary:
    """One function: how it is evaluated, and where nothing is to be evaluated.

    Parameters
    ----------
    evaluate : callable
        From an mpf to an mpf, in mpmath's working precision.
    exact : callable
        From float64s to results that are exact there; nan elsewhere.
    domain : callable
        From float64s to where the function is real; outside the result is NaR.
    low, high : float
        Arguments beyond these give the same code of any format of n ≤ 16 as these.
    parity : int
        1 if even, −1 if odd, else 0.
    """

    evaluate: Callable[[Any], Any]
    exact: Callable[[NDArray[np.float64]], NDArray[np.float64]]
    domain: Callable[[NDArray[np.float64]], NDArray[np.bool_]] = np.isfinite
    low: float = -_ENDS
    high: float = _ENDS
    parity: int = 0


def proven_codes(fmt: PositFormat, name: str) -> NDArray[Any]:
    """The correctly rounded code of the function for each of the 2^n codes.

    Raises
    ------
    MissingToolError
        If mpmath is not installed.
    ArithmeticError
        If a code is not proven in 320 bits; no format of n ≤ 16 is known to do that.
    """
    function = FUNCTIONS[name]
    inputs = np.arange(1 << fmt.n, dtype=fmt.dtype)
    if function.parity:
        inputs = inputs[: fmt.nar + 1]
    x = np.clip(decode(fmt, inputs), function.low, function.high)
    with np.errstate(all="ignore"):
        known, real = function.exact(x), function.domain(x)
    codes = encode(fmt, np.where(real, known, np.nan))
    todo = np.flatnonzero(real & np.isnan(known))
    precision = _FIRST_PRECISION
    while todo.size:
        if precision > _LAST_PRECISION:
            raise ArithmeticError(f"{name}: {todo.size} results of {fmt} lie too near a tie to be rounded")
        low, high = _enclosures(function, x[todo], precision)
        below, above = encode(fmt, low), encode(fmt, high)
        codes[todo] = below
        todo = todo[below != above]
        precision *= 2
    if function.parity:
        mirrored = codes[1 : fmt.nar][::-1]
        negated = (-mirrored.astype(np.int64) & fmt.mask).astype(fmt.dtype)
        codes = np.concatenate([codes, mirrored if function.parity > 0 else negated])
    return codes


def _enclosures(
    function: Elementary, x: NDArray[np.float64], precision: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Bounds of the function at x, each rounded to odd in float64, from an evaluation to `precision` bits."""
    mp = _mpmath()
    low, high = np.empty(x.size), np.empty(x.size)
    with mp.workprec(precision + _GUARD):
        for i, value in enumerate(x.tolist()):
            low[i], high[i] = _odd_bounds(function.evaluate(mp.mpf(value)), precision)
    return low, high


def _odd_bounds(y: Any, precision: int) -> tuple[float, float]:
    """y·(1 ∓ 2^−precision), or a little more, in integers: each end rounded to odd in float64, smaller first."""
    sign, significand, exponent, _ = y._mpf_
    significand = int(significand) << (precision + 2)
    slack = (significand >> precision) + 1
    ends = [_odd(significand - slack, exponent - precision - 2), _odd(significand + slack, exponent - precision - 2)]
    return (-ends[1], -ends[0]) if sign else (ends[0], ends[1])


def _odd(significand: int, exponent: int) -> float:
    """significand · 2^exponent, positive, rounded to odd in float64."""
    drop = max(0, significand.bit_length() - 53)
    kept = significand >> drop | (1 if significand & ((1 << drop) - 1) else 0)
    return float(np.ldexp(float(kept), exponent + drop))


def _mpmath() -> Any:
    try:
        import mpmath
    except ImportError:
        raise MissingToolError("mpmath", "tables of functions", "pip install mpmath") from None
    return mpmath.mp


# Evaluations ---------------------------------------------------------------------------------------


def _called(name: str) -> Callable[[Any], Any]:
    """mpmath's own function: accurate relatively, for any argument."""
    return lambda x: getattr(_mpmath(), name)(x)


def _expm1(x: Any) -> Any:
    """e^x − 1 with as many more bits as the subtraction cancels."""
    mp = _mpmath()
    with mp.workprec(mp.prec + max(0, -mp.mag(x)) + 2):
        return mp.exp(x) - 1


def _log1p(x: Any) -> Any:
    """log(1 + x) with as many more bits as x has below 1."""
    mp = _mpmath()
    with mp.workprec(mp.prec + max(0, -mp.mag(x)) + 2):
        return mp.log(1 + x)


def _tanh(x: Any) -> Any:
    t = _expm1(2 * x)  # x > 0: the function is odd
    return t / (t + 2)


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + _mpmath().exp(-x))


def _softplus(x: Any) -> Any:
    """log(1 + e^x) = max(x, 0) + log1p(e^−|x|), a sum of positive numbers."""
    mp = _mpmath()
    if x > mp.prec:
        return x  # the rest is below 2^−1.4·prec
    return max(x, mp.zero) + _log1p(mp.exp(-abs(x)))


def _gelu(x: Any) -> Any:
    """x·Φ(x) = x·erfc(−x/√2)/2; an error of the argument grows by x² at most."""
    mp = _mpmath()
    if x > 24:
        return x  # Φ(x) is 1 but for 2^−415
    return x * mp.erfc(-x / mp.sqrt(2)) / 2


def _exp2(x: Any) -> Any:
    mp = _mpmath()
    return mp.exp(x * mp.ln2)


def _log2(x: Any) -> Any:
    mp = _mpmath()
    return mp.log(x) / mp.ln2


def _rsqrt(x: Any) -> Any:
    return 1 / _mpmath().sqrt(x)


# Exact results -------------------------------------------------------------------------------------


def _at(point: float, result: float) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    return lambda x: np.where(x == point, result, np.nan)


def _nowhere(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.full(x.shape, np.nan)


def _powers(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(x == np.rint(x), np.exp2(np.rint(x)), np.nan)


def _logarithms(x: NDArray[np.float64]) -> NDArray[np.float64]:
    half, exponent = np.frexp(x)
    return np.where(half == 0.5, exponent - 1.0, np.nan)


def _roots(x: NDArray[np.float64]) -> NDArray[np.float64]:
    half, exponent = np.frexp(x)
    power = exponent - 1
    return np.where((half == 0.5) & (power % 2 == 0), np.ldexp(1.0, -(power // 2)), np.nan)


def _positive(x: NDArray[np.float64]) -> NDArray[np.bool_]:
    return x > 0


FUNCTIONS = {
    "exp": Elementary(_called("exp"), _at(0, 1), low=-400, high=400),
    "exp2": Elementary(_exp2, _powers, low=-600, high=600),
    "expm1": Elementary(_expm1, _at(0, 0), low=-400, high=400),
    "log": Elementary(_called("log"), _at(1, 0), _positive),
    "log2": Elementary(_log2, _logarithms, _positive),
    "log1p": Elementary(_log1p, _at(0, 0), lambda x: x > -1),
    "tanh": Elementary(_tanh, _at(0, 0), high=400, parity=-1),
    "sigmoid": Elementary(_sigmoid, _at(0, 0.5), low=-400, high=400),
    "softplus": Elementary(_softplus, _nowhere, low=-400),
    "sin": Elementary(_called("sin"), _at(0, 0), parity=-1),
    "cos": Elementary(_called("cos"), _at(0, 1), parity=1),
    "erf": Elementary(_called("erf"), _at(0, 0), high=30, parity=-1),
    "gelu": Elementary(_gelu, _at(0, 0), low=-24),
    "rsqrt": Elementary(_rsqrt, _roots, _positive),
}
