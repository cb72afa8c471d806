"""How inner loops are compiled: one numba decorator, and the bit operations that numba lacks.

Compiled kernels are kept beside their sources. Numba takes one as valid while its own file has not changed, though
kernels of other files may be part of it; so all that are older than any file with kernels are dropped here, once.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from numba import njit, types
from numba.extending import intrinsic

__all__ = [
    "any_order_kernel", "count_leading_zeros", "count_trailing_zeros", "drop_stale_kernels", "float_bits",
    "float_from_bits", "fused_multiply_add", "kernel", "llvm_intrinsic",
]  # fmt: skip

F = TypeVar("F", bound=Callable[..., Any])


def drop_stale_kernels(package: Path) -> int:
    """Delete the compiled kernels in a package's folders that are older than one of its files with kernels.

    Returns
    -------
    int
        How many indices were deleted; what cannot be deleted stays.
    """
    folders = [package, package / "gemm"]
    sources = [path for folder in folders for path in folder.glob("*.py")]
    compiled = [path for path in sources if path.name == "jit.py" or b"positcore.jit" in path.read_bytes()]
    newest = max((path.stat().st_mtime for path in compiled), default=0.0)
    dropped = 0
    for folder in folders:
        for index in (folder / "__pycache__").glob("*.nbi"):
            try:
                if index.stat().st_mtime < newest:
                    index.unlink()
                    dropped += 1
            except OSError:  # another process was first, or the folder is not ours
                continue
    return dropped


drop_stale_kernels(Path(__file__).parent)


def kernel(function: F) -> F:
    """Compile on first call, cached on disk, without the GIL; plain IEEE arithmetic, never `fastmath`."""
    return njit(cache=True, nogil=True, error_model="numpy")(function)  # type: ignore[return-value]


def llvm_intrinsic(function: Callable[..., Any]) -> Callable[..., Any]:
    """`numba.extending.intrinsic`, typed as its users call it: without the typing context."""
    return intrinsic(function)


def any_order_kernel(function: F) -> F:
    """As `kernel`, for sums whose error bound holds in any order, with or without FMA; nothing else is relaxed."""
    relaxed = {"reassoc", "contract"}
    return njit(cache=True, nogil=True, error_model="numpy", fastmath=relaxed)(function)  # type: ignore[return-value]


@llvm_intrinsic
def count_leading_zeros(typingctx: Any, x: Any) -> Any:
    """Leading zero bits of an int64; 64 for 0."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.ctlz(args[0], context.get_constant(types.boolean, False))

    return types.int64(types.int64), build


@llvm_intrinsic
def count_trailing_zeros(typingctx: Any, x: Any) -> Any:
    """Trailing zero bits of an int64; 64 for 0."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], context.get_constant(types.boolean, False))

    return types.int64(types.int64), build


@llvm_intrinsic
def float_bits(typingctx: Any, x: Any) -> Any:
    """The bits of a float64 as an int64."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], context.get_value_type(types.int64))

    return types.int64(types.float64), build


@llvm_intrinsic
def float_from_bits(typingctx: Any, x: Any) -> Any:
    """The float64 with the bits of an int64."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], context.get_value_type(types.float64))

    return types.float64(types.int64), build


@llvm_intrinsic
def fused_multiply_add(typingctx: Any, x: Any, y: Any, z: Any) -> Any:
    """x·y + z on float64s or float32s, rounded once (IEEE 754 fusedMultiplyAdd), in software where need be."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fma(*args)

    width = types.float32 if x == y == z == types.float32 else types.float64
    return width(width, width, width), build
