"""Convolutions on codes and their gradients, element by element against rationals, for every accumulator."""

import tracemalloc
from fractions import Fraction
from itertools import product

import numpy as np
import pytest

import positcore as pc
from positcore.gemm import convolution
from tests.gemm.test_accumulators import dot
from tests.reference import rounded, value

ACCUMULATORS = [pc.Quire(), pc.Fused(), pc.Rounded(), pc.Aligned(4, 14), pc.Aligned(3, 5)]
FORMATS = [(pc.posit8, pc.posit8), ((pc.posit8, pc.PositFormat(6, 1)), pc.posit16), (pc.posit32, pc.posit32)]
# kernel, stride, padding, dilation, groups; of images (2, 4, 5, 4) and weights (6, 4 / groups, ...)
CASES = [
    ((3, 3), 1, 1, 1, 1),
    ((2, 3), (2, 1), (0, 1), 1, 2),
    ((2, 2), (3, 2), (1, 2), (2, 1), 2),
    ((1, 1), 2, 1, 1, 1),
]


def case_id(x):
    return str(x).replace(" ", "") if isinstance(x, tuple) else str(x)


def both(x):
    return x if isinstance(x, tuple) else (x, x)


def place(case):
    """Where tap (i, j) of output (p, q) lies in the image, without the padding."""
    (sv, sh), (pv, ph), (dv, dh) = (both(x) for x in case[1:4])
    return lambda p, q, i, j: (p * sv - pv + i * dv, q * sh - ph + j * dh)


def output_size(case, size):
    return tuple(
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(size, case[0], *(both(x) for x in case[1:4]), strict=True)
    )


def element(spec, terms, start=0):
    """The code of one dot product of pairs of codes, by the definition of the accumulator."""
    x, y = ([value(fmt, int(pair[side])) for pair in terms] for side, fmt in enumerate((spec.a, spec.b)))
    first = value(spec.a, int(start))
    if isinstance(spec.accumulator, pc.Quire):
        broken = first is None or None in x or None in y
        exact = None if broken else sum((p * q for p, q in zip(x, y, strict=True)), Fraction(first))
    else:
        exact = dot(spec, x, y, first)
    return spec.out.nar if exact is None else rounded(spec.out, exact)


def at(image, y, z):
    """An element of an image; zero in the padding."""
    return image[y, z] if 0 <= y < image.shape[0] and 0 <= z < image.shape[1] else 0


def naive_forward(spec, x, weight, bias, case):
    where, each, share = place(case), weight.shape[1], len(weight) // case[4]
    out = np.empty((len(x), len(weight), *output_size(case, x.shape[2:])), spec.out.dtype)
    for n, o, p, q in np.ndindex(out.shape):
        first = o // share * each
        terms = [
            (weight[o, c, i, j], at(x[n, first + c], *where(p, q, i, j))) for c, i, j in np.ndindex(weight.shape[1:])
        ]
        out[n, o, p, q] = element(spec, terms, 0 if bias is None else bias[o])
    return out


def naive_input_gradient(spec, gradient, weight, size, case):
    """Terms by O, then by the places in the gradient that the element reached: from the kernel's last tap."""
    (sv, sh), (pv, ph), (dv, dh) = (both(x) for x in case[1:4])
    (kh, kw), each, share = case[0], weight.shape[1], len(weight) // case[4]
    out = np.empty((len(gradient), each * case[4], *size), spec.out.dtype)
    for n, c, y, z in np.ndindex(out.shape):
        terms = []
        for o, i, j in product(range(share), reversed(range(kh)), reversed(range(kw))):
            kernel = c // each * share + o
            (p, rest_p), (q, rest_q) = divmod(y + pv - i * dv, sv), divmod(z + ph - j * dh, sh)
            other = 0 if rest_p or rest_q else at(gradient[n, kernel], p, q)
            terms.append((weight[kernel, c % each, i, j], other))
        out[n, c, y, z] = element(spec, terms)
    return out


