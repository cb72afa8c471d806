"""Table 6: LeNet-5 on Fashion-MNIST with fewer than 8 bits, plain and with underflow.

python experiments/table6.py --data-root DIR
"""

from __future__ import annotations

import sys

from tables import Cell, main

THEIRS = {7: (89.69, 89.81), 6: (88.47, 88.18), 5: (54.19, 80.20)}

CELLS = [
    Cell(f"FBG{n}", column, theirs, f"O12-L12-FBG{n}{variant}q")
    for n, row in THEIRS.items()
    for column, variant, theirs in zip(("plain", "underflow"), ("", "u"), row, strict=True)
]

if __name__ == "__main__":
    sys.exit(main("table6", "LeNet-5 on Fashion-MNIST, O12-L12, fewer than 8 bits", CELLS))
