"""`selftest`: products on a board against the golden model, corner cases first."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from positcore.format import PositFormat
from positcore.fpga.board.host import Board
from positcore.fpga.board.serial_link import LinkStatistics
from positcore.gemm import matmul
from positcore.text import code_text

__all__ = ["SelfTest", "check_amount", "selftest"]

Codes = NDArray[np.unsignedinteger[Any]]
LONGEST = 256  # steps of a product, unless the buffers are to be passed

_MAKERS: dict[str, Callable[[np.random.Generator, PositFormat, tuple[int, int]], Any]] = {
    "any code": lambda rng, fmt, shape: rng.integers(0, 1 << fmt.n, shape),
    "no NaR": lambda rng, fmt, shape: _numbers(rng.integers(0, 1 << fmt.n, shape), fmt),
    "zeros": lambda rng, fmt, shape: np.zeros(shape, np.int64),
    "NaR alone": lambda rng, fmt, shape: np.full(shape, fmt.nar),
    "extremes": lambda rng, fmt, shape: rng.choice([1, fmt.nar - 1, fmt.nar + 1, fmt.mask], shape),
    "tiny": lambda rng, fmt, shape: rng.choice([0, 1, fmt.mask], shape),
    "one NaR": lambda rng, fmt, shape: _with_nar(rng, fmt, shape),
}


@dataclass(frozen=True)
class SelfTest:
    """What a self-test came to.

    Parameters
    ----------
    spec : str
    products, codes, terms : int
        Matrix products, their elements, and the products of codes in them.
    differing : int
        Elements that differ from the golden model.
    first : str
        The first of these, or nothing.
    seconds : float
    link : LinkStatistics
        Of the test alone.
    """

    spec: str
    products: int
    codes: int
    terms: int
    differing: int
    first: str
    seconds: float
    link: LinkStatistics = field(default_factory=LinkStatistics)

    def json(self) -> str:
        """All figures, as JSON."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False)

    def __str__(self) -> str:
        link, seconds = self.link, max(self.seconds, 1e-9)
        return "\n".join(
            [
                f"{self.products} products of {self.spec}, {self.codes:,} codes compared with the golden model's, "
                f"{self.differing} differ",
                f"  frames      {link.requests + link.retries:,} sent, {link.retries:,} of them again; "
                f"{link.dropped:,} damaged and {link.foreign:,} late ones came",
                f"  sessions    {link.sessions} begun anew",
                f"  throughput  {self.terms / seconds:,.0f} products of codes a second, "
                f"{(link.bytes_sent + link.bytes_received) / seconds:,.0f} bytes a second, {self.seconds:.1f} s",
                *([f"  first       {self.first}"] if self.first else []),
            ]
        )


def check_amount(products: int, seed: int) -> None:
    """See, before a board is opened, that a self-test can be made of so many products with a seed.

    Raises
    ------
    ValueError
        If not.
    """
    if products < 1:
        raise ValueError(f"selftest: products must be at least 1, not {products}")
    if seed < 0:
        raise ValueError(f"selftest: the seed must be 0 or more, not {seed}")


