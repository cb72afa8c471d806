"""Worker threads for compiled kernels: how many, and how an index range is split over them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

__all__ = ["get_num_threads", "run_split", "set_num_threads"]

_lock = threading.Lock()
_count: int | None = None
_pool: ThreadPoolExecutor | None = None


def get_num_threads() -> int:
    """Threads that kernels use: those set, else $POSITCORE_NUM_THREADS, else the cores of this process."""
    global _count
    if _count is None:
        text = os.environ.get("POSITCORE_NUM_THREADS")
        if text is not None and not (text.isdecimal() and int(text) > 0):
            raise ValueError(f"POSITCORE_NUM_THREADS must be a positive integer, not {text!r}")
        _count = int(text) if text else len(os.sched_getaffinity(0))
    return _count


def set_num_threads(count: int) -> None:
    """Use `count` threads in kernels from now on; results are the same bits for any count."""
    global _count, _pool
    if isinstance(count, bool) or not isinstance(count, int):
        raise TypeError(f"set_num_threads: count must be a positive integer, not {count!r}")
    if count < 1:
        raise ValueError(f"set_num_threads: count must be a positive integer, not {count}")
    with _lock:
        if count != _count:
            _count, _pool = count, None


def run_split(work: Callable[[int, int], None], size: int, grain: int) -> None:
    """Call `work(start, stop)` on pieces that cover `range(size)`, on several threads if worth it.

    `grain` is the least number of items that pays for a thread. `work` releases the GIL while it runs.
    """
    pieces = min(get_num_threads(), max(1, size // grain))
    if pieces == 1:
        if size:
            _work_here(work, 0, size)
        return
    bounds = [size * i // pieces for i in range(pieces + 1)]
    futures = [_executor().submit(work, a, b) for a, b in pairwise(bounds[1:])]
    _work_here(work, bounds[0], bounds[1])
    for future in futures:
        future.result()


def _work_here(work: Callable[[int, int], None], start: int, stop: int) -> None:
    """Work in this thread. An interrupt that arrives while a kernel makes its results stays an interrupt.

    Python checks for signals while numba wraps the results, and complains of the two at once by a SystemError.
    """
    try:
        work(start, stop)
    except SystemError as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, KeyboardInterrupt):
            cause = cause.__cause__ or cause.__context__
        if cause is None:
            raise
        raise cause from None


def _executor() -> ThreadPoolExecutor:
    global _pool
    with _lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(max(1, get_num_threads() - 1), thread_name_prefix="positcore")
        return _pool


def _forget_pool() -> None:
    """Threads do not survive a fork: a child starts its own, with a lock that nobody holds."""
    global _pool, _lock
    _pool, _lock = None, threading.Lock()


os.register_at_fork(after_in_child=_forget_pool)
