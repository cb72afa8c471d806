from fractions import Fraction
from itertools import product

import numpy as np
import pytest
import torch

import positcore as pc
from positcore.nn import device as dev
from positcore.nn.device import odd, values
from tests.nn.device.drawing import FEW, FLUSHED, all_or_many, cut_blocks, same, to
from tests.reference import BYTE_FORMATS, SMALL_FORMATS, all_pairs, exact, format_id, some_pairs

BINARY = ["add", "sub", "mul", "div", "minimum", "maximum", "equal", "less", "less_equal"]
UNARY = ["sqrt", "neg", "abs", "sign", "next_up", "next_down"]
SMALL = [*SMALL_FORMATS, *FLUSHED[:2]]


@pytest.mark.parametrize("fmt", [*SMALL, *BYTE_FORMATS, FLUSHED[2]], ids=format_id)
def test_all_pairs(fmt, device):
    a, b = all_pairs(fmt)
    for name in BINARY:
        assert same(getattr(dev, name)(fmt, to(device, a), to(device, b)), getattr(pc, name)(fmt, a, b)), name


@pytest.mark.parametrize("fmt", FEW, ids=format_id)
def test_some_pairs_and_triples(fmt, device):
    rng = np.random.default_rng(1)
    a, b = some_pairs(fmt, rng, 4000)
    c = rng.permutation(b)
    c[::3] = pc.neg(fmt, pc.mul(fmt, a[::3], b[::3]))  # what a fused product nearly cancels
    x, y, z = (to(device, codes) for codes in (a, b, c))
    for name in BINARY:
        assert same(getattr(dev, name)(fmt, x, y), getattr(pc, name)(fmt, a, b)), name
    for name in ("fma", "fms"):
        assert same(getattr(dev, name)(fmt, x, y, z), getattr(pc, name)(fmt, a, b, c)), name


@pytest.mark.parametrize("fmt", [f for f in SMALL if f.n <= 4], ids=format_id)
def test_all_triples(fmt, device):
    a, b, c = (np.array(x, fmt.dtype) for x in zip(*product(range(1 << fmt.n), repeat=3), strict=True))
    got = dev.fma(fmt, to(device, a), to(device, b), to(device, c))
    assert same(got, pc.fma(fmt, a, b, c))


@pytest.mark.parametrize("fmt", FEW, ids=format_id)
def test_unary(fmt, device):
    codes = all_or_many(fmt, np.random.default_rng(2))
    for name in UNARY:
        assert same(getattr(dev, name)(fmt, to(device, codes)), getattr(pc, name)(fmt, codes)), name


