"""Table 3: LeNet-5 on Fashion-MNIST in one format throughout, without a quire.

python experiments/table3.py --data-root DIR [--only "16 bits" "10 bits"] [--seeds 0 1 2]
"""

from __future__ import annotations

import sys

from tables import Cell, main, rounded_sums

THEIRS = {
    16: (88.23, 90.87, 90.55),
    12: (66.66, 90.15, 90.26),
    10: (19.86, 88.15, 88.52),
    9: (11.65, 84.65, 82.50),
    8: (10.00, 12.54, 12.55),
}

CELLS = [
    Cell(f"{n} bits", f"es {es}", theirs, rounded_sums(n, es))
    for n, row in THEIRS.items()
    for es, theirs in enumerate(row)
]

if __name__ == "__main__":
    sys.exit(main("table3", "LeNet-5 on Fashion-MNIST, one format, no quire", CELLS, note="float32: theirs 90.28"))
