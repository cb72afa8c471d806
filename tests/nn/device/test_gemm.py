import numpy as np
import pytest
import torch

import positcore as pc
from positcore.nn import device as dev
from positcore.nn.device import limbs, quire
from positcore.nn.device.blocks import block_items
from positcore.nn.device.limbs import LIMBS
from positcore.nn.device.stepwise import tile_items
from tests.nn.device.drawing import cut_blocks, draw, same, to
from tests.reference import exact_matmul, format_id

F = pc.PositFormat
FORMATS = [
    (pc.posit8, pc.posit8),
    (F(8, 0), F(8, 0)),
    (F(8, 2, underflow=True), F(8, 2, flush=3)),
    ((pc.posit8, F(6, 1)), pc.posit16),
    (pc.posit16, pc.posit16),
    (F(16, 4), F(12, 3)),
    (F(5, 4), F(5, 4)),
    (F(2, 0), F(2, 0)),
    (pc.posit32, pc.posit32),
    (F(32, 4), F(32, 4)),
    (F(32, 0), F(9, 1)),
]
ACCUMULATORS = [
    pc.Quire(), pc.Fused(), pc.Rounded(), pc.Aligned(1, 6), pc.Aligned(4, 14), pc.Aligned(3, 44), pc.Aligned(4, 64),
    pc.Aligned(8, 256),
]  # fmt: skip
HOW = ["normal", "uniform", "special"]


def formats_id(formats):
    a, b = formats
    return f"{a[0]}x{a[1]}-{b}" if isinstance(a, tuple) else f"{a}-{b}"


def on(device, *arrays):
    return [None if x is None else to(device, x) for x in arrays]


def operands(spec, how, k, seed=1):
    """Operands (9, k) and (k, 8); long ones take back their first half, but for one product that float64 may lose."""
    rng = np.random.default_rng(seed)
    a, b = draw(spec.a, rng, (9, k), how), draw(spec.b, rng, (k, 8), how)
    if k > 20:
        half = k // 2
        a[:, half : 2 * half], b[half : 2 * half] = pc.neg(spec.a, a[:, :half]), b[:half]
        a[:5, -1], b[-1] = 1, 1
    if how == "special":
        a[8, 0] = spec.a.nar
    return a, b


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("accumulator", ACCUMULATORS, ids=str)
@pytest.mark.parametrize("formats", FORMATS, ids=formats_id)
def test_as_the_golden_model(formats, accumulator, how, device):
    spec = pc.MacSpec(*formats, accumulator)
    rng = np.random.default_rng(2)
    for k in (1, 8, 27):
        a, b = operands(spec, how, k)
        for bias in (None, draw(spec.a, rng, 8, how)):
            assert same(dev.matmul(spec, *on(device, a, b, bias)), pc.matmul(spec, a, b, bias))


@pytest.mark.parametrize("spec", [pc.MacSpec(*f) for f in FORMATS], ids=format_id)
def test_quire_against_rationals(spec, device):
    a, b = operands(spec, "uniform", 25, seed=3)
    bias = draw(spec.a, np.random.default_rng(4), (9, 1), "normal")
    assert same(dev.matmul(spec, *on(device, a, b, bias)), exact_matmul(spec, a, b, bias))


@pytest.mark.parametrize("path", ["certificate", "integers"])
@pytest.mark.parametrize("spec", [pc.MacSpec(*f) for f in FORMATS], ids=format_id)
def test_each_path_gives_the_same_codes(spec, path, device, monkeypatch):
    """With the filter or the certificate proving nothing, the steps after them must still be right."""
    a, b = operands(spec, "normal", 21, seed=5)
    bias = draw(spec.a, np.random.default_rng(6), 8, "normal")
    original = quire.filter_codes

    def prove_nothing(fmt, sums, bound):
        codes, _ = original(fmt, sums, bound)
        return torch.zeros_like(codes), torch.arange(codes.numel(), device=codes.device)

    monkeypatch.setattr(quire, "filter_codes", prove_nothing)
    if path == "integers":
        monkeypatch.setattr(quire, "certified", lambda lsb, *rest: torch.zeros_like(lsb, dtype=torch.bool))
    cut_blocks(monkeypatch, 500)  # several rounds
    assert same(dev.matmul(spec, *on(device, a, b, bias)), exact_matmul(spec, a, b, bias))


