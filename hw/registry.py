"""The registry of units: how each is built, what its results must be, and what can be said of it beforehand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from positcore.hw import golden
from positcore.hw.adder import Adder
from positcore.hw.aligned import AlignedDot
from positcore.hw.chain import ChainMac
from positcore.hw.convert import Converter
from positcore.hw.decode import Decoder
from positcore.hw.divider import Divider, IterativeDivider
from positcore.hw.encode import Encoder
from positcore.hw.floats import FromFloat, ToFloat
from positcore.hw.fma import FusedMultiplyAdd
from positcore.hw.gemm import Gemm
from positcore.hw.integers import FromInteger, IntegralRounder, ToInteger
from positcore.hw.mac import QuireDot, QuireMac
from positcore.hw.multiplier import Multiplier
from positcore.hw.order import Comparator, Magnitude, Maximum, Minimum, Negator, Sign
from positcore.hw.quire_unit import QuireUnit
from positcore.hw.rom import FunctionTable
from positcore.hw.root import IterativeSquareRoot, SquareRoot
from positcore.hw.rows import digits_per_cycle
from positcore.mac import Accumulator, Aligned, Fused, MacSpec, Quire, Rounded

if TYPE_CHECKING:
    from amaranth.lib import wiring
    from numpy.typing import NDArray

__all__ = ["UNITS", "Kind", "Unit", "unit"]

Builder = Callable[..., "wiring.Component"]
Golden = Callable[..., "dict[str, NDArray[Any]]"]
Kind = Literal["vector", "stream", "dot", "operations", "bus"]


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
        (spec, stages, **options, **choices) → component.
    cuts : tuple of str
        Where its pipeline can be cut, in order of preference; as many as `stages` may be.
    operands : int
        How many codes it takes at a time; 0 for a raw form.
    item : str
        What it takes one of at a time.
    golden : callable
        (spec, inputs by port, **options) → outputs by port. The ports of a stream are those of its payload; an array
        holds one item after another, and of a dot product's input `last` ends it.
    options : tuple of str
        The further fields of a `Design` that it has and that say what it computes: of bits, signed, float_format,
        function, lanes, rows, columns, depth.
    choices : tuple of str
        Those that say how, and change no bit: of radix, dsp.
    converts : bool
        Whether its result may be of another format than its operands.
    kind : str
        vector: an input in each cycle, its result after the latency, no handshake. stream: items in, as many
        results out, each with a handshake. dot: the same, with a result for each item that is the last of a sum.
    accumulators : tuple of type
        Those that it can be built with. A unit that has some takes a whole `MacSpec`, any other its formats.
    all_cuts : callable, optional
        (spec, **options) → all cuts of a unit that has more of them in a wider format, or others by its accumulator;
        `cuts` are then those that all have.
    latency : callable, optional
        (spec, stages, **options, **choices) → cycles from an input to its result, or of a dot product from the last
        input; `stages` unless told, 1 + `stages` for dot products.
    iterates : bool
        Whether it has one item in work at a time, so that it takes the next one after its latency.
    """

    name: str
    summary: str
    build: Builder
    cuts: tuple[str, ...]
    operands: int
    item: str
    golden: Golden
    options: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    converts: bool = False
    kind: Kind = "vector"
    accumulators: tuple[type[Accumulator], ...] = ()
    all_cuts: Callable[..., tuple[str, ...]] | None = None
    latency: Callable[..., int] | None = None
    iterates: bool = False

    @property
    def streaming(self) -> bool:
        """Whether it speaks a stream's handshake."""
        return self.kind != "vector"


def _single(
    name: str, summary: str, kind: Any, operands: int, function: Golden, *options: str, fixed: Any = None, **more: Any
) -> Unit:
    """A unit of one format, whose component takes that, the options and what is fixed, and whose golden twin does."""
    return Unit(
        name, summary, lambda spec, stages, **extra: kind(spec.out, stages=stages, **(fixed or {}), **extra),
        kind.CUTS, operands, {0: name.removeprefix("from-"), 1: "code", 2: "pair", 3: "triple"}[operands],
        lambda spec, inputs, **extra: function(spec.out, inputs, **extra), options, **more,
    )  # fmt: skip


def _iterative(name: str, summary: str, kind: Any, operands: int, function: Golden, rows: int) -> Unit:
    """A unit that does one or two rows in each cycle, by its radix: those of all fraction bits and `rows` more."""
    return Unit(
        name, summary, lambda spec, stages, radix: kind(spec.out, radix=radix), (), operands,
        "pair" if operands == 2 else "code", lambda spec, inputs: function(spec.out, inputs), choices=("radix",),
        kind="stream", iterates=True,
        latency=lambda spec, stages, radix: 1 - -(spec.out.fraction_bits + rows) // digits_per_cycle(name, radix),
    )  # fmt: skip


def _encoder(spec: MacSpec, stages: int) -> Encoder:
    fmt = spec.out
    return Encoder(fmt, scale_bits=fmt.scale_bits + 1, fraction_bits=fmt.fraction_bits + 2, stages=stages)


