"""Posit arithmetic on PyTorch tensors of any device, CUDA among them: the golden model's bits by tensor code alone.

Codes are integer tensors; results are in PyTorch's twin of `PositFormat.dtype` (uint8, uint16, uint32), so that
`torch.from_numpy` and `.numpy()` lead from and to the golden model's arrays::

    from positcore.nn import device
    codes = device.encode(fmt, x)
    total = device.add(fmt, codes, codes)
    products = device.matmul(spec, a, b)

No data are copied to the host and nothing falls back to the CPU; work is done in blocks of bounded memory. Devices need
IEEE float64 (CUDA has it, Apple's MPS has not), and for matrix products a BLAS that `device.product` describes.
Operations on float tensors that hold posit values are in `device.values`, `device.quantize` and `device.values_matmul`.
"""

from positcore.nn.device import values
from positcore.nn.device.arithmetic import add, convert, div, fma, fms, mul, neg, sqrt, sub
from positcore.nn.device.backend import DeviceBackend
from positcore.nn.device.codec import decode, encode, quantize
from positcore.nn.device.codes import code_dtype
from positcore.nn.device.comparison import (
    abs,
    equal,
    less,
    less_equal,
    maximum,
    minimum,
    next_down,
    next_up,
    sign,
)
from positcore.nn.device.functions import function
from positcore.nn.device.gemm import dot, matmul, values_matmul

__all__ = [
    "DeviceBackend", "abs", "add", "code_dtype", "convert", "decode", "div", "dot", "encode", "equal", "fma", "fms",
    "function", "less", "less_equal", "matmul", "maximum", "minimum", "mul", "neg", "next_down", "next_up", "quantize",
    "sign", "sqrt", "sub", "values", "values_matmul",
]  # fmt: skip
