"""The `rtl` backend: all arithmetic of training in compiled simulations of the RTL, on codes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from positcore.gemm import check_operands
from positcore.gemm.quire import check_capacity
from positcore.hw.units import Design
from positcore.mac import Aligned, MacSpec, Quire
from positcore.rational import round_fraction, value_of
from positcore.sim.lockstep import Alter, LockstepProduct, LockstepUnit

__all__ = ["LockstepMachine", "matmul"]

Codes = NDArray[np.unsignedinteger[Any]]
Progress = Callable[[int, int], None]


class LockstepMachine:
    """Units by name, compiled when they are first used: what `positcore.nn.codes.CodesBackend` runs on.

    Matrix products through a quire run in a systolic array; sums of single rows and other accumulators, in the MAC.
    Each simulation is 512 copies of the unit, and each call is shared out over `positcore.get_num_threads()` threads.

    Parameters
    ----------
    rows, columns : int
        The shape of the array; it changes no bit.
    alter : mapping of str to callable, optional
        For the unit of a name (of the array: `array`), what changes its RTLIL: how tests plant faults.

    Attributes
    ----------
    counts : Counter
        Operations done so far, by unit; of the array and the MAC, products.
    """

    def __init__(self, rows: int = 2, columns: int = 2, alter: Mapping[str, Alter] | None = None) -> None:
        self.shape = rows, columns
        self.alter = dict(alter or {})
        self.counts: Counter[str] = Counter()
        self._units: dict[Design, LockstepUnit] = {}
        self._products: dict[tuple[MacSpec, bool, int], LockstepProduct] = {}

    def run(self, unit: str, spec: MacSpec, inputs: Mapping[str, NDArray[Any]], **options: Any) -> Codes:
        """The codes that a unit gives for vectors of inputs, by port.

        Raises
        ------
        ValueError
            If there is no such unit.
        MissingToolError
            If there is no C++ compiler.
        """
        design = Design.of(unit, spec, **options)
        if design not in self._units:
            self._units[design] = LockstepUnit(design, self.alter.get(unit))
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
        steps = None if bias is None else _bias_step(spec, bias, shape)
        array = isinstance(spec.accumulator, Quire) and min(m, n) > 1 and (bias is None or steps is not None)
        unit = self._product(spec, array, stages)
        first = None
        if bias is not None and array:
            assert steps is not None
            column, row = steps
            left = np.concatenate([np.broadcast_to(column, (len(left), m, 1)), left], axis=2)
            right = np.concatenate([np.broadcast_to(row, (len(left), 1, n)), right], axis=1)
        elif bias is not None:
            start = np.broadcast_to(bias, shape).reshape(-1, m, n)
            first = start, np.full_like(start, round_fraction(spec.b, 1), dtype=spec.b.dtype)
        self.counts[unit.name] += len(left) * m * n * (k + (bias is not None))
        return unit.matmul(left, right, first, progress).reshape(shape)

    def _product(self, spec: MacSpec, array: bool, stages: int) -> LockstepProduct:
        key = spec, array, stages
        if key not in self._products:
            shape = self.shape if array else (0, 0)
            alter = self.alter.get("array" if array else "mac")
            self._products[key] = LockstepProduct(spec, *shape, stages=stages, alter=alter)
        return self._products[key]


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
