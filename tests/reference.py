"""What the tests compare with: exact rational arithmetic on codes, one number at a time, and sets of codes to try."""

from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np

import positcore as pc
from positcore.rational import round_fraction, value_of

SMALL_FORMATS = [
    fmt
    for n in range(2, 7)
    for es in range(5)
    for fmt in (pc.PositFormat(n, es), pc.PositFormat(n, es, underflow=True), pc.PositFormat(n, es, flush=n - 2))
]
BYTE_FORMATS = [pc.PositFormat(8, es) for es in range(3)] + [
    pc.PositFormat(8, 2, underflow=True), pc.PositFormat(8, 1, flush=0), pc.PositFormat(8, 2, flush=3)
]  # fmt: skip

LARGE_FORMATS = [pc.PositFormat(16, 2, flush=5), pc.PositFormat(32, 2, flush=64)] + [
    pc.PositFormat(n, es, u)
    for n, es, u in [
        (9, 3, False), (10, 2, False), (12, 2, True), (13, 4, False), (16, 0, False), (16, 1, False), (16, 2, False),
        (16, 4, True), (24, 2, False), (27, 0, False), (28, 1, True), (32, 0, False), (32, 2, False), (32, 4, False),
    ]
]  # fmt: skip

value = lru_cache(maxsize=1 << 18)(value_of)
rounded = lru_cache(maxsize=1 << 18)(round_fraction)


def format_id(x: Any) -> str | None:
    """Readable test ids: `posit<8,2>`."""
    return str(x) if isinstance(x, pc.PositFormat | pc.MacSpec) else None


def exact(fmt: pc.PositFormat, function: Callable[..., Fraction | None], *codes: int) -> int:
    """The code that `function` of the operands' exact values rounds to; NaR if an operand is, or the result is None."""
    operands = [value(fmt, int(code)) for code in codes]
    if any(x is None for x in operands):
        return fmt.nar
    result = function(*operands)
    return fmt.nar if result is None else rounded(fmt, result)


def all_pairs(fmt: pc.PositFormat) -> tuple[np.ndarray, np.ndarray]:
    codes = np.arange(1 << fmt.n, dtype=fmt.dtype)
    a, b = np.meshgrid(codes, codes, indexing="ij")
    return a.ravel(), b.ravel()


def special_codes(fmt: pc.PositFormat) -> np.ndarray:
    """0, NaR, ±minpos, ±maxpos, ±1 and their neighbors, and both signs of every regime length."""
    positive = {1, 2, fmt.maxpos_code, fmt.maxpos_code - 1, fmt.nar >> 1, (fmt.nar >> 1) + 1, (fmt.nar >> 1) - 1}
    for length in range(1, fmt.n):
        run = (1 << length) - 1 << (fmt.n - 1 - length)
        positive |= {run, run ^ fmt.maxpos_code, (run | 1), (run ^ fmt.maxpos_code) | 1}
    positive = {c for c in positive if 0 < c <= fmt.maxpos_code}
    codes = {0, fmt.nar} | positive | {-c & fmt.mask for c in positive}
    return np.array(sorted(codes), fmt.dtype)


def some_pairs(fmt: pc.PositFormat, rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of special codes (a sample, if many), random codes, and codes that nearly cancel."""
    special = special_codes(fmt)
    a, b = (x.ravel() for x in np.meshgrid(special, special))
    if a.size > count:
        chosen = rng.choice(a.size, count, replace=False)
        a, b = a[chosen], b[chosen]
    c, d = rng.integers(0, 1 << fmt.n, (2, count))
    near = -c + rng.integers(-2, 3, count) & fmt.mask
    return (np.concatenate(x).astype(fmt.dtype) for x in ((a, c, c), (b, d, near)))


def exact_matmul(spec: pc.MacSpec, a: np.ndarray, b: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
    """The matrix product in rationals, each output rounded once."""
    out = np.empty((a.shape[0], b.shape[1]), spec.out.dtype)
    starts = None if bias is None else np.broadcast_to(bias, out.shape)
    rows = [[value(spec.a, int(c)) for c in row] for row in a]
    columns = [[value(spec.b, int(c)) for c in column] for column in b.T]
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            start = Fraction(0) if starts is None else value(spec.a, int(starts[i, j]))
            if start is None or any(x is None for x in row) or any(y is None for y in column):
                out[i, j] = spec.out.nar
            else:
                out[i, j] = rounded(spec.out, sum((x * y for x, y in zip(row, column, strict=True)), start))
    return out
