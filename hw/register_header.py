"""`register_header`: a table of registers as a header in C."""

from __future__ import annotations

from collections.abc import Iterator

from positcore.hw.registers import Kind, Register
from positcore.version import __version__

__all__ = ["register_header"]

_ASCII = str.maketrans({"`": "", "−": "-", "·": "*", "×": "x", "→": "->", "≤": "<=", "⌈": "ceil(", "⌉": ")"})


def register_header(unit: str, name: str, registers: tuple[Register, ...]) -> str:
    """The registers of a design as a header in C, of whatever standard, or C++.

    With U the unit in capitals and NAME the design, for each register R there are U_R_OFFSET, in bytes; for a setting
    U_R_RESET, its value after reset; for each field F of it U_R_F_MASK and U_R_F_SHIFT. These are the same for all
    designs of the unit, whose headers can stand in one program. What else the constants of this design read as is
    NAME_R, and NAME_R_F of a field.

    Parameters
    ----------
    unit : str
        Such as "posit_gemm".
    name : str
        Of the design, such as "posit_gemm_8_2_quire31_2x3x16".
    registers : tuple of Register
    """
    common = [line for register in registers for line in _common(unit.upper(), register)]
    own = [line for register in registers if register.kind is Kind.CONSTANT for line in _own(name.upper(), register)]
    width = max(len(word) for word, value in common + own if value) + 1
    guard = f"{name.upper()}_H"
    return "\n".join(
        [
            f"/* {name}: its registers of 32 bits; made by positcore {__version__} */",
            f"#ifndef {guard}",
            f"#define {guard}",
            "",
            f"/* Of every {unit}: offsets in bytes, values after reset, masks and lowest bits of fields. */",
            *(f"{word:{width}}{value}".rstrip() for word, value in common),
            "",
            "/* Of this design: what its constants read as. */",
            *(f"{word:{width}}{value}".rstrip() for word, value in own),
            "",
            f"#endif /* {guard} */",
            "",
        ]
    )


def _common(unit: str, register: Register) -> Iterator[tuple[str, str]]:
    stem = f"#define {unit}_{register.name.upper()}"
    yield "", ""
    yield f"/* {register.name}, {register.kind.value}: {_plain(register.summary)} */", ""
    yield f"{stem}_OFFSET", f"0x{register.address:02X}u"
    if register.kind is Kind.SETTING:
        yield f"{stem}_RESET", f"{register.value}u"
    for field in register.fields:
        yield f"/*   {field.name}: {_plain(field.summary)} */", ""
        yield f"{stem}_{field.name.upper()}_MASK", f"0x{register.mask(field.name):08X}u"
        yield f"{stem}_{field.name.upper()}_SHIFT", f"{field.low}u"


def _own(name: str, register: Register) -> Iterator[tuple[str, str]]:
    stem = f"#define {name}_{register.name.upper()}"
    number = not register.fields and register.value < 1 << 16
    yield stem, f"{register.value}u" if number else f"0x{register.value:08X}u"
    for field in register.fields:
        yield f"{stem}_{field.name.upper()}", f"{(register.value & register.mask(field.name)) >> field.low}u"


def _plain(text: str) -> str:
    """A summary in ASCII, and without what would end a comment."""
    plain = text.translate(_ASCII)
    assert plain.isascii(), plain
    assert "*/" not in plain, plain
    return plain
