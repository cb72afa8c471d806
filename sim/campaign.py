"""`verify`: a unit's RTL, compiled, against the golden model, on all inputs or on directed-random ones."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from positcore.errors import MismatchError
from positcore.format import PositFormat
from positcore.hw.driver import GemmDriver
from positcore.hw.emit import FlatUnit, Port, unit_ports
from positcore.hw.golden import CLEARING, ROUNDING
from positcore.hw.units import Design
from positcore.mac import MacSpec
from positcore.sim.directed import all_inputs, directed_inputs, domain_bits, random_dots, random_operations
from positcore.sim.gemm import NativeGemm
from positcore.sim.report import Mismatch, describe
from positcore.sim.stream import NativeStream
from positcore.sim.vectors import VectorUnit
from positcore.sim.waveform import write_waveform

__all__ = ["Report", "verify"]

EXHAUSTIVE_BITS = 26  # a minute; beyond it vectors are drawn
DEFAULT_VECTORS = 100_000
DEFAULT_DOTS = 20_000
_CHUNK = 1 << 16
_DOTS_CHUNK = 1 << 12
_OPERATIONS_CHUNK = 1 << 14
# Shares of 256 cycles in which producer and consumer act: free running, then stalls on either side and both.
_PACES = ((256, 256), (128, 256), (256, 128), (90, 40), (200, 220))

Progress = Callable[[int, int], None]
Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Report:
    """What a campaign did. It has compared something, and found no difference.

    Parameters
    ----------
    unit, spec : str
        What was verified.
    stages : int
        Its pipeline stages.
    exhaustive : bool
        Whether the vectors are all inputs.
    vectors : int
        Inputs compared; of a unit that sums products, dot products.
    mismatches : int
        0.
    seconds : float
        Time of simulation and golden model, without compiling.
    seed : int, optional
        Of the vectors, if they were drawn.
    """

    unit: str
    spec: str
    stages: int
    exhaustive: bool
    vectors: int
    mismatches: int
    seconds: float
    seed: int | None

    @property
    def vectors_per_s(self) -> float:
        """Vectors compared in a second."""
        return self.vectors / self.seconds if self.seconds else float("inf")

    def __str__(self) -> str:
        how = "all inputs" if self.exhaustive else f"seed {self.seed}"
        return (
            f"{self.unit} {self.spec}: {self.vectors:,} vectors ({how}), {self.mismatches} mismatches, "
            f"{self.vectors_per_s:,.0f} vectors/s"
        )


def verify(
    unit: str,
    spec: PositFormat | MacSpec,
    *,
    exhaustive: bool | None = None,
    vectors: int | None = None,
    seed: int = 0,
    stages: int = 0,
    progress: Progress | None = None,
    waveforms: Path | str | None = ".",
    optimize: str = "-O2",
    alter: Callable[[str], str] | None = None,
    **options: Any,
) -> Report:
    """Compare a unit's RTL with the golden model on every bit of its outputs.

    Unless told, a unit is verified on all inputs where these are at most 2^20, else on directed-random vectors.
    The vectors depend on the seed alone. A MAC gets dot products of random lengths, back to back, with NaR, zeros,
    extremes and cancellation; all streams run under random stalls of producer and consumer.

    Parameters
    ----------
    unit : str
        A unit of the registry, `positcore.hw.units`.
    spec : PositFormat or MacSpec
        Units that sum products and a converter take either; other units have one format.
    exhaustive : bool, optional
        True: all inputs, which may be 2^26 at most.
    vectors : int, optional
        How many to draw, at least 1: 100,000 unless told, or 20,000 dot products.
    seed : int
    stages : int
        Pipeline stages of the unit.
    progress : callable, optional
        Called as progress(done, total), in vectors.
    waveforms : path, optional
        The folder for the waveform of a mismatch; None writes none.
    optimize : str
        The C++ compiler's optimization flag.
    alter : callable, optional
        Changes the RTLIL before it is compiled: how tests plant faults.
    **options
        The unit's own: bits and signed, float_format, function, lanes, radix or dsp, as for `Design`.

    Raises
    ------
    MismatchError
        At the first difference: operands, fields, both results, a line that reproduces it, the waveform's file.
    TypeError, ValueError
        If the unit, spec or number of vectors is not possible.
    MissingToolError
        If there is no C++ compiler.
    """
    design = Design.of(unit, spec, stages, **options)
    if exhaustive and vectors is not None:
        raise ValueError("verify: exhaustive takes all inputs; drop vectors, or exhaustive")
    if vectors is not None and (isinstance(vectors, bool) or not isinstance(vectors, int)):
        raise TypeError(f"verify: vectors must be a positive integer, not {vectors!r}")
    if vectors is not None and vectors < 1:
        raise ValueError(f"verify: vectors must be a positive integer, not {vectors}: nothing would be checked")
    if design.unit.kind == "dot":
        if exhaustive:
            raise ValueError(f"verify: {unit} takes dot products of any length; use vectors and a seed")
        mac = NativeStream(design, optimize=optimize, alter=alter)
        batches = _dot_batches(mac, vectors or DEFAULT_DOTS, seed)
        total, exhaustive = vectors or DEFAULT_DOTS, False
    elif design.unit.kind == "operations":
        if exhaustive:
            raise ValueError(f"verify: {unit} takes lists of operations; use vectors and a seed")
        total, exhaustive = vectors or DEFAULT_VECTORS, False
        batches = _operation_batches(NativeStream(design, optimize=optimize, alter=alter), total, seed)
    elif design.unit.kind == "bus":
        if exhaustive:
            raise ValueError(f"verify: {unit} takes matrices of any size; use vectors and a seed")
        total, exhaustive = vectors or DEFAULT_DOTS, False
        batches = _product_batches(design, NativeGemm(design.component(), optimize=optimize, alter=alter), total, seed)
    else:
        bits = domain_bits(_operand_ports(design))
        if exhaustive and bits > EXHAUSTIVE_BITS:
            raise ValueError(
                f"verify: {design} has 2^{bits} inputs, more than 2^{EXHAUSTIVE_BITS}; use vectors and a seed"
            )
        exhaustive = exhaustive or (exhaustive is None and vectors is None and bits <= 20)
        total = 1 << bits if exhaustive else vectors or DEFAULT_VECTORS
        batches = _vector_batches(design, _runner(design, seed, optimize, alter), total, None if exhaustive else seed)

    _warm_up(design)
    compared, seconds, start = 0, 0.0, time.perf_counter()
    for count, mismatch in batches:
        seconds = time.perf_counter() - start
        if mismatch is not None:
            shown = waveforms is not None and design.unit.kind != "bus"
            path = write_waveform(design, mismatch, Path(waveforms or ".")) if shown else None
            raise MismatchError(describe(design, mismatch, path, None if exhaustive else seed, total))
        compared += count
        if progress is not None:
            progress(compared, total)
    if not compared:
        raise ValueError(f"verify: {design}: nothing was compared")
    return Report(unit, design.spec_text, stages, bool(exhaustive), compared, 0, seconds, None if exhaustive else seed)


def _operand_ports(design: Design) -> tuple[Port, ...]:
    """The inputs of a unit besides a handshake: the fields of an item, where it has a stream of them."""
    ports = tuple(port for port in unit_ports(design) if port.direction == "input")
    if not design.unit.streaming:
        return ports
    fields = (port for port in ports if port.name.startswith("i_") and port.name != "i_valid")
    return tuple(port._replace(name=port.name.removeprefix("i_")) for port in fields)


def _warm_up(design: Design) -> None:
    """Let the golden model's compiled kernels load before the clock starts."""
    if design.unit.kind == "bus":
        design.golden({name: np.ones((1, 1), np.uint8) for name in ("a", "b")})
        return
    shape = (1, design.terms) if design.terms > 1 else 1
    design.golden({port.name: np.ones(shape, np.uint8) for port in _operand_ports(design)})