def ties(fmt):
    """Operands whose dot products are ties, and just above and below: (M, 3) and (3, 3)."""
    longer = F(fmt.n + 1, fmt.es)
    middle = longer.decode(2 * np.random.default_rng(7).integers(1, fmt.maxpos_code, 60).astype(longer.dtype) + 1)
    low = fmt.decode(fmt.encode(middle * (1 - 2.0**-20)))
    parts = np.stack([low, middle - low], axis=1)
    parts = parts[np.isin(parts[:, 1], fmt.decode(fmt.encode(parts[:, 1])))]
    a = np.concatenate([fmt.encode(parts), np.ones((len(parts), 1))], axis=1).astype(fmt.dtype)
    one = int(fmt.encode(1.0))
    return a, np.array([[one, one, 0], [one, one, 1], [one, one, fmt.mask]], fmt.dtype).T


@pytest.mark.parametrize("fmt", [pc.posit8, F(12, 1), pc.posit16, F(16, 4)], ids=format_id)
def test_ties_alone_and_broken(fmt, device):
    spec = pc.MacSpec(fmt)
    a, b = ties(fmt)
    assert len(a) > 10
    assert same(dev.matmul(spec, *on(device, a, b)), exact_matmul(spec, a, b))


def test_a_filter_without_its_bound_is_caught(device, monkeypatch):
    """A planted fault: float64 sums are taken for exact."""
    spec = pc.MacSpec(pc.posit16)
    a, b = ties(pc.posit16)
    big = np.full((len(a), 1), pc.posit16.maxpos_code, np.uint16)
    a = np.concatenate([big, a, pc.neg(pc.posit16, big)], axis=1)
    b = np.concatenate([np.full((1, 3), big[0, 0], np.uint16), b, np.full((1, 3), big[0, 0], np.uint16)])
    expected = exact_matmul(spec, a, b)
    assert same(dev.matmul(spec, *on(device, a, b)), expected)
    monkeypatch.setattr(quire, "error_bound", lambda length, rows, columns, bias: 0.0 * rows * columns)
    assert not same(dev.matmul(spec, *on(device, a, b)), expected)


def test_a_false_certificate_is_caught(device, monkeypatch):
    """A planted fault: certifying everything lets float64's lost bits through."""
    spec, f = pc.MacSpec(pc.posit32), pc.posit32
    a, b = on(device, f.encode([[2.0**90, 1.0, -(2.0**90)]]), f.encode([[1.0], [1.0], [1.0]]))
    assert same(dev.matmul(spec, a, b), f.encode([[1.0]]))
    monkeypatch.setattr(quire, "certified", lambda lsb, *rest: torch.ones_like(lsb, dtype=torch.bool))
    assert not same(dev.matmul(spec, a, b), f.encode([[1.0]]))


def test_a_lost_limb_is_caught(device, monkeypatch):
    """A planted fault: the smallest products are not added to the integer quire."""
    spec, f = pc.MacSpec(pc.posit32), pc.posit32
    a, b = on(device, f.encode([[2.0**90, 1.0, -(2.0**90)]]), f.encode([[1.0], [1.0], [1.0]]))
    original = limbs.accumulate
    monkeypatch.setattr(quire, "accumulate", lambda held, x: original(held, torch.where(x.abs() < 2.0, 0.0, x)))
    assert not same(dev.matmul(spec, a, b), f.encode([[1.0]]))


