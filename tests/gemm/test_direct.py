"""Convolutions without unfolding: the layout, the sums in registers and their bound, and the codes that they prove."""

from fractions import Fraction

import numpy as np
import pytest

import positcore as pc
from positcore.gemm import convolution, direct
from positcore.gemm.blocks import LANES, ROWS, TALL, TAPS, add_dots, add_products, padded
from positcore.gemm.patches import Geometry
from positcore.gemm.planes import add_squares, fill, planes_of
from positcore.jit import kernel
from tests.gemm.test_convolution import GEOMETRIES, naive_unfold
from tests.reference import exact_matmul

CROPPED = Geometry((3, 3), padding=(-1, -2))  # as in the gradient of what was padded more than a kernel reaches
SPECS = [pc.MacSpec(pc.posit8), pc.MacSpec((pc.posit8, pc.PositFormat(6, 1)), pc.PositFormat(7, 0, underflow=True))]


@kernel
def products_block(x, places, weights, first, last, start, sums, at, stride):
    add_products(x, places, weights, first, last, start, sums, at, stride)


@kernel
def dots_block(rows, at, stride, x, places, tap, first, last, sums, out, width):
    add_dots(rows, at, stride, x, places, tap, first, last, sums, out, width)


@pytest.mark.parametrize("geometry", [*GEOMETRIES, CROPPED], ids=str)
def test_planes(geometry):
    """What a tap meets for an output lies the tap's distance after the output's place, in every image that follows."""
    x = np.random.default_rng(1).integers(1, 99, (2, 3, 8, 7)).astype(np.float32)
    planes, places = planes_of(geometry, (8, 7), 3)
    out, squares = np.zeros(planes.total(3), np.float32), np.zeros(planes.total(1))
    oh, ow = planes.output
    outputs = (np.arange(oh)[:, None] * planes.width + np.arange(ow)).reshape(-1)
    patches = naive_unfold(x, geometry).reshape(len(places), 2, oh * ow)
    for m, image in enumerate(x):
        fill(image, *planes.numbers(), out)
        assert np.array_equal(out[places[:, None] + outputs], patches[:, m])
        add_squares(out, 3, planes.phases * planes.items, squares)
        norms = squares[places[: geometry.taps, None] + outputs].sum(axis=0)
        assert np.array_equal(norms, np.square(patches[:, m], dtype=np.float64).sum(axis=0))
    assert outputs[-1] < planes.length
    assert places.max() + planes.length <= planes.total(3)  # nothing beyond the end is read


def test_blocks_add_products():
    rng = np.random.default_rng(2)
    x = rng.integers(-9, 10, 200).astype(np.float32)
    places = rng.integers(0, 100, 7)
    matrix = rng.integers(-9, 10, (ROWS, 7)).astype(np.float32)
    sums = rng.integers(-9, 10, (ROWS, 50)).astype(np.float32)
    expected = sums.copy()
    expected[:, 20 : 20 + LANES] += matrix[:, 2:6] @ x[places[2:6, None] + 13 + np.arange(LANES)]
    products_block(x, places, np.ascontiguousarray(matrix.T).reshape(-1), 2, 6, 13, sums.reshape(-1), 20, 50)
    assert np.array_equal(sums, expected)


def test_blocks_add_dots():
    rng = np.random.default_rng(3)
    rows = rng.integers(-9, 10, (2 * TALL, 100)).astype(np.float32)
    x, places = rng.integers(-9, 10, 300).astype(np.float32), rng.integers(0, 200, 3 * TAPS)
    sums = rng.integers(-9, 10, (2 * TALL, 3 * TAPS)).astype(np.float64)
    p, expected = np.arange(LANES, 4 * LANES), sums.copy()
    expected[TALL:, TAPS : 2 * TAPS] += rows[TALL:, p] @ x[places[TAPS : 2 * TAPS, None] + p].T
    at = TALL * sums.shape[1] + TAPS
    dots_block(
        rows.reshape(-1), TALL * 100, 100, x, places, TAPS, LANES, 4 * LANES, sums.reshape(-1), at, sums.shape[1]
    )
    assert np.array_equal(sums, expected)


