"""A cubic polynomial in plain Verilog, from three fused multiply-adds, against the golden model: all 256 codes.

python examples/polynomial/run.py
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import positcore as pc

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from icarus import simulate

FMT = pc.PositFormat(8, 2)
COEFFICIENTS = (0x40, 0x40, 0x38, 0x2B)  # as in polynomial.v, the constant one first


def expected() -> list[int]:
    """The polynomial of every code, rounded after each step as the units round."""
    x = np.arange(1 << FMT.n, dtype=FMT.dtype)
    total = np.full_like(x, COEFFICIENTS[3])
    for coefficient in reversed(COEFFICIENTS[:3]):
        total = pc.fma(FMT, total, x, np.full_like(x, coefficient))
    return [int(code) for code in total]


def main() -> str:
    """What the test bench says, which begins with PASS."""
    from positcore.hw.emit import emit_verilog
    from positcore.hw.units import Design

    unit = emit_verilog(Design.of("fma", FMT, 2))
    data = {"expected.hex": "\n".join(f"{code:02x}" for code in expected())}
    return simulate(Path(__file__).parent, {"posit_fma_8_2_s2.v": unit}, data)


if __name__ == "__main__":
    print(main())
