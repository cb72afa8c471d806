"""`GemmJob`: a matrix product as the registers and the streams of a `Gemm` take it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from positcore.arithmetic import convert
from positcore.gemm import check_operands
from positcore.gemm.quire import check_capacity
from positcore.hw.gemm_registers import BY_NAME
from positcore.mac import MacSpec

__all__ = ["GemmJob", "Tiling", "plan"]


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


@dataclass(frozen=True)
class Tiling:
    """How a product (M, K)·(K, N) is cut for a `Gemm`: what follows from the shapes alone.

    Parameters
    ----------
    m, k, n : int
    bias : (int, int), optional
        The shape of a bias, which a step before the others adds: by rows if it has one column.
    rows, columns, depth : int
        The parameters of the `Gemm`.
    """

    m: int
    k: int
    n: int
    bias: tuple[int, int] | None
    rows: int
    columns: int
    depth: int

    @property
    def steps(self) -> int:
        """Products in each sum; without dimensions in common (K = 0) one step of zeros."""
        return max(self.k, 1)

    @property
    def length(self) -> int:
        """Steps of a tile, that of the bias with them."""
        return self.steps + (self.bias is not None)

    @property
    def length_a(self) -> int:
        """Beats of a panel of A: a bias by rows goes before it."""
        return self.steps + (self.bias is not None and self.bias[1] == 1)

    @property
    def length_b(self) -> int:
        """Beats of a panel of B: a bias by columns goes before it."""
        return self.steps + (self.bias is not None and self.bias[1] > 1)

    @property
    def row_tiles(self) -> int:
        """Panels of A: ⌈M / rows⌉."""
        return -(-self.m // self.rows)

    @property
    def column_tiles(self) -> int:
        """Panels of B: ⌈N / columns⌉."""
        return -(-self.n // self.columns)

    @property
    def hold_a(self) -> bool:
        """Whether a panel of A fits its buffer, and is sent once."""
        return self.length <= self.depth

    @property
    def hold_b(self) -> bool:
        """Whether all of B fits its buffer, and is sent once."""
        return self.length * self.column_tiles <= self.depth

    @property
    def repeats_a(self) -> int:
        """How often each panel of A is sent."""
        return 1 if self.hold_a else self.column_tiles

    @property
    def repeats_b(self) -> int:
        """How often B is sent."""
        return 1 if self.hold_b else self.row_tiles

    def traffic(self, spec: MacSpec) -> int:
        """How many bytes go out and come back."""
        tall, wide = self.row_tiles * self.rows, self.column_tiles * self.columns
        sent_a = self.repeats_a * self.length_a * tall * spec.a.dtype.itemsize
        sent_b = self.repeats_b * self.length_b * wide * spec.b.dtype.itemsize
        return int(sent_a + sent_b + tall * wide * spec.out.dtype.itemsize)


def plan(
    spec: MacSpec, a: ArrayLike, b: ArrayLike, bias: ArrayLike | None = None, *, rows: int, columns: int, depth: int
) -> GemmJob:
    """The job that computes A·B + bias, the same bits as `positcore.matmul`.

    A is cut into panels of `rows` rows, B into panels of `columns` columns, both padded with zeros, as `Tiling` says.

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
    cut = Tiling(m, k, n, None if bias is None else np.atleast_2d(bias).shape, rows, columns, depth)
    check_capacity(spec, cut.length)
    panels_a = _panels(a.T, bias_rows, cut.row_tiles, rows)
    panels_b = _panels(b, bias_columns, cut.column_tiles, columns)
    flags = {"bias_rows": bias_rows is not None, "bias_columns": bias_columns is not None}
    flags |= {"hold_a": cut.hold_a, "hold_b": cut.hold_b, "whole": True}
    return GemmJob(
        settings={
            "mode": _mode(flags),
            "steps": cut.steps,
            "row_tiles": cut.row_tiles,
            "column_tiles": cut.column_tiles,
        },
        a=np.repeat(panels_a, cut.repeats_a, axis=0).reshape(-1, rows),
        b=np.tile(panels_b, (cut.repeats_b, 1, 1)).reshape(-1, columns),
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