def _runner(
    design: Design, seed: int, optimize: str, alter: Callable[[str], str] | None
) -> Callable[[Columns], Columns]:
    """What runs a compiled unit over one chunk of inputs after another, a stream at another pace each time."""
    if not design.unit.streaming:
        flat = FlatUnit(design.component())
        return VectorUnit(flat, latency=design.latency, optimize=optimize, alter=alter).run
    stream = NativeStream(design, optimize=optimize, alter=alter)
    turns = itertools.count()

    def run(inputs: Columns) -> Columns:
        return stream.run(inputs, len(next(iter(inputs.values()))), **_stalls(seed, next(turns)))[0]

    return run


def _stalls(seed: int, turn: int) -> dict[str, int]:
    valid_share, ready_share = _PACES[turn % len(_PACES)]
    return {"seed": seed + turn, "valid_share": valid_share, "ready_share": ready_share}


def _vector_batches(
    design: Design, run: Callable[[Columns], Columns], total: int, seed: int | None
) -> Iterator[tuple[int, Mismatch | None]]:
    """Compare chunk by chunk; gives the vectors of each and its first difference."""
    rng = np.random.default_rng(seed)
    ports = _operand_ports(design)
    everything = all_inputs(ports) if seed is None else None
    for lo in range(0, total, _CHUNK):
        count = min(_CHUNK, total - lo)
        if everything is not None:
            inputs = {name: column[lo : lo + count] for name, column in everything.items()}
        else:
            inputs = directed_inputs(design, ports, count, rng)
        got = run(inputs)
        want = design.golden(inputs)
        if set(got) != set(want):
            raise AssertionError(f"{design}: outputs {sorted(got)} but golden {sorted(want)}")
        differs = np.zeros(count, bool)
        for name, expected in want.items():
            differs |= np.ma.filled(got[name] != np.ma.asarray(expected).astype(np.int64), False)
        first = None
        if differs.any():
            at = int(differs.argmax())
            first = Mismatch(
                inputs={name: [int(column[at])] for name, column in inputs.items()},
                got={name: int(column[at]) for name, column in got.items()},
                want={name: int(np.ma.getdata(column)[at]) for name, column in want.items()},
            )
        yield count, first


