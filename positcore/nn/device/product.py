"""The float64 matrix product of a device, and what must hold of it for results to be exact.

The quire's error bound and its certificate hold for an ordinary product: each a·b is rounded once or fused into an
addition, in float64, and sums are taken in any order. cuBLAS's DGEMM is one; its emulation of float64 by integers
(Ozaki scheme) is not. TF32 and PyTorch's other switches of precision concern float32 alone, which is never used here.

So each device is tried once per process, on products whose float64 result is known to the last bit: single products
over a range of 2^±400, which fixed-point emulation loses, and sums of integers that use up to 53 bits. No trial proves
what a library does for every shape; cuBLAS's own switch is therefore read as well.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

from positcore.nn.device.bits import power_of_two

__all__ = ["check_product", "float64_product"]

_SWITCH = "CUBLAS_EMULATE_DOUBLE_PRECISION"
_SIDE = 256
_PIECE = 32


def float64_product(a: Tensor, b: Tensor) -> Tensor:
    """A·B of float64 matrices on one device, which is tried first.

    Raises
    ------
    RuntimeError
        If the device's product is not an ordinary one in float64.
    """
    _tried(a.device)
    return torch.matmul(a, b)


@lru_cache(maxsize=64)
def _tried(device: torch.device) -> None:
    check_product(device)


def check_product(device: torch.device, product: Callable[[Tensor, Tensor], Tensor] = torch.matmul) -> None:
    """Raise a RuntimeError unless `product` of float64 matrices on `device` is what the error bound takes it for."""
    if device.type == "cuda" and os.environ.get(_SWITCH, "0") not in ("", "0"):
        raise RuntimeError(
            f"{_SWITCH}={os.environ[_SWITCH]} lets cuBLAS emulate float64 on {device}, whose products the quire cannot "
            "prove; unset it"
        )
    generator = torch.Generator().manual_seed(1)
    limit = 1 << 22  # 256 products of two such integers add up to less than 2^53
    whole = torch.randint(1 - limit, limit, (2, _SIDE, _SIDE), generator=generator)
    powers = torch.randint(-400, 401, (_SIDE, _SIDE), generator=generator)
    a, b = whole.to(device)
    wide = (2 * b + 1).double() / 3.0 * power_of_two(powers.to(device))
    single = (2 * a[0] + 1).double() / 3.0
    sums = torch.zeros_like(a)
    for i in range(0, _SIDE, _PIECE):
        sums += (a[:, i : i + _PIECE, None] * b[None, i : i + _PIECE]).sum(1)
    good = torch.equal(product(single.diag(), wide), single[:, None] * wide)
    if not (good and torch.equal(product(a.double(), b.double()), sums.double())):
        raise RuntimeError(
            f"the float64 matrix product on {device} is not an ordinary one: it lost bits that IEEE arithmetic keeps, "
            "so the quire cannot prove its results; switch off emulation and reduced precision in its BLAS, or move "
            "the tensors to the CPU"
        )
