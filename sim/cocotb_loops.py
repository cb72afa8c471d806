"""The cocotb side of `positcore.sim.cocotb_machine`: it runs inside the simulator, over the plan in its folder."""

from __future__ import annotations

from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import Timer

__all__ = ["elements", "sums"]

_PATIENCE = 4096  # cycles without a result, once all is sent


@cocotb.test()
async def elements(dut: Any) -> None:
    """A unit without a handshake: each vector of inputs, and the code that it gives."""
    with np.load("plan.npz") as plan:
        columns = {name: plan[name].tolist() for name in plan.files}
    results = []
    for values in zip(*columns.values(), strict=True):
        for name, value in zip(columns, values, strict=True):
            getattr(dut, name).value = value
        await Timer(1, "ns")
        results.append(int(dut.code.value))  # an undefined bit is an error
    np.save("outcome.npy", np.array(results, np.uint64))


@cocotb.test()
async def sums(dut: Any) -> None:
    """A unit that sums products: all items as fast as it takes them, and its results in order."""
    with np.load("plan.npz") as plan:
        items = list(
            zip([int(word, 16) for word in plan["a"]], [int(word, 16) for word in plan["b"]], plan["last"].tolist(),
                strict=True)
        )  # fmt: skip
        wanted = int(plan["results"])
    dut.clk.value, dut.rst.value, dut.o_ready.value, dut.i_valid.value = 0, 1, 1, 0
    dut.i_a.value, dut.i_b.value, dut.i_last.value = 0, 0, 0
    results: list[int] = []

    async def clock() -> None:
        await Timer(1, "ns")
        dut.clk.value = 1
        await Timer(1, "ns")
        dut.clk.value = 0

    async def cycle() -> bool:
        """Whether the item on offer was taken in this cycle."""
        await Timer(1, "ns")
        if int(dut.o_valid.value):
            results.append(int(dut.o_code.value))
        taken = bool(int(dut.i_ready.value))
        await clock()
        return taken

    await clock()
    dut.rst.value = 0
    for a, b, last in items:
        dut.i_valid.value, dut.i_a.value, dut.i_b.value, dut.i_last.value = 1, a, b, last
        while not await cycle():
            pass
    dut.i_valid.value = 0
    idle = 0
    while len(results) < wanted and idle < _PATIENCE:
        await cycle()
        idle += 1
    if len(results) != wanted:
        raise RuntimeError(f"{len(results)} results for {wanted}")
    np.save("outcome.npy", np.array(results, np.uint64))
