"""The registry of units: what generate, verify and the tests know about each by its name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from positcore.format import PositFormat
from positcore.hw import golden
from positcore.hw.adder import Adder
from positcore.hw.convert import Converter
from positcore.hw.decode import Decoder
from positcore.hw.divider import Divider
from positcore.hw.encode import Encoder
from positcore.hw.floats import FromFloat, ToFloat
from positcore.hw.fma import FusedMultiplyAdd
from positcore.hw.integers import FromInteger, IntegralRounder, ToInteger
from positcore.hw.mac import QuireMac
from positcore.hw.multiplier import Multiplier
from positcore.hw.order import Comparator, Magnitude, Maximum, Minimum, Negator, Sign
from positcore.hw.parameters import (
    check_bits,
    check_float_format,
    check_function,
    check_signed,
    check_spec,
    check_stages,
)  # fmt: skip
from positcore.hw.rom import FunctionTable
from positcore.hw.root import SquareRoot
from positcore.mac import MacSpec

if TYPE_CHECKING:
    from amaranth.lib import wiring
    from numpy.typing import NDArray

__all__ = ["UNITS", "Design", "Unit", "unit"]

Builder = Callable[..., "wiring.Component"]
Golden = Callable[..., "dict[str, NDArray[Any]]"]


@dataclass(frozen=True)
class Unit:
    """A kind of hardware: how it is built, and what can be said of it without building it.

    Parameters
    ----------
    name : str
        What users call it.
    summary : str
        What it computes, in a line.
    build : callable
        (spec, stages, **options) → component.
    cuts : tuple of str
        Where its pipeline can be cut, in order of preference; as many as `stages` may be.
    operands : int
        How many codes it takes at a time; 0 for a raw form.
    item : str
        What it takes one of in each cycle.
    golden : callable, optional
        (spec, inputs by port, **options) → outputs by port; None for a unit with a stream's handshake.
    options : tuple of str
        The further fields of a `Design` that it has: of bits, signed, float_format, function.
    converts : bool
        Whether its result may be of another format than its operands.
    format_cuts : callable, optional
        Format → all cuts of a unit that has more of them in a wider format; they begin with `cuts`.
    """

    name: str
    summary: str
    build: Builder
    cuts: tuple[str, ...]
    operands: int
    item: str
    golden: Golden | None = None
    options: tuple[str, ...] = ()
    converts: bool = False
    format_cuts: Callable[[PositFormat], tuple[str, ...]] | None = None

    @property
    def streaming(self) -> bool:
        """Whether it speaks a stream's handshake and has a whole `MacSpec`, rather than one format."""
        return self.golden is None


def _single(name: str, summary: str, kind: Any, operands: int, function: Golden, *options: str) -> Unit:
    """A unit of one format, whose component takes that and the options, and whose golden twin does too."""
    return Unit(
        name, summary, lambda spec, stages, **extra: kind(spec.out, stages=stages, **extra), kind.CUTS, operands,
        "pair" if operands == 2 else "code" if operands else name.removeprefix("from-"),
        lambda spec, inputs, **extra: function(spec.out, inputs, **extra), options,
    )  # fmt: skip


def _encoder(spec: MacSpec, stages: int) -> Encoder:
    fmt = spec.out
    return Encoder(fmt, scale_bits=fmt.scale_bits + 1, fraction_bits=fmt.fraction_bits + 2, stages=stages)


