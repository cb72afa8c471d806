import math

import numpy as np
import torch

from positcore.nn.device.bits import exponent_field, leading_zeros, ones_below, power_of_two


def test_leading_zeros(device):
    """All places, and the numbers next to powers of two, which a conversion to float64 could round up."""
    numbers = {0, 1} | {(1 << i) + d for i in range(1, 63) for d in (-1, 0, 1)} | {(1 << 63) - 1, (1 << 63) - 2}
    numbers |= set(np.random.default_rng(1).integers(0, (1 << 63) - 1, 1000).tolist())
    numbers = sorted(numbers)
    got = leading_zeros(torch.tensor(numbers, device=device))
    assert got.tolist() == [64 - x.bit_length() for x in numbers]


def test_powers_and_masks(device):
    scales = torch.arange(-1022, 1024, device=device)
    assert power_of_two(scales).tolist() == [math.ldexp(1.0, s) for s in range(-1022, 1024)]
    assert ones_below(torch.arange(63, device=device)).tolist() == [(1 << i) - 1 for i in range(63)]
    x = torch.tensor([1.0, -2.5, 0.0, math.inf], dtype=torch.float64, device=device)
    assert exponent_field(x).tolist() == [1023, 1024, 0, 2047]
