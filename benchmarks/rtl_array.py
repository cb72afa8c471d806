"""Quire MACs a second of the simulated array through the PyTorch call, as the `rtl` backend runs it."""

from __future__ import annotations

import argparse
import os
import time

import torch

import positcore as pc
from positcore import nn as pnn
from positcore.nn.backends import current_backend

SHAPES = [(512, 256, 4096), (16, 144, 65536), (120, 64, 400), (16, 6400, 150)]


def main() -> None:
    """Print a line for each shape: the best of some calls, and the least that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--format", default="8,2")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    fmt = pc.PositFormat.parse(args.format)
    spec = pc.MacSpec(fmt)
    print(f"{fmt}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, torch {torch.__version__}")
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad(), pnn.use_backend("golden"):
        operands = [
            (pnn.quantize(fmt, torch.randn(m, k, generator=generator)),
             pnn.quantize(fmt, torch.randn(k, n, generator=generator)))
            for m, k, n in SHAPES
        ]  # fmt: skip
        expected = [current_backend().matmul(spec, a, b) for a, b in operands]
    for (m, k, n), (a, b), want in zip(SHAPES, operands, expected, strict=True):
        best = cpu = float("inf")
        with torch.no_grad(), pnn.use_backend("rtl"):
            current_backend().matmul(spec, a[:4], b[:, :4])  # compiles
            for _ in range(args.repeats):
                start, used = time.perf_counter(), time.process_time()
                got = current_backend().matmul(spec, a, b)
                best, cpu = min(best, time.perf_counter() - start), min(cpu, time.process_time() - used)
        assert torch.equal(got, want), "the array and the golden model differ"
        millions = m * k * n / 1e6
        print(
            f"{m} × {k} × {n}: {millions / best:7.1f} million MACs/s, {millions / cpu:7.1f} a second of processor time"
        )


if __name__ == "__main__":
    main()
