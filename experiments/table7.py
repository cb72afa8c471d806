"""Table 7: float32 beside mixed posits on MNIST, Fashion-MNIST (LeNet-5) and CIFAR-10 (CifarNet).

python experiments/table7.py --data-root DIR [--only Fashion-MNIST] [--seeds 0 1 2]
"""

from __future__ import annotations

import sys

from tables import Cell, main

THEIRS = {
    "float32": (99.21, 90.28, 70.79, 92.64),
    "O16-L16-FBG8q": (99.19, 90.46, 71.30, 92.65),
    "O16-L12-FBG8q": (99.17, 90.14, 71.09, 92.83),
    "O12-L12-FBG8q": (99.20, 90.07, 68.28, 91.22),
}

COLUMNS = (
    ("MNIST", "mnist", "lenet5", 10, "accuracy"),
    ("Fashion-MNIST", "fashion-mnist", "lenet5", 10, "accuracy"),
    ("CIFAR-10 top 1", "cifar10", "cifarnet", 20, "accuracy"),
    ("CIFAR-10 top 3", "cifar10", "cifarnet", 20, "top3"),
)

CELLS = [
    Cell(policy, column, theirs, policy, data, model, epochs, score)
    for policy, row in THEIRS.items()
    for (column, data, model, epochs, score), theirs in zip(COLUMNS, row, strict=True)
]

if __name__ == "__main__":
    sys.exit(main("table7", "Float32 and mixed posits", CELLS, note="CIFAR-100, of the thesis's table, is not here."))
