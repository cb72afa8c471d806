"""What is said of a mismatch: operands with their fields, both results, and a line that reproduces it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from positcore.format import PositFormat
from positcore.hw.units import Design
from positcore.text import code_text

__all__ = ["Mismatch", "code_text", "describe"]

_TERMS_SHOWN = 8


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


def describe(design: Design, mismatch: Mismatch, waveform: Path | None, seed: int | None, total: int) -> str:
    """The message of a mismatch."""
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
    how = "--exhaustive" if seed is None else f"--vectors {total} --seed {seed}"
    lines.append(f"  again    {design.command.replace(' generate ', ' verify ', 1)} {how}")
    expression = _expression(design, mismatch)
    if expression:
        lines.append(f"  golden   {expression}")
    if waveform is not None:
        lines.append(f"  waveform {waveform}")
    return "\n".join(lines)


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
