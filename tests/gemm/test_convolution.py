from itertools import product

import numpy as np
import pytest

import positcore as pc
from positcore.gemm import convolution
from positcore.gemm.patches import (
    Geometry,
    fold,
    gather_patches,
    gather_taps,
    patch_norms,
    reached_norms,
    spread,
    unfold,
)
from tests.reference import exact_matmul

GEOMETRIES = [
    Geometry((3, 3)),
    Geometry((5, 5), padding=(2, 2)),
    Geometry((3, 2), stride=(2, 3), padding=(1, 0)),
    Geometry((2, 3), dilation=(2, 1), padding=(0, 1)),
    Geometry((1, 1), stride=(2, 2), padding=(1, 1)),
    Geometry((3, 3), stride=(2, 1), dilation=(1, 2), padding=(2, 3)),
]
SPECS = [pc.MacSpec(pc.posit8), pc.MacSpec((pc.posit8, pc.PositFormat(6, 1)), pc.posit16), pc.MacSpec(pc.posit32)]


def naive_unfold(x, geometry):
    """Patches by the definition, one element at a time."""
    n, c, h, w = x.shape
    oh, ow = geometry.output_size((h, w))
    (kh, kw), (sv, sh), (pv, ph), (dv, dh) = geometry.kernel, geometry.stride, geometry.padding, geometry.dilation
    out = np.zeros((c, kh, kw, n, oh, ow), x.dtype)
    for at in product(*map(range, out.shape)):
        k, i, j, m, p, q = at
        y, z = p * sv - pv + i * dv, q * sh - ph + j * dh
        if 0 <= y < h and 0 <= z < w:
            out[at] = x[m, k, y, z]
    return out.reshape(c * kh * kw, n * oh * ow)


def operands(spec, geometry, seed=1):
    rng = np.random.default_rng(seed)
    x = spec.b.encode(rng.normal(size=(3, 2, 8, 7)))
    weight = spec.a.encode(rng.normal(size=(4, 2, *geometry.kernel)))
    return x, weight, spec.a.encode(rng.normal(size=4))


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_unfold_fold_and_gather(geometry):
    x = np.random.default_rng(2).normal(size=(3, 2, 8, 7))
    columns = unfold(x, geometry)
    assert np.array_equal(columns, naive_unfold(x, geometry))
    some = np.array([0, 3, columns.shape[1] - 1])
    assert np.array_equal(gather_patches(x, geometry, some), columns[:, some].T)
    taps = np.array([0, columns.shape[0] - 1])
    assert np.array_equal(gather_taps(x, geometry, taps), columns[taps])
    weights = np.round(np.random.default_rng(3).normal(size=columns.shape) * 16)  # integers: sums are exact
    ones = np.round(x * 16)
    folded = fold(weights, 3, (8, 7), geometry).transpose(1, 0, 2, 3)
    assert (folded * ones).sum() == (weights * unfold(ones, geometry)).sum()  # the adjoint


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_norms(geometry):
    """Sums over patches by rows and columns, exact for integers, are those of the unfolded images."""
    rng = np.random.default_rng(2)
    x, gradient = rng.integers(-9, 10, (3, 2, 8, 7)), rng.integers(-9, 10, (3, 4, *geometry.output_size((8, 7))))
    x, gradient = x.astype(np.float64), gradient.astype(np.float32)
    x[1, 0, 3, 3] = gradient[2, 1, 0, 1] = np.nan
    squares = np.square(naive_unfold(x, geometry)).sum(axis=0)
    assert np.array_equal(patch_norms(x, geometry), np.sqrt(squares), equal_nan=True)
    oh, ow = geometry.output_size((8, 7))
    for rows in ((0, 1), (1, oh), (oh - 1, oh)):
        some = np.sqrt(squares.reshape(3, oh, ow)[:, rows[0] : rows[1]]).reshape(-1)
        assert np.array_equal(patch_norms(x, geometry, rows), some, equal_nan=True)
        assert np.array_equal(
            unfold(x, geometry, rows=rows).reshape(-1, some.size),
            naive_unfold(x, geometry).reshape(-1, 3, oh, ow)[:, :, rows[0] : rows[1]].reshape(-1, some.size),
            equal_nan=True,
        )
    patches = naive_unfold(*spread(gradient.astype(np.float64), geometry, (8, 7)))
    reached = np.sqrt(np.square(patches).sum(axis=0))
    assert np.array_equal(reached_norms(gradient, geometry, (8, 7)), reached, equal_nan=True)


