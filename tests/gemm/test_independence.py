"""What must not change a bit: threads, tiles, layout, byte order, the matrix product that a quire starts from."""

import numpy as np
import pytest

import positcore as pc
from positcore.gemm import convolution, products
from positcore.gemm.patches import Geometry
from positcore.gemm.products import stacked_codes
from tests.reference import format_id

FORMATS = [pc.posit8, pc.PositFormat(16, 1), pc.posit32]
ACCUMULATORS = [pc.Quire(), pc.Fused(), pc.Rounded(), pc.Aligned(4, 14), pc.Aligned(4, 64)]
SPECS = [pc.MacSpec(f, accumulator=a) for f in FORMATS for a in ACCUMULATORS]
QUIRES = [pc.MacSpec(f) for f in FORMATS]


def draw(spec, seed, *shape):
    """Normal values, a tenth of them small multiples of 1/4, for ties and cancellation; and a NaR."""
    rng = np.random.default_rng(seed)
    x = np.where(rng.random(shape) < 0.1, rng.integers(-6, 7, shape) / 4, rng.normal(size=shape))
    x.reshape(-1)[x.size // 2] = np.nan
    return spec.a.encode(x)


def results(spec, matmul=pc.matmul, layout=lambda x: x, big=False):
    """Every operation's codes."""
    rows = 300 if big else 30
    a, b, bias = (layout(draw(spec, i, *s)) for i, s in enumerate([(rows, 40), (40, 300), (300,)]))
    stack, other = layout(draw(spec, 3, 20, 6, 8)), layout(draw(spec, 4, 20, 8, 5))
    x, weight = layout(draw(spec, 5, 3, 4, 9, 8)), layout(draw(spec, 6, 6, 2, 3, 2))
    gradient, options = layout(draw(spec, 7, 3, 6, 5, 4)), ((2, 2), (1, 0), 1, 2)
    return [
        matmul(spec, a, b, bias),
        matmul(spec, a, b),
        matmul(spec, stack, other),
        pc.conv2d(spec, x, weight, bias[:6], *options),
        pc.conv2d_input_gradient(spec, gradient, weight, (9, 8), *options),
        pc.conv2d_weight_gradient(spec, gradient, x, (3, 2), *options),
    ]


def same(got, expected):
    return all(np.array_equal(x, y) and x.dtype == y.dtype for x, y in zip(got, expected, strict=True))


@pytest.mark.parametrize("spec", SPECS, ids=format_id)
def test_threads(spec):
    before = pc.get_num_threads()
    try:
        pc.set_num_threads(1)
        expected = results(spec, big=True)
        for count in (2, 5):
            pc.set_num_threads(count)
            assert same(results(spec, big=True), expected)
    finally:
        pc.set_num_threads(before)


def strided(x):
    """Every second element of something larger, in every dimension."""
    larger = np.full([2 * n for n in x.shape], 1, x.dtype)
    view = larger[tuple(slice(None, None, 2) for _ in x.shape)]
    view[...] = x
    return view


LAYOUTS = {
    "Fortran": np.asfortranarray,
    "strided": strided,
    "backwards": lambda x: np.ascontiguousarray(x[::-1])[::-1],
    "transposed": lambda x: np.ascontiguousarray(x.T).T,
    "big-endian": lambda x: x.astype(x.dtype.newbyteorder(">")),
    "wide": lambda x: x.astype(np.int64),
    "nested lists": lambda x: x.tolist(),
    "read-only": lambda x: np.frombuffer(x.tobytes(), x.dtype).reshape(x.shape),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("spec", SPECS, ids=format_id)
def test_memory_layout(spec, layout):
    assert same(results(spec, layout=LAYOUTS[layout]), results(spec))


@pytest.mark.parametrize("spec", SPECS, ids=format_id)
def test_tiles(spec, monkeypatch):
    expected = results(spec)
    for tile in (1, 77, 1000):
        monkeypatch.setattr(convolution, "_TILE", tile)
        monkeypatch.setattr(products, "_STACK", tile)
        assert same(results(spec), expected)


@pytest.mark.parametrize("spec", SPECS, ids=format_id)
def test_a_part_is_that_part_of_the_whole(spec):
    """An output does not depend on its neighbors: not on what else is in the batch, the matrix, the image."""
    a, b = draw(spec, 1, 5, 20, 9), draw(spec, 2, 5, 9, 30)
    assert np.array_equal(pc.matmul(spec, a, b)[2, 3:7, 11:20], pc.matmul(spec, a[2, 3:7], b[2, :, 11:20]))
    x, weight = draw(spec, 3, 4, 3, 8, 9), draw(spec, 4, 5, 3, 3, 3)
    part = pc.conv2d(spec, x[1:2, :, 2:6], weight[3:4])
    assert np.array_equal(pc.conv2d(spec, x, weight)[1:2, 3:4, 2:4], part)


def by_einsum(a, b):
    return np.einsum("...ik,...kj->...ij", a, b, optimize=False)


def in_blocks(a, b):
    return sum(a[..., k : k + 3] @ b[..., k : k + 3, :] for k in range(0, a.shape[-1], 3))


def term_by_term(a, b):
    """In float64 and from the last."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    terms = (a[..., :, k, None] * b[..., None, k, :] for k in reversed(range(a.shape[-1])))
    return sum(terms, np.zeros(()))


def transposed(a, b):
    return np.swapaxes(np.swapaxes(b, -1, -2) @ np.swapaxes(a, -1, -2), -1, -2)


@pytest.mark.parametrize("product", [by_einsum, in_blocks, term_by_term, transposed], ids=lambda f: f.__name__)
@pytest.mark.parametrize("spec", QUIRES, ids=format_id)
def test_matrix_product(spec, product):
    """Any ordinary product, in any order, gives the quire's codes."""
    a, b, bias = (spec.a.decode(draw(spec, i, *s)) for i, s in enumerate([(40, 60), (60, 50), (50,)]))
    assert np.array_equal(stacked_codes(spec, a, b, bias, product), stacked_codes(spec, a, b, bias))
    a, b = (spec.a.decode(draw(spec, i, *s)) for i, s in enumerate([(7, 6, 8), (7, 8, 5)]))
    assert np.array_equal(stacked_codes(spec, a, b, None, product), stacked_codes(spec, a, b))
    geometry = Geometry((3, 2), (2, 1), (1, 1))
    x, weight, bias, gradient = (
        spec.a.decode(draw(spec, i, *s)) for i, s in enumerate([(2, 3, 9, 8), (4, 3, 3, 2), (4,), (2, 4, 5, 9)])
    )
    for function, operands in (
        (convolution.conv2d_codes, (x, weight, bias, geometry)),
        (convolution.input_gradient_codes, (gradient, weight, geometry, (9, 8))),
        (convolution.weight_gradient_codes, (gradient, x, geometry)),
    ):
        assert np.array_equal(function(spec, *operands, product=product, direct=False), function(spec, *operands))


@pytest.mark.parametrize("spec", QUIRES, ids=format_id)
def test_order_of_the_terms(spec):
    a, b = draw(spec, 1, 30, 50), draw(spec, 2, 50, 20)
    order = np.random.default_rng(3).permutation(50)
    assert np.array_equal(pc.matmul(spec, a[:, order], b[order]), pc.matmul(spec, a, b))
    x, gradient = draw(spec, 4, 6, 2, 7, 7), draw(spec, 5, 6, 3, 5, 5)
    batch = np.random.default_rng(6).permutation(6)
    expected = pc.conv2d_weight_gradient(spec, gradient, x, 3)
    assert np.array_equal(pc.conv2d_weight_gradient(spec, gradient[batch], x[batch], 3), expected)
