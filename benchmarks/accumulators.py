"""Speed of the golden matmul for each accumulator, in million multiply-accumulates a second.

    python benchmarks/accumulators.py [--size 256] [--json]

"cancelling" and "ties" inputs are built so that nothing can be proven: every sum cancels to nothing but for one
product that float64 has lost, or to an exact tie. What an accumulator does on them shows its worst case.
"""

from __future__ import annotations

import argparse
import json

import numpy as np
from timing import in_turns, machine

import positcore as pc


def cancelling(fmt: pc.PositFormat, rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    """A and B with A·B = minpos², summed from products that cancel in pairs."""
    half = (size - 2) // 2
    a, b = rng.integers(1, fmt.maxpos_code, (size, half)), rng.integers(1, fmt.maxpos_code, (half, size))
    a, b = a.astype(fmt.dtype), b.astype(fmt.dtype)
    ones, zeros = np.ones((size, 1), fmt.dtype), np.zeros((size, 1), fmt.dtype)
    left = np.concatenate([a, pc.neg(fmt, a[:, ::-1]), ones, zeros], axis=1)
    return left, np.concatenate([b, b[::-1], ones.T, zeros.T], axis=0)


def ties(fmt: pc.PositFormat, rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    """A and B with all sums halfway between 1 and its neighbor, behind products that cancel in pairs."""
    a, b = cancelling(fmt, rng, size)
    a[:, -2:] = fmt.encode(1.0)
    b[-2:] = fmt.encode([[1.0], [2.0 ** -(fmt.fraction_bits + 1)]])
    return a, b


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rng, size = np.random.default_rng(1), args.size
    rows = []
    for fmt in (pc.PositFormat(8, 2), pc.PositFormat(16, 2), pc.PositFormat(32, 2)):
        inputs = {
            "normal": tuple(fmt.encode(rng.normal(size=(size, size))) for _ in range(2)),
            "cancelling": cancelling(fmt, rng, size),
            "ties": ties(fmt, rng, size),
        }
        for accumulator in (pc.Quire(), pc.Fused(), pc.Rounded(), pc.Aligned(4, 14), pc.Aligned(4, 64)):
            spec = pc.MacSpec(fmt, fmt, accumulator)
            for kind, (a, b) in inputs.items():
                seconds = in_turns({kind: lambda spec=spec, a=a, b=b: pc.matmul(spec, a, b)}, args.turns, calls=5)[kind]
                rows.append({"spec": str(spec), "inputs": kind, "mmac_per_s": size**3 / seconds / 1e6})
    if args.json:
        print(json.dumps({"machine": machine(), "size": size, "rows": rows}, indent=2))
        return
    print(", ".join(f"{key} {value}" for key, value in machine().items()))
    print(f"{size}³, {pc.get_num_threads()} threads; million multiply-accumulates a second")
    for row in rows:
        print(f"{row['spec']:<58} {row['inputs']:<10} {row['mmac_per_s']:>9,.0f}")


if __name__ == "__main__":
    main()
