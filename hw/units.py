"""`Design`: a unit of the registry with its spec, its options and how it is built; and the registry's names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from positcore.format import PositFormat
from positcore.hw import golden
from positcore.hw.buffers import check_depth
from positcore.hw.parameters import (
    check_bits,
    check_dsp,
    check_float_format,
    check_function,
    check_lanes,
    check_signed,
    check_size,
    check_spec,
    check_stages,
)  # fmt: skip
from positcore.hw.registry import UNITS, Unit, unit
from positcore.hw.rows import digits_per_cycle
from positcore.mac import Aligned, MacSpec, Quire

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["UNITS", "Design", "Unit", "unit"]

_FIELDS = (
    "bits",
    "signed",
    "float_format",
    "function",
    "lanes",
    "rows",
    "columns",
    "depth",
    "radix",
    "dsp",
)  # those that only some units have


@dataclass(frozen=True)
class Design:
    """A unit, its spec and its pipeline: all that its text depends on, besides the version.

    Parameters
    ----------
    unit : Unit
        A unit of the registry.
    spec : MacSpec
        What it computes. Units that do not sum products have one format, which stands as input and output;
        `convert` has two.
    stages : int
        Registers in its pipeline; they change no bit of its results.
    bits : int, optional
        from-int and to-int: the width of the integer, 8, 16, 32 or 64.
    signed : bool, optional
        from-int and to-int: whether the integer is signed, as it is unless told.
    float_format : str, optional
        from-float and to-float: float16, bfloat16 or float32.
    function : str, optional
        function: exp, tanh, sigmoid or another function that has tables.
    lanes : int, optional
        dot: products in each cycle, 1..64; of an `Aligned` accumulator as many as it says.
    rows, columns : int, optional
        gemm: the shape of its array, 1..64 each.
    depth : int, optional
        gemm: rows of each operand's buffer, a power of two, 256 unless told.
    radix : int, optional
        div-iterative and sqrt-iterative: 2, as it is unless told, or 4; it changes no bit.
    dsp : bool, optional
        Units with a multiplier: whether it is written as one operator, for tools that make a DSP of it, instead of
        a structure that suits LUTs, as it is unless told; it changes no bit.

    Raises
    ------
    TypeError, ValueError
        If the unit is unknown, or does not take that spec, so many stages or such a parameter, or lacks one.
    """

    unit: Unit
    spec: MacSpec
    stages: int = 0
    bits: int | None = None
    signed: bool | None = None
    float_format: str | None = None
    function: str | None = None
    lanes: int | None = None
    rows: int | None = None
    columns: int | None = None
    depth: int | None = None
    radix: int | None = None
    dsp: bool | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.unit, Unit):
            raise TypeError(f"Design: unit must be a Unit of the registry, not {self.unit!r}; Design.of takes a name")
        name = self.unit.name
        check_spec(name, self.spec, self.unit.accumulators or (Quire,))
        inputs = self.spec.a if self.unit.converts else self.spec.out
        if not self.unit.accumulators and self.spec != MacSpec(inputs, self.spec.out):
            if self.unit.converts:
                raise ValueError(f"{name}: has an input format and an output format; drop the rest")
            raise ValueError(f"{name}: has one format and no accumulator; drop the output format and the accumulator")
        known = (*self.unit.options, *self.unit.choices)
        for field in _FIELDS:
            if field not in known and getattr(self, field) is not None:
                raise ValueError(f"{name}: has no {field.replace('_', ' ')}; drop it")
        for field in known:
            object.__setattr__(self, field, self._checked(field, getattr(self, field)))
        check_stages(name, self.stages, self.cuts)

    def _checked(self, field: str, value: Any) -> Any:
        """A parameter, checked, or what it is unless told."""
        name, spec = self.unit.name, self.spec
        if field == "bits":
            return check_bits(name, value)
        if field == "signed":
            return check_signed(name, True if value is None else value)
        if field == "float_format":
            return check_float_format(name, value)
        if field == "function":
            return check_function(name, spec.out, value)
        if field == "lanes":
            return check_lanes(name, spec.accumulator.lanes if _fixed(value, spec) else value, spec)  # type: ignore[union-attr]
        if field in ("rows", "columns"):
            return check_size(name, field, value)
        if field == "depth":
            return check_depth(name, 256 if value is None else value)
        if field == "radix":
            digits_per_cycle(name, 2 if value is None else value)
            return 2 if value is None else value
        assert field == "dsp"
        return check_dsp(name, False if value is None else value)

    @classmethod
    def of(cls, name: str, spec: PositFormat | MacSpec, stages: int = 0, **options: Any) -> Design:
        """The design of a unit by its name, with a format or a whole spec, and the options of that unit."""
        return cls(unit(name), MacSpec(spec) if isinstance(spec, PositFormat) else spec, stages, **options)

    def __str__(self) -> str:
        return f"{self.unit.name}[{self.spec_text}]"

    @property
    def options(self) -> dict[str, Any]:
        """The parameters of this unit that say what it computes, besides its spec, by name."""
        return {option: getattr(self, option) for option in self.unit.options}

    @property
    def choices(self) -> dict[str, Any]:
        """The parameters of this unit that say how it is built, besides its stages, by name."""
        return {choice: getattr(self, choice) for choice in self.unit.choices}

    @property
    def cuts(self) -> tuple[str, ...]:
        """Where its pipeline can be cut; `stages` says at how many of these it is."""
        all_cuts = self.unit.all_cuts
        return all_cuts(self.spec, **self.options) if all_cuts else self.unit.cuts

    @property
    def terms(self) -> int:
        """Products that a unit that sums them takes at a time."""
        accumulator = self.spec.accumulator
        return self.lanes or (accumulator.lanes if isinstance(accumulator, Aligned) else 1)

    @property
    def item(self) -> str:
        """What it takes one of at a time."""
        return f"chunk of {self.terms} terms" if self.terms > 1 else self.unit.item

    @property
    def variety(self) -> str:
        """What its options say in a word, such as int32, bfloat16, tanh, lanes4 or 8x8x256; empty if there are none."""
        integer = f"{'int' if self.signed else 'uint'}{self.bits}" if self.bits else ""
        lanes = f"lanes{self.lanes}" if self.lanes and not isinstance(self.spec.accumulator, Aligned) else ""
        array = f"{self.rows}x{self.columns}x{self.depth}" if self.rows else ""
        return integer or self.float_format or self.function or lanes or array

    @property
    def manner(self) -> tuple[str, ...]:
        """How it is built where that is not the usual way: of radix4, dsp, s2."""
        words = (f"radix{self.radix}" if self.radix == 4 else "", "dsp" if self.dsp else "")
        return tuple(word for word in (*words, f"s{self.stages}" if self.stages else "") if word)

    @property
    def spec_text(self) -> str:
        """The spec in words: that of a unit that sums products, or the formats and parameters of any other one."""
        if self.unit.accumulators:
            array = f", {self.rows} × {self.columns} cells, {self.depth} steps" if self.rows else ""
            return f"{self.spec}, {self.lanes} lanes" if self.lanes and self.variety else f"{self.spec}{array}"
        formats = f"{self.spec.a} → {self.spec.out}" if self.unit.converts else str(self.spec.out)
        return f"{formats}, {self.variety}" if self.variety else formats

    @property
    def name(self) -> str:
        """The name of the emitted module: `posit_add_8_2`, `posit_from_int_8_2_uint32`, `posit_mac_8_2_quire31_s2`."""
        tag = self.spec.tag if self.unit.accumulators else self.spec.out.tag
        if self.unit.converts:
            tag = f"{self.spec.a.tag}_to_{tag}"
        words = ["posit", self.unit.name.replace("-", "_"), tag, self.variety, *self.manner]
        return "_".join(word for word in words if word)

    @property
    def latency(self) -> int:
        """Cycles from an input (of a dot product, the last) to its result."""
        if self.unit.latency:
            return self.unit.latency(self.spec, self.stages, **self.options, **self.choices)
        return self.stages + (self.unit.kind == "dot")

    @property
    def interval(self) -> int:
        """Cycles from one input to the next, where none waits."""
        return self.latency if self.unit.iterates else 1

    @property
    def command(self) -> str:
        """The command that emits this design, less its `-o`."""
        spec, accumulator = self.spec, self.spec.accumulator
        words = [f"positcore generate {self.unit.name} --format {spec.a.spelling}"]
        if spec.b != spec.a and self.unit.accumulators:
            words.append(f"--second-format {spec.b.spelling}")
        if spec.out != spec.a:
            words.append(f"--output-format {spec.out.spelling}")
        if isinstance(accumulator, Aligned):
            words.append(f"--accumulator aligned:{accumulator.lanes},{accumulator.width}")
        elif not isinstance(accumulator, Quire):
            words.append(f"--accumulator {accumulator}")
        elif accumulator.carry_bits != 31:
            words.append(f"--carry-bits {accumulator.carry_bits}")
        if self.lanes and not isinstance(accumulator, Aligned):
            words.append(f"--lanes {self.lanes}")
        if self.rows:
            words.append(f"--rows {self.rows} --columns {self.columns} --depth {self.depth}")
        if self.bits:
            words.append(f"--bits {self.bits}" + ("" if self.signed else " --unsigned"))
        if self.float_format:
            words.append(f"--float {self.float_format}")
        if self.function:
            words.append(f"--function {self.function}")
        if self.radix == 4:
            words.append("--radix 4")
        if self.dsp:
            words.append("--dsp")
        if self.stages:
            words.append(f"--stages {self.stages}")
        return " ".join(words)

    def component(self) -> Any:
        """A new component of this design."""
        return self.unit.build(self.spec, self.stages, **self.options, **self.choices)

    def golden(self, inputs: golden.Arrays) -> dict[str, NDArray[Any]]:
        """What its outputs must be, by port, for arrays of inputs; of a stream, by the fields of its payload."""
        return self.unit.golden(self.spec, inputs, **self.options)


def _fixed(lanes: object, spec: MacSpec) -> bool:
    """Whether the accumulator says how many lanes there are, and nothing else does."""
    return lanes is None and isinstance(spec.accumulator, Aligned)
