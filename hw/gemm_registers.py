"""The registers of a `Gemm`: what hardware and driver must agree on."""

from __future__ import annotations

from positcore.format import PositFormat
from positcore.hw.registers import Field, Kind, Register
from positcore.mac import MacSpec

__all__ = ["BY_NAME", "CONTROL", "INTERFACE", "MAGIC", "gemm_registers"]

MAGIC = int.from_bytes(b"gemm", "little")
INTERFACE = 1  # what a driver must know besides the parameters

_FORMAT_FIELDS = (
    Field("n", 0, 8, "width of a code"),
    Field("es", 8, 8, "exponent bits"),
    Field("underflow", 16, 1, "of `PositFormat`"),
    Field("flush", 24, 8, "of `PositFormat`, plus 1; 0 without"),
)

CONTROL = Register(
    "control", 0x20, Kind.COMMAND, "commands", 0,
    (
        Field("start", 0, 1, "begin the job that the settings describe"),
        Field("reset", 1, 1, "end the job, empty the buffers, clear all but the settings"),
    ),
)  # fmt: skip


def gemm_registers(spec: MacSpec, *, rows: int, columns: int, depth: int) -> tuple[Register, ...]:
    """The registers of a `Gemm` with these parameters."""

    def constant(address: int, name: str, value: int, summary: str, *fields: Field) -> Register:
        return Register(name, address, Kind.CONSTANT, summary, value, fields)

    def setting(address: int, name: str, summary: str, *fields: Field) -> Register:
        return Register(name, address, Kind.SETTING, summary, 0, fields)

    return (
        constant(0x00, "magic", MAGIC, "0x6D6D6567, the letters `gemm`"),
        constant(0x04, "interface", INTERFACE, f"the version of this table, {INTERFACE}"),
        constant(
            0x08, "shape", rows | columns << 16, "cells",
            Field("rows", 0, 16, "R"), Field("columns", 16, 16, "C"),
        ),
        constant(0x0C, "depth", depth, "rows that the buffer of each operand holds"),
        constant(0x10, "format_a", _format_word(spec.a), "format of A", *_FORMAT_FIELDS),
        constant(0x14, "format_b", _format_word(spec.b), "format of B", *_FORMAT_FIELDS),
        constant(0x18, "format_c", _format_word(spec.out), "format of the results", *_FORMAT_FIELDS),
        constant(
            0x1C, "carry_bits", spec.quire.carry_bits, "C of the quire: 2^C − 1 steps a tile at most, biases included"
        ),
        CONTROL,
        Register(
            "status", 0x24, Kind.STATE, "flags", 0,
            (
                Field("busy", 0, 1, "a job is at work; settings cannot be written"),
                Field("done", 1, 1, "the last job's last result has been taken; until the next start"),
                Field("rejected", 2, 1, "the last start did nothing: a count is 0, K exceeds the quire, or busy"),
                Field("stuck_a", 3, 1, "`hold_a`, but a panel of A is longer than its buffer; reset"),
                Field("stuck_b", 4, 1, "`hold_b`, but B is longer than its buffer; reset"),
            ),
        ),
        setting(
            0x28, "mode", "how a job is done",
            Field("bias_rows", 0, 1, "a panel of A begins with a vector of biases, one a row"),
            Field("bias_columns", 1, 1, "a panel of B begins with a vector of biases, one a column"),
            Field("hold_a", 2, 1, "a panel of A is sent once, and kept for all panels of B"),
            Field("hold_b", 3, 1, "B is sent once, and kept for all panels of A"),
            Field("whole", 4, 1, "tlast with the last row of the job, rather than of each tile"),
        ),
        setting(0x2C, "steps", "K, the length of the dot products without biases, at least 1"),
        setting(0x30, "row_tiles", "panels of A, ⌈M / R⌉"),
        setting(0x34, "column_tiles", "panels of B, ⌈N / C⌉"),
        Register("tiles", 0x38, Kind.STATE, "tiles whose results have been taken since the start"),
        Register("cycles", 0x3C, Kind.STATE, "clock cycles for which the job has been busy, modulo 2^32"),
    )  # fmt: skip


def _format_word(fmt: PositFormat) -> int:
    return fmt.n | fmt.es << 8 | fmt.underflow << 16 | (0 if fmt.flush is None else fmt.flush + 1) << 24


# Of any `Gemm`: names, addresses and fields do not depend on the parameters.
BY_NAME = {entry.name: entry for entry in gemm_registers(MacSpec(PositFormat(8)), rows=1, columns=1, depth=2)}
