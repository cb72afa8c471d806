"""What units that work row by row share: the cuts of their pipelines, and the radix of their iterative versions."""

from __future__ import annotations

__all__ = ["END_CUTS", "SHORTEST_CHAIN", "digits_per_cycle", "row_cuts", "spread_cuts"]

END_CUTS = ("computed", "decoded", "rounded")
SHORTEST_CHAIN = 5  # bits of the shortest addition for which Yosys takes ECP5's carry chain


def row_cuts(rows: int) -> tuple[str, ...]:
    """Where a unit of so many rows can be cut: after the last row, the decoder and the rounder, and between rows."""
    return END_CUTS + tuple(f"row_{row}" for row in range(1, rows))


def spread_cuts(rows: int, stages: int) -> tuple[str, ...]:
    """The cuts of `row_cuts`, those of `stages` registers first: the ends, and then rows that lie evenly apart."""
    inner = max(0, stages - len(END_CUTS))
    chosen = END_CUTS[:stages] + tuple(f"row_{rows * (index + 1) // (inner + 1)}" for index in range(inner))
    return chosen + tuple(cut for cut in row_cuts(rows) if cut not in chosen)


def digits_per_cycle(unit: str, radix: object) -> int:
    """The binary digits that one of the given radix holds: 1 or 2."""
    if isinstance(radix, bool) or not isinstance(radix, int):
        raise TypeError(f"{unit}: radix must be 2 or 4, not {radix!r}")
    if radix not in (2, 4):
        raise ValueError(f"{unit}: radix must be 2 or 4 (one or two binary digits a cycle), not {radix}")
    return radix.bit_length() - 1