@pytest.mark.parametrize("accumulator", ACCUMULATORS, ids=str)
def test_tiles_layouts_and_shapes_do_not_matter(accumulator, device, monkeypatch):
    spec = pc.MacSpec(pc.posit8, pc.posit8, accumulator)
    rng = np.random.default_rng(8)
    a, b, bias = (draw(pc.posit8, rng, shape, "normal") for shape in ((13, 19), (19, 70), (13, 70)))
    x, y, z = on(device, a, b, bias)
    expected = pc.matmul(spec, a, b, bias)
    assert same(dev.matmul(spec, x, y, z), expected)
    assert same(dev.matmul(spec, x.T.contiguous().T, y.flip(1), z.flip(1)), expected[:, ::-1])
    assert same(dev.matmul(spec, x[::2], y[:, 3:50], z[::2, 3:50]), expected[::2, 3:50])
    cut_blocks(monkeypatch, 100 if tile_items(spec, device) == block_items(device) else 100 * LIMBS)
    assert same(dev.matmul(spec, x, y, z), expected)


def test_pytorch_switches_do_not_matter(device):
    """Autocast and lower precision of float32 do not touch float64; deterministic mode has all operations."""
    spec = pc.MacSpec(pc.posit32)
    a, b = operands(spec, "uniform", 25)
    x, y = on(device, a, b)
    before = torch.get_float32_matmul_precision(), torch.get_default_dtype()
    try:
        torch.set_float32_matmul_precision("medium")
        torch.set_default_dtype(torch.bfloat16)
        with torch.autocast(device.type, torch.bfloat16), torch.inference_mode():
            assert same(dev.matmul(spec, x, y), pc.matmul(spec, a, b))
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.set_default_dtype(before[1])
    if device.type == "cpu":  # on a GPU, cuBLAS wants a workspace configured before it starts
        torch.use_deterministic_algorithms(True)
        try:
            assert same(dev.matmul(spec, x, y), pc.matmul(spec, a, b))
        finally:
            torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("accumulator", ACCUMULATORS, ids=str)
def test_empty(accumulator, device):
    spec = pc.MacSpec(pc.posit8, pc.posit16, accumulator)
    nothing = torch.zeros(2, 0, dtype=torch.uint8, device=device)
    bias = draw(pc.posit8, np.random.default_rng(9), 3, "normal")
    assert same(dev.matmul(spec, nothing, nothing.new_zeros(0, 3)), np.zeros((2, 3), np.uint16))
    expected = np.tile(pc.convert(pc.posit8, pc.posit16, bias), (2, 1))
    assert same(dev.matmul(spec, nothing, nothing.new_zeros(0, 3), to(device, bias)), expected)
    assert dev.matmul(spec, nothing.new_zeros(0, 4), nothing.new_zeros(4, 3)).shape == (0, 3)


def test_a_bias_between_two_codes_of_a_narrower_output(device):
    """A tie with no product at all is settled by the certificate of the bias alone."""
    spec = pc.MacSpec(pc.posit16, pc.posit8)
    bias = np.arange(1 << 16, dtype=np.uint16)
    a, b = np.zeros((1, 0), np.uint16), np.zeros((0, 1 << 16), np.uint16)
    assert same(dev.matmul(spec, *on(device, a, b, bias)), pc.convert(pc.posit16, pc.posit8, bias)[None])