@pytest.mark.parametrize("fmt", [pc.PositFormat(5, 2), pc.posit16, pc.posit32, FLUSHED[3]], ids=format_id)
def test_against_rationals(fmt, device):
    a, b = (x[:: max(1, x.size // 300)] for x in some_pairs(fmt, np.random.default_rng(3), 2000))
    x, y = to(device, a), to(device, b)
    operations = {
        "add": Fraction.__add__,
        "sub": Fraction.__sub__,
        "mul": Fraction.__mul__,
        "div": lambda p, q: p / q if q else None,
    }
    for name, rational in operations.items():
        expected = [exact(fmt, rational, *pair) for pair in zip(a, b, strict=True)]
        assert getattr(dev, name)(fmt, x, y).cpu().numpy().tolist() == expected


@pytest.mark.parametrize("dst", [pc.posit8, pc.PositFormat(12, 0), pc.PositFormat(32, 4), FLUSHED[2]], ids=format_id)
@pytest.mark.parametrize("src", [pc.posit16, pc.PositFormat(16, 4), pc.posit32, pc.posit8], ids=format_id)
def test_convert(src, dst, device):
    codes = all_or_many(src, np.random.default_rng(4))
    assert same(dev.convert(src, dst, to(device, codes)), pc.convert(src, dst, codes))


def test_broadcasting_layouts_and_blocks(device, monkeypatch):
    fmt = pc.posit16
    a, b = np.random.default_rng(5).integers(0, 1 << 16, (2, 12, 5)).astype(np.uint16)
    x, y = to(device, a), to(device, b)
    cut_blocks(monkeypatch, 7)
    assert same(dev.add(fmt, x, y[3]), pc.add(fmt, a, b[3]))
    assert same(dev.mul(fmt, x[:, :1], y), pc.mul(fmt, a[:, :1], b))
    assert same(dev.div(fmt, x.T, y.T[:, ::1]), pc.div(fmt, a.T, b.T))
    assert same(dev.sub(fmt, x[0, 0], y[::2]), pc.sub(fmt, a[0, 0], b[::2]))
    assert same(dev.less(fmt, x[:, None], y), pc.less(fmt, a[:, None], b))
    assert same(dev.add(fmt, x[0, 0], y[0, 0]), np.asarray(pc.add(fmt, a[0, 0], b[0, 0])))
    assert same(dev.fma(fmt, x[:0], y[:0], y[0]), pc.fma(fmt, a[:0], b[:0], b[0]))


@pytest.mark.parametrize("fmt", [pc.posit8, FLUSHED[3], pc.posit32], ids=format_id)
def test_values(fmt, device):
    """The operations on floats that hold posit values give what those on codes do."""
    a, b = some_pairs(fmt, np.random.default_rng(6), 1000)
    c = np.random.default_rng(7).permutation(b)
    x, y, z = (dev.decode(fmt, to(device, codes)).to(getattr(torch, fmt.tensor_dtype.name)) for codes in (a, b, c))
    for name, operands in {"add": 2, "sub": 2, "mul": 2, "div": 2, "sqrt": 1, "fma": 3}.items():
        got = getattr(values, name)(fmt, *(x, y, z)[:operands])
        expected = getattr(pc, name)(fmt, *(a, b, c)[:operands])
        assert got.dtype == x.dtype
        assert same(dev.encode(fmt, got), expected), name


def broken_ties(fmt):
    """Triples whose a·b + c lies 2^−68 off a tie, on both sides, which float64 does not hold."""
    c = 1 + 2.0 ** -np.array([fmt.fraction_bits, fmt.fraction_bits - 1, fmt.fraction_bits - 2])
    half = 2.0 ** -(fmt.fraction_bits + 1)
    triples = [(s * (1 + 2.0**-20), half * (1 - 2.0**-20), s * z) for z in c for s in (1, -1)]
    triples += [(s * (1 + 2.0**-20), -half * (1 - 2.0**-20), s * z) for z in c for s in (1, -1)]
    x = np.array(triples).T
    assert np.array_equal(fmt.decode(fmt.encode(x)), x)
    return fmt.encode(x)


@pytest.mark.parametrize("fmt", [pc.posit32, pc.PositFormat(32, 3), pc.PositFormat(31, 2)], ids=format_id)
def test_broken_ties(fmt, device, monkeypatch):
    """And a planted fault: results rounded to nearest in float64, not to odd, are rounded twice."""
    codes = broken_ties(fmt)
    expected = np.array([exact(fmt, lambda x, y, z: x * y + z, *triple) for triple in codes.T], fmt.dtype)
    a, b, c = (to(device, x) for x in codes)
    assert same(dev.fma(fmt, a, b, c), expected)
    monkeypatch.setattr(odd, "adjust_to_odd", lambda nearest, error: nearest)
    assert not same(dev.fma(fmt, a, b, c), expected)


CODES = torch.ones(3, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda f: dev.add(f, CODES, CODES[:2]), ValueError, r"shapes \(3,\) and \(2,\) do not broadcast"),
        (lambda f: dev.less(f, CODES, CODES[:2]), ValueError, r"less: operands of shapes \(3,\) and \(2,\)"),
        (lambda f: dev.fma(f, CODES, CODES, 1), TypeError, "fma: codes of posit<8,2> must be a tensor, not int"),
        (lambda f: dev.mul(f, CODES, CODES.float()), TypeError, "mul: codes of posit<8,2> must be integers"),
        (lambda f: dev.neg(f, CODES.int() - 2), ValueError, r"neg: codes .* in 0\.\.255, not -1"),
        (lambda f: dev.convert(f, f, CODES.int() * 300), ValueError, r"convert: codes .* in 0\.\.255, not 300"),
        (lambda f: values.add(f, CODES.float(), CODES), TypeError, "add: operands must be float tensors"),
        (lambda f: values.add(f, CODES.float(), CODES[:2].float()), ValueError, r"add: operands of shapes \(3,\) and"),
    ],
)  # fmt: skip
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call(pc.posit8)


def test_a_number_on_the_cpu_goes_along(device):
    """As with PyTorch's own operations, and not the other way round."""
    x, number = torch.tensor([1.5, -2.0], device=device), torch.tensor(0.5)
    assert values.mul(pc.posit8, x, number).device.type == device.type
    assert values.fma(pc.posit8, number, x, number).tolist() == [1.25, -0.5]
    assert values.add(pc.posit8, number, number).device.type == "cpu"
    with pytest.raises(TypeError, match="add: posit operations do not run on meta"):
        values.add(pc.posit8, number, x.to("meta"))


def test_operands_on_two_devices():
    with pytest.raises(ValueError, match="add: operands must be on one device, not on cpu and meta"):
        dev.codes.check_one_device("add", CODES, CODES.to("meta"))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_operands_on_cpu_and_gpu():
    with pytest.raises(ValueError, match="add: operands must be on one device, not on cpu and cuda:0"):
        dev.add(pc.posit8, CODES, CODES.cuda())