def selftest(
    board: Board, products: int = 50, seed: int = 0, progress: Callable[[int, int], object] | None = None
) -> SelfTest:
    """Compute matrix products on a board, and compare each code with the golden model's.

    First come the corner cases: one element; sizes just around the array's and, up to 1024 steps, the buffers'; the
    longest product that the quire holds, up to 256 steps; biases by rows and by columns; zeros, NaR, the extremes. Then
    come random sizes and codes.

    Parameters
    ----------
    board : Board
    products : int
        At least 1.
    seed : int
        Of sizes and codes; not negative.
    progress : callable, optional
        Called as progress(done, products) after each.

    Raises
    ------
    ValueError
        If products is less than 1, or the seed negative.
    BoardError
        If the board is gone.
    """
    check_amount(products, seed)
    spec, rng, began = board.spec, np.random.default_rng(seed), time.monotonic()
    before = asdict(board.statistics)
    codes = terms = differing = 0
    first = ""
    for number, (shape, bias_kind, kinds) in enumerate(_cases(board, rng, products), 1):
        m, k, n = shape
        a, b = (
            _MAKERS[kind](rng, fmt, size).astype(fmt.dtype)
            for kind, fmt, size in zip(kinds, (spec.a, spec.b), ((m, k), (k, n)), strict=True)
        )
        bias = _bias(board, rng, bias_kind, m, n)
        wanted, got = matmul(spec, a, b, bias), board.matmul(a, b, bias)
        codes, terms = codes + wanted.size, terms + m * k * n
        wrong = np.argwhere(wanted != got)
        if len(wrong) and not first:
            i, j = (int(x) for x in wrong[0])
            texts = [code_text(spec.out, int(x[i, j])) for x in (got, wanted)]
            first = (
                f"product {number} with seed {seed}: ({m}, {k}) x ({k}, {n}), {kinds[0]} times {kinds[1]}, bias by "
                f"{bias_kind}, element {i}, {j}: {texts[0]}, not {texts[1]}"
            )
        differing += len(wrong)
        if progress:
            progress(number, products)
    after = asdict(board.statistics)
    link = LinkStatistics(**{name: after[name] - before[name] for name in after})
    return SelfTest(str(spec), products, codes, terms, differing, first, time.monotonic() - began, link)


def _cases(
    board: Board, rng: np.random.Generator, products: int
) -> Iterator[tuple[tuple[int, int, int], str, tuple[str, str]]]:
    """Shapes (M, K, N), biases and kinds of codes: so many, corner cases first."""
    r, c, depth = board.rows, board.columns, board.depth
    most = min(board.spec.quire.capacity - 1, 1025)
    lengths = [min(k, most) for k in (1, 2, depth, depth + 1) if k <= 1025] + [min(LONGEST, most)]
    biases, kinds = ("nothing", "rows", "columns"), list(_MAKERS)
    corners = [((1, 1, 1), "nothing", ("no NaR", "no NaR"))]
    corners += [((r, k, c), biases[i % 3], ("any code", "no NaR")) for i, k in enumerate(lengths)]
    corners += [((m, 3, n), bias, ("no NaR",) * 2) for (m, n), bias in zip(
        ((r + 1, c), (r, c + 1), (2 * r + 1, 2 * c + 1)), biases, strict=True)]  # fmt: skip
    corners += [((r + 1, 5, c + 1), "rows", (kind, "no NaR")) for kind in kinds]
    corners += [((r + 1, 5, c + 1), "columns", ("no NaR", kind)) for kind in kinds]
    corners += [((r, min(LONGEST, most), c), "nothing", ("extremes", "extremes"))]
    yield from corners[:products]
    for _ in range(products - len(corners)):
        k = int(rng.integers(1, min(64, most) + 1))
        shape = int(rng.integers(1, 3 * r + 1)), k, int(rng.integers(1, 3 * c + 1))
        yield shape, str(rng.choice(biases)), (str(rng.choice(kinds)), str(rng.choice(kinds)))


def _bias(board: Board, rng: np.random.Generator, kind: str, m: int, n: int) -> Codes | None:
    """A bias of A's format; by columns only where its codes are B's, too."""
    fmt = board.spec.a
    if kind == "nothing" or (kind == "columns" and fmt != board.spec.b):
        return None
    shape = (m, 1) if kind == "rows" else (1, n)
    return _MAKERS["no NaR"](rng, fmt, shape).astype(fmt.dtype)


def _numbers(codes: Any, fmt: PositFormat) -> Any:
    return np.where(codes == fmt.nar, 0, codes)


def _with_nar(rng: np.random.Generator, fmt: PositFormat, shape: tuple[int, int]) -> Any:
    codes = _numbers(rng.integers(0, 1 << fmt.n, shape), fmt)
    codes.reshape(-1)[rng.integers(codes.size)] = fmt.nar
    return codes