@pytest.mark.parametrize("accumulator", [pc.Quire(), pc.Fused(), pc.Aligned(4, 14)], ids=str)
def test_stacks_and_vectors(accumulator, device):
    spec = pc.MacSpec((pc.posit8, F(6, 1)), pc.posit16, accumulator)
    rng = np.random.default_rng(10)
    shapes = [((3, 1, 4, 6), (2, 6, 5)), ((4, 6), (2, 6, 5)), ((2, 4, 6), (6, 5)), ((0, 4, 6), (6, 5))]
    for first, second in shapes:
        a, b = draw(spec.a, rng, first, "normal"), draw(spec.b, rng, second, "normal")
        stack = np.broadcast_shapes(first[:-2], second[:-2])
        expected = np.empty((*stack, 4, 5), np.uint16)
        wide_a, wide_b = np.broadcast_to(a, (*stack, 4, 6)), np.broadcast_to(b, (*stack, 6, 5))
        bias = draw(spec.a, rng, (4, 1), "normal")
        for at in np.ndindex(stack):
            expected[at] = pc.matmul(spec, np.ascontiguousarray(wide_a[at]), np.ascontiguousarray(wide_b[at]), bias)
        assert same(dev.matmul(spec, *on(device, a, b, bias)), expected)
    a, b, bias = (
        draw(spec.a, rng, (4, 6), "normal"),
        draw(spec.b, rng, (6, 5), "normal"),
        draw(spec.a, rng, 5, "normal"),
    )
    expected = pc.matmul(spec, a, b, bias)
    assert same(dev.matmul(spec, *on(device, a[1], b, bias)), expected[1])
    assert same(dev.matmul(spec, *on(device, a, b[:, 2], bias[2])), expected[:, 2])
    assert same(dev.matmul(spec, *on(device, a[1], b[:, 2], bias[2])), expected[1, 2])
    assert same(dev.dot(spec, *on(device, a[1], b[:, 2])), pc.matmul(spec, a, b)[1, 2])


@pytest.mark.parametrize("accumulator", ACCUMULATORS, ids=str)
def test_values(accumulator, device):
    """The product of float tensors that hold posit values, half precision among them."""
    spec = pc.MacSpec(pc.posit8, pc.posit16, accumulator)
    a, b = operands(spec, "special", 11)
    x, y = to(device, pc.posit8.decode(a)), to(device, pc.posit8.decode(b)).float()
    got = dev.values_matmul(spec, x.requires_grad_(), y)
    assert (got.dtype, got.device.type, got.requires_grad) == (torch.float32, device.type, False)
    assert same(dev.encode(pc.posit16, got), pc.matmul(spec, a, b))
    bias = torch.ones(8, dtype=torch.float16, device=device)
    expected = pc.matmul(spec, a, b, np.full(8, 0x40, np.uint8))
    assert same(dev.encode(pc.posit16, dev.values_matmul(spec, x, y, bias)), expected)


CODES = torch.ones(2, 3, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda s: dev.matmul(s, CODES, CODES), ValueError, r"shapes \(M, K\) and \(K, N\), not \(2, 3\) and \(2, 3\)"),
        (lambda s: dev.matmul(s, CODES[0, 0], CODES), ValueError, r"not \(\) and \(2, 3\)"),
        (lambda s: dev.matmul(s, CODES.float(), CODES.T), TypeError, "matmul: a: codes of posit<8,2> must be integers"),
        (lambda s: dev.matmul(s, CODES, CODES.T.int() + 255), ValueError, r"matmul: b: .* in 0\.\.255, not 256"),
        (lambda s: dev.matmul(s, CODES, CODES.T, CODES[0]), ValueError, r"bias of shape \(3,\) does not .* \(2, 2\)"),
        (lambda s: dev.matmul(pc.posit8, CODES, CODES.T), TypeError, "spec must be a MacSpec, not PositFormat"),
        (
            lambda s: dev.matmul(s, CODES.expand(4, 2, 3), CODES.T.expand(5, 3, 2)),
            ValueError,
            r"leading dimensions \(4,\) and \(5,\) do not broadcast",
        ),
        (lambda s: dev.dot(s, CODES[0], CODES[0, :2]), ValueError, r"vectors of one length, not .* \(3,\) and \(2,\)"),
        (lambda s: dev.values_matmul(s, CODES, CODES.T), TypeError, "matmul: operands must be float tensors"),
        (
            lambda s: dev.matmul(pc.MacSpec(pc.posit8, accumulator=pc.Quire(1)), CODES, CODES.T),
            ValueError,
            "a dot product of 3 terms exceeds the 1 that a quire with 1 carry bits holds; take more carry bits",
        ),
    ],
)  # fmt: skip
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call(pc.MacSpec(pc.posit8))
