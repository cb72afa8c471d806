"""Codes as tensors: which dtypes they come and go in, and what is checked at the border.

Users have what `torch.from_numpy` makes of the golden model's arrays: uint8, uint16, uint32. PyTorch does little with
the last two, so they are viewed as int16 and int32 (called *stored* here), widened block by block to sign-extended
int64, and viewed back at the end. Codes in any other integer dtype are accepted too.
"""

from __future__ import annotations

import torch
from torch import Tensor

from positcore.format import PositFormat

__all__ = [
    "as_codes", "check_codes", "check_device", "check_floats", "check_one_device", "code_dtype", "packed", "signed",
    "stored_dtype",
]  # fmt: skip

_CODES = {1: torch.uint8, 2: torch.uint16, 4: torch.uint32}
_STORED = {1: torch.uint8, 2: torch.int16, 4: torch.int32}
_VIEWS = {torch.uint16: torch.int16, torch.uint32: torch.int32, torch.uint64: torch.int64}
_INTEGERS = {torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, *_VIEWS}
_UNFIT = {"mps": "has no float64, which they are made of", "meta": "holds no numbers"}


def code_dtype(fmt: PositFormat) -> torch.dtype:
    """PyTorch's twin of `fmt.dtype`: torch.uint8, torch.uint16 or torch.uint32."""
    return _CODES[fmt.dtype.itemsize]


def stored_dtype(fmt: PositFormat) -> torch.dtype:
    """The dtype of `packed` codes: torch.uint8, torch.int16 or torch.int32, of the same bits as the codes."""
    return _STORED[fmt.dtype.itemsize]


def signed(fmt: PositFormat, stored: Tensor) -> Tensor:
    """Codes of any integer dtype as sign-extended int64, the two's-complement integers that order as posits do."""
    unused = 64 - fmt.n
    return stored.to(torch.int64) << unused >> unused


def packed(fmt: PositFormat, codes: Tensor) -> Tensor:
    """Int64 codes, of which the low n bits count, in `stored_dtype(fmt)`."""
    codes = codes & fmt.mask
    if fmt.dtype.itemsize > 1:  # the integer whose bits in the narrower signed dtype are those of the code
        unused = 64 - 8 * fmt.dtype.itemsize
        codes = codes << unused >> unused
    return codes.to(stored_dtype(fmt))


def as_codes(fmt: PositFormat, stored: Tensor) -> Tensor:
    """`packed` codes as users see them, in `code_dtype(fmt)`."""
    return stored.view(code_dtype(fmt))


def check_codes(fmt: PositFormat, codes: Tensor, name: str) -> Tensor:
    """`codes` with a dtype that PyTorch computes with, checked to be codes of the format.

    Raises
    ------
    TypeError, ValueError
        If `codes` is not a tensor of integers on a device that has float64, or holds other than 0..2^n − 1.
    """
    if not isinstance(codes, Tensor):
        raise TypeError(f"{name}: codes of {fmt} must be a tensor, not {type(codes).__name__}; see torch.from_numpy")
    if codes.dtype not in _INTEGERS:
        raise TypeError(
            f"{name}: codes of {fmt} must be integers, not {codes.dtype}; "
            "positcore.nn.device.encode turns numbers into codes"
        )
    check_device(name, codes.device)
    stored = codes.view(_VIEWS.get(codes.dtype, codes.dtype))
    if codes.dtype in _VIEWS and 8 * codes.element_size() < fmt.n:
        stored = stored.to(torch.int64) & ((1 << 8 * codes.element_size()) - 1)
    fits = codes.dtype == code_dtype(fmt) and fmt.n == 8 * fmt.dtype.itemsize
    if not fits and stored.numel():
        low, high = (int(x) for x in torch.aminmax(stored))
        if low < 0 or high > fmt.mask:
            wrong = high if high > fmt.mask else low
            if wrong < 0 and codes.dtype in _VIEWS:
                wrong += 1 << (8 * codes.element_size())
            raise ValueError(f"{name}: codes of {fmt} must be in 0..{fmt.mask}, not {wrong}")
    return stored


def check_floats(name: str, *tensors: Tensor) -> None:
    """Raise unless all are tensors of floats on one device that has float64."""
    for x in tensors:
        if not isinstance(x, Tensor):
            raise TypeError(f"{name}: operands must be tensors, not {type(x).__name__}")
        if not x.is_floating_point():
            raise TypeError(f"{name}: operands must be float tensors, not {x.dtype}")
        check_device(name, x.device)
    check_one_device(name, *tensors)


def check_one_device(name: str, *tensors: Tensor) -> None:
    """Raise a ValueError unless all tensors are on one device."""
    devices = sorted({str(x.device) for x in tensors})
    if len(devices) > 1:
        raise ValueError(f"{name}: operands must be on one device, not on {' and '.join(devices)}")


def check_device(name: str, device: torch.device) -> None:
    """Raise a TypeError unless the device has float64 and holds numbers."""
    if device.type in _UNFIT:
        raise TypeError(f"{name}: posit operations do not run on {device}, which {_UNFIT[device.type]}")