_MACS: dict[type[Accumulator], Any] = {Quire: QuireMac, Fused: ChainMac, Rounded: ChainMac, Aligned: AlignedDot}


def _dot(spec: MacSpec, stages: int, lanes: int, dsp: bool) -> QuireDot | AlignedDot:
    if isinstance(spec.accumulator, Quire):
        return QuireDot(spec, lanes=lanes, stages=stages, dsp=dsp)
    return AlignedDot(spec, stages=stages, dsp=dsp)


UNITS: dict[str, Unit] = {
    entry.name: entry
    for entry in (
        _single(
            "decode", "the raw form of a code", Decoder, 1, golden.golden_decode,
            all_cuts=lambda spec: Decoder.cuts(spec.out),
        ),
        Unit(
            "encode", "the code nearest to an unrounded raw form", _encoder, Encoder.CUTS, 0, "raw form",
            lambda spec, inputs: golden.golden_encode(
                spec.out, inputs, fraction_bits=spec.out.fraction_bits + 2
            ),
            all_cuts=lambda spec: Encoder.cuts(spec.out),
        ),
        _single(
            "add", "a + b, rounded once", Adder, 2, golden.golden_add, all_cuts=lambda spec: Adder.cuts(spec.out)
        ),
        _single(
            "sub", "a - b, rounded once", Adder, 2, golden.golden_sub, fixed={"subtract": True},
            all_cuts=lambda spec: Adder.cuts(spec.out),
        ),
        _single(
            "mul", "a * b, rounded once", Multiplier, 2, golden.golden_mul, choices=("dsp",),
            all_cuts=lambda spec: Multiplier.cuts(spec.out),
        ),
        _single(
            "fma", "a * b + c, rounded once", FusedMultiplyAdd, 3, golden.golden_fma, choices=("dsp",),
            all_cuts=lambda spec: FusedMultiplyAdd.cuts(spec.out),
        ),
        _single(
            "fms", "a * b - c, rounded once", FusedMultiplyAdd, 3, golden.golden_fms, fixed={"subtract": True},
            choices=("dsp",), all_cuts=lambda spec: FusedMultiplyAdd.cuts(spec.out),
        ),
        _single(
            "div", "a / b, rounded once; a / 0 is NaR", Divider, 2, golden.golden_div,
            all_cuts=lambda spec: Divider.cuts(spec.out),
        ),
        _single(
            "sqrt", "the square root of a, rounded once; NaR for negative a", SquareRoot, 1, golden.golden_sqrt,
            all_cuts=lambda spec: SquareRoot.cuts(spec.out),
        ),
        _iterative(
            "div-iterative", "a / b, rounded once, some digits a cycle; a / 0 is NaR", IterativeDivider, 2,
            golden.golden_div, 3,
        ),
        _iterative(
            "sqrt-iterative", "the square root of a, rounded once, some digits a cycle; NaR for negative a",
            IterativeSquareRoot, 1, golden.golden_sqrt, 1,
        ),
        Unit(
            "mac", "dot products of any length, summed and rounded as the accumulator says",
            lambda spec, stages, dsp: _MACS[type(spec.accumulator)](spec, stages=stages, dsp=dsp), (), 2, "term",
            golden.golden_sums, choices=("dsp",), kind="dot", accumulators=tuple(_MACS),
            all_cuts=lambda spec: _MACS[type(spec.accumulator)].cuts(spec),
        ),
        Unit(
            "dot", "dot products of any length, some products a cycle, summed and rounded as the accumulator says",
            _dot, (), 2, "chunk of terms", lambda spec, inputs, lanes: golden.golden_sums(spec, inputs), ("lanes",),
            choices=("dsp",), kind="dot", accumulators=(Quire, Aligned),
            all_cuts=lambda spec, lanes: (
                QuireDot.cuts(spec, lanes=lanes) if isinstance(spec.accumulator, Quire) else AlignedDot.cuts(spec)
            ),
        ),
        Unit(
            "quire", "the standard's quire: clear, negate, add and subtract numbers and products, round",
            lambda spec, stages, dsp: QuireUnit(spec, stages=stages, dsp=dsp), (), 2, "operation",
            golden.golden_quire, choices=("dsp",), kind="operations", accumulators=(Quire,),
            all_cuts=lambda spec: QuireUnit.cuts(spec), latency=lambda spec, stages, dsp: 1 + stages,
        ),
        Unit(
            "gemm", "products of matrices of any size, exact and rounded once, between AXI4-Streams",
            lambda spec, stages, **more: Gemm(spec, stages=stages, **more), (), 2, "step", golden.golden_product,
            ("rows", "columns", "depth"), choices=("dsp",), kind="bus", accumulators=(Quire,),
            all_cuts=lambda spec, rows, columns, depth: Gemm.cuts(spec),
            latency=lambda spec, stages, rows, columns, depth, dsp: columns + stages,
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
