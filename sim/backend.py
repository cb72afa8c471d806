"""The `rtl` backend: all arithmetic of training in compiled simulations of the RTL, on codes."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from positcore.gemm import check_operands
from positcore.gemm.quire import check_capacity
from positcore.hw.units import Design
from positcore.mac import Aligned, MacSpec, Quire
from positcore.rational import round_fraction, value_of
from positcore.sim.lockstep import Alter, LockstepProduct, LockstepUnit

__all__ = ["LockstepMachine", "Machine", "Product", "Unit", "matmul"]

Codes = NDArray[np.unsignedinteger[Any]]
Progress = Callable[[int, int], None]


class Unit(Protocol):
    """A unit without a handshake, in simulation."""

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Mapping[str, Codes]:
        """The outputs for vectors of one length, by port."""
        ...


class Product(Protocol):
    """A unit that sums products, in simulation."""

    name: str

    def matmul(
        self, a: Codes, b: Codes, first: tuple[Codes, Codes] | None = None, progress: Progress | None = None
    ) -> Codes:
        """The products (S, M, N) of stacks (S, M, K) and (S, K, N); sums begin with the products `first`, (S, M, N)."""
        ...


class Machine(ABC):
    """Units by name, made when they are first used: what `positcore.nn.codes.CodesBackend` runs on.

    Matrix products through a quire run in a systolic array; sums of single rows and other accumulators, in the MAC.

    Parameters
    ----------
    rows, columns : int
        The shape of the array; it changes no bit.

    Attributes
    ----------
    counts : Counter
        Operations done so far, by unit; of the array and the MAC, products.
    """

    def __init__(self, rows: int = 2, columns: int = 2) -> None:
        self.shape = rows, columns
        self.counts: Counter[str] = Counter()
        self._units: dict[Design, Unit] = {}
        self._products: dict[tuple[MacSpec, bool, int], Product] = {}

    @abstractmethod
    def make_unit(self, design: Design) -> Unit:
        """The simulation of a unit without a handshake."""

    @abstractmethod
    def make_product(self, spec: MacSpec, shape: tuple[int, int] | None, stages: int) -> Product:
        """That of the array of a shape, or of the MAC."""

    def run(self, unit: str, spec: MacSpec, inputs: Mapping[str, NDArray[Any]], **options: Any) -> Codes:
        """The codes that a unit gives for vectors of inputs, by port.

        Raises
        ------
        ValueError
            If there is no such unit.
        MissingToolError
            If there is no compiler or simulator.
        """
        design = Design.of(unit, spec, **options)
        if design not in self._units:
            self._units[design] = self.make_unit(design)
        size = len(next(iter(inputs.values())))
        self.counts[str(design)] += size
        if not size:
            return np.empty(0, spec.out.dtype)
        return self._units[design].run(inputs)["code"].astype(spec.out.dtype, copy=False)

    def matmul(
        self,
        spec: MacSpec,
        a: Codes,
        b: Codes,
        bias: Codes | None = None,
        *,
        stages: int = 0,
        progress: Progress | None = None,
    ) -> Codes:
        """bias + a @ b for codes (..., M, K) and (..., K, N), of one stack; see `matmul`."""
        stack = a.shape[:-2]
        (m, k), n = a.shape[-2:], b.shape[-1]
        shape = (*stack, m, n)
        if isinstance(spec.accumulator, Quire):
            check_capacity(spec, k + (bias is not None))
        if not math.prod(shape) or (not k and bias is None):
            return np.zeros(shape, spec.out.dtype)
        products = math.prod(stack)
        left, right = a.reshape(products, m, k), b.reshape(products, k, n)
        step = None if bias is None else _bias_step(spec, bias, shape)
        array = isinstance(spec.accumulator, Quire) and min(m, n) > 1 and (bias is None or step is not None)
        key = spec, array, stages
        if key not in self._products:
            self._products[key] = self.make_product(spec, self.shape if array else None, stages)
        unit, first = self._products[key], None
        if array and step is not None:
            left = np.concatenate([np.broadcast_to(step[0], (products, m, 1)), left], axis=2)
            right = np.concatenate([np.broadcast_to(step[1], (products, 1, n)), right], axis=1)
        elif bias is not None:
            start = np.broadcast_to(bias, shape).reshape(products, m, n)
            first = start, np.full_like(start, round_fraction(spec.b, 1), dtype=spec.b.dtype)
        self.counts[unit.name] += products * m * n * (k + (bias is not None))
        return unit.matmul(left, right, first, progress).reshape(shape)


class LockstepMachine(Machine):
    """Compiled simulations of 512 copies of each unit; a call is shared out over `positcore.get_num_threads()` threads.

    Parameters
    ----------
    rows, columns : int
        As for `Machine`.
    alter : mapping of str to callable, optional
        For the unit of a name (of the array: `array`), what changes its RTLIL: how tests plant faults.
    """

    def __init__(self, rows: int = 2, columns: int = 2, alter: Mapping[str, Alter] | None = None) -> None:
        super().__init__(rows, columns)
        self.alter = dict(alter or {})

    def make_unit(self, design: Design) -> Unit:
        """See `Machine.make_unit`."""
        return LockstepUnit(design, self.alter.get(design.unit.name))

    def make_product(self, spec: MacSpec, shape: tuple[int, int] | None, stages: int) -> Product:
        """See `Machine.make_product`."""
        alter = self.alter.get("array" if shape else "mac")
        return LockstepProduct(spec, *(shape or (0, 0)), stages=stages, alter=alter)


def _bias_step(spec: MacSpec, bias: Codes, shape: tuple[int, ...]) -> tuple[Codes, Codes] | None:
    """What an array takes in a step of its own for a bias by rows or by columns, (M, 1) and (1, N); else None."""
    m, n = shape[-2:]
    if bias.ndim > 2:
        return None
    bias = np.atleast_2d(bias)
    if bias.shape[1] == 1 and len(bias) in (1, m):
        return np.broadcast_to(bias, (m, 1)), np.full((1, n), round_fraction(spec.b, 1), spec.b.dtype)
    if len(bias) != 1:
        return None
    if spec.a != spec.b:  # codes of a, which must be values of b
        codes = {code: value_of(spec.a, code) for code in np.unique(bias).tolist()}
        known = {code: spec.b.nar if x is None else round_fraction(spec.b, x) for code, x in codes.items()}
        if any(codes[code] != value_of(spec.b, other) for code, other in known.items()):
            return None
        bias = np.array([[known[code] for code in bias[0].tolist()]], spec.b.dtype)
    return np.full((m, 1), round_fraction(spec.a, 1), spec.a.dtype), bias


_machine: LockstepMachine | None = None


def matmul(
    spec: MacSpec,
    a: ArrayLike,
    b: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    stages: int = 0,
    progress: Progress | None = None,
) -> Codes:
    """The matrix product of codes, computed by the RTL in simulation: by an array of quire cells, or by MACs.

    The same call and the same bits as `positcore.matmul`. The first call for a spec compiles the simulation, in
    a few seconds; it is kept on disk.

    Parameters
    ----------
    spec : MacSpec
    a : array_like of codes of `spec.a`, (M, K)
    b : array_like of codes of `spec.b`, (K, N)
    bias : array_like of codes of `spec.a` that broadcasts to (M, N), optional
        Where the sums start: the first term of each dot product, times 1.
    stages : int
        The pipeline stages of what is simulated; they change no bit.
    progress : callable, optional
        Called as progress(done, total), in tiles, now and then.

    Returns
    -------
    ndarray of `spec.out.dtype`, (M, N)

    Raises
    ------
    TypeError, ValueError
        If an operand is not an array of codes, shapes do not fit, a dot product exceeds the quire, or a bias has more
        bits than the grid of an `Aligned` accumulator.
    MissingToolError
        If there is no C++ compiler.
    """
    global _machine
    a, b, bias = check_operands(spec, a, b, bias)
    if bias is not None and isinstance(spec.accumulator, Aligned) and spec.accumulator.width < spec.a.fraction_bits:
        raise ValueError(
            f"matmul: a bias is a first chunk of one term, which {spec.accumulator} would cut; take a width of at "
            f"least the {spec.a.fraction_bits} fraction bits of {spec.a}"
        )
    _machine = _machine or LockstepMachine()
    return _machine.matmul(spec, a, b, bias, stages=stages, progress=progress)
