"""`GemmDriver`: what software does to compute a matrix product on a `Gemm`, however that is connected."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from positcore.errors import GemmError
from positcore.format import PositFormat
from positcore.gemm import check_operands
from positcore.hw.gemm_job import GemmJob, Tiling, plan
from positcore.hw.gemm_registers import BY_NAME, INTERFACE, MAGIC
from positcore.mac import MacSpec, Quire

__all__ = ["GemmDevice", "GemmDriver"]


class GemmDevice(Protocol):
    """A `Gemm` that can be reached: a simulation, or a board."""

    def read(self, address: int) -> int:
        """The word of a register."""

    def write(self, address: int, word: int) -> None:
        """Set a register."""

    def exchange(self, a: bytes, b: bytes, size: int) -> bytes:
        """Send a and b on their streams, while taking that many bytes of results."""


class GemmDriver:
    """Computes matrix products on a device, whose parameters it reads from its registers.

    Parameters
    ----------
    device : GemmDevice

    Raises
    ------
    ValueError
        If what answers is no `Gemm`, or one with another table of registers.
    """

    def __init__(self, device: GemmDevice):
        self._device = device
        if self.read("magic") != MAGIC:
            raise ValueError(f"GemmDriver: no gemm answers: the first register is 0x{self.read('magic'):08X}")
        if self.read("interface") != INTERFACE:
            raise ValueError(
                f"GemmDriver: the gemm has registers of version {self.read('interface')}, not {INTERFACE}; "
                "use the positcore that made it"
            )
        a, b, c = (_format(self.read(name)) for name in ("format_a", "format_b", "format_c"))
        self.spec = MacSpec((a, b), c, Quire(self.read("carry_bits")))
        shape = self.read("shape")
        self.rows, self.columns, self.depth = shape & 0xFFFF, shape >> 16, self.read("depth")

    def read(self, register: str) -> int:
        """The word in a register."""
        return self._device.read(BY_NAME[register].address)

    def write(self, register: str, word: int) -> None:
        """Write a register."""
        self._device.write(BY_NAME[register].address, word)

    def status(self, flag: str) -> bool:
        """A flag of the status."""
        return bool(self.read("status") & BY_NAME["status"].mask(flag))

    def command(self, name: str) -> None:
        """Give a command: start or reset."""
        self.write("control", BY_NAME["control"].mask(name))

    def matmul(self, a: ArrayLike, b: ArrayLike, bias: ArrayLike | None = None) -> NDArray[np.unsignedinteger]:
        """A·B + bias, codes in, codes out; parameters and errors as of `plan`.

        Where A and B are of one format, Bᵀ·Aᵀ is computed if that moves fewer bytes: the same sums.

        Raises
        ------
        GemmError
            If the device rejects the job, or is not done when the results are there.
        """
        job, turned = self._shorter_plan(a, b, bias)
        for register, word in job.settings.items():
            self.write(register, word)
        self.command("start")
        if self.status("rejected"):
            raise GemmError(f"GemmDriver: the gemm rejected the job {job.settings}; reset it")
        got = self._device.exchange(job.bytes_a, job.bytes_b, job.size)
        if not self.status("done"):
            raise GemmError("GemmDriver: the gemm is not done, although all results came; reset it")
        return job.product(got).T if turned else job.product(got)

    def _shorter_plan(self, a: ArrayLike, b: ArrayLike, bias: ArrayLike | None) -> tuple[GemmJob, bool]:
        """The job that moves fewer bytes, and whether it is of the transposed product."""
        a, b, bias = check_operands(self.spec, a, b, bias)
        (m, k), n = a.shape, b.shape[1]
        sizes = {"rows": self.rows, "columns": self.columns, "depth": self.depth}
        shape = None if bias is None else np.atleast_2d(bias).shape
        as_is, other = Tiling(m, k, n, shape, **sizes), Tiling(n, k, m, shape and shape[::-1], **sizes)
        turned = self.spec.a == self.spec.b and other.traffic(self.spec) < as_is.traffic(self.spec)
        if turned:
            a, b, bias = b.T, a.T, None if bias is None else np.atleast_2d(bias).T
        return plan(self.spec, a, b, bias, **sizes), turned


def _format(word: int) -> PositFormat:
    flush = word >> 24
    return PositFormat(word & 0xFF, word >> 8 & 0xFF, bool(word >> 16 & 1), flush - 1 if flush else None)
