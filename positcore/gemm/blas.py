"""The platform's matrix product on our own threads: each computes some rows, with a BLAS that uses one thread.

So the pieces can be worked on where they were made, and no idle thread of a BLAS's pool spins on a core meanwhile.
It takes the package threadpoolctl; without it products are left to the BLAS and its threads.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

__all__ = ["has_control", "one_thread"]

_lock = threading.Lock()
_users = 0
_before: list[int] = []


@lru_cache(maxsize=1)
def _libraries() -> tuple[Any, ...]:
    """The BLAS libraries in this process whose number of threads can be set."""
    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:
        return ()
    return tuple(ThreadpoolController().select(user_api="blas").lib_controllers)


def has_control() -> bool:
    """Whether the threads of NumPy's BLAS can be set."""
    return bool(_libraries())


@contextmanager
def one_thread() -> Iterator[None]:
    """Let NumPy's BLAS use one thread in each thread that calls it; the last user restores what was before."""
    global _users, _before
    with _lock:
        if not _users:
            _before = [library.get_num_threads() for library in _libraries()]
            for library in _libraries():
                library.set_num_threads(1)
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users:
                for library, count in zip(_libraries(), _before, strict=True):
                    library.set_num_threads(count)


def _forget_users() -> None:
    """A forked child has none of its parent's threads: nobody holds the lock or waits for the count."""
    global _lock, _users
    _lock, _users = threading.Lock(), 0


os.register_at_fork(after_in_child=_forget_users)
