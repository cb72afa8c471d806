import operator

import numpy as np
import pytest
import torch

import positcore as pc
from positcore.nn import quantize, tensors
from tests.nn import reference
from tests.reference import exact, format_id, some_pairs

FORMATS = [pc.PositFormat(6, 0, underflow=True), pc.posit8, pc.PositFormat(12, 2), pc.PositFormat(16, 3), pc.posit32]
OPERATIONS = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": lambda x, y: x / y if y else None,
}


def values(fmt, codes):
    return torch.from_numpy(fmt.decode(codes)).to(torch.from_numpy(np.zeros(0, fmt.tensor_dtype)).dtype)


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("fmt", FORMATS, ids=format_id)
def test_operations(fmt, name):
    a, b = some_pairs(fmt, np.random.default_rng(1), 200)
    x, y = values(fmt, a), values(fmt, b)
    got = getattr(tensors, name)(fmt, x, y)
    assert got.dtype == x.dtype
    expected = [exact(fmt, OPERATIONS[name], i, j) for i, j in zip(a.tolist(), b.tolist(), strict=True)]
    assert fmt.encode(got.numpy()).tolist() == expected


@pytest.mark.parametrize("fmt", FORMATS, ids=format_id)
def test_fma(fmt):
    rng = np.random.default_rng(2)
    a, b = some_pairs(fmt, rng, 100)
    c = rng.permutation(a)
    got = tensors.fma(fmt, *[values(fmt, x) for x in (a, b, c)])
    triples = zip(a.tolist(), b.tolist(), c.tolist(), strict=True)
    assert fmt.encode(got.numpy()).tolist() == [exact(fmt, lambda x, y, z: x * y + z, *codes) for codes in triples]


@pytest.mark.parametrize("fmt", FORMATS, ids=format_id)
def test_sqrt(fmt):
    a, _ = some_pairs(fmt, np.random.default_rng(3), 200)
    got = tensors.sqrt(fmt, values(fmt, a))
    assert got.dtype == values(fmt, a).dtype
    assert fmt.encode(got.numpy()).tolist() == [pc.Posit(fmt, code).sqrt().code for code in a.tolist()]


@pytest.mark.parametrize("name", ["exp", "log"])
@pytest.mark.parametrize("fmt", [pc.PositFormat(6, 0, underflow=True), pc.posit8, pc.PositFormat(9, 3)], ids=format_id)
def test_functions(fmt, name):
    x = values(fmt, np.arange(1 << fmt.n, dtype=fmt.dtype))
    got = getattr(tensors, name)(fmt, x)
    assert got.dtype == x.dtype
    function = getattr(reference, name)
    assert not reference.differences(got, {at: function(fmt, v) for at, v in reference.array(x).items()})


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("fmt", FORMATS, ids=format_id)
def test_quantize(fmt, dtype):
    rng = np.random.default_rng(3)
    x = torch.from_numpy(rng.normal(size=(9, 7)) * np.exp2(rng.integers(-40, 40, (9, 7)))).to(dtype)
    x[0, :4] = torch.tensor([float("nan"), float("inf"), -float("inf"), -0.0])
    got = quantize(fmt, x)
    assert got.dtype == (torch.float32 if fmt.n <= 16 and fmt.es <= 2 else torch.float64)
    assert got.shape == x.shape
    expected = {at: reference.round_to(fmt, v) for at, v in reference.array(x).items()}
    assert not reference.differences(got, expected)
    assert torch.equal(quantize(fmt, got).nan_to_num(0.5), got.nan_to_num(0.5))  # values of the format stay


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_quantize_takes_half_precision(dtype):
    x = torch.tensor([1.0, -0.3, 1e-4, 300.0, float("inf"), float("nan")], dtype=dtype)
    assert torch.equal(quantize(pc.posit8, x).nan_to_num(0.5), quantize(pc.posit8, x.double()).nan_to_num(0.5))


def test_quantize_copies_and_leaves_autograd():
    x = torch.ones(3, requires_grad=True)
    got = quantize(pc.posit8, x)
    assert not got.requires_grad
    got[0] = 2
    assert x[0] == 1


VIEWS = {
    "transposed": lambda x: x.T,
    "strided": lambda x: x[::2, 1::3],
    "expanded": lambda x: x[:1].expand(5, 8),
    "flipped": lambda x: x.flip(0),
    "scalar": lambda x: x[2, 3],
    "empty": lambda x: x[:0],
}


@pytest.mark.parametrize("view", VIEWS)
def test_views_give_what_copies_give(view):
    fmt = pc.posit8
    x = VIEWS[view](torch.randn(6, 8, generator=torch.Generator().manual_seed(4)))
    y = VIEWS[view](torch.randn(6, 8, generator=torch.Generator().manual_seed(5)))
    assert torch.equal(quantize(fmt, x), quantize(fmt, x.clone().contiguous()))
    p, q = quantize(fmt, x), quantize(fmt, y)
    for name in (*OPERATIONS, "exp"):
        operands = (p,) if name == "exp" else (p, q)
        function = getattr(tensors, name)
        assert torch.equal(function(fmt, *operands), function(fmt, *[o.clone().contiguous() for o in operands]))
    assert torch.equal(tensors.fma(fmt, p, q, p), tensors.fma(fmt, p.clone(), q.clone(), p.clone()))


def test_broadcasting():
    fmt = pc.posit8
    x, y = quantize(fmt, torch.randn(4, 5)), quantize(fmt, torch.randn(5))
    assert torch.equal(tensors.add(fmt, x, y), tensors.add(fmt, x, y.expand(4, 5).clone()))
    assert torch.equal(tensors.fma(fmt, torch.ones(()), x, y), tensors.add(fmt, x, y))
    with pytest.raises(ValueError, match=r"operands of shapes \(4, 5\) and \(4,\) do not broadcast"):
        tensors.add(fmt, x, x[:, 0])


def test_threads_follow_pytorch():
    before = torch.get_num_threads()
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            quantize(pc.posit8, torch.ones(1))
            assert pc.get_num_threads() == count
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f: quantize(f, torch.ones(2, dtype=torch.int64)), "take float tensors .*, not torch.int64"),
        (lambda f: quantize(f, torch.ones(2, dtype=torch.bool)), "not torch.bool"),
        (lambda f: quantize(f, torch.ones(2, dtype=torch.complex64)), "not torch.complex64"),
        (
            lambda f: quantize(f, torch.ones(2, device="meta")),
            "do not run on meta",
        ),
        (lambda f: tensors.add(f, torch.ones(2), torch.ones(2, dtype=torch.int32)), "not torch.int32"),
        (lambda f: tensors.exp(f, torch.ones(2, device="meta")), "do not run on meta"),
    ],
)
def test_errors(call, message):
    with pytest.raises(TypeError, match=message):
        call(pc.posit8)


def test_exp_and_log_of_wide_formats_are_refused():
    with pytest.raises(ValueError, match="exp: tables are built for formats of n ≤ 16, not posit<32,2>"):
        tensors.exp(pc.posit32, torch.ones(2, dtype=torch.float64))
