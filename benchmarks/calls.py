"""What a call costs beyond its float work, at the shapes of LeNet's layers, and what starting costs.

    python benchmarks/calls.py [--json]

Start-up is measured in processes of their own, with kernels compiled before; all else on one thread in this one.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

import numpy as np
from timing import in_turns, machine

import positcore as pc
from positcore.gemm.quire import quire_codes

SHAPES = [(1, 400, 120), (1, 120, 84), (1, 84, 10), (6, 25, 576), (16, 150, 64), (64, 120, 84), (64, 84, 10)]
STARTS = {
    "python alone": "pass",
    "import numpy": "import numpy",
    "import positcore": "import positcore",
    "first matmul, kernels compiled before": (
        "import positcore as pc; f = pc.posit8; pc.matmul(pc.MacSpec(f), f.encode([[1.0]]), f.encode([[1.0]]))"
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    pc.set_num_threads(1)
    rng, fmt = np.random.default_rng(1), pc.PositFormat(8, 2)
    spec, rows = pc.MacSpec(fmt), []
    for m, k, n in SHAPES:
        a, b = fmt.encode(rng.normal(size=(m, k))), fmt.encode(rng.normal(size=(k, n)))
        x, y = (fmt.decode(codes).astype(np.float32) for codes in (a, b))
        seconds = in_turns(
            {
                "float32": lambda x=x, y=y: x @ y,
                "values": lambda x=x, y=y: quire_codes(spec, x, y),
                "codes": lambda a=a, b=b: pc.matmul(spec, a, b),
            },
            args.turns,
            calls=200,
        )
        rows.append({"shape": f"{m}x{k}x{n}", **{name: time * 1e6 for name, time in seconds.items()}})
    starts = in_turns(
        {
            name: lambda code=code: subprocess.run([sys.executable, "-c", code], check=True)
            for name, code in STARTS.items()
        },
        3,
    )
    if args.json:
        print(json.dumps({"machine": machine(), "microseconds": rows, "start_seconds": starts}, indent=2))
        return
    print(", ".join(f"{key} {value}" for key, value in machine().items()))
    print(f"{fmt}, 1 thread, microseconds a call   NumPy float32   quire on values   pc.matmul on codes")
    for row in rows:
        print(f"{row['shape']:<38} {row['float32']:>12.1f} {row['values']:>17.1f} {row['codes']:>20.1f}")
    print("start-up, seconds a process")
    for name, time in starts.items():
        print(f"{name:<38} {time:>12.2f}")


if __name__ == "__main__":
    main()
