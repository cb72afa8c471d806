"""Directed-random operands: what uniform codes would seldom meet, and all inputs where that is possible."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from positcore.arithmetic import mul
from positcore.format import PositFormat
from positcore.hw.emit import Port
from positcore.hw.units import Design
from positcore.mac import MacSpec, Quire
from positcore.sim.ties import codes_near_ties, float_bits_near_ties, integers_near_ties

__all__ = [
    "all_inputs", "counted_inputs", "directed_codes", "directed_inputs", "domain_bits", "random_dots",
    "random_operations",
]  # fmt: skip

Columns = dict[str, NDArray[Any]]


def domain_bits(ports: tuple[Port, ...]) -> int:
    """The logarithm of the number of all inputs."""
    return sum(port.width for port in ports)


def counted_inputs(ports: tuple[Port, ...], start: int, stop: int) -> Columns:
    """The inputs that are the bits of a counter from start up to stop, cut into ports, the first port uppermost."""
    counter = np.arange(start, stop, dtype=np.uint64)
    columns = {}
    for port in reversed(ports):
        columns[port.name] = _as_port(port, counter & np.uint64((1 << port.width) - 1))
        counter >>= np.uint64(min(port.width, 63))
    return {port.name: columns[port.name] for port in ports}


def all_inputs(ports: tuple[Port, ...]) -> Columns:
    """Every input once."""
    return counted_inputs(ports, 0, 1 << domain_bits(ports))


def directed_inputs(design: Design, ports: tuple[Port, ...], count: int, rng: np.random.Generator) -> Columns:
    """Inputs of a unit: related pairs of directed codes, what lies near its ties, or random fields, some special."""
    fmt = design.spec.a
    names = [port.name for port in ports]
    if names in (["code"], ["a"]):
        return {names[0]: codes_near_ties(design, directed_codes(fmt, count, rng), rng)}
    if names == ["value"]:
        return {"value": integers_near_ties(design, count, rng)}
    if names == ["bits"]:
        return {"bits": float_bits_near_ties(design, count, rng)}
    if names == ["a", "b"]:
        a, b = directed_codes(fmt, count, rng), directed_codes(fmt, count, rng)
        return {"a": a, "b": _related(fmt, a, b, rng)}
    if names == ["a", "b", "c"]:
        a, b, c = (directed_codes(fmt, count, rng) for _ in range(3))
        return {"a": a, "b": b, "c": _related(fmt, mul(fmt, a, b), c, rng)}
    columns = {}
    for port in ports:
        bits = rng.integers(0, 1 << port.width, count, dtype=np.uint64)
        if port.name in ("zero", "nar"):
            bits = (rng.integers(0, 64, count) == 0).astype(np.uint64)
        elif port.name == "fraction":  # sparse and dense fractions, so that ties are met
            rest = rng.integers(0, port.width + 1, count).astype(np.uint64)
            bits = np.where(rng.integers(0, 2, count) == 0, bits >> rest << rest, bits)
        columns[port.name] = _as_port(port, bits)
    return columns


def directed_codes(fmt: PositFormat, count: int, rng: np.random.Generator) -> NDArray[Any]:
    """Codes of which half have regimes of every length alike, and one in sixteen is an extreme."""
    codes = rng.integers(0, 1 << fmt.n, count, dtype=np.int64)
    short = codes >> rng.integers(0, fmt.n, count)
    codes = np.where(rng.integers(0, 2, count) == 0, short, codes)
    codes = np.where(rng.integers(0, 2, count) == 0, codes ^ fmt.maxpos_code, codes)
    one = 1 << (fmt.n - 2)
    extremes = np.array([0, fmt.nar, 1, fmt.maxpos_code, one, one + 1, 2, fmt.maxpos_code - 1], np.int64)
    extreme = rng.choice(extremes, count) * rng.choice([1, -1], count)
    codes = np.where(rng.integers(0, 16, count) == 0, extreme, codes)
    return (codes & fmt.mask).astype(fmt.dtype)


def _related(fmt: PositFormat, a: NDArray[Any], b: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
    """b, of which one in four is near a, −a or the code of 1/a: cancellation, carries, ties."""
    near = a.astype(np.int64) + rng.integers(-3, 4, a.size)
    reciprocal = (a.astype(np.int64) ^ fmt.maxpos_code) + rng.integers(-3, 4, a.size)
    kind = rng.integers(0, 12, a.size)
    related = np.select([kind == 0, kind == 1, kind == 2], [near, -near, reciprocal], b.astype(np.int64))
    return (related & fmt.mask).astype(fmt.dtype)


def random_dots(
    spec: MacSpec, count: int, rng: np.random.Generator, *, longest: int = 64, lanes: int = 1
) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.int64]]:
    """Dot products of random lengths laid end to end: (a, b, lengths in items of so many lanes).

    One in ten has a single item and as many have the longest length; half of the longer ones cancel, wholly or
    but for one term; one in twenty holds NaR. Half of those of several lanes end in zeros, as they do where their
    lengths are no multiples of the lanes. `longest` is a number of terms.

    Returns
    -------
    a, b : ndarray of codes, (items,), or (items, lanes) for more than one lane
    lengths : ndarray of int64
    """
    longest = min(longest, spec.accumulator.capacity) if isinstance(spec.accumulator, Quire) else longest
    longest = max(1, longest // lanes)
    lengths = rng.integers(1, longest + 1, count)
    kind = rng.integers(0, 10, count)
    lengths = np.select([kind == 0, kind == 1], [1, longest], np.minimum(lengths, rng.integers(1, 33, count))) * lanes
    total = int(lengths.sum())
    a, b = directed_codes(spec.a, total, rng), directed_codes(spec.b, total, rng)
    a[a == spec.a.nar] = 0
    b[b == spec.b.nar] = 0
    starts = np.cumsum(lengths) - lengths
    for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
        half = length // 2
        if half and rng.integers(0, 2):
            order = rng.permutation(half)
            a[start + half : start + 2 * half] = (-a[start : start + half].astype(np.int64) & spec.a.mask)[order]
            b[start + half : start + 2 * half] = b[start : start + half][order]
        if not rng.integers(0, 20):
            side, nar = ((a, spec.a.nar), (b, spec.b.nar))[rng.integers(0, 2)]
            side[start + int(rng.integers(0, length))] = nar
        if lanes > 1 and rng.integers(0, 2):
            unused = start + length - int(rng.integers(0, lanes))
            a[unused : start + length] = b[unused : start + length] = 0
    shape = (total // lanes, lanes) if lanes > 1 else (total,)
    return a.reshape(shape), b.reshape(shape), (lengths // lanes).astype(np.int64)


def _as_port(port: Port, bits: NDArray[np.uint64]) -> NDArray[np.int64]:
    values = bits.astype(np.int64)
    return values - (values >> (port.width - 1) << port.width) if port.signed else values


def random_operations(spec: MacSpec, count: int, rng: np.random.Generator) -> dict[str, NDArray[np.int64]]:
    """Operations of a quire, by field, with extremes, cancellation and NaR among their operands."""
    shares = np.array([1, 2, 4, 4, 8, 8, 6, 3])  # in the order of the operations' numbers
    fields = {"operation": rng.choice(8, count, p=shares / shares.sum())}
    for name, fmt in (("a", spec.a), ("b", spec.b)):
        codes = rng.integers(0, 1 << fmt.n, count)
        special = np.array([0, 1, fmt.mask, fmt.maxpos_code, fmt.nar + 1])[rng.integers(0, 5, count)]
        codes = np.where(rng.random(count) < 0.2, special, codes)
        fields[name] = np.where(codes == fmt.nar, 1, codes)
    again = np.flatnonzero(rng.random(count) < 0.2)  # the same operands once more, perhaps the other way
    for name in ("a", "b"):
        fields[name][again] = fields[name][again - 1]
    for name, fmt in (("a", spec.a), ("b", spec.b)):
        fields[name][rng.random(count) < 0.004] = fmt.nar  # seldom, since it stays until the quire is cleared
    return fields
