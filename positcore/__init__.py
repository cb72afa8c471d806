"""Posit arithmetic in three views that agree bit for bit: RTL, golden model, PyTorch.

The names below are the public surface for numbers; the PyTorch bridge is `positcore.nn`, the generators
are `positcore.hw`, simulation is `positcore.sim`. Everything that needs compiled code loads on first use.
"""

from importlib import import_module
from typing import Any

from positcore.errors import BuildError, DataFileError, MismatchError, MissingToolError
from positcore.format import PositFormat, posit8, posit16, posit32
from positcore.mac import Aligned, Fused, MacSpec, Quire, Rounded
from positcore.version import __version__

_LAZY = {
    "Posit": "scalar",
    "encode": "codec",
    "decode": "codec",
    "add": "arithmetic",
    "sub": "arithmetic",
    "mul": "arithmetic",
    "div": "arithmetic",
    "sqrt": "arithmetic",
    "fma": "arithmetic",
    "fms": "arithmetic",
    "neg": "arithmetic",
    "convert": "arithmetic",
    "equal": "comparison",
    "less": "comparison",
    "less_equal": "comparison",
    "minimum": "comparison",
    "maximum": "comparison",
    "abs": "comparison",
    "sign": "comparison",
    "next_up": "comparison",
    "next_down": "comparison",
    "from_int": "integers",
    "to_int": "integers",
    "round_to_int": "integers",
    "floor": "integers",
    "ceil": "integers",
    "trunc": "integers",
    "from_float": "floats",
    "to_float": "floats",
    "from_text": "text",
    "to_text": "text",
    "exp": "functions",
    "exp2": "functions",
    "expm1": "functions",
    "log": "functions",
    "log2": "functions",
    "log1p": "functions",
    "tanh": "functions",
    "sigmoid": "functions",
    "softplus": "functions",
    "sin": "functions",
    "cos": "functions",
    "erf": "functions",
    "gelu": "functions",
    "rsqrt": "functions",
    "reciprocal": "functions",
    "bit_trick_sigmoid": "approximations",
    "bit_trick_tanh": "approximations",
    "QuireArray": "quire",
    "sum": "reductions",
    "mean": "reductions",
    "matmul": "gemm",
    "dot": "gemm",
    "conv1d": "gemm.convolutions",
    "conv1d_input_gradient": "gemm.convolutions",
    "conv1d_weight_gradient": "gemm.convolutions",
    "conv2d": "gemm.convolutions",
    "conv2d_input_gradient": "gemm.convolutions",
    "conv2d_weight_gradient": "gemm.convolutions",
    "PositArray": "arrays",
    "array": "arrays",
    "finfo": "limits",
    "save": "archive",
    "load": "archive",
    "set_num_threads": "threads",
    "get_num_threads": "threads",
}

__all__ = [
    "PositFormat", "posit8", "posit16", "posit32", "MacSpec", "Quire", "Fused", "Rounded", "Aligned",
    "BuildError", "DataFileError", "MismatchError", "MissingToolError", "__version__",
    *_LAZY,
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        value = getattr(import_module(f"positcore.{_LAZY[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'positcore' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
