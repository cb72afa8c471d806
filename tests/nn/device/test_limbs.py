from fractions import Fraction

import numpy as np
import pytest
import torch

import positcore as pc
from positcore.nn.device import limbs
from tests.nn.device.drawing import to

WIDE = pc.PositFormat(32, 4)


def sums(device, x, parts=1):
    held = limbs.new_limbs(len(x), device)
    for part in np.array_split(x, parts, axis=1):
        limbs.accumulate(held, to(device, part))
        limbs.propagate(held)
    return limbs.read(held).cpu().numpy()


def round_to_odd(x):
    """A rational as the float64 that is rounded to odd."""
    if not x:
        return 0.0
    scale = abs(x).numerator.bit_length() - abs(x).denominator.bit_length()
    scale -= Fraction(2) ** scale > abs(x)
    whole, rest = divmod(abs(x) / Fraction(2) ** (scale - 52), 1)
    return float((-1 if x < 0 else 1) * (whole | (rest != 0)) * Fraction(2) ** (scale - 52))


@pytest.mark.parametrize("spread", [0, 20, 500, 900])
def test_exact_sums(device, spread):
    rng = np.random.default_rng(spread)
    x = rng.normal(size=(60, 12)) * 2.0 ** rng.integers(-spread, spread + 1, (60, 12))
    x[::2, 6:] = -x[::2, :6]  # to nothing, or to the one below
    x[::4, 0] = 2.0**-900
    expected = [round_to_odd(sum(map(Fraction, row))) for row in x.tolist()]
    for parts in (1, 5):
        assert sums(device, x, parts).tolist() == expected


def test_every_place_of_the_leading_bit(device):
    """One bit and a sticky one far below, at every place and of either sign."""
    scales = np.arange(-900, 901)
    x = np.stack([2.0**scales, 2.0 ** (scales - 53.0), 2.0 ** (scales - 75.0)], axis=1)
    for row in (x, -x, x * [1, -1, 1], x * [1, 0, -1]):
        assert sums(device, row).tolist() == [round_to_odd(sum(map(Fraction, terms))) for terms in row.tolist()]


def test_zeros(device):
    assert sums(device, np.array([[0.0, -0.0, 0.0], [2.0**-960, -(2.0**-960), 0.0]])).tolist() == [0.0, 0.0]


def test_many_carries(device):
    """A hundred thousand numbers added to one limb between two propagations."""
    x = np.full((2, 100_000), 1 + 2.0**-52) * [[1], [-1]]
    assert sums(device, x).tolist() == [round_to_odd(s * 100_000 * (1 + Fraction(1, 1 << 52))) for s in (1, -1)]


def test_a_lost_sticky_bit_is_caught(device, monkeypatch):
    """A planted fault: what lies below the word is forgotten."""
    x = np.array([[1.0, 2.0**-200], [1.0, 2.0**-60]])
    expected = [round_to_odd(sum(map(Fraction, row))) for row in x.tolist()]
    assert sums(device, x).tolist() == expected
    monkeypatch.setattr(
        limbs.torch.Tensor, "any", lambda x, dim: torch.zeros(len(x), dtype=torch.bool, device=x.device)
    )
    assert sums(device, x).tolist() != expected