def naive_weight_gradient(spec, gradient, x, case):
    where, groups = place(case), case[4]
    channels, each = gradient.shape[1], x.shape[1] // groups
    out = np.empty((channels, each, *case[0]), spec.out.dtype)
    for o, c, i, j in np.ndindex(out.shape):
        image = x[:, o // (channels // groups) * each + c]
        spots = np.ndindex(len(x), *gradient.shape[2:])
        out[o, c, i, j] = element(spec, [(gradient[n, o, p, q], at(image[n], *where(p, q, i, j))) for n, p, q in spots])
    return out


def draw(fmt, rng, *shape):
    """Small multiples of 1/4, for ties and cancellation, among normal values."""
    x = np.where(rng.random(shape) < 0.5, rng.integers(-6, 7, shape) / 4, rng.normal(size=shape))
    return fmt.encode(x)


@pytest.fixture
def same_in_tiles(monkeypatch):
    """Check a convolution's codes in tiles of one output row, of several, and of everything."""

    def check(expected, convolve, *operands):
        for tile in (1, 130, 1 << 20):
            monkeypatch.setattr(convolution, "_TILE", tile)
            got = convolve(*operands)
            assert got.dtype == expected.dtype
            assert np.array_equal(got, expected), f"with tiles of {tile}"

    return check


@pytest.mark.parametrize("accumulator", ACCUMULATORS, ids=str)
@pytest.mark.parametrize("formats", FORMATS, ids=["8", "8-6-16", "32"])
@pytest.mark.parametrize("case", CASES, ids=case_id)
class TestAgainstRationals:
    def test_forward(self, case, formats, accumulator, same_in_tiles):
        spec, rng = pc.MacSpec(*formats, accumulator), np.random.default_rng(1)
        x, bias = draw(spec.b, rng, 2, 4, 5, 4), draw(spec.a, rng, 6)
        weight = draw(spec.a, rng, 6, 4 // case[4], *case[0])
        expected = naive_forward(spec, x, weight, bias, case)
        same_in_tiles(expected, pc.conv2d, spec, x, weight, bias, *case[1:])

    def test_forward_with_nar(self, case, formats, accumulator, same_in_tiles):
        spec, rng = pc.MacSpec(*formats, accumulator), np.random.default_rng(1)
        x, weight = draw(spec.b, rng, 1, 4, 5, 4), draw(spec.a, rng, 2, 4 // case[4], *case[0])
        x[0, 0, 2, 1] = spec.b.nar
        expected = naive_forward(spec, x, weight, None, case)
        same_in_tiles(expected, pc.conv2d, spec, x, weight, None, *case[1:])

    def test_input_gradient(self, case, formats, accumulator, same_in_tiles):
        spec, rng = pc.MacSpec(*formats, accumulator), np.random.default_rng(2)
        weight = draw(spec.a, rng, 6, 4 // case[4], *case[0])
        gradient = draw(spec.b, rng, 2, 6, *output_size(case, (5, 4)))
        gradient[0, 1, 0, 1] = spec.b.nar
        expected = naive_input_gradient(spec, gradient, weight, (5, 4), case)
        same_in_tiles(expected, pc.conv2d_input_gradient, spec, gradient, weight, (5, 4), *case[1:])

    def test_weight_gradient(self, case, formats, accumulator, same_in_tiles):
        spec, rng = pc.MacSpec(*formats, accumulator), np.random.default_rng(3)
        x, gradient = draw(spec.b, rng, 2, 4, 5, 4), draw(spec.a, rng, 2, 6, *output_size(case, (5, 4)))
        gradient[1, 2, 1, 0] = spec.a.nar
        expected = naive_weight_gradient(spec, gradient, x, case)
        same_in_tiles(expected, pc.conv2d_weight_gradient, spec, gradient, x, case[0], *case[1:])


@pytest.mark.parametrize("accumulator", ACCUMULATORS, ids=str)
@pytest.mark.parametrize("broken", ["gradient", "weight"])
@pytest.mark.parametrize(
    "case", [((5, 4), 1, 0, 1, 1), ((3, 3), (2, 3), (0, 1), (2, 2), 2), ((4, 3), 4, (1, 2), (2, 3), 1)], ids=case_id
)
def test_input_gradient_of_one_place(case, broken, accumulator, same_in_tiles):
    """A kernel as large as the image, or one whose next place would be beyond it."""
    assert output_size(case, (5, 4)) == (1, 1)
    spec, rng = pc.MacSpec(*FORMATS[1], accumulator), np.random.default_rng(5)
    weight, gradient = draw(spec.a, rng, 6, 4 // case[4], *case[0]), draw(spec.b, rng, 2, 6, 1, 1)
    if broken == "weight":
        weight[1, 1, 1, 0] = spec.a.nar
    else:
        gradient[0, 2] = spec.b.nar
    expected = naive_input_gradient(spec, gradient, weight, (5, 4), case)
    same_in_tiles(expected, pc.conv2d_input_gradient, spec, gradient, weight, (5, 4), *case[1:])


@pytest.mark.parametrize("accumulator", ACCUMULATORS, ids=str)
def test_one_dimension_is_two_with_a_height_of_one(accumulator):
    spec, rng = pc.MacSpec(pc.posit8, accumulator=accumulator), np.random.default_rng(4)
    x, weight, bias = draw(spec.b, rng, 3, 4, 9), draw(spec.a, rng, 6, 2, 3), draw(spec.a, rng, 6)
    flat = x[:, :, None], weight[:, :, None]
    options = (2, 1, 2, 2)
    wide = ((1, 2), (0, 1), (1, 2), 2)
    y = pc.conv1d(spec, x, weight, bias, *options)
    assert y.shape == (3, 6, 4)
    assert np.array_equal(y, pc.conv2d(spec, *flat, bias, *wide)[:, :, 0])
    gradient = draw(spec.a, rng, *y.shape)
    got = pc.conv1d_input_gradient(spec, gradient, weight, 9, *options)
    assert got.shape == x.shape
    assert np.array_equal(got, pc.conv2d_input_gradient(spec, gradient[:, :, None], flat[1], (1, 9), *wide)[:, :, 0])
    got = pc.conv1d_weight_gradient(spec, gradient, x, 3, *options)
    assert got.shape == weight.shape
    assert np.array_equal(got, pc.conv2d_weight_gradient(spec, gradient[:, :, None], flat[0], (1, 3), *wide)[:, :, 0])


@pytest.mark.parametrize("accumulator", ACCUMULATORS, ids=str)
def test_no_images(accumulator):
    spec = pc.MacSpec(pc.posit8, accumulator=accumulator)
    x, gradient = np.zeros((0, 2, 4, 4), np.uint8), np.zeros((0, 3, 2, 2), np.uint8)
    weight = np.ones((3, 2, 3, 3), np.uint8)
    assert pc.conv2d(spec, x, weight).shape == (0, 3, 2, 2)
    assert pc.conv2d_input_gradient(spec, gradient, weight, 4).shape == (0, 2, 4, 4)
    assert not pc.conv2d_weight_gradient(spec, gradient, x, 3).any()


def test_padding_takes_lanes():
    """The zeros of the padding fill an aligned chunk: the same products without them are cut to other grids."""
    spec = pc.MacSpec(pc.posit16, accumulator=pc.Aligned(lanes=2, width=3))
    f = spec.a
    x, weight = f.encode([1.0, 1.0, 1.0]), f.encode([1.0, 1.0, -1.0, 0.0625])
    padded = pc.conv1d(spec, x[None, None], weight[None, None], padding=1)
    assert padded[0, 0, 0] == 0  # 0 + 1, then 1 − 1 + 1/16, of which the grid leaves nothing
    assert pc.dot(spec, weight[1:], x) == f.encode(0.0625)  # 1 − 1, then 1/16


@pytest.mark.parametrize("operation", ["forward", "input gradient", "weight gradient"])
def test_memory_is_bounded_for_one_large_image(operation):
    """One image whose patches would take 36 MiB in float32, in tiles of 4 or 8 MiB."""
    spec, rng = pc.MacSpec(pc.posit8), np.random.default_rng(5)
    x, weight = rng.integers(0, 128, (1, 1, 600, 600), np.uint8), rng.integers(0, 128, (1, 1, 5, 5), np.uint8)
    gradient = rng.integers(0, 128, (1, 1, 600, 600), np.uint8)
    run = {
        "forward": lambda: pc.conv2d(spec, x, weight, padding=2),
        "input gradient": lambda: pc.conv2d_input_gradient(spec, gradient, weight, 600, padding=2),
        "weight gradient": lambda: pc.conv2d_weight_gradient(spec, gradient, x, 5, padding=2),
    }[operation]
    run()
    tracemalloc.start()
    run()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30 << 20


X, W, G = np.ones((2, 4, 5, 4), np.uint8), np.ones((6, 2, 3, 3), np.uint8), np.ones((2, 6, 3, 2), np.uint8)


def short(_):
    return pc.MacSpec(pc.posit8, accumulator=pc.Quire(3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: pc.conv2d(pc.posit8, X, W), "conv2d: spec must be a MacSpec, not PositFormat"),
        (lambda s: pc.conv2d(s, X * 0.5, W), "conv2d: x: codes of posit<8,2> must be unsigned integers"),
        (lambda s: pc.conv2d(s, X, W, groups=2.0), "conv2d: groups must be an integer, not 2.0"),
        (lambda s: pc.conv2d(s, X, W, groups=True), "conv2d: groups must be an integer, not True"),
        (lambda s: pc.conv2d(s, X, W, X[0, 0, 0] * 0.5, groups=2), "conv2d: bias: codes of posit<8,2> must be"),
        (lambda s: pc.conv2d(s, X, W, stride=1.5), "stride must be an integer or a pair of integers, not 1.5"),
        (lambda s: pc.conv2d(s, X, W, padding=(1, 1, 1)), r"or a pair of integers, not \(1, 1, 1\)"),
        (lambda s: pc.conv2d_input_gradient(s, G, W, "5"), "conv2d_input_gradient: size must be an integer or a"),
        (lambda s: pc.conv2d_input_gradient(None, G, W, 5), "conv2d_input_gradient: spec must be a MacSpec"),
        (lambda s: pc.conv2d_weight_gradient(None, G, X, 3), "conv2d_weight_gradient: spec must be a MacSpec"),
        (lambda s: pc.conv1d(s, X[0], W[0], stride=(1, 1)), r"conv1d: stride must be an integer, not \(1, 1\)"),
    ],
)  # fmt: skip
def test_kinds(call, message):
    with pytest.raises(TypeError, match=message):
        call(pc.MacSpec(pc.posit8))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: pc.conv2d(s, X, W.astype(int) + 255, groups=2), r"conv2d: weight: .* in 0\.\.255, not 256"),
        (lambda s: pc.conv2d(s, X[0], W), r"x must be of shape \(N, C, H, W\), each at least 1 but N"),
        (lambda s: pc.conv2d(s, X, W[0]), r"weight must be of shape \(O, C / groups, kh, kw\), each at least 1,"),
        (lambda s: pc.conv2d(s, X, W[:, :, :0]), r"each at least 1, not \(6, 2, 0, 3\)"),
        (lambda s: pc.conv2d(s, X[:, :0], W), r"each at least 1 but N, not \(2, 0, 5, 4\)"),
        (lambda s: pc.conv2d(s, X, W), "for 2 channels in each of 1 groups, so x must have 2 channels, not 4"),
        (lambda s: pc.conv2d(s, X, W, groups=4), "conv2d: 4 groups do not divide 6 output channels"),
        (lambda s: pc.conv2d(s, X, W, groups=3), "conv2d: 3 groups do not divide the 4 channels of x"),
        (lambda s: pc.conv2d(s, X, W, groups=0), "conv2d: groups must be at least 1, not 0"),
        (lambda s: pc.conv2d(s, X, W, W[0], groups=2), r"bias must be of shape \(6,\), one for each kernel, not"),
        (lambda s: pc.conv2d(s, X, W, None, 0, groups=2), "conv2d: stride must be at least 1, not 0"),
        (lambda s: pc.conv2d(s, X, W, padding=(0, -1), groups=2), r"padding must be at least 0, not \(0, -1\)"),
        (lambda s: pc.conv2d(s, X, W, dilation=0, groups=2), "conv2d: dilation must be at least 1, not 0"),
        (
            lambda s: pc.conv2d(s, X, W, dilation=3, padding=1, groups=2),
            "a kernel that spans 7×7 does not fit into images that are 7×6 with their padding",
        ),
        (lambda s: pc.conv2d(short(s), X, W, groups=2), "a dot product of 18 terms exceeds the 7 that a quire"),
        (lambda s: pc.conv2d_input_gradient(short(s), G, W, (5, 4)), "of 54 terms exceeds the 7 that a quire"),
        (lambda s: pc.conv2d_weight_gradient(short(s), G, X, 3, groups=2), "of 12 terms exceeds the 7"),
        (lambda s: pc.conv2d_input_gradient(s, G, W, (5, 5)), r"output's shape \(2, 6, 3, 3\), not \(2, 6, 3, 2\)"),
        (lambda s: pc.conv2d_input_gradient(s, G[:, :5], W, (5, 4)), r"\(2, 6, 3, 2\), not \(2, 5, 3, 2\)"),
        (lambda s: pc.conv2d_input_gradient(s, G, W, 2), "spans 3×3 does not fit into images that are 2×2"),
        (lambda s: pc.conv2d_input_gradient(s, G, W, (5, 4), groups=4), "4 groups do not divide 6 output"),
        (lambda s: pc.conv2d_input_gradient(s, G[0], W, 5), r"gradient must be of shape \(N, O, OH, OW\)"),
        (lambda s: pc.conv2d_weight_gradient(s, G, X, 2), r"output's shape \(2, 6, 4, 3\), not \(2, 6, 3, 2\)"),
        (lambda s: pc.conv2d_weight_gradient(s, G, X[:1], 3), r"output's shape \(1, 6, 3, 2\), not"),
        (lambda s: pc.conv2d_weight_gradient(s, G, X, 0), "conv2d_weight_gradient: kernel must be at least 1"),
        (lambda s: pc.conv2d_weight_gradient(s, G, X, 3, groups=3), "3 groups do not divide the 4 channels of x"),
        (lambda s: pc.conv1d(s, X, W[0]), r"conv1d: x must be of shape \(N, C, W\), each at least 1 but N"),
        (lambda s: pc.conv1d(s, X[0], W), r"conv1d: weight must be of shape \(O, C / groups, kw\), each at"),
        (lambda s: pc.conv1d(s, X[0], W[0], dilation=2), "a kernel that spans 5 does not fit into images that are 4"),
        (lambda s: pc.conv1d_input_gradient(s, G[0], W[0], 5), r"output's shape \(6, 2, 3\), not \(6, 3, 2\)"),
        (lambda s: pc.conv1d_weight_gradient(s, G[0], X[0], 3), r"output's shape \(4, 3, 2\), not \(6, 3, 2\)"),
    ],
)  # fmt: skip
def test_ranges_and_shapes(call, message):
    with pytest.raises(ValueError, match=message):
        call(pc.MacSpec(pc.posit8))
