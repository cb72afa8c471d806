"""Table 4: LeNet-5 on Fashion-MNIST in 8 bits throughout, without and with a quire.

python experiments/table4.py --data-root DIR
"""

from __future__ import annotations

import sys

from tables import Cell, main, rounded_sums

THEIRS = {0: (10.00, 15.12), 1: (12.54, 15.41), 2: (12.55, 19.39)}

CELLS = [
    Cell(f"es {es}", column, theirs, policy)
    for es, (without, quire) in THEIRS.items()
    for column, theirs, policy in (
        ("no quire", without, rounded_sums(8, es)),
        ("quire", quire, f"O8/{es}-L8/{es}-FBG8/{es}q"),
    )
]

if __name__ == "__main__":
    sys.exit(main("table4", "LeNet-5 on Fashion-MNIST, 8 bits throughout", CELLS))