UNITS: dict[str, Unit] = {
    entry.name: entry
    for entry in (
        Unit(
            "decode", "the raw form of a code", lambda spec, stages: Decoder(spec.out, stages=stages),
            Decoder.CUTS, 1, "code", lambda spec, inputs: golden.golden_decode(spec.out, inputs),
        ),
        Unit(
            "encode", "the code nearest to an unrounded raw form", _encoder, Encoder.CUTS, 0, "raw form",
            lambda spec, inputs: golden.golden_encode(
                spec.out, inputs, fraction_bits=spec.out.fraction_bits + 2
            ),
        ),
        Unit(
            "add", "a + b, rounded once", lambda spec, stages: Adder(spec.out, stages=stages),
            Adder.CUTS, 2, "pair", lambda spec, inputs: golden.golden_add(spec.out, inputs),
        ),
        Unit(
            "sub", "a - b, rounded once", lambda spec, stages: Adder(spec.out, subtract=True, stages=stages),
            Adder.CUTS, 2, "pair", lambda spec, inputs: golden.golden_sub(spec.out, inputs),
        ),
        Unit(
            "mul", "a * b, rounded once", lambda spec, stages: Multiplier(spec.out, stages=stages),
            Multiplier.CUTS, 2, "pair", lambda spec, inputs: golden.golden_mul(spec.out, inputs),
        ),
        Unit(
            "fma", "a * b + c, rounded once", lambda spec, stages: FusedMultiplyAdd(spec.out, stages=stages),
            FusedMultiplyAdd.CUTS, 3, "triple", lambda spec, inputs: golden.golden_fma(spec.out, inputs),
        ),
        Unit(
            "fms", "a * b - c, rounded once",
            lambda spec, stages: FusedMultiplyAdd(spec.out, subtract=True, stages=stages),
            FusedMultiplyAdd.CUTS, 3, "triple", lambda spec, inputs: golden.golden_fms(spec.out, inputs),
        ),
        Unit(
            "div", "a / b, rounded once; a / 0 is NaR", lambda spec, stages: Divider(spec.out, stages=stages),
            Divider.CUTS, 2, "pair", lambda spec, inputs: golden.golden_div(spec.out, inputs),
            format_cuts=Divider.cuts,
        ),
        Unit(
            "sqrt", "the square root of a, rounded once; NaR for negative a",
            lambda spec, stages: SquareRoot(spec.out, stages=stages), SquareRoot.CUTS, 1, "code",
            lambda spec, inputs: golden.golden_sqrt(spec.out, inputs), format_cuts=SquareRoot.cuts,
        ),
        Unit(
            "mac", "dot products, summed exactly in a quire and rounded once",
            lambda spec, stages: QuireMac(spec, stages=stages), QuireMac.CUTS, 2, "term",
        ),
        _single("compare", "a < b, a <= b and a = b, NaR below everything", Comparator, 2, golden.golden_compare),
        _single("min", "the lesser of a and b; NaR, if one is", Minimum, 2, golden.golden_min),
        _single("max", "the greater of a and b; the other, if one is NaR", Maximum, 2, golden.golden_max),
        _single("neg", "-a", Negator, 1, golden.golden_neg),
        _single("abs", "the magnitude of a", Magnitude, 1, golden.golden_abs),
        _single("sign", "1, -1 or 0 by the sign of a", Sign, 1, golden.golden_sign),
        Unit(
            "convert", "the code of another format nearest to a",
            lambda spec, stages: Converter(spec.a, spec.out, stages=stages), Converter.CUTS, 1, "code",
            lambda spec, inputs: golden.golden_convert(spec.a, spec.out, inputs), converts=True,
        ),
        _single("round-to-int", "the integral posit nearest to a", IntegralRounder, 1, golden.golden_round_to_int),
        _single(
            "from-int", "the code nearest to an integer", FromInteger, 0, golden.golden_from_int, "bits", "signed"
        ),
        _single("to-int", "the integer nearest to a code", ToInteger, 1, golden.golden_to_int, "bits", "signed"),
        _single("from-float", "the code nearest to a float", FromFloat, 0, golden.golden_from_float, "float_format"),
        _single("to-float", "the float nearest to a code", ToFloat, 1, golden.golden_to_float, "float_format"),
        _single("function", "a function of a, rounded once", FunctionTable, 1, golden.golden_function, "function"),
    )
}  # fmt: skip


def unit(name: str) -> Unit:
    """The unit of a name.

    Raises
    ------
    ValueError
        If there is none; the message lists those that there are.
    """
    if name not in UNITS:
        raise ValueError(f"unknown unit {name!r}; the units are: {', '.join(UNITS)}")
    return UNITS[name]


