from fractions import Fraction

import numpy as np
import pytest
import torch

import positcore as pc
from positcore.codec import round_values
from positcore.nn import device as dev
from positcore.nn.device import codec
from tests.nn.device.drawing import FEW, FORMATS, all_or_many, cut_blocks, same, to
from tests.reference import format_id, rounded


def floats(fmt, rng):
    """Values, ties (the values of codes with one more bit), their neighbors, any bits, and what is not a number."""
    codes = all_or_many(fmt, rng, 3000)
    values = fmt.decode(codes)
    if fmt.n < 32:
        longer = pc.PositFormat(fmt.n + 1, fmt.es)
        ties = longer.decode(2 * codes.astype(longer.dtype) + longer.dtype.type(1))
    else:  # the mean of neighbors, which is a tie where they have fractions
        ties = (values + fmt.decode(codes + np.uint32(1))) / 2
    values = np.concatenate([values, ties])
    edge = fmt.minpos / 2.0 ** (fmt.flush or 1 << fmt.es) * np.array([1, -1])
    values = np.concatenate([values, edge, [0.0, -0.0, 5e-324, 1.8e308, np.inf, -np.inf, np.nan]])
    bits = rng.integers(-(1 << 63), (1 << 63) - 1, 3000).view(np.float64)
    return np.concatenate([values, np.nextafter(values, np.inf), np.nextafter(values, -np.inf), bits])


@pytest.mark.parametrize("fmt", FORMATS, ids=format_id)
def test_as_the_golden_model(fmt, device):
    rng = np.random.default_rng(1)
    codes, x = all_or_many(fmt, rng), floats(fmt, rng)
    assert same(dev.decode(fmt, to(device, codes)), fmt.decode(codes))
    assert same(dev.encode(fmt, to(device, x)), fmt.encode(x))
    assert same(dev.quantize(fmt, to(device, x)), round_values(fmt, x, fmt.tensor_dtype))
    assert dev.encode(fmt, to(device, x)).dtype == dev.code_dtype(fmt)


@pytest.mark.parametrize("fmt", FEW, ids=format_id)
def test_against_rationals(fmt, device):
    x = floats(fmt, np.random.default_rng(2))
    x = np.random.default_rng(3).choice(x[np.isfinite(x)], 300)
    codes = dev.encode(fmt, to(device, x)).cpu().numpy()
    assert codes.tolist() == [rounded(fmt, Fraction(v)) for v in x.tolist()]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_other_floats(dtype, device):
    x = torch.randn(500, generator=torch.Generator().manual_seed(1)).to(dtype)
    expected = pc.posit8.encode(x.double().numpy())
    assert same(dev.encode(pc.posit8, x.to(device)), expected)
    assert same(dev.quantize(pc.posit8, x.to(device)), pc.posit8.decode(expected).astype(np.float32))


@pytest.mark.parametrize("fmt", [pc.posit8, pc.PositFormat(12, 1), pc.posit16, pc.posit32], ids=format_id)
def test_codes_of_any_integer_dtype(fmt, device):
    codes = all_or_many(fmt, np.random.default_rng(4), 500)
    for dtype in (np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64):
        held = codes[codes <= np.iinfo(dtype).max]
        assert same(dev.decode(fmt, to(device, held.astype(dtype))), fmt.decode(held))


def test_layouts_and_shapes(device):
    fmt = pc.posit16
    codes = np.random.default_rng(5).integers(0, 1 << 16, (6, 5, 4)).astype(np.uint16)
    x = fmt.decode(codes)
    tensor, values = to(device, codes), to(device, x)
    assert same(dev.decode(fmt, tensor.permute(2, 0, 1)), x.transpose(2, 0, 1))
    assert same(dev.encode(fmt, values.transpose(0, 2)[:, ::2]), codes.transpose(2, 1, 0)[:, ::2])
    assert same(dev.encode(fmt, values[0, 0, 0].expand(3, 2)), np.full((3, 2), codes[0, 0, 0]))
    assert same(dev.decode(fmt, tensor[:0]), x[:0])
    assert same(dev.encode(fmt, values[2, 1, 3]), codes[2, 1, 3])
    assert dev.decode(pc.posit8, to(device, codes % 256), torch.float32).dtype == torch.float32


def test_blocks_do_not_matter(device, monkeypatch):
    x = np.random.default_rng(6).normal(size=(40, 30))
    cut_blocks(monkeypatch, 7)
    assert same(dev.encode(pc.posit16, to(device, x)), pc.posit16.encode(x))
    assert same(dev.quantize(pc.posit16, to(device, x)), round_values(pc.posit16, x, np.dtype(np.float32)))


def test_no_gradients(device):
    x = torch.ones(3, device=device, requires_grad=True)
    assert not dev.quantize(pc.posit8, x).requires_grad
    assert not dev.encode(pc.posit8, x).requires_grad


def test_a_lost_sticky_bit_is_caught(device, monkeypatch):
    """A planted fault: nothing below the word counts, so numbers just above a tie round like the tie."""
    fmt = pc.posit32
    x = floats(fmt, np.random.default_rng(1))
    monkeypatch.setattr(codec, "ones_below", torch.zeros_like)
    assert not same(dev.encode(fmt, to(device, x)), fmt.encode(x))
    assert not same(dev.quantize(fmt, to(device, x)), round_values(fmt, x))


CODES = torch.zeros(3, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda f: dev.decode(f, [1, 2]), TypeError, "codes of posit<8,2> must be a tensor, not list; see torch"),
        (lambda f: dev.decode(f, CODES.float()), TypeError, "must be integers, not torch.float32; .*encode turns"),
        (lambda f: dev.decode(f, CODES.bool()), TypeError, "must be integers, not torch.bool"),
        (lambda f: dev.decode(f, CODES.long() + 256), ValueError, r"codes of posit<8,2> must be in 0\.\.255, not 256"),
        (lambda f: dev.decode(f, CODES.long() - 1), ValueError, r"in 0\.\.255, not -1"),
        (
            lambda f: dev.decode(pc.PositFormat(12), (CODES.int() + 50_000).to(torch.uint16)),
            ValueError,
            r"in 0\.\.4095, not 50000",
        ),
        (lambda f: dev.decode(pc.PositFormat(6), CODES + 64), ValueError, r"in 0\.\.63, not 64"),
        (lambda f: dev.decode(pc.posit32, CODES, torch.float32), TypeError, "exact in torch.float64 or .* not in"),
        (lambda f: dev.encode(f, CODES), TypeError, "encode: operands must be float tensors, not torch.uint8"),
        (lambda f: dev.quantize(f, 1.0), TypeError, "quantize: operands must be tensors, not float"),
        (
            lambda f: dev.encode(f, torch.ones(2, device="meta")),
            TypeError,
            "encode: posit operations do not run on meta, which holds no numbers",
        ),
        (lambda f: dev.decode(f, CODES.to("meta")), TypeError, "decode: posit operations do not run on meta"),
    ],
)  # fmt: skip
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call(pc.posit8)


def test_a_device_without_float64():
    with pytest.raises(TypeError, match="add: posit operations do not run on mps:0, which has no float64"):
        dev.codes.check_device("add", torch.device("mps", 0))
