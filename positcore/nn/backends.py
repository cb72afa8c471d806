"""Where the operations of training run: the golden model, RTL in simulation, or a board. Loaded on first use."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray
    from torch import Tensor

    from positcore.format import PositFormat
    from positcore.gemm.patches import Geometry
    from positcore.mac import MacSpec

__all__ = ["BACKENDS", "Backend", "Sums", "current_backend", "use_backend"]


class Sums(Protocol):
    """Sums of products that go on over several operations: of a `positcore.QuireArray`, what training needs."""

    @property
    def spec(self) -> MacSpec:
        """Formats and accumulator."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the array."""
        ...

    @property
    def size(self) -> int:
        """The number of sums."""
        ...

    def add_matmul(self, a: ArrayLike, b: ArrayLike) -> Any:
        """Add the matrix product of codes (M, K) and (K, N) to sums (M, N)."""
        ...

    def add_product(self, a: ArrayLike, b: ArrayLike) -> Any:
        """Add products of codes that broadcast to the shape."""
        ...

    def add_quire(self, other: Any) -> Any:
        """Add sums of the same backend."""
        ...

    def sum(self, axis: int) -> Any:
        """The sums along an axis, as new ones."""
        ...

    def reshape(self, shape: tuple[int, ...]) -> Any:
        """The same sums in another shape: a view."""
        ...

    def __getitem__(self, index: Any) -> Any:
        """Part of the array: for slices a view."""
        ...

    def __setitem__(self, index: Any, sums: Any) -> None:
        """Put back a part."""
        ...

    def round(self) -> NDArray[Any]:
        """The codes of the sums, each rounded once."""
        ...


class Backend(Protocol):
    """All arithmetic of training: each method is one golden operation of docs/contract.md. Tensors hold posit values.

    Operands of the operations on elements broadcast; those that are not values of `fmt` are operands of their exact
    value. A result is in `PositFormat.tensor_dtype`, rounded once.
    """

    def quantize(self, fmt: PositFormat, x: Tensor) -> Tensor:
        """Any floats, rounded to `fmt`; inf and nan give NaR."""
        ...

    def add(self, fmt: PositFormat, x: Tensor, y: Tensor) -> Tensor:
        """x + y."""
        ...

    def sub(self, fmt: PositFormat, x: Tensor, y: Tensor) -> Tensor:
        """x − y."""
        ...

    def mul(self, fmt: PositFormat, x: Tensor, y: Tensor) -> Tensor:
        """x · y."""
        ...

    def div(self, fmt: PositFormat, x: Tensor, y: Tensor) -> Tensor:
        """x / y; x / 0 is NaR."""
        ...

    def fma(self, fmt: PositFormat, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
        """x · y + z."""
        ...

    def sqrt(self, fmt: PositFormat, x: Tensor) -> Tensor:
        """√x; x < 0 is NaR."""
        ...

    def look_up(self, fmt: PositFormat, name: str, x: Tensor) -> Tensor:
        """A function of `positcore.functions` of values of `fmt`, n ≤ 16."""
        ...

    def bit_trick(self, fmt: PositFormat, name: str, x: Tensor) -> Tensor:
        """The sigmoid or tanh of `positcore.approximations` of values of `fmt`, es = 0."""
        ...

    def matmul(self, spec: MacSpec, a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
        """round(bias + a @ b) for tensors (..., M, K) and (..., K, N), whose stacks broadcast; so does bias.

        Summed and rounded as `spec` says, and so in the methods below.
        """
        ...

    def conv2d(self, spec: MacSpec, x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
        """round(bias + x ∗ weight) for images (N, C, H, W), kernels (O, C, kh, kw) and bias (O,)."""
        ...

    def conv2d_input_gradient(
        self, spec: MacSpec, gradient: Tensor, weight: Tensor, geometry: Geometry, size: tuple[int, int]
    ) -> Tensor:
        """The gradient (N, C, H, W) of a convolution's input of height and width `size`."""
        ...

    def conv2d_weight_gradient(self, spec: MacSpec, gradient: Tensor, x: Tensor, geometry: Geometry) -> Tensor:
        """The gradient (O, C, kh, kw) of a convolution's weights."""
        ...

    def quires(self, spec: MacSpec, shape: tuple[int, ...]) -> Sums:
        """Sums that go on over several operations, all 0.

        Raises
        ------
        TypeError
            If the accumulator is no quire.
        """
        ...


def _golden() -> Backend:
    backend: Backend = import_module("positcore.nn.golden").GoldenBackend()
    return backend


def _simulated(machine: str) -> Callable[[], Backend]:
    """A backend of the class `machine`, "module:name", that runs units on codes; `run` may be None."""
    module, _, name = machine.partition(":")

    def load() -> Backend:
        machine = getattr(import_module(module), name)()
        backend: Backend = import_module("positcore.nn.codes").CodesBackend(machine.matmul, machine.run, machine.counts)
        return backend

    return load


BACKENDS: dict[str, Callable[[], Backend]] = {
    "golden": _golden,
    "rtl": _simulated("positcore.sim.backend:LockstepMachine"),
    "cocotb": _simulated("positcore.sim.cocotb_machine:CocotbMachine"),
    "board": _simulated("positcore.fpga.board.machine:BoardMachine"),
}
_loaded: dict[str, Backend] = {}
_current = "golden"


def current_backend() -> Backend:
    """The backend that layers, losses and optimizers use now."""
    if _current not in _loaded:
        _loaded[_current] = _load(_current)
    return _loaded[_current]


def _load(name: str) -> Backend:
    """A backend by its name, or of two by `first==second` the one that compares them."""
    first, _, second = name.partition("==")
    if not second:
        return BACKENDS[first]()
    pair = (_loaded.get(part) or _loaded.setdefault(part, BACKENDS[part]()) for part in (first, second))
    backend: Backend = import_module("positcore.nn.compared").ComparedBackend(*pair, names=(first, second))
    return backend


class use_backend:  # noqa: N801 (reads as a verb, like torch.set_grad_enabled)
    """Run all arithmetic in the backend `name`: from now on, or within a `with` block.

    Parameters
    ----------
    name : "golden", "rtl", "cocotb" or "board"
        The golden model; the compiled simulation of the RTL; the emitted Verilog under Icarus, which is slow; for
        matrix products the board at the port that $POSITCORE_BOARD names, and the golden model for the rest.
    compare : str, optional
        Another backend that does every operation too. The first code in which their results differ raises a
        `MismatchError`, which names the layer, the operation, the index and the fields of both codes.

    Raises
    ------
    ValueError
        If there is no such backend, or one is to be compared with itself.
    """

    def __init__(self, name: str, compare: str | None = None) -> None:
        global _current
        for asked in (name,) if compare is None else (name, compare):
            if asked not in BACKENDS:
                raise ValueError(f"use_backend: no backend {asked!r}; there are {', '.join(BACKENDS)}")
        if compare == name:
            raise ValueError(f"use_backend: {name} would be compared with itself; give another backend")
        self._name = name if compare is None else f"{name}=={compare}"
        self._previous, _current = _current, self._name
        _watch()

    def __enter__(self) -> None:
        global _current
        if _current != self._name:  # entered anew
            self._previous, _current = _current, self._name
            _watch()

    def __exit__(self, *exception: object) -> None:
        global _current
        _current = self._previous
        _watch()


def _watch() -> None:
    """Follow which layer is at work as long as backends are compared."""
    places = "positcore.nn.places"
    if "==" in _current:
        import_module(places).start()
    elif places in sys.modules:
        sys.modules[places].stop()
