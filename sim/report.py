"""What is said of a mismatch: operands with their fields, both results, and a line that reproduces it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from positcore.errors import MismatchError
from positcore.format import PositFormat
from positcore.hw.units import Design
from positcore.text import code_text

__all__ = ["CampaignMismatchError", "Mismatch", "Report", "describe", "reproducer"]

_TERMS_SHOWN = 8
_HOLES_SHOWN = 6


@dataclass(frozen=True)
class Mismatch:
    """The first input on which RTL and golden model differ.

    Parameters
    ----------
    inputs : dict of str to list of int
        The values at each input, one of them, or the terms of a dot product.
    got, want : dict of str to int
        The outputs of the RTL, and those of the golden model.
    """

    inputs: dict[str, list[int]]
    got: dict[str, int]
    want: dict[str, int]


@dataclass(frozen=True)
class Report:
    """What a campaign did; `docs/verification.md` has the schema of its JSON.

    Parameters
    ----------
    unit, spec : str
        What was verified.
    command : str
        What runs the same campaign.
    stages : int
        Its pipeline stages.
    inputs : str
        "all", "drawn" by the seed, or "given".
    total : int
        Inputs to compare.
    vectors : int
        Inputs compared; of a unit that sums products, dot products.
    mismatches : int
        0, or 1: a campaign ends at the first.
    seconds : float
        Time of simulation and golden model, without compiling, in all runs.
    seed : int, optional
        Of the vectors, if they were drawn.
    engine, netlist : str
        What simulated what.
    version : str
        Of positcore.
    runs : int
        In how many runs, where a state was kept, else 0.
    coverage : dict of str to dict
        By group of bins: how many there are, how many were met, how often the least met one, and the holes' names.
    mismatch : dict, optional
        The first difference: inputs, got, want, the lines that reproduce it, and the waveform's file.
    """

    unit: str
    spec: str
    command: str
    stages: int
    inputs: str
    total: int
    vectors: int
    mismatches: int
    seconds: float
    seed: int | None
    engine: str
    netlist: str
    version: str
    runs: int
    coverage: dict[str, dict[str, Any]]
    mismatch: dict[str, Any] | None = None

    @property
    def exhaustive(self) -> bool:
        """Whether the vectors are all inputs."""
        return self.inputs == "all"

    @property
    def vectors_per_s(self) -> float:
        """Vectors compared in a second."""
        return self.vectors / self.seconds if self.seconds else float("inf")

    def __str__(self) -> str:
        how = {"all": "all inputs", "drawn": f"seed {self.seed}", "given": "given"}[self.inputs]
        return (
            f"{self.unit} {self.spec}: {self.vectors:,} vectors ({how}), {self.mismatches} mismatches, "
            f"{self.vectors_per_s:,.0f} vectors/s"
        )

    def as_json(self) -> dict[str, Any]:
        """What the JSON of a report holds."""
        return asdict(self) | {"exhaustive": self.exhaustive, "vectors_per_s": self.vectors_per_s}

    def text(self) -> str:
        """The report in words: the outcome, and the coverage with its holes."""
        lines = [str(self), f"  {self.engine} simulation of the {self.netlist}, positcore {self.version}"]
        for name, group in self.coverage.items():
            lines.append(
                f"  {name:<28} {group['covered']:>6,} of {group['bins']:>6,} bins{self._holes(group['holes'])}"
            )
        return "\n".join(lines)

    def _holes(self, holes: list[str]) -> str:
        if not holes:
            return ""
        what = "no input gives" if self.exhaustive and self.vectors == self.total else "holes:"
        more = f" and {len(holes) - _HOLES_SHOWN} more" if len(holes) > _HOLES_SHOWN else ""
        return f"; {what} {', '.join(holes[:_HOLES_SHOWN])}{more}"


class CampaignMismatchError(MismatchError):
    """A campaign's first difference, with the report of the campaign up to it.

    Parameters
    ----------
    text : str
    report : Report
    """

    def __init__(self, text: str, report: Report):
        super().__init__(text)
        self.report = report


def describe(design: Design, mismatch: Mismatch, waveform: Path | None, campaign: list[str]) -> str:
    """The message of a mismatch; `campaign` are the lines that say how all of it is run again."""
    lines = [f"{design}: RTL and golden model differ"]
    formats = _formats(design)
    for name, values in mismatch.inputs.items():
        for value in values[:_TERMS_SHOWN]:
            lines.append(f"  {name:<8} {_text(formats.get(name), value)}")
        if len(values) > _TERMS_SHOWN:
            lines.append(f"  {name:<8} ... {len(values)} terms in all")
    for name, want in mismatch.want.items():
        got = mismatch.got[name]
        sign = "==" if got == want else "!="
        text = f"RTL {_text(formats.get(name), got)} {sign} golden {_text(formats.get(name), want)}"
        lines.append(f"  {name:<8} {text}")
    lines.append(f"  again    {reproducer(design, mismatch)}")
    lines += campaign
    expression = _expression(design, mismatch)
    if expression:
        lines.append(f"  golden   {expression}")
    if waveform is not None:
        lines.append(f"  waveform {waveform}")
    return "\n".join(lines)


def reproducer(design: Design, mismatch: Mismatch) -> str:
    """The line that compares this input alone."""
    given = " ".join(f"{name}={','.join(map(str, values))}" for name, values in mismatch.inputs.items())
    return f"{design.command.replace(' generate ', ' verify ', 1)} --inputs {given}"


def _text(fmt: PositFormat | None, value: int) -> str:
    return str(value) if fmt is None else code_text(fmt, value)


def _formats(design: Design) -> dict[str, PositFormat]:
    """The formats of the ports that carry codes."""
    spec = design.spec
    return {"a": spec.a, "b": spec.b, "c": spec.out, "code": spec.out}


def _expression(design: Design, mismatch: Mismatch) -> str:
    """A line of Python that computes the golden result."""
    name, spec = design.unit.name, design.spec
    start = 'python -c "import positcore as pc; '
    function = name.removesuffix("-iterative")
    if function in ("add", "sub", "mul", "fma", "fms", "div", "sqrt"):
        operands = ", ".join(str(mismatch.inputs[port][0]) for port in ("a", "b", "c") if port in mismatch.inputs)
        return f'{start}print(pc.{function}(pc.{spec.out!r}, {operands}))"'
    if name == "convert":
        return f'{start}print(pc.convert(pc.{spec.a!r}, pc.{spec.out!r}, {mismatch.inputs["a"][0]}))"'
    if design.unit.kind in ("dot", "bus"):
        made = f"pc.MacSpec((pc.{spec.a!r}, pc.{spec.b!r}), pc.{spec.out!r}, pc.{spec.accumulator!r})"
        return f'{start}print(pc.dot({made}, {mismatch.inputs["a"]}, {mismatch.inputs["b"]}))"'
    return ""
