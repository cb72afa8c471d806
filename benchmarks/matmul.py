"""The golden quire matmul against PyTorch's float32 matmul, in one process, and against integer arithmetic.

    python benchmarks/matmul.py [--size 1024] [--turns 5] [--json]

The codes of posit<8,2> are also compared with a matrix product in 64-bit integers, all of them.
"""

from __future__ import annotations

import argparse
import json

import numpy as np
import torch
from timing import in_turns, machine

import positcore as pc


def integer_matmul(fmt: pc.PositFormat, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Codes of a @ b from int64 sums in units of minpos²; an error where 63 bits would not hold them."""
    x, y = fmt.decode(a), fmt.decode(b)
    unit = fmt.minpos
    if (np.abs(x) @ np.abs(y)).max() / unit**2 >= 2**62:
        raise ValueError("the sums do not fit 64-bit integers")
    sums = (x / unit).astype(np.int64) @ (y / unit).astype(np.int64)
    kept = (sums >> 10) | (sums & 1023 != 0)  # 53 bits and a sticky bit decide the rounding
    wide = np.abs(sums) >= 2**53
    return fmt.encode(np.where(wide, kept * 1024.0, sums.astype(np.float64)) * unit**2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rng, size = np.random.default_rng(1), args.size
    rows = []
    for fmt in (pc.PositFormat(8, 2), pc.PositFormat(16, 2), pc.PositFormat(32, 2)):
        spec = pc.MacSpec(fmt)
        a, b = (fmt.encode(rng.normal(size=(size, size))) for _ in range(2))
        x, y = (torch.from_numpy(fmt.decode(codes)).float() for codes in (a, b))
        seconds = in_turns(
            {"float32": lambda x=x, y=y: x @ y, "quire": lambda spec=spec, a=a, b=b: pc.matmul(spec, a, b)},
            args.turns,
            calls=8,
        )
        equal = None
        if fmt.n == 8:
            equal = bool(np.array_equal(pc.matmul(spec, a, b), integer_matmul(fmt, a, b)))
        ratio = seconds["quire"] / seconds["float32"]
        rows.append({"format": str(fmt), **seconds, "ratio": ratio, "equals_integers": equal})
    if args.json:
        print(json.dumps({"machine": machine(), "size": size, "rows": rows}, indent=2))
        return
    print(", ".join(f"{key} {value}" for key, value in machine().items()))
    print(f"{size}³, normal data   torch float32     quire   ratio   equals integers")
    for row in rows:
        verdict = {None: "not compared", True: "all codes", False: "NO"}[row["equals_integers"]]
        print(
            f"{row['format']:<19} {row['float32'] * 1e3:>10.1f} ms {row['quire'] * 1e3:>6.1f} ms "
            f"{row['ratio']:>7.2f}   {verdict}"
        )


if __name__ == "__main__":
    main()
