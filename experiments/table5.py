"""Table 5: LeNet-5 on Fashion-MNIST, posit(8,2) with quires, but for the optimizer (O) and the loss (L).

python experiments/table5.py --data-root DIR
"""

from __future__ import annotations

import sys

from tables import Cell, main

LOSS_OF_8 = {16: 88.14, 12: 88.06, 10: 86.07, 9: 84.80, 8: 19.39}
OPTIMIZER_OF_12 = {16: 90.03, 12: 90.07, 10: 90.13, 9: 89.35, 8: 88.0}

CELLS = [
    *(Cell(f"{n} bits", "O with L8", theirs, f"O{n}-L8-FBG8q") for n, theirs in LOSS_OF_8.items()),
    *(Cell(f"{n} bits", "L with O12", theirs, f"O12-L{n}-FBG8q") for n, theirs in OPTIMIZER_OF_12.items()),
]

if __name__ == "__main__":
    sys.exit(main("table5", "LeNet-5 on Fashion-MNIST, FBG8q, wider optimizer and loss", CELLS))
