"""The exceptions that are positcore's own; everything else is a `TypeError` or a `ValueError`."""

from __future__ import annotations

__all__ = [
    "AuditError",
    "BuildError",
    "DataFileError",
    "GemmError",
    "MismatchError",
    "MissingToolError",
    "UndecidedError",
]


class AuditError(RuntimeError):
    """Arithmetic outside of the golden operations (`positcore.nn.audit`)."""


class MissingToolError(RuntimeError):
    """A compiler, simulator or optional package is not there; the message holds the install line."""

    def __init__(self, tool: str, needed_for: str, install: str) -> None:
        super().__init__(f"{tool} not found, needed for {needed_for}; install it: {install}")


class BuildError(RuntimeError):
    """A compiler failed or was killed, or there was no room for what it makes; nothing of it is kept or used."""


class DataFileError(ValueError):
    """A data file is missing, truncated or altered; the message names it and says what was expected."""


class GemmError(RuntimeError):
    """A gemm rejects a job, or stands still, or is not done when it should be: it has to be reset."""


class MismatchError(RuntimeError):
    """Two views of one datapath gave different codes; the message holds operands, fields and results."""


class UndecidedError(RuntimeError):
    """A proof came to no end: the property is neither shown nor refuted."""