@dataclass(frozen=True)
class Design:
    """A unit, its spec and its pipeline: all that its text depends on, besides the version.

    Parameters
    ----------
    unit : Unit
        A unit of the registry.
    spec : MacSpec
        What it computes. Units other than the MAC have one format, which stands as input and output; `convert`
        has two.
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

    def __post_init__(self) -> None:
        if not isinstance(self.unit, Unit):
            raise TypeError(f"Design: unit must be a Unit of the registry, not {self.unit!r}; Design.of takes a name")
        name = self.unit.name
        check_spec(name, self.spec)
        format_cuts = self.unit.format_cuts
        check_stages(name, self.stages, format_cuts(self.spec.out) if format_cuts else self.unit.cuts)
        inputs = self.spec.a if self.unit.converts else self.spec.out
        if not self.unit.streaming and self.spec != MacSpec(inputs, self.spec.out):
            if self.unit.converts:
                raise ValueError(f"{name}: has an input format and an output format; drop the rest")
            raise ValueError(f"{name}: has one format and no accumulator; drop the output format and the accumulator")
        for option in ("bits", "signed", "float_format", "function"):
            if option not in self.unit.options and getattr(self, option) is not None:
                raise ValueError(f"{name}: has no {option.replace('_', ' ')}; drop it")
        if "bits" in self.unit.options:
            check_bits(name, self.bits)
            object.__setattr__(self, "signed", check_signed(name, True if self.signed is None else self.signed))
        if "float_format" in self.unit.options:
            check_float_format(name, self.float_format)
        if "function" in self.unit.options:
            check_function(name, self.spec.out, self.function)

    @classmethod
    def of(cls, name: str, spec: PositFormat | MacSpec, stages: int = 0, **options: Any) -> Design:
        """The design of a unit by its name, with a format or a whole spec, and the options of that unit."""
        return cls(unit(name), MacSpec(spec) if isinstance(spec, PositFormat) else spec, stages, **options)

    def __str__(self) -> str:
        return f"{self.unit.name}[{self.spec_text}]"

    @property
    def options(self) -> dict[str, Any]:
        """The parameters of this unit besides spec and stages, by name."""
        return {option: getattr(self, option) for option in self.unit.options}

    @property
    def variety(self) -> str:
        """Those parameters in a word, such as int32, bfloat16 or tanh; empty if there are none."""
        integer = f"{'int' if self.signed else 'uint'}{self.bits}" if self.bits else ""
        return integer or self.float_format or self.function or ""

    @property
    def spec_text(self) -> str:
        """The spec in words: that of a MAC, or the formats and parameters of any other unit."""
        if self.unit.streaming:
            return str(self.spec)
        formats = f"{self.spec.a} → {self.spec.out}" if self.unit.converts else str(self.spec.out)
        return f"{formats}, {self.variety}" if self.variety else formats

    @property
    def name(self) -> str:
        """The name of the emitted module: `posit_add_8_2`, `posit_from_int_8_2_uint32`, `posit_mac_8_2_quire31_s2`."""
        tag = self.spec.tag if self.unit.streaming else self.spec.out.tag
        if self.unit.converts:
            tag = f"{self.spec.a.tag}_to_{tag}"
        words = ["posit", self.unit.name.replace("-", "_"), tag, self.variety, f"s{self.stages}" if self.stages else ""]
        return "_".join(word for word in words if word)

    @property
    def latency(self) -> int:
        """Cycles from an input (of a MAC, the last term) to its result."""
        return self.stages + self.unit.streaming

    @property
    def command(self) -> str:
        """The command that emits this design, less its `-o`."""
        spec = self.spec
        words = [f"positcore generate {self.unit.name} --format {spec.a.spelling}"]
        if spec.b != spec.a and self.unit.streaming:
            words.append(f"--second-format {spec.b.spelling}")
        if spec.out != spec.a:
            words.append(f"--output-format {spec.out.spelling}")
        if self.unit.streaming and spec.quire.carry_bits != 31:
            words.append(f"--carry-bits {spec.quire.carry_bits}")
        if self.bits:
            words.append(f"--bits {self.bits}" + ("" if self.signed else " --unsigned"))
        if self.float_format:
            words.append(f"--float {self.float_format}")
        if self.function:
            words.append(f"--function {self.function}")
        if self.stages:
            words.append(f"--stages {self.stages}")
        return " ".join(words)

    def component(self) -> Any:
        """A new component of this design."""
        return self.unit.build(self.spec, self.stages, **self.options)

    def golden(self, inputs: golden.Arrays) -> dict[str, NDArray[Any]]:
        """What its outputs must be, by port, for arrays of inputs; of a unit without a handshake."""
        if self.unit.golden is None:
            raise ValueError(f"{self.unit.name}: has dot products, not vectors; use golden_dots")
        return self.unit.golden(self.spec, inputs, **self.options)