def test_order_of_the_sums():
    """The bounds count on it: a call's products are summed by themselves, a lane's by themselves, lanes in pairs."""
    big = np.float32(2.0**24)
    x, places = np.ones(LANES, np.float32), np.zeros(3, np.intp)
    weights, sums = np.ones((3, ROWS), np.float32), np.full(ROWS * LANES, big)
    products_block(x, places, weights.reshape(-1), 0, 3, 0, sums, 0, LANES)
    assert (sums == big + 4).all()  # 3 ones, summed first, round to 4; one by one they would have been lost
    rows, dots = np.zeros((TALL, 2 * LANES), np.float32), np.zeros((TALL, TAPS))
    rows[:, 0], rows[:, 1 :: LANES // 2] = big, 1
    x = np.ones(2 * LANES, np.float32)
    places = np.zeros(TAPS, np.intp)
    dots_block(rows.reshape(-1), 0, 2 * LANES, x, places, 0, 0, 2 * LANES, dots.reshape(-1), 0, TAPS)
    assert (dots == big + 4).all()


def test_rows_are_filled_up():
    rows = np.arange(6.0).reshape(3, 2)
    assert padded(rows, 8).dtype == np.float32
    assert np.array_equal(padded(rows, 8), np.vstack([rows, np.zeros((5, 2))]))
    assert padded(rows, 3).shape == (3, 2)


@pytest.mark.parametrize("length", [1, 25, 48, 49, 144, 577])
def test_roundings(length):
    chunk, chunks = direct._chunk(length), -(-length // direct._chunk(length))
    assert chunk * chunks >= length
    assert chunk <= direct._CHUNK
    assert direct._roundings(length) == chunk + chunks


def test_where_it_pays():
    spec, geometry = pc.MacSpec(pc.posit8), Geometry((3, 3), padding=(1, 1))
    x, matrix, rows = np.ones((2, 16, 16, 16)), np.ones((8, 144)), np.ones((8, 512))
    assert direct.correlation_fits(spec, matrix, x, geometry)
    assert direct.correlation_fits(spec, matrix, x, geometry, 256 // 4)
    assert direct.weight_gradient_fits(spec, rows, x, geometry)
    assert not direct.correlation_fits(spec, matrix, x, geometry, 256 // 6)
    small = Geometry((16, 16))  # one output of an image
    assert not direct.correlation_fits(spec, np.ones((8, 4096)), x, small)
    assert not direct.weight_gradient_fits(spec, rows[:, :2], x, small)
    assert not direct.weight_gradient_fits(spec, rows[:, :18], x[:, :, :3, :3], geometry)
    assert not direct.correlation_fits(spec, matrix, x[:0], geometry)
    for other in (pc.MacSpec(pc.posit8, accumulator=pc.Fused()), pc.MacSpec(pc.posit16), pc.MacSpec(pc.posit32)):
        assert not direct.correlation_fits(other, matrix, x, geometry)
        assert not direct.weight_gradient_fits(other, rows, x, geometry)


def draw(spec, seed, which, *shape):
    """Mostly quarters, so that ties and cancellation are the rule."""
    rng = np.random.default_rng(seed)
    x = np.where(rng.random(shape) < 0.7, rng.integers(-6, 7, shape) / 4, rng.normal(size=shape))
    return (spec.a, spec.b)[which].encode(x)


@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize("geometry", [*GEOMETRIES, CROPPED], ids=str)
def test_codes(geometry, spec):
    """Of several chunks of products and several groups of outputs, with NaR in an image and in a kernel."""
    x, weight = draw(spec, 4, 1, 3, 12, 9, 8), draw(spec, 5, 0, 11, 12, *geometry.kernel)
    bias = draw(spec, 6, 0, 11)
    x[1, 2, 4, 3], weight[9, 1, 0, 0] = spec.b.nar, spec.a.nar
    values, w = spec.b.decode(x), spec.a.decode(weight)
    got = direct.correlation_codes(spec, w.reshape(11, -1), values, spec.a.decode(bias), geometry)
    columns = spec.b.encode(naive_unfold(values, geometry))
    expected = exact_matmul(spec, weight.reshape(11, -1), columns, bias[:, None])
    assert np.array_equal(got.transpose(1, 0, 2, 3).reshape(11, -1), expected)


@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize("geometry", [*GEOMETRIES, CROPPED], ids=str)
def test_weight_sums(geometry, spec):
    oh, ow = geometry.output_size((9, 8))
    x, gradient = draw(spec, 7, 1, 3, 2, 9, 8), draw(spec, 8, 0, 5, 3 * oh * ow)
    values, rows = spec.b.decode(x), spec.a.decode(gradient)
    got = direct.weight_sums_codes(spec, rows, values, geometry)
    expected = exact_matmul(spec, gradient, spec.b.encode(naive_unfold(values, geometry)).T)
    assert np.array_equal(got, expected)
    assert direct.weight_sums_codes(spec, np.where(rows == rows[0, 0], np.nan, rows), values, geometry) is None
    values[0, 0, 4, 4] = np.nan
    assert direct.weight_sums_codes(spec, rows, values, geometry) is None


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (1, 5), (4, 3)])
def test_small_images(size):
    """Planes shorter than a vector: what lies behind the last of them is read, and must be there."""
    spec, geometry = pc.MacSpec(pc.posit8), Geometry((3, 3), padding=(1, 1))
    x, weight = draw(spec, 1, 1, 40, 16, *size), draw(spec, 2, 0, 9, 16, 3, 3)
    values, w = spec.b.decode(x), spec.a.decode(weight)
    planes = planes_of(geometry, size, 16)[0]
    assert planes.items < 4 * LANES
    got = direct.correlation_codes(spec, w.reshape(9, -1), values, None, geometry)
    expected = exact_matmul(spec, weight.reshape(9, -1), spec.b.encode(naive_unfold(values, geometry)))
    assert np.array_equal(got.transpose(1, 0, 2, 3).reshape(9, -1), expected)
    rows = got.transpose(1, 0, 2, 3).reshape(9, -1)
    sums = direct.weight_sums_codes(spec, spec.a.decode(rows), values, geometry)
    assert np.array_equal(sums, exact_matmul(spec, rows, spec.b.encode(naive_unfold(values, geometry)).T))


def test_weight_sums_of_many_strips():
    spec, geometry = pc.MacSpec(pc.posit8), Geometry((3, 3), padding=(1, 1))
    assert planes_of(geometry, (30, 33), 2)[0].length > 2 * direct._STRIP - LANES
    rng = np.random.default_rng(9)
    x, gradient = (spec.a.encode(rng.normal(size=shape)) for shape in ((2, 2, 30, 33), (2, 2, 30, 33)))
    values, above = spec.b.decode(x), spec.a.decode(gradient)
    expected = exact_matmul(
        spec, gradient.transpose(1, 0, 2, 3).reshape(2, -1), spec.b.encode(naive_unfold(values, geometry)).T
    )
    got = convolution.weight_gradient_codes(spec, above, values, geometry)
    assert np.array_equal(got.reshape(2, -1), expected)


def test_threads_do_not_matter(monkeypatch):
    monkeypatch.setattr(direct, "_GRAIN", 1)
    spec, geometry = pc.MacSpec(pc.posit8), Geometry((3, 3), (2, 1), (1, 1))
    x, weight = (spec.a.decode(draw(spec, i, 0, *s)) for i, s in ((1, (7, 5, 9, 9)), (2, (6, 5, 3, 3))))
    above = spec.a.decode(draw(spec, 3, 0, 7, 6, 5, 9))

    def codes():
        forward = convolution.conv2d_codes(spec, x, weight, None, geometry)
        back = convolution.input_gradient_codes(spec, above, weight, geometry, (9, 9))
        return forward, back, convolution.weight_gradient_codes(spec, above, x, geometry)

    before = pc.get_num_threads()
    try:
        pc.set_num_threads(1)
        expected = codes()
        pc.set_num_threads(3)
        assert all(np.array_equal(p, q) for p, q in zip(codes(), expected, strict=True))
    finally:
        pc.set_num_threads(before)


@pytest.mark.parametrize("seed", range(3))
def test_the_sums_keep_their_bound(seed):
    """In rationals: what float32 made of the sums is within the bound that the codes were proven by."""
    rng = np.random.default_rng(seed)
    geometry, channels = Geometry((3, 3), padding=(1, 1)), 16
    x = np.exp2(rng.integers(-12, 12, (1, channels, 6, 6))) * rng.choice([-1.5, 1.25, 1.0], (1, channels, 6, 6))
    matrix = np.exp2(rng.integers(-12, 12, (ROWS, 9 * channels))) * rng.choice([-1.0, 1.75], (ROWS, 9 * channels))
    planes, places = planes_of(geometry, (6, 6), channels)
    out = np.zeros(planes.total(channels), np.float32)
    fill(x[0].astype(np.float32), *planes.numbers(), out)
    factors, sums = np.ascontiguousarray(matrix.T.astype(np.float32)).reshape(-1), np.zeros(ROWS * LANES, np.float32)
    chunk = direct._chunk(9 * channels)
    for k in range(0, 9 * channels, chunk):
        products_block(out, places, factors, k, min(k + chunk, 9 * channels), 0, sums, 0, LANES)
    bound = direct.relative_bound(np.dtype(np.float32), direct._roundings(9 * channels))
    worst = 0.0
    for r in range(ROWS):
        for lane in range(6):
            patch = out[places + lane].astype(np.float64)
            exact = sum(Fraction(w) * Fraction(v) for w, v in zip(matrix[r].tolist(), patch.tolist(), strict=True))
            error = abs(Fraction(float(sums[r * LANES + lane])) - exact)
            size = float(np.linalg.norm(matrix[r]) * np.linalg.norm(patch))
            worst = max(worst, float(error) / size)
    assert 0 < worst <= bound


def test_a_bound_of_nothing_is_noticed(monkeypatch):
    """A planted fault: norms of zero prove every sum, and a tie that only float32's lost bits break comes out wrong."""
    spec, geometry = pc.MacSpec(pc.posit8), Geometry((1, 2))
    f = pc.posit8
    # 1 + 2^-4 is the tie between 1 and 1.125; 2^-40 breaks it upwards, beyond float32.
    weight = f.decode(f.encode(np.array([[2.0**-4, 2.0**-20]])))
    x = f.decode(f.encode(np.array([1.0, 2.0**-20]))).reshape(1, 1, 1, 2)
    expected = exact_matmul(spec, f.encode(weight), f.encode(x.reshape(2, 1)), f.encode(np.ones((1, 1))))
    assert np.array_equal(direct.correlation_codes(spec, weight, x, np.ones(1), geometry).reshape(1, 1), expected)
    monkeypatch.setattr(direct, "row_norms", lambda x: np.zeros(len(x)))
    monkeypatch.setattr(direct, "relative_bound", lambda dtype, terms: 0.0)
    assert not np.array_equal(direct.correlation_codes(spec, weight, x, np.ones(1), geometry).reshape(1, 1), expected)


def test_a_weight_gradient_without_bound_is_noticed(monkeypatch):
    spec, geometry, f = pc.MacSpec(pc.posit8), Geometry((1, 1)), pc.posit8
    rows = f.decode(f.encode(np.array([[1.0, 2.0**-4, 2.0**-20]])))
    x = f.decode(f.encode(np.array([1.0, 1.0, 2.0**-20]))).reshape(1, 1, 1, 3)
    expected = exact_matmul(spec, f.encode(rows), f.encode(x.reshape(3, 1)))
    assert np.array_equal(direct.weight_sums_codes(spec, rows, x, geometry), expected)
    monkeypatch.setattr(direct, "relative_bound", lambda dtype, terms: 0.0)
    assert not np.array_equal(direct.weight_sums_codes(spec, rows, x, geometry), expected)
