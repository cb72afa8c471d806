"""`verify`: a unit's RTL against the golden model, on all inputs or on directed-random ones, on all cores."""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from positcore.format import PositFormat
from positcore.hw.emit import FlatUnit, emit_rtlil
from positcore.hw.units import Design
from positcore.mac import MacSpec
from positcore.sim.coverage import Coverage
from positcore.sim.directed import domain_bits
from positcore.sim.report import CampaignMismatchError, Mismatch, Report, describe, reproducer
from positcore.sim.state import CampaignState, Identity, sources_digest
from positcore.sim.stream import StreamError
from positcore.sim.trials import Outcome, Plan, operand_ports, trial
from positcore.sim.waveform import write_waveform
from positcore.threads import get_num_threads
from positcore.version import __version__

__all__ = ["Report", "verify"]

LARGEST_DOMAIN = 32  # bits of all inputs, of which an exhaustive campaign compares all
GRAPH_BITS = 22  # beyond it the seconds that Yosys takes for the graph are won back
USUAL_BITS = 20  # up to it all inputs are compared unless told
DEFAULT_VECTORS = 100_000
DEFAULT_DOTS = 20_000
SAVED_EVERY = 5.0  # seconds

Progress = Callable[[int, int], None]


def verify(
    unit: str,
    spec: PositFormat | MacSpec,
    *,
    exhaustive: bool | None = None,
    vectors: int | None = None,
    inputs: Mapping[str, list[int]] | None = None,
    seed: int = 0,
    stages: int = 0,
    engine: str | None = None,
    netlist: str | None = None,
    state: Path | str | None = None,
    restart: bool = False,
    progress: Progress | None = None,
    waveforms: Path | str | None = ".",
    optimize: str = "-O2",
    alter: Callable[[str], str] | None = None,
    **options: Any,
) -> Report:
    """Compare a unit's RTL with the golden model on every bit of its outputs.

    Unless told, a unit is verified on all inputs where these are at most 2^20, else on directed-random vectors.
    A MAC gets dot products of random lengths, back to back, with NaR, zeros, extremes and cancellation; all streams run
    under random stalls of producer and consumer. The vectors depend on the seed alone, not on the number of threads,
    of which there are `positcore.get_num_threads()`, nor on interruptions.

    Parameters
    ----------
    unit : str
        A unit of the registry, `positcore.hw.units`.
    spec : PositFormat or MacSpec
        Units that sum products and a converter take either; other units have one format.
    exhaustive : bool, optional
        True: all inputs, which may be 2^32 at most.
    vectors : int, optional
        How many to draw, at least 1: 100,000 unless told, or 20,000 dot products.
    inputs : mapping of str to list of int, optional
        One input and no other, by port; of a unit that sums products, the terms of one dot product.
    seed : int
    stages : int
        Pipeline stages of the unit.
    engine : str, optional
        "native", compiled to machine code, or "graph", the and-inverter graph of a unit without a handshake, evaluated
        for 64 inputs at a time, as it is unless told for more than 2^22 inputs.
    netlist : str, optional
        "verilog", the emitted text, as it is unless told for a graph, or "rtlil", which the text is made from.
    state : path, optional
        A file that keeps what is finished: a campaign that was stopped goes on from there, and what it holds is not
        compared again.
    restart : bool
        Begin anew, whatever the state holds.
    progress : callable, optional
        Called as progress(done, total), in vectors.
    waveforms : path, optional
        The folder for the waveform of a mismatch; None writes none.
    optimize : str
        The C++ compiler's optimization flag.
    alter : callable, optional
        Changes the netlist before it is used: how tests plant faults.
    **options
        The unit's own: bits and signed, float_format, function, lanes, radix or dsp, as for `Design`.

    Raises
    ------
    MismatchError
        At the first difference: operands, fields, both results, lines that reproduce it, the waveform's file; and as
        a StreamError where a stream broke its protocol.
    TypeError, ValueError
        If the unit, spec or number of vectors is not possible.
    DataFileError
        If the state is damaged, or of another campaign, generator, golden model or version.
    MissingToolError
        If there is no C++ compiler, or no Yosys for a graph.
    KeyboardInterrupt
        At an interrupt, when the state is saved; with how to go on.
    """
    design = Design.of(unit, spec, stages, **options)
    plan = _plan(design, exhaustive, vectors, inputs, seed, engine, netlist, optimize, alter)
    kept = _Kept(plan, None if state is None else Path(state), restart)
    coverage = Coverage(design)
    if kept.state.coverage:
        coverage.restore(kept.state.coverage)
    found = kept.state
    if progress is not None and (found.vectors or kept.path):
        progress(found.vectors, plan.total)
    if found.vectors < plan.total:
        run = trial(plan)
        _warm_up(design)
        mismatch = _compare(plan, run, kept, coverage, progress)
        if mismatch is not None:
            path = write_waveform(design, mismatch, Path(waveforms or ".")) if waveforms is not None else None
            report = _report(plan, found, coverage, mismatch, path)
            raise CampaignMismatchError(describe(design, mismatch, path, _again(plan)), report)
    if not found.vectors:
        raise ValueError(f"verify: {design}: nothing was compared")
    return _report(plan, found, coverage, None, None)


