"""A dot-product engine in plain Verilog around the exact MAC, with valid and ready, against the golden model.

python examples/dot_engine/run.py
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import positcore as pc

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from icarus import simulate

FMT = pc.PositFormat(8, 2)
LENGTHS = (1, 2, 3, 64, 17, 5, 64, 9, 1, 33, 8, 2)


def main() -> str:
    """What the test bench says, which begins with PASS."""
    from positcore.hw.emit import emit_verilog
    from positcore.hw.units import Design

    spec = pc.MacSpec(FMT)
    rng = np.random.default_rng(8)
    pairs = rng.integers(0, 1 << FMT.n, (len(LENGTHS), 64, 2), dtype=np.uint8)
    pairs[pairs == FMT.nar] = 0  # one NaR would make a whole dot product NaR
    dots = []
    for length, block in zip(LENGTHS, pairs, strict=True):
        code = int(pc.dot(spec, np.ascontiguousarray(block[:length, 0]), np.ascontiguousarray(block[:length, 1])))
        dots.append(f"{length << 8 | code:04x}")
    data = {
        "pairs.hex": "\n".join(f"{int(a):02x}{int(b):02x}" for a, b in pairs.reshape(-1, 2)),
        "dots.hex": "\n".join(dots),
    }
    unit = emit_verilog(Design.of("mac", FMT, 2))
    return simulate(Path(__file__).parent, {"posit_mac_8_2_quire31_s2.v": unit}, data)


if __name__ == "__main__":
    print(main())
