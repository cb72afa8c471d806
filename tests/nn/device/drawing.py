"""Operands for the tests of tensor code, and the way there and back."""

import numpy as np
import torch

import positcore as pc
from positcore.nn.device import blocks
from tests.reference import BYTE_FORMATS, LARGE_FORMATS, SMALL_FORMATS, special_codes

FLUSHED = [pc.PositFormat(n, es, flush=k) for n, es, k in [(4, 1, 0), (6, 2, 3), (8, 2, 5), (16, 1, 1), (32, 4, 64)]]
FORMATS = [*SMALL_FORMATS, *BYTE_FORMATS, *LARGE_FORMATS, *FLUSHED]
FEW = [pc.PositFormat(6, 1, underflow=True), *FLUSHED, pc.posit8, pc.PositFormat(12, 3), pc.posit16, pc.posit32]


def draw(fmt, rng, shape, how):
    """Codes of normally distributed numbers, of any numbers, or of special ones; no NaR."""
    if how == "normal":
        return fmt.encode(rng.normal(size=shape))
    codes = rng.choice(special_codes(fmt), shape) if how == "special" else rng.integers(0, 1 << fmt.n, shape)
    return np.where(codes == fmt.nar, 0, codes).astype(fmt.dtype)


def all_or_many(fmt, rng, count=20_000):
    """All codes, or special and random ones of a format of more than 16 bits."""
    if fmt.n <= 16:
        return np.arange(1 << fmt.n, dtype=fmt.dtype)
    return np.concatenate([special_codes(fmt), rng.integers(0, 1 << fmt.n, count)]).astype(fmt.dtype)


def to(device, array):
    """A NumPy array as a tensor on the device."""
    return torch.from_numpy(np.array(array)).to(device)


def same(tensor, array):
    """Whether a tensor holds what a NumPy array does, in the same dtype and shape; nan equals nan, and −0 is not 0."""
    got = tensor.cpu().numpy()
    if got.dtype != array.dtype or got.shape != array.shape:
        return False
    if array.dtype.kind != "f":
        return np.array_equal(got, array)
    kept = ~np.isnan(array)
    return np.array_equal(got, array, equal_nan=True) and np.array_equal(np.signbit(got)[kept], np.signbit(array)[kept])


def cut_blocks(monkeypatch, items):
    """Let every device work on so many elements at a time."""
    monkeypatch.setattr(blocks, "_ON_CPU", items)
    monkeypatch.setattr(blocks, "_ON_DEVICE", items)
