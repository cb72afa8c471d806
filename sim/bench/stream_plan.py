"""`stream_plan`: what a bench sends to a unit with streams, what must come back, and which bins that should fill."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from positcore.codec import encode
from positcore.format import PositFormat
from positcore.hw.emit import unit_ports
from positcore.hw.golden import ROUNDING
from positcore.hw.quire_unit import QuireOperation
from positcore.hw.units import Design
from positcore.mac import Quire
from positcore.sim.directed import directed_codes, directed_inputs, random_dots, random_operations
from positcore.sim.stream import payload_fields

__all__ = ["CLASSES", "code_classes", "special_codes", "stream_plan"]

CLASSES = (
    "zero", "NaR", "one", "minus one", "minpos", "-minpos", "maxpos", "-maxpos", "positive", "negative"
)  # fmt: skip
PRODUCERS = ("steady", "random", "sparse", "bursts")
CONSUMERS = (*PRODUCERS, "blocked")
RESETS = ("idle", "within a packet", "result in flight", "result waiting", "item refused")
LENGTHS = {"1": (1, 1), "2": (2, 2), "3 to 7": (3, 7), "8 to 15": (8, 15), "16 or more": (16, 24)}
WAITS = ("0 cycles", "1 cycle", "2 to 3", "4 to 15", "16 or more")
_SEGMENTS = 50  # about so many of a long plan, each between two resets
_NAR = 0.01  # of a quire's operands, which stays until it is cleared
_ALL_CODES = 16  # bits of an operand of which all codes are looked at


def code_classes(fmt: PositFormat, codes: NDArray[Any]) -> NDArray[np.int64]:
    """The class of each code, as an index of `CLASSES`: the first that fits, so that one is not minpos."""
    values = codes.astype(np.int64)
    conditions = [values == code for code in special_codes(fmt)]
    return np.select([*conditions, values < fmt.nar], range(len(CLASSES) - 1), len(CLASSES) - 1)


def special_codes(fmt: PositFormat) -> NDArray[np.int64]:
    """The codes of the classes that have a single one, in the order of `CLASSES`."""
    one = 1 << (fmt.n - 2)
    return np.array([0, fmt.nar, one, 2 * fmt.nar - one, 1, fmt.mask, fmt.maxpos_code, fmt.nar + 1])


def stream_plan(design: Design, packets: int, seed: int) -> dict[str, Any]:
    """The plan of a bench, as JSON takes it: segments of packets, each of which begins after a reset.

    A packet is a dot product, a burst of items, or a run of a quire's operations. Segments end when all results have
    come, or in a reset at a chosen position; producer and consumer keep a pattern of pauses during one.

    Parameters
    ----------
    design : Design
        Of a unit with streams.
    packets : int
    seed : int
    """
    rng = np.random.default_rng(seed)
    inputs, lengths = _items(design, packets, rng)
    ports = unit_ports(design)
    i_ports, o_ports = payload_fields(ports, "i_"), payload_fields(ports, "o_")
    formats = {"a": design.spec.a, "b": design.spec.b}
    classes = {
        name: code_classes(fmt, inputs[name]).reshape(len(inputs[name]), -1) for name, fmt in formats.items()
        if name in inputs
    }  # fmt: skip
    patterns = [(producer, consumer) for producer in PRODUCERS for consumer in CONSUMERS]
    resets = [reset for reset in RESETS if reset != "result in flight" or design.latency > 1]
    order = rng.permutation(len(patterns)).tolist()
    segments: list[dict[str, Any]] = []
    ends = np.cumsum(lengths).tolist()
    at = 0
    while at < packets:
        number = len(segments)
        reset = resets[number // 2 % len(resets)] if number % 2 else None
        least = 4 if reset == "item refused" else 1  # results enough to fill the unit
        count = min(int(rng.integers(least, 2 * max(3, packets // _SEGMENTS) + 1)), packets - at)
        start, stop = ends[at] - int(lengths[at]), ends[at + count - 1]
        segment = {name: column[start:stop] for name, column in inputs.items()}
        due = _due(design, segment)
        expected = design.golden(segment)["code"]
        producer, consumer = patterns[order[number // 2 % len(patterns)]]
        if reset in ("result waiting", "item refused"):
            producer, consumer = "steady", ("sparse", "blocked")[int(rng.integers(2))]
        segments.append(
            {
                "packet": at,
                "lengths": lengths[at : at + count].tolist(),
                "items": {port.name: _packed(segment[port.name], port.width) for port in i_ports},
                "classes": {name: column[start:stop].tolist() for name, column in classes.items()},
                "due": due.tolist(),
                "expected": expected.tolist(),
                "result_classes": code_classes(design.spec.out, expected).tolist(),
                "producer": producer,
                "consumer": consumer,
                "reset": reset,
            }
        )
        at += count
    return {
        "seed": seed,
        "inputs": [[port.name, port.width] for port in i_ports],
        "output": o_ports[0].name,
        "latency": design.latency,
        "iterates": design.unit.iterates,
        "classes": CLASSES,
        "segments": segments,
        "groups": _groups(design, classes, resets),
    }


def _items(design: Design, packets: int, rng: np.random.Generator) -> tuple[dict[str, NDArray[Any]], NDArray[np.int64]]:
    """The fields of all items, and the items of each packet."""
    if design.unit.kind == "dot":
        a, b, lengths = random_dots(
            design.spec, packets, rng, longest=LENGTHS["16 or more"][1] * design.terms, lanes=design.terms
        )
        last = np.zeros(len(a), np.int64)
        last[np.cumsum(lengths) - 1] = 1
        single = (np.cumsum(lengths) - 1)[lengths == 1]
        a[single], b[single] = 0, 0  # those of one item: each special code times 1
        lane = (single,) if a.ndim == 1 else (single, 0)
        a[lane] = np.resize(special_codes(design.spec.a), single.size)
        b[lane] = 1 << (design.spec.b.n - 2)
        return {"a": a, "b": b, "last": last}, lengths
    bounds = np.array(list(LENGTHS.values()))[rng.integers(0, len(LENGTHS), packets)]
    lengths = rng.integers(bounds[:, 0], bounds[:, 1] + 1)
    if design.unit.kind == "operations":
        fields = random_operations(design.spec, int(lengths.sum()), rng)
        for name, fmt in (("a", design.spec.a), ("b", design.spec.b)):
            fields[name][rng.random(len(fields[name])) < _NAR] = fmt.nar
        return dict(fields), lengths
    ports = payload_fields(unit_ports(design), "i_")
    return dict(directed_inputs(design, ports, int(lengths.sum()), rng)), lengths


def _due(design: Design, inputs: dict[str, NDArray[Any]]) -> NDArray[np.int64]:
    """The item after which each result is due."""
    if design.unit.kind == "dot":
        return np.flatnonzero(inputs["last"])
    if design.unit.kind == "operations":
        return np.flatnonzero(np.isin(inputs["operation"], ROUNDING))
    return np.arange(len(inputs["a"]))


def _packed(column: NDArray[Any], width: int) -> list[int]:
    """A field of items of one code or several, as numbers, lane 0 in their low bits."""
    items = column.reshape(len(column), -1)
    lane = width // items.shape[1]
    return [sum(code << lane * at for at, code in enumerate(item)) for item in items.tolist()]


def _groups(design: Design, classes: dict[str, NDArray[Any]], resets: list[str]) -> dict[str, list[str]]:
    """The bins, less those that no run can reach."""
    spec = design.spec
    longest = 1 << 30
    if design.unit.kind == "dot":
        longest = getattr(spec.accumulator, "capacity", longest) // design.terms
    handshakes = [
        f"input {i}, output {o}"
        for i in ("idle", "taken", "refused", "busy")
        for o in ("idle", "taken", "waiting", "awaited")
        if _possible(design, i, o)
    ]
    groups = {f"operand {name}": _possible_classes(spec.a if name == "a" else spec.b) for name in classes}
    if design.unit.kind == "operations":
        groups["operation"] = [name.lower() for name in QuireOperation.__members__]
    return groups | {
        "result": _result_classes(design),
        "items of a packet": [name for name, (least, _) in LENGTHS.items() if least <= longest],
        "handshake": handshakes,
        "an item waits": list(WAITS),
        "a result waits": list(WAITS),
        "back to back": ["item after item", "packet after packet", "result after result"]
        if not design.unit.iterates
        else ["item as the result leaves"],
        "pattern": [f"producer {i}, consumer {o}" for i in PRODUCERS for o in CONSUMERS],
        "reset": [*resets, "an item offered during it"],
    }


def _possible(design: Design, i: str, o: str) -> bool:
    """Whether a unit that keeps its contract can be in both states of its streams at once."""
    ready, valid = i in ("idle", "taken"), o in ("taken", "waiting")
    if design.unit.iterates:  # takes the next item as a result leaves, not before
        return not valid or ready == (o == "taken")
    return ready or valid  # refuses items only while results wait


def _possible_classes(fmt: PositFormat) -> list[str]:
    codes = np.arange(1 << min(fmt.n, _ALL_CODES))
    return [CLASSES[index] for index in np.unique(code_classes(fmt, codes))] if fmt.n <= _ALL_CODES else list(CLASSES)


def _result_classes(design: Design) -> list[str]:
    """The classes of results: of a root all that occur, else all that the output's format has.

    Of exact dot products less the extremes that those of the plan cannot reach, in a format wider than the operands':
    a sum that is not 0 is no less than the least product, and at most as large as the longest one of the largest.
    """
    out = design.spec.out
    if design.unit.operands > 1:
        a, b = design.spec.a, design.spec.b
        classes = _possible_classes(out)
        if design.unit.kind == "dot" and isinstance(design.spec.accumulator, Quire):
            longest = LENGTHS["16 or more"][1] * design.terms
            least, largest = encode(out, np.array([a.minpos * b.minpos, longest * a.maxpos * b.maxpos])).tolist()
            beyond = ["minpos", "-minpos"] * (least > 1) + ["maxpos", "-maxpos"] * (largest < out.maxpos_code)
            return [name for name in classes if name not in beyond]
        return classes
    codes = np.arange(1 << out.n) if out.n <= _ALL_CODES else directed_codes(out, 1 << 12, np.random.default_rng(0))
    results = design.golden({"a": codes.astype(out.dtype)})["code"]
    return [CLASSES[index] for index in np.unique(code_classes(out, results))]
