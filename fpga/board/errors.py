"""What can go wrong between a host and a board."""

from __future__ import annotations

__all__ = ["BoardError", "SessionLost"]


class BoardError(OSError):
    """A board cannot be used: there is no such port, nothing answers, or what answers is something else."""


class SessionLost(BoardError):  # noqa: N818 (what happened, as in `BrokenPipeError`; the remedy is a new session)
    """The board no longer answers in this session: it was reset, or the wire is cut. What it had begun is void."""
