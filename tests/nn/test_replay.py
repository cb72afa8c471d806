import torch

import positcore as pc
from positcore import nn as pnn
from positcore.nn import backends
from positcore.nn.codes import CodesBackend
from positcore.nn.replay import replay


def network():
    torch.manual_seed(1)
    policy = pnn.Policy.parse("O12-L12-FBG8q")
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(32, 3))
    return pnn.convert(model, policy), pnn.CrossEntropyLoss(policy), torch.randn(4, 1, 6, 6), torch.tensor([0, 1, 2, 0])


def test_every_output_and_gradient_is_compared(monkeypatch):
    monkeypatch.setitem(backends.BACKENDS, "codes", lambda: CodesBackend(pc.matmul))
    rows = replay(*network(), backends=("golden", "codes"))
    assert [(row.tensor, row.codes) for row in rows] == [
        ("0 output", 4 * 2 * 16), ("3 output", 12), ("loss", 1),
        ("0 weight gradient", 18), ("0 bias gradient", 2), ("3 weight gradient", 96), ("3 bias gradient", 3),
    ]  # fmt: skip
    assert all(row.differing == 0 and row.first is None for row in rows)


def test_one_wrong_code_is_found(monkeypatch):
    def faulty(spec, a, b, bias=None):
        codes = pc.matmul(spec, a, b, bias)
        codes.flat[5 % codes.size] ^= 1
        return codes

    monkeypatch.setitem(backends.BACKENDS, "faulty", lambda: CodesBackend(faulty))
    rows = replay(*network(), backends=("golden", "faulty"))
    assert rows[0].differing >= 1
    assert rows[0].first == (0, 0, 1, 1)
