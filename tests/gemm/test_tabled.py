"""Tables of products and sums give the bits of their arithmetic; products by zero are left out where that is right."""

import numpy as np
import pytest

import positcore as pc
from positcore.gemm import rounded
from positcore.gemm.fused import fused_codes
from positcore.gemm.rounded import rounded_codes
from positcore.gemm.tabled import fits_tables

FORMATS = [
    (pc.posit8, pc.posit8),
    ((pc.PositFormat(6, 1), pc.PositFormat(8, 0)), pc.PositFormat(7, 3)),
    (pc.PositFormat(8, 4), pc.PositFormat(5, 2, underflow=True)),
    ((pc.PositFormat(2, 0), pc.PositFormat(8, 2, flush=3)), pc.PositFormat(8, 2, flush=3)),
]


def operands(spec, *, nar):
    rng = np.random.default_rng(7)
    a, b = (rng.integers(0, 1 << fmt.n, shape) for fmt, shape in ((spec.a, (9, 60)), (spec.b, (60, 300))))
    a[rng.random(a.shape) < 0.6] = 0
    if not nar:
        b[b == spec.b.nar] = 0
    return spec.a.decode(a.astype(spec.a.dtype)), spec.b.decode(b.astype(spec.b.dtype))


@pytest.mark.parametrize("nar", [False, True])
@pytest.mark.parametrize("formats", FORMATS, ids=str)
def test_tables_are_the_arithmetic(formats, nar, monkeypatch):
    spec = pc.MacSpec(*formats, pc.Rounded())
    a, b = operands(spec, nar=nar)
    bias = spec.a.decode(np.arange(9).astype(spec.a.dtype) % (1 << spec.a.n - 1))[:, None]
    assert fits_tables(spec)
    got = rounded_codes(spec, a, b, bias)
    monkeypatch.setattr(rounded, "fits_tables", lambda spec: False)
    assert np.array_equal(got, rounded_codes(spec, a, b, bias))


@pytest.mark.parametrize("fmt", [pc.posit8, pc.posit16, pc.posit32], ids=str)
@pytest.mark.parametrize("run", [rounded_codes, fused_codes])
def test_zero_times_nar_is_nar(run, fmt):
    spec = pc.MacSpec(fmt, accumulator=pc.Rounded() if run is rounded_codes else pc.Fused())
    a, b = np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([[1.0, np.nan], [2.0, 3.0]])
    one, two = fmt.encode(np.array([1.0, 2.0])).tolist()
    assert run(spec, a, b).tolist() == [[two, fmt.nar], [one, fmt.nar]]


def test_wider_formats_have_no_tables():
    assert not fits_tables(pc.MacSpec(pc.posit8, pc.posit16))
