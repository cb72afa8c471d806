"""The `positcore` command. Each subcommand is a module with SUMMARY, EXAMPLE, configure() and run()."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from types import FrameType
from typing import NoReturn

from positcore.cli.extras import missing_package
from positcore.errors import AuditError, BuildError, GemmError, MismatchError, MissingToolError, UndecidedError
from positcore.version import __version__

__all__ = ["COMMANDS", "build_parser", "main"]

COMMANDS = {
    "info": "show the constants of a format and its quire",
    "encode": "round numbers to codes, with their fields",
    "decode": "show the value and the fields of codes",
    "generate": "emit the Verilog of a unit",
    "export": "write a unit as a folder for vendors' tools, with a FuseSoC core",
    "verify": "run a unit's RTL against the golden model",
    "formal": "prove a unit's handshake, table, pipeline or netlist",
    "synth": "report what a unit takes of an FPGA, by Yosys",
    "build": "build the bitstream of a board, with tools from pip alone",
    "board": "use a board at a serial port: list, info, selftest; or simulate one",
    "train": "train a network in posit arithmetic",
    "prove": "run a network on simulated RTL or a board, and compare every bit with the golden model",
    "quantize": "test a network that was trained in float, in posit arithmetic",
    "demo": "the whole idea in a few minutes: Verilog, verification, training, replay",
}


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def build_parser(command: str | None) -> argparse.ArgumentParser:
    """The argument parser; only the module of `command` is imported, so that start-up stays light."""
    parser = _Parser(prog="positcore", description="Posit arithmetic in three views that agree bit for bit.")
    parser.add_argument("--version", action="version", version=f"positcore {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        if name != command:
            subparsers.add_parser(name, help=summary)
            continue
        module = import_module(f"positcore.cli.{name}")
        subparser = subparsers.add_parser(
            name,
            help=summary,
            description=summary[0].upper() + summary[1:] + ".",
            epilog=f"example:\n  {module.EXAMPLE}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.configure(subparser)
        subparser.set_defaults(run=module.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command: 0 done, 1 a check failed, 2 usage (one line on stderr), 130 interrupted, by SIGTERM too."""
    words = list(sys.argv[1:] if argv is None else argv)
    command = next((word for word in words if word in COMMANDS), None)
    try:
        with _ended_by_kill():
            args = build_parser(command).parse_args(words)
            return int(args.run(args))
    except (AuditError, MismatchError) as error:
        print(f"positcore: {error}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("positcore"):
            raise
        print(f"positcore: {missing_package(error.name or '', command)}", file=sys.stderr)
        return 2
    except (TypeError, ValueError, BuildError, GemmError, MissingToolError, UndecidedError, OSError) as error:
        print(f"positcore: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as interrupt:
        print("positcore: interrupted" + (f"; {interrupt}" if str(interrupt) else ""), file=sys.stderr)
        return 130


class _Ended(KeyboardInterrupt):
    """SIGTERM came. At a subclass, unlike at KeyboardInterrupt, `subprocess.run` waits for the tool that it kills."""


@contextmanager
def _ended_by_kill() -> Iterator[None]:
    """Let SIGTERM end a command as Ctrl-C does: tools that it runs end with it, and nothing half-done stays."""
    try:
        previous = signal.getsignal(signal.SIGTERM)
        if previous == signal.SIG_DFL:
            signal.signal(signal.SIGTERM, _interrupt)
    except ValueError:  # not in the main thread, which alone gets signals
        previous = None
    try:
        yield
    finally:
        if previous == signal.SIG_DFL:
            signal.signal(signal.SIGTERM, previous)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    signal.signal(number, signal.SIG_IGN)  # once is enough: what follows is cleaning up
    raise _Ended