@pytest.mark.parametrize(("tile", "direct"), [(1, False), (500, False), (1 << 20, False), (1, True)])
@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_forward(geometry, spec, tile, direct, monkeypatch):
    monkeypatch.setattr(convolution, "_TILE", tile)
    x, weight, bias = operands(spec, geometry)
    expected = exact_matmul(spec, weight.reshape(4, -1), naive_unfold(x, geometry), bias[:, None])
    values = spec.b.decode(x), spec.a.decode(weight), spec.a.decode(bias)
    got = convolution.conv2d_values(spec, *values, geometry, direct=direct)
    assert got.dtype == spec.out.tensor_dtype
    assert np.array_equal(spec.out.encode(got.transpose(1, 0, 2, 3)).reshape(4, -1), expected)


@pytest.mark.parametrize(("tile", "direct"), [(1, False), (500, False), (1 << 20, False), (1, True)])
@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_input_gradient(geometry, spec, tile, direct, monkeypatch):
    """One dot product per element: the exact sum over everything that the element reached, rounded once."""
    monkeypatch.setattr(convolution, "_TILE", tile)
    rng = np.random.default_rng(4)
    _, weight, _ = operands(spec, geometry)
    size = (8, 7)
    gradient = spec.b.encode(rng.normal(size=(3, 4, *geometry.output_size(size))))
    w, g = spec.a.decode(weight), spec.b.decode(gradient)
    got = convolution.input_gradient_values(spec, g, w, geometry, size, direct=direct)
    expected = np.empty((2, 3 * 8 * 7), spec.out.dtype)
    place = np.arange(3 * 2 * 8 * 7, dtype=np.float64).reshape(3, 2, 8, 7) + 1
    where = naive_unfold(place, geometry)  # which input element each weight tap meets, per output
    matrix, rows = weight.reshape(4, -1), gradient.transpose(1, 0, 2, 3).reshape(4, -1)
    for n, c, y, z in product(*map(range, place.shape)):
        taps, outputs = np.nonzero(where == place[n, c, y, z])
        a, b = matrix[:, taps].reshape(1, -1), rows[:, outputs].reshape(-1, 1)
        expected[c, (n * 8 + y) * 7 + z] = exact_matmul(spec, a, b)[0, 0]
    assert np.array_equal(spec.out.encode(got.transpose(1, 0, 2, 3)).reshape(2, -1), expected)
    patches, around = spread(g, geometry, size)
    same = exact_matmul(spec, spec.a.encode(convolution.flipped(w)), spec.b.encode(unfold(patches, around)))
    assert np.array_equal(same, expected)


@pytest.mark.parametrize(("tile", "direct"), [(1, False), (500, False), (1 << 20, False), (1, True)])
@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_weight_gradient(geometry, spec, tile, direct, monkeypatch):
    monkeypatch.setattr(convolution, "_TILE", tile)
    rng = np.random.default_rng(5)
    x, _, _ = operands(spec, geometry)
    gradient = spec.a.encode(rng.normal(size=(3, 4, *geometry.output_size((8, 7)))))
    expected = exact_matmul(spec, gradient.transpose(1, 0, 2, 3).reshape(4, -1), naive_unfold(x, geometry).T)
    values = spec.a.decode(gradient), spec.b.decode(x)
    got = convolution.weight_gradient_values(spec, *values, geometry, direct=direct)
    assert np.array_equal(spec.out.encode(got).reshape(4, -1), expected)


def test_ties_and_cancellation_in_every_pass():
    """Small integers make ties the rule; the codes still are those of rationals."""
    spec, geometry = pc.MacSpec(pc.PositFormat(6, 0)), Geometry((3, 3), padding=(1, 1))
    rng = np.random.default_rng(6)
    x = spec.b.encode(rng.integers(-2, 3, (2, 2, 6, 6)) / 4)
    weight = spec.a.encode(rng.integers(-2, 3, (3, 2, 3, 3)) / 4)
    got = convolution.conv2d_values(spec, spec.b.decode(x), spec.a.decode(weight), None, geometry)
    expected = exact_matmul(spec, weight.reshape(3, -1), naive_unfold(x, geometry))
    assert np.array_equal(spec.out.encode(got.transpose(1, 0, 2, 3)).reshape(3, -1), expected)


def test_capacity():
    spec = pc.MacSpec(pc.posit8, accumulator=pc.Quire(3))
    x, weight = np.ones((1, 1, 3, 3), np.float32), np.ones((1, 1, 3, 3), np.float32)
    with pytest.raises(ValueError, match="a dot product of 9 terms exceeds the 7 that a quire with 3 carry bits holds"):
        convolution.conv2d_values(spec, x, weight, None, Geometry((3, 3)))