def _plan(
    design: Design,
    exhaustive: bool | None,
    vectors: int | None,
    given: Mapping[str, list[int]] | None,
    seed: int,
    engine: str | None,
    netlist: str | None,
    optimize: str,
    alter: Callable[[str], str] | None,
) -> Plan:
    """The campaign that the arguments describe, checked."""
    name, kind = design.unit.name, design.unit.kind
    if exhaustive and vectors is not None:
        raise ValueError("verify: exhaustive takes all inputs; drop vectors, or exhaustive")
    if given is not None and (exhaustive or vectors is not None):
        raise ValueError("verify: inputs are all that is compared; drop vectors and exhaustive, or inputs")
    if vectors is not None and (isinstance(vectors, bool) or not isinstance(vectors, int)):
        raise TypeError(f"verify: vectors must be a positive integer, not {vectors!r}")
    if vectors is not None and vectors < 1:
        raise ValueError(f"verify: vectors must be a positive integer, not {vectors}: nothing would be checked")
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ValueError(f"verify: seed must be an integer from 0 on, not {seed!r}")
    if engine not in (None, "native", "graph"):
        raise ValueError(f"verify: the engine is native or graph, not {engine!r}")
    if netlist not in (None, "verilog", "rtlil"):
        raise ValueError(f"verify: the netlist is verilog or rtlil, not {netlist!r}")
    if engine == "graph" and kind != "vector":
        raise ValueError(f"verify: {name} speaks a handshake, which a graph does not; use the native engine")
    lists = {"dot": "dot products of any length", "operations": "lists of operations", "bus": "matrices of any size"}
    if kind in lists:
        if exhaustive:
            raise ValueError(f"verify: {name} takes {lists[kind]}; use vectors and a seed")
        exhaustive, total = False, vectors or (DEFAULT_VECTORS if kind == "operations" else DEFAULT_DOTS)
    else:
        bits = domain_bits(operand_ports(design))
        if exhaustive and bits > LARGEST_DOMAIN:
            raise ValueError(
                f"verify: {design} has 2^{bits} inputs, more than 2^{LARGEST_DOMAIN}; use vectors and a seed"
            )
        exhaustive = exhaustive or (exhaustive is None and vectors is None and given is None and bits <= USUAL_BITS)
        total = 1 << bits if exhaustive else vectors or DEFAULT_VECTORS
        if engine is None and exhaustive and bits > GRAPH_BITS and kind == "vector":
            engine = "graph"
    if given is not None:
        given, total = _checked_inputs(design, given)
    engine = engine or "native"
    netlist = netlist or ("verilog" if engine == "graph" else "rtlil")
    what = "given" if given is not None else "all" if exhaustive else "drawn"
    plan = Plan(design, what, total, seed, engine, netlist, given, optimize, alter)
    return plan if given is None else replace(plan, total=total * (plan.blocks or 1))  # a stream, at each pace


