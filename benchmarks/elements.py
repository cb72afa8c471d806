"""Speed of element operations on one core, in million elements a second, beside NumPy's float64 addition.

python benchmarks/elements.py [--size 1048576] [--json]
"""

from __future__ import annotations

import argparse
import json

import numpy as np
from timing import in_turns, machine

import positcore as pc


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=1 << 20)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    pc.set_num_threads(1)
    rng, size = np.random.default_rng(1), args.size
    rows = []
    for fmt in (pc.PositFormat(8, 2), pc.PositFormat(16, 2), pc.PositFormat(32, 2)):
        x, y, z = rng.normal(size=(3, size))
        a, b, c = (fmt.encode(v) for v in (x, y, z))
        candidates = {
            "NumPy float64 add": lambda x=x, y=y: x + y,
            "encode": lambda f=fmt, x=x: pc.encode(f, x),
            "decode": lambda f=fmt, a=a: pc.decode(f, a),
            "add": lambda f=fmt, a=a, b=b: pc.add(f, a, b),
            "mul": lambda f=fmt, a=a, b=b: pc.mul(f, a, b),
            "div": lambda f=fmt, a=a, b=b: pc.div(f, a, b),
            "sqrt": lambda f=fmt, a=a: pc.sqrt(f, a),
            "fma": lambda f=fmt, a=a, b=b, c=c: pc.fma(f, a, b, c),
            "convert to posit<16,1>": lambda f=fmt, a=a: pc.convert(f, pc.PositFormat(16, 1), a),
            "sum": lambda f=fmt, a=a: pc.sum(f, a),
        }
        if fmt.n <= 16:
            candidates["tanh"] = lambda f=fmt, a=a: pc.tanh(f, a)
        seconds = in_turns(candidates, args.turns, calls=5)
        base = seconds["NumPy float64 add"]
        for name, time in seconds.items():
            rows.append({"format": str(fmt), "operation": name, "m_per_s": size / time / 1e6, "ratio": time / base})
    if args.json:
        print(json.dumps({"machine": machine(), "size": size, "rows": rows}, indent=2))
        return
    print(", ".join(f"{key} {value}" for key, value in machine().items()))
    print(f"{size:,} elements, 1 thread; million a second, and the time as a multiple of NumPy's float64 addition")
    for row in rows:
        print(f"{row['format']:<12} {row['operation']:<24} {row['m_per_s']:>8,.0f} {row['ratio']:>8.1f}")


if __name__ == "__main__":
    main()
