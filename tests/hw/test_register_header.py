"""The header in C of a gemm's registers: what a compiler makes of it is what the table says."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

import positcore as pc
from positcore.hw.gemm_registers import gemm_registers
from positcore.hw.register_header import register_header
from positcore.hw.registers import Kind
from tests.reference import format_id

UNIT = "posit_gemm"
SPECS = [
    (pc.MacSpec(pc.PositFormat(8, 2)), {"rows": 2, "columns": 3, "depth": 16}),
    (
        pc.MacSpec((pc.PositFormat(16, 1, underflow=True), pc.PositFormat(5, 0)), pc.PositFormat(9, 1, flush=3)),
        {"rows": 64, "columns": 1, "depth": 65536},
    ),
]


def macros(name, table):
    """The value of each macro, by its name."""
    values = {}
    for register in table:
        stem = f"{UNIT}_{register.name}".upper()
        values[f"{stem}_OFFSET"] = register.address
        if register.kind is Kind.SETTING:
            values[f"{stem}_RESET"] = register.value
        if register.kind is Kind.CONSTANT:
            values[f"{name}_{register.name}".upper()] = register.value
        for field in register.fields:
            ones = (1 << field.width) - 1
            values[f"{stem}_{field.name}_MASK".upper()] = ones << field.low
            values[f"{stem}_{field.name}_SHIFT".upper()] = field.low
            if register.kind is Kind.CONSTANT:
                values[f"{name}_{register.name}_{field.name}".upper()] = register.value >> field.low & ones
    return values


def compiled(folder, language, headers, names):
    """What a program prints that includes the headers, each twice, and knows the names."""
    program = ["#include <stdio.h>", *(f'#include "{header}"' for header in [*headers, *headers])]
    program += ["int main(void) {", *(f'  printf("{name} %lu\\n", (unsigned long){name});' for name in names)]
    (folder / "main.c").write_text("\n".join([*program, "  return 0;", "}", ""]))
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("gcc is not there")
    words = ["-Wall", "-Wextra", "-Werror", "-pedantic", *language, "main.c", "-o", "main"]
    done = subprocess.run([compiler, *words], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = subprocess.run(["./main"], cwd=folder, capture_output=True, text=True, check=True)
    return {line.split()[0]: int(line.split()[1]) for line in said.stdout.splitlines()}


@pytest.mark.parametrize("language", [["-std=c89"], ["-std=c17"], ["-x", "c++"]], ids=lambda words: words[-1])
@pytest.mark.parametrize(("spec", "sizes"), SPECS, ids=format_id)
def test_each_constant_is_that_of_the_table(tmp_path, spec, sizes, language):
    name = f"posit_gemm_{spec.tag}"
    table = gemm_registers(spec, **sizes)
    text = register_header(UNIT, name, table)
    (tmp_path / "registers.h").write_text(text)
    expected = macros(name, table)
    guard = f"{name.upper()}_H"
    assert set(re.findall(r"#define (\w+)", text)) == {guard, *expected}
    assert compiled(tmp_path, language, ["registers.h"], list(expected)) == expected
    assert text.isascii()


def test_two_designs_in_one_program(tmp_path):
    expected = {}
    for number, (spec, sizes) in enumerate(SPECS):
        table = gemm_registers(spec, **sizes)
        (tmp_path / f"{number}.h").write_text(register_header(UNIT, f"posit_{number}", table))
        expected |= macros(f"posit_{number}", table)
    assert compiled(tmp_path, [], ["0.h", "1.h"], list(expected)) == expected


def test_the_program_of_the_documentation(tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "export.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```c\n(.*?)```", page, re.DOTALL)
    name = re.search(r'#include "(\w+)\.h"', program)[1]
    table = gemm_registers(SPECS[0][0], rows=4, columns=4, depth=256)
    (tmp_path / f"{name}.h").write_text(register_header(UNIT, name, table))
    (tmp_path / "start.c").write_text(program)
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("gcc is not there")
    words = ["-Wall", "-Wextra", "-Werror", "-pedantic", "-c", "start.c"]
    assert subprocess.run([compiler, *words], cwd=tmp_path, capture_output=True, text=True).stderr == ""
