"""The README's Python is run, and what it says of results is compared."""

import ast
import re
from pathlib import Path

import numpy as np
import pytest
import torch

TEXT = (Path(__file__).parent.parent / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


def test_numbers():
    space = {}
    exec(BLOCKS[0], space)
    exec(BLOCKS[1], space)
    shown = re.findall(r"^(\S.*?)\s+# (\[.*\])$", BLOCKS[1], re.MULTILINE)
    assert len(shown) == 7
    for expression, expected in shown:
        assert np.asarray(eval(expression, space)).tolist() == ast.literal_eval(expected), expression


@pytest.mark.rtl
def test_training():
    space = {
        "model": torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3)),
        "loader": [(torch.randn(4, 1, 4, 4), torch.tensor([0, 1, 2, 0]))],
    }
    exec(BLOCKS[2], space)
    with torch.no_grad(), space["pnn"].use_backend("rtl"):
        simulated = space["twin"](space["x"])
    assert torch.equal(simulated, space["twin"](space["x"]))
