"""`only_simulated`: a block in which golden arithmetic cannot run, so that all results are those of another backend."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FunctionType, ModuleType
from typing import Any

__all__ = ["GoldenArithmeticError", "only_simulated"]

# Modules of which every function computes, beside the compiled kernels of all modules.
_COMPUTING = {
    f"positcore.{name}"
    for name in (
        "arithmetic", "array_functions", "comparison", "floats", "functions", "gemm", "gemm.aligned",
        "gemm.certificate", "gemm.compensated", "gemm.convolution", "gemm.filter", "gemm.fused", "gemm.products",
        "gemm.quire", "gemm.rounded", "gemm.stepwise", "integers", "nn.device.aligned", "nn.device.arithmetic",
        "nn.device.codec", "nn.device.convolution", "nn.device.gemm", "nn.device.product", "nn.device.quire",
        "nn.device.stepwise", "nn.device.values", "quire", "reductions", "superaccumulator", "ufuncs",
    )
}  # fmt: skip
# What moves codes, looks at them, or makes codes of values and values of codes without rounding.
_MOVING = ("positcore.codec", "positcore.gemm.patches", "positcore.jit", "positcore.threads")
_ALLOWED = {"flipped", "check_capacity", "check_operands", "check_codes"}
# The simulators, and what the contents of their ROMs are made by.
_BESIDE = ("positcore.sim", "positcore.hw", "positcore.tables", "positcore.elementary", *_MOVING)


class GoldenArithmeticError(RuntimeError):
    """Golden arithmetic was called where only the simulation may compute."""


@contextmanager
def only_simulated() -> Iterator[int]:
    """Within this block every function of the golden model that computes raises a `GoldenArithmeticError`.

    Every name in every loaded module of the package that stands for such a function stands for one that raises: the
    operations on arrays, the accumulators, the quire, and all compiled kernels, but for those that move codes. `encode`
    raises where it would round. The constants of a host, exact fractions rounded once, are not the network's arithmetic
    and stay, as does what makes the contents of ROMs. PyTorch's own arithmetic is what `pnn.audit` looks after.

    Yields
    ------
    int
        How many names are barred.

    Raises
    ------
    GoldenArithmeticError
        At any call of a barred function.
    """
    changed: list[tuple[Any, str, Any]] = []
    barred: dict[int, Callable[..., Any]] = {}
    for name, module in list(sys.modules.items()):
        if not (name == "positcore" or name.startswith("positcore.")) or name.startswith(_BESIDE):
            continue
        for key, value in list(vars(module).items()):
            stub = _strict_encode(value) if _is_encode(value) else _stub(value) if _computes(value) else None
            if stub is not None:
                changed.append((module, key, value))
                setattr(module, key, barred.setdefault(id(value), stub))
    quire = sys.modules["positcore.quire"].QuireArray
    for key, value in list(vars(quire).items()):
        if isinstance(value, FunctionType) and key in ("add", "add_matmul", "add_product", "add_quire", "round", "sum"):
            changed.append((quire, key, value))
            setattr(quire, key, _stub(value))
    try:
        yield len(changed)
    finally:
        for owner, key, value in changed:
            setattr(owner, key, value)


def _computes(value: Any) -> bool:
    if isinstance(value, ModuleType | type) or not callable(value):
        return False
    origin, name = getattr(value, "__module__", None) or "", getattr(value, "__name__", "")
    if name in _ALLOWED or (origin.startswith(_MOVING) and name not in ("round_values", "round_into", "round_value")):
        return False
    if origin.startswith(_BESIDE[:4]):
        return False
    if name in ("round_values", "round_into", "round_value"):
        return True
    kernel = hasattr(value, "py_func") and origin.startswith("positcore")
    return kernel or (isinstance(value, FunctionType) and origin in _COMPUTING)


def _is_encode(value: Any) -> bool:
    return isinstance(value, FunctionType) and (value.__module__, value.__name__) == ("positcore.codec", "encode")


def _stub(function: Any) -> Callable[..., Any]:
    name = f"{function.__module__}.{function.__name__}"

    def raising(*arguments: Any, **options: Any) -> Any:
        raise GoldenArithmeticError(f"{name} of the golden model was called where only the simulation may compute")

    raising.__name__ = function.__name__
    return raising


def _strict_encode(encode: Callable[..., Any]) -> Callable[..., Any]:
    import numpy as np

    from positcore.codec import decode

    @functools.wraps(encode)
    def strict(fmt: Any, x: Any) -> Any:
        codes, values = encode(fmt, x), np.asarray(x)
        back = decode(fmt, codes)
        if not ((back == values) | (np.isnan(back) & np.isnan(values))).all():
            raise GoldenArithmeticError(f"encode would round to {fmt} where only the simulation may compute")
        return codes

    return strict
