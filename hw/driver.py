"""`GemmDriver`: what software does to compute a matrix product on a `Gemm`, however that is connected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from positcore.arithmetic import convert
from positcore.format import PositFormat
from positcore.gemm import check_operands
from positcore.gemm.quire import check_capacity
from positcore.hw.gemm_registers import BY_NAME, INTERFACE, MAGIC
from positcore.mac import MacSpec, Quire

__all__ = ["GemmDevice", "GemmDriver", "GemmJob", "plan"]


class GemmDevice(Protocol):
    """A `Gemm` that can be reached: a simulation, or a board."""

    def read(self, address: int) -> int:
        """The word of a register."""

    def write(self, address: int, word: int) -> None:
        """Set a register."""

    def exchange(self, a: bytes, b: bytes, size: int) -> bytes:
        """Send a and b on their streams, while taking that many bytes of results."""


@dataclass(frozen=True)
class GemmJob:
    """A matrix product as a `Gemm` takes it.

    Parameters
    ----------
    settings : dict of str to int
        What to write into which register, before the start.
    a : ndarray of codes, (beats, R)
    b : ndarray of codes, (beats, C)
    output : dtype
        Of the results.
    shape : (int, int)
        M and N.
    """

    settings: dict[str, int]
    a: NDArray[np.unsignedinteger]
    b: NDArray[np.unsignedinteger]
    output: np.dtype[Any]
    shape: tuple[int, int]

    @property
    def bytes_a(self) -> bytes:
        """What to send on s_axis_a, in order."""
        return _bytes(self.a)

    @property
    def bytes_b(self) -> bytes:
        """What to send on s_axis_b, in order."""
        return _bytes(self.b)

    @property
    def traffic(self) -> int:
        """How many bytes go out and come back."""
        return self.a.nbytes + self.b.nbytes + self.size

    @property
    def size(self) -> int:
        """How many bytes come back."""
        rows, columns = self.a.shape[1], self.b.shape[1]
        codes = self.settings["row_tiles"] * rows * self.settings["column_tiles"] * columns
        return int(codes * self.output.itemsize)

    def product(self, got: bytes) -> NDArray[np.unsignedinteger]:
        """The product (M, N) in the bytes that came back."""
        if len(got) != self.size:
            raise ValueError(f"GemmJob: the product is in {self.size} bytes, not {len(got)}")
        tiles = np.frombuffer(got, self.output.newbyteorder("<")).astype(self.output)
        tiles = tiles.reshape(self.settings["row_tiles"], self.settings["column_tiles"], -1, self.b.shape[1])
        m, n = self.shape
        return tiles.swapaxes(1, 2).reshape(self.settings["row_tiles"] * self.a.shape[1], -1)[:m, :n].copy()


def plan(
    spec: MacSpec, a: ArrayLike, b: ArrayLike, bias: ArrayLike | None = None, *, rows: int, columns: int, depth: int
) -> GemmJob:
    """The job that computes A·B + bias, the same bits as `positcore.matmul`.

    A is cut into panels of `rows` rows, B into panels of `columns` columns, both padded with zeros. What fits its
    buffer is sent once. Without dimensions in common (K = 0) there is one step of zeros.

    Parameters
    ----------
    spec : MacSpec
    a : array_like of codes of `spec.a`, (M, K)
    b : array_like of codes of `spec.b`, (K, N)
    bias : array_like of codes of `spec.a`, (M, 1), (1, N), (N,) or one, optional
    rows, columns, depth : int
        The parameters of the `Gemm`.

    Raises
    ------
    TypeError, ValueError
        If an operand is not an array of codes, shapes do not fit, M or N is 0, a dot product exceeds the quire, or
        the bias is a matrix, or one a column that has no codes in B's format.
    """
    a, b, bias = check_operands(spec, a, b, bias)
    m, k, n = *a.shape, b.shape[1]
    if not m or not n:
        raise ValueError(f"plan: a product of shape {(m, n)} has no elements to compute; leave it out")
    bias_rows, bias_columns = _biases(spec, bias)
    steps = max(k, 1)
    length = steps + (bias is not None)
    check_capacity(spec, length)
    row_tiles, column_tiles = -(-m // rows), -(-n // columns)
    hold_a, hold_b = length <= depth, length * column_tiles <= depth
    panels_a = _panels(a.T, bias_rows, row_tiles, rows)
    panels_b = _panels(b, bias_columns, column_tiles, columns)
    flags = {"bias_rows": bias_rows is not None, "bias_columns": bias_columns is not None}
    flags |= {"hold_a": hold_a, "hold_b": hold_b, "whole": True}
    return GemmJob(
        settings={
            "mode": _mode(flags),
            "steps": steps,
            "row_tiles": row_tiles,
            "column_tiles": column_tiles,
        },
        a=np.repeat(panels_a, 1 if hold_a else column_tiles, axis=0).reshape(-1, rows),
        b=np.tile(panels_b, (1 if hold_b else row_tiles, 1, 1)).reshape(-1, columns),
        output=spec.out.dtype,
        shape=(m, n),
    )


def _biases(
    spec: MacSpec, bias: NDArray[np.unsignedinteger] | None
) -> tuple[NDArray[np.unsignedinteger] | None, NDArray[np.unsignedinteger] | None]:
    """A bias as codes of A, one a row, or as codes of B, one a column."""
    if bias is None:
        return None, None
    bias = np.atleast_2d(bias)
    if bias.shape[1] == 1:
        return bias[:, 0], None
    if bias.shape[0] > 1:
        raise ValueError(
            f"plan: the bias must be one a row (M, 1) or one a column (1, N), not {bias.shape}; append the identity to "
            "A and the bias to B"
        )
    columns = convert(spec.a, spec.b, bias[0])
    if not np.array_equal(convert(spec.b, spec.a, columns), bias[0]):
        raise ValueError(f"plan: a bias a column must have codes in B's format {spec.b}, which this one lacks")
    return None, columns


def _panels(
    vectors: NDArray[np.unsignedinteger], bias: NDArray[np.unsignedinteger] | None, tiles: int, lanes: int
) -> NDArray[np.unsignedinteger]:
    """Vectors (K, M) as panels (tiles, K, lanes), a bias (M,) before them, if there is one."""
    if not len(vectors):
        vectors = np.zeros((1, vectors.shape[1]), vectors.dtype)
    if bias is not None:
        vectors = np.concatenate([np.broadcast_to(bias, (1, vectors.shape[1])), vectors])
    padded = np.zeros((len(vectors), tiles * lanes), vectors.dtype)
    padded[:, : vectors.shape[1]] = vectors
    return padded.reshape(len(vectors), tiles, lanes).transpose(1, 0, 2)


def _mode(flags: dict[str, bool]) -> int:
    return sum(BY_NAME["mode"].mask(name) for name, value in flags.items() if value)


def _bytes(codes: NDArray[np.unsignedinteger]) -> bytes:
    return codes.astype(codes.dtype.newbyteorder("<")).tobytes()


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
        RuntimeError
            If the device rejects the job, or is not done when the results are there.
        """
        job, turned = self._shorter_plan(a, b, bias)
        for register, word in job.settings.items():
            self.write(register, word)
        self.command("start")
        if self.status("rejected"):
            raise RuntimeError(f"GemmDriver: the gemm rejected the job {job.settings}; reset it")
        got = self._device.exchange(job.bytes_a, job.bytes_b, job.size)
        if not self.status("done"):
            raise RuntimeError("GemmDriver: the gemm is not done, although all results came; reset it")
        return job.product(got).T if turned else job.product(got)

    def _shorter_plan(self, a: ArrayLike, b: ArrayLike, bias: ArrayLike | None) -> tuple[GemmJob, bool]:
        """The job that moves fewer bytes, and whether it is of the transposed product."""
        sizes = {"rows": self.rows, "columns": self.columns, "depth": self.depth}
        job = plan(self.spec, a, b, bias, **sizes)
        if self.spec.a != self.spec.b:
            return job, False
        a, b, bias = check_operands(self.spec, a, b, bias)
        other = plan(self.spec, b.T, a.T, None if bias is None else np.atleast_2d(bias).T, **sizes)
        return min(((job, False), (other, True)), key=lambda choice: choice[0].traffic)


def _format(word: int) -> PositFormat:
    flush = word >> 24
    return PositFormat(word & 0xFF, word >> 8 & 0xFF, bool(word >> 16 & 1), flush - 1 if flush else None)