def _checked_inputs(design: Design, given: Mapping[str, list[int]]) -> tuple[dict[str, list[int]], int]:
    """Given inputs that the ports can hold, and how many vectors they are."""
    kind = design.unit.kind
    if kind == "bus":
        widths = {"a": (design.spec.a.n, False), "b": (design.spec.b.n, False)}
    else:
        ports = [port for port in operand_ports(design) if not (kind == "dot" and port.name == "last")]
        lanes = design.terms if kind == "dot" else 1
        widths = {port.name: (port.width // lanes, port.signed) for port in ports}
    if set(given) != set(widths):
        raise ValueError(f"verify: {design} has the inputs {', '.join(widths)}; give each of them, and no other")
    sizes = {len(values) for values in given.values()}
    if len(sizes) != 1 or 0 in sizes:
        raise ValueError("verify: as many values of each input are needed, at least one")
    for name, (width, signed) in widths.items():
        low, high = (-(1 << (width - 1)), (1 << (width - 1)) - 1) if signed else (0, (1 << width) - 1)
        wrong = [value for value in given[name] if not low <= value <= high]
        if wrong:
            raise ValueError(f"verify: input {name} is an integer in {low}..{high}, not {wrong[0]}")
    size = sizes.pop()
    if kind == "dot" and size % design.terms:
        raise ValueError(f"verify: {design} takes chunks of {design.terms} terms, which {size} values do not fill")
    once = 1 if kind in ("dot", "bus") else size
    return {name: [int(value) for value in given[name]] for name in given}, once


class _Kept:
    """The state of a campaign, in memory, and in a file if one was named."""

    def __init__(self, plan: Plan, path: Path | None, restart: bool):
        self.path = path
        if path is None:
            self.state = CampaignState(_identity(plan, ""))
            return
        if plan.inputs == "given":
            raise ValueError("verify: given inputs are no campaign to go on with; drop the state, or the inputs")
        identity = _identity(plan, _rtl_digest(plan))
        self.state = CampaignState(identity) if restart else CampaignState.load(path, identity)
        self.state.runs += 1
        self._saved = time.monotonic()

    def save(self, coverage: Coverage, *, always: bool = False) -> None:
        """Write the state, if it is time."""
        if self.path is not None and (always or time.monotonic() - self._saved > SAVED_EVERY):
            self.state.coverage = coverage.state()
            try:
                self.state.save(self.path)
            except OSError as error:
                raise OSError(
                    f"verify: the state could not be kept in {self.path} ({error.strerror}); free some space, or name "
                    "another file; what was kept before is still there"
                ) from None
            self._saved = time.monotonic()


def _identity(plan: Plan, rtl: str) -> Identity:
    return Identity(
        unit=plan.design.command.removeprefix("positcore generate "), inputs=plan.inputs, total=plan.total,
        seed=plan.seed, netlist=plan.netlist, engine=plan.engine, version=__version__, rtl=rtl,
        sources=sources_digest() if rtl else "",
    )  # fmt: skip


def _rtl_digest(plan: Plan) -> str:
    flat = FlatUnit(plan.design.component())
    text = emit_rtlil(flat, "unit", flat.signals)
    return hashlib.sha256((plan.alter(text) if plan.alter else text).encode()).hexdigest()[:32]


def _warm_up(design: Design) -> None:
    """Let the golden model's compiled kernels load before the clock starts, and before threads need them."""
    if design.unit.kind == "bus":
        inputs = {name: np.ones((1, 1), np.uint8) for name in ("a", "b")}
    else:
        shape = (1, design.terms) if design.terms > 1 else 1
        inputs = {port.name: np.ones(shape, np.uint8) for port in operand_ports(design)}
        if design.unit.kind == "operations":
            inputs["operation"][:] = 6
    Coverage(design).measure(inputs, design.golden(inputs))


def _compare(
    plan: Plan, run: Callable[[int], Outcome], kept: _Kept, coverage: Coverage, progress: Progress | None
) -> Mismatch | None:
    """Compare block after block, some at a time, until all are finished; gives the first difference."""
    state, begin, before = kept.state, time.perf_counter(), kept.state.seconds
    pool = ThreadPoolExecutor(get_num_threads(), thread_name_prefix="campaign")
    outcomes = _in_order(pool, run, state.blocks, plan.blocks, get_num_threads() + 1)
    try:
        for outcome in outcomes:
            state.seconds = before + time.perf_counter() - begin
            if outcome.mismatch is not None:
                kept.save(coverage, always=True)
                return outcome.mismatch
            coverage.add(outcome.coverage)
            state.blocks += 1
            state.vectors += outcome.vectors
            if progress is not None:
                progress(state.vectors, plan.total)
            if state.vectors >= plan.total:
                break
            kept.save(coverage)
        kept.save(coverage, always=True)
        return None
    except (RuntimeError, ValueError) as error:
        if not plan.design.unit.streaming:
            raise
        raise StreamError("\n".join([str(error), *_again(plan)])) from error  # it broke the protocol of a stream or bus
    except KeyboardInterrupt:
        kept.save(coverage, always=True)
        share = f"{state.vectors:,} of {plan.total:,} vectors ({100 * state.vectors / plan.total:.1f} %)"
        if kept.path is None:
            raise KeyboardInterrupt(f"{share} were compared; with a state (--state FILE) it could go on") from None
        raise KeyboardInterrupt(f"{share} are kept in {kept.path}; the same command goes on") from None
    finally:
        pool.shutdown(cancel_futures=True)


def _in_order(
    pool: ThreadPoolExecutor, run: Callable[[int], Outcome], first: int, end: int | None, ahead: int
) -> Iterator[Outcome]:
    """The outcomes of the blocks from `first` up to `end`, in order, of which so many are in work."""
    waiting: deque[Future[Outcome]] = deque()
    index = first
    while True:
        while len(waiting) < ahead and (end is None or index < end):
            waiting.append(pool.submit(run, index))
            index += 1
        if not waiting:
            return
        yield waiting.popleft().result()


def _report(
    plan: Plan, state: CampaignState, coverage: Coverage, mismatch: Mismatch | None, waveform: Path | None
) -> Report:
    design, told = plan.design, None
    if mismatch is not None:
        told = {**asdict(mismatch), "again": reproducer(design, mismatch), "waveform": waveform and str(waveform)}
    return Report(
        unit=design.unit.name, spec=design.spec_text, command=_command(plan), stages=design.stages,
        inputs=plan.inputs, total=plan.total, vectors=state.vectors, mismatches=int(told is not None),
        seconds=state.seconds, seed=plan.seed if plan.inputs == "drawn" else None, engine=plan.engine,
        netlist=plan.netlist, version=__version__, runs=state.runs, coverage=coverage.summary(), mismatch=told,
    )  # fmt: skip


def _again(plan: Plan) -> list[str]:
    """The line of a message that says how the same campaign is run."""
    return [] if plan.inputs == "given" else [f"  campaign {_command(plan)}"]


def _command(plan: Plan) -> str:
    given = " ".join(f"{name}={','.join(map(str, values))}" for name, values in (plan.given or {}).items())
    how = {"all": "--exhaustive", "drawn": f"--vectors {plan.total} --seed {plan.seed}", "given": f"--inputs {given}"}
    return f"{plan.design.command.replace(' generate ', ' verify ', 1)} {how[plan.inputs]}"
