"""`Group`: bins that are crosses of classes; and which groups of them each unit has.

Of each operand sign × regime, with 0, NaR, ±minpos and ±maxpos among them; of pairs of operands; and of the result sign
× regime × rounding (ties, saturation) × cancellation. What cannot be by the definition of the classes is no bin.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from positcore.format import PositFormat
from positcore.hw.units import Design
from positcore.mac import Quire
from positcore.sim.bins import CANCELLATIONS, ROUNDINGS, regime_labels

__all__ = ["Group", "groups_of", "model_of"]

_OPERATIONS = ("clear", "negate", "add", "subtract", "add product", "subtract product", "round", "round and clear")
_LENGTHS = ("1", "2 to 7", "8 to 31", "32 and more")
_RELATIONS = ("a < b", "a = b", "a > b")
_INTEGERS = ("0", "+", "-", "lowest")
_FLOATS = tuple(
    f"{sign} {kind}" for sign in "+-" for kind in ("0", "subnormal", "normal", "largest", "infinity", "nan")
)
_PACES = ("free", "slow producer", "slow consumer", "starved", "both slow")


@dataclass(frozen=True)
class Group:
    """Bins that are the cross of some classes.

    Parameters
    ----------
    name : str
    axes : tuple of tuple of str
        The names of the classes, axis by axis; a bin is the product of one of each.
    possible : ndarray of bool, of the lengths of the axes
        Which bins there are.
    """

    name: str
    axes: tuple[tuple[str, ...], ...]
    possible: NDArray[np.bool_]

    @classmethod
    def of(cls, name: str, *axes: tuple[str, ...], unless: Callable[..., bool] = lambda *labels: False) -> Group:
        """All bins but those that cannot be."""
        possible = np.array([not unless(*labels) for labels in product(*axes)])
        return cls(name, axes, possible.reshape([len(axis) for axis in axes]))

    def count(self, *classes: NDArray[np.intp]) -> NDArray[np.int64]:
        """How many of some vectors lie in each bin, possible or not, from their class on each axis."""
        place = classes[0]
        for axis, more in zip(self.axes[1:], classes[1:], strict=True):
            place = place * len(axis) + more
        return np.bincount(place, minlength=self.possible.size).astype(np.int64)

    def labels(self, chosen: NDArray[np.bool_]) -> list[str]:
        """The names of the chosen bins."""
        names = (" × ".join(labels) for labels in product(*self.axes))
        return [name for name, one in zip(names, chosen, strict=True) if one]


def _operand(name: str, fmt: PositFormat) -> Group:
    return Group.of(name, regime_labels(fmt))


def _result(fmt: PositFormat, *, cancels: bool = False, negative: bool = True) -> Group:
    """Sign × regime × rounding, and × cancellation for sums."""
    most, tiny = fmt.n - 2, fmt.underflow or fmt.flush is not None

    def unless(label: str, how: str, lost: str = "") -> bool:
        if label == "NaR":
            return how != "exact" or lost not in ("", "none")
        if label == "0":
            rounded = tiny and how in ("down", "tie down")
            return not rounded if how != "exact" else lost not in ("", "none", "all")
        if lost == "all" or (not negative and label.startswith("-")):
            return True
        k = int(label.partition("=")[2])
        if how == "saturated":
            return k != most and (k != -most or tiny)
        if k == -most and how in ("up", "tie up"):
            return not tiny
        # Nothing is rounded down to maxpos, and no tie to the odd codes of minpos and maxpos.
        return (k == most and how in ("down", "tie up")) or (abs(k) == most and how == "tie down")

    axes = (regime_labels(fmt), ROUNDINGS, *((CANCELLATIONS,) if cancels else ()))
    return Group.of("result", *axes, unless=unless)


def _pairs(first: PositFormat, second: PositFormat) -> Group:
    return Group.of("a × b", regime_labels(first), regime_labels(second))


_ARITHMETIC = {"add", "sub", "mul", "div", "fma", "fms"}
_ORDER = {"compare", "min", "max"}
_OWN = {"encode", "convert", "sqrt", "round-to-int", "from-int", "to-int", "from-float", "to-float", "quire"}


def model_of(design: Design) -> str:
    """What kind of coverage a unit has."""
    name, kind = design.unit.name.removesuffix("-iterative"), design.unit.kind
    if kind in ("dot", "bus"):
        return kind
    if name in _ARITHMETIC:
        return "arithmetic"
    return name if name in _OWN else "order" if name in _ORDER else "plain"


def groups_of(design: Design) -> list[Group]:
    """The groups of bins of a unit."""
    spec, model = design.spec, model_of(design)
    out = spec.out
    if model == "dot" or model == "bus":
        result = Group.of("result", regime_labels(out), ("sums", "all cancel"))
        if isinstance(spec.accumulator, Quire):
            result = _result(out, cancels=True)
        groups = [
            _operand("a", spec.a),
            _operand("b", spec.b),
            Group.of("length", _LENGTHS, ("numbers", "NaR")),
            result,
        ]
        if model == "bus":
            shape = (("K within the buffers", "K beyond them"), ("whole rows", "part"), ("whole columns", "part"))
            return [*groups, Group.of("shape", *shape)]
        return [*groups, Group.of("pace", _PACES)]
    if model == "quire":
        operations = Group.of("operation after operation", _OPERATIONS, _OPERATIONS)
        operands = [
            Group.of(f"{name} × operation", regime_labels(f), _OPERATIONS) for name, f in (("a", spec.a), ("b", spec.b))
        ]
        return [operations, *operands, Group.of("result", regime_labels(out)), Group.of("pace", _PACES)]
    if model == "arithmetic":
        cancels = design.unit.name in ("add", "sub", "fma", "fms")
        groups = [_pairs(out, out), _result(out, cancels=cancels)]
        groups += [_operand("c", out)] if design.unit.operands == 3 else []
    elif model == "order":
        groups = [_pairs(out, out), Group.of("relation", _RELATIONS, ("same sign", "other sign"))]
    elif model == "encode":
        groups = [Group.of("fields", ("+", "-"), ("exact", "sticky"), ("number", "zero", "NaR")), _result(out)]
    elif model in ("from-int", "from-float"):
        name, kinds = ("value", _INTEGERS) if model == "from-int" else ("bits", _FLOATS)
        groups = [Group.of(name, kinds), _result(out)]
    elif model == "to-int":
        groups = [_operand("code", out), Group.of("result", _INTEGERS, ROUNDINGS, unless=_integral)]
    elif model == "to-float":
        groups = [_operand("code", out), Group.of("result", _FLOATS, ROUNDINGS, unless=_floating)]
    elif model in ("convert", "round-to-int", "sqrt"):
        groups = [_operand("a", spec.a), _result(out, negative=model != "sqrt")]
        if model == "round-to-int":
            groups[1] = Group.of("result", regime_labels(out), ROUNDINGS[:5], unless=_rounded_posit)
    else:
        name = "code" if design.unit.name == "decode" else "a"
        groups = [_operand(name, out)]
        groups += [] if name == "code" else [Group.of("result", regime_labels(out))]
    return [*groups, Group.of("pace", _PACES)] if design.unit.streaming else groups


def _integral(result: str, how: str) -> bool:
    if result == "lowest":  # for what does not fit, and for what rounds to it
        return False
    return how == "saturated" or (result == "0" and how in ("up", "tie up"))


def _floating(result: str, how: str) -> bool:
    kind = result[2:]
    if kind in ("nan", "infinity"):
        return how != ("exact" if kind == "nan" else "saturated") or result == "- nan"
    return how == "saturated" or (kind == "0" and how in ("up", "tie up")) or (result == "- 0" and how == "exact")


def _rounded_posit(result: str, how: str) -> bool:
    return (result == "NaR" and how != "exact") or (result == "0" and how in ("up", "tie up"))