def _dot_batches(mac: NativeStream, total: int, seed: int) -> Iterator[tuple[int, Mismatch | None]]:
    """Stream dot products chunk by chunk, each chunk at another pace."""
    design = mac.design
    rng = np.random.default_rng(seed)
    for index, lo in enumerate(range(0, total, _DOTS_CHUNK)):
        a, b, lengths = random_dots(design.spec, min(_DOTS_CHUNK, total - lo), rng, lanes=design.terms)
        ends = np.cumsum(lengths)
        last = np.zeros(len(a), np.uint8)
        last[ends - 1] = 1
        inputs = {"a": a, "b": b, "last": last}
        got, _ = mac.run(inputs, lengths.size, **_stalls(seed, index))
        want = design.golden(inputs)
        differs = got["code"] != want["code"]
        first = None
        if differs.any():
            at = int(differs.argmax())
            part = slice(int(ends[at] - lengths[at]), int(ends[at]))
            first = Mismatch(
                inputs={"a": a[part].ravel().tolist(), "b": b[part].ravel().tolist()},
                got={"code": int(got["code"][at])},
                want={"code": int(want["code"][at])},
            )
        yield lengths.size, first


def _operation_batches(unit: NativeStream, total: int, seed: int) -> Iterator[tuple[int, Mismatch | None]]:
    """Stream operations chunk by chunk, each chunk at another pace; a difference is told from the last clearing on."""
    design = unit.design
    rng = np.random.default_rng(seed)
    for index, lo in enumerate(range(0, total, _OPERATIONS_CHUNK)):
        inputs = random_operations(design.spec, min(_OPERATIONS_CHUNK, total - lo), rng)
        operation = inputs["operation"]
        want = design.golden(inputs)
        got, _ = unit.run(inputs, want["code"].size, **_stalls(seed, index))
        differs = got["code"] != want["code"]
        first = None
        if differs.any():
            at = int(differs.argmax())
            end = int(np.flatnonzero(np.isin(operation, ROUNDING))[at])
            clearings = np.flatnonzero(np.isin(operation[:end], CLEARING))
            part = slice(int(clearings[-1]) if clearings.size else 0, end + 1)
            first = Mismatch(
                inputs={name: column[part].tolist() for name, column in inputs.items()},
                got={"code": int(got["code"][at])},
                want={"code": int(want["code"][at])},
            )
        yield len(operation), first


def _product_batches(design: Design, gemm: NativeGemm, total: int, seed: int) -> Iterator[tuple[int, Mismatch | None]]:
    """Products of random shapes, K up to more than twice the buffers, each at another pace, until so many outputs."""
    spec, driver, compared = design.spec, GemmDriver(gemm), 0
    for index in itertools.count():
        if compared >= total:
            return
        rng = np.random.default_rng([seed, index])
        gemm.pace(seed + index, **{name: int(rng.choice([60, 128, 256])) for name in ("a", "b", "results", "bus")})
        m, n = int(rng.integers(1, 3 * driver.rows + 2)), int(rng.integers(1, 3 * driver.columns + 2))
        k = int(rng.integers(1, rng.choice([driver.depth // 2 + 2, 2 * driver.depth + 4])))
        a, b, _ = random_dots(spec, max(m, n), rng, longest=k)
        a = np.resize(rng.permutation(a.ravel()), (m, k)).astype(spec.a.dtype)
        b = np.resize(rng.permutation(b.ravel()), (k, n)).astype(spec.b.dtype)
        got, want = driver.matmul(a, b), design.golden({"a": a, "b": b})["code"]
        differs = got != want
        first = None
        if differs.any():
            row, column = np.argwhere(differs)[0]
            first = Mismatch(
                inputs={"a": a[row].tolist(), "b": b[:, column].tolist()},
                got={"code": int(got[row, column])},
                want={"code": int(want[row, column])},
            )
        compared += want.size
        yield want.size, first
