import os
import signal

import numpy as np
import pytest

from positcore.jit import kernel
from positcore.threads import run_split


@kernel
def _count(size):
    out, total = np.zeros(4), 0
    for i in range(size):
        total += i ^ (total << 1)
    out[0] = total
    return out


def test_an_interrupt_within_a_kernel_is_an_interrupt():
    """Numba wraps arrays in Python, which finds the signal then and says SystemError."""
    _count(1)

    def work(start, stop):
        os.kill(os.getpid(), signal.SIGINT)
        _count(stop)

    with pytest.raises(KeyboardInterrupt):
        run_split(work, 100, 1000)

    def wrapped(start, stop):
        try:
            raise SystemError("two at once") from KeyboardInterrupt()
        except SystemError as error:
            raise SystemError("and again") from error

    with pytest.raises(KeyboardInterrupt):
        run_split(wrapped, 100, 1000)


def test_other_errors_stay_what_they_are():
    def work(start, stop):
        raise SystemError("something else")

    with pytest.raises(SystemError, match="something else"):
        run_split(work, 100, 1000)
