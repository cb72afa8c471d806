"""`random_products` and `product_plan`: what a bench of the gemm computes, and how; `check_products`: what came out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from positcore.errors import MismatchError
from positcore.gemm import matmul
from positcore.hw.gemm_job import GemmJob, plan
from positcore.hw.gemm_registers import gemm_registers
from positcore.hw.registers import Kind
from positcore.hw.units import Design

__all__ = ["BARE", "BLOCK_DESIGN", "Product", "check_products", "product_plan", "random_products"]

CHANNELS = ("a", "b", "c", "aw", "w", "b response", "ar", "r")
SHARES = {"never": 0.0, "at times": 0.4, "mostly": 0.8}
STREAMS = {"a": "s_axis_a", "b": "s_axis_b", "c": "m_axis_c"}
# The ports that the streams do not have, and whether reset is active low and may begin between clock edges.
BARE = {"clock": "clk", "reset": "rst", "registers": "s_axil", "low": False}
BLOCK_DESIGN = {"clock": "aclk", "reset": "aresetn", "registers": "s_axi", "low": True}  # `hw.block_design`
HANDSHAKES = ("idle", "awaited", "waiting", "taken")
RESETS = tuple(
    f"by {how}, {where}" for how in ("reset", "register")
    for where in ("before operands", "among operands", "among results")
)  # fmt: skip


class Product(NamedTuple):
    """A job with its golden result and the bins that it fills."""

    job: GemmJob
    expected: NDArray[Any]
    bins: dict[str, str]


def random_products(design: Design, count: int, seed: int) -> list[Product]:
    """Random products, some longer than the buffers, with their golden results; NaR in some of them."""
    assert design.rows is not None
    assert design.columns is not None
    assert design.depth is not None
    rng = np.random.default_rng(seed)
    spec, depth = design.spec, design.depth
    products = []
    for _ in range(count):
        m, n = rng.integers(1, 3 * design.rows + 1), rng.integers(1, 3 * design.columns + 1)
        k = rng.integers(1, rng.choice([2, depth // 2 + 2, 2 * depth + 3]))  # one, fits its ring, or perhaps not
        a = rng.integers(0, 1 << spec.a.n, (m, k)).astype(spec.a.dtype)
        b = rng.integers(0, 1 << spec.b.n, (k, n)).astype(spec.b.dtype)
        a[a == spec.a.nar], b[b == spec.b.nar] = 0, 0
        biases = {"none": None, "one a row": a[:, :1].copy(), "one for all": a[0, 0]}
        if spec.a == spec.b:
            biases["one a column"] = b[:1].copy()
        bias = list(biases)[rng.integers(len(biases))]
        nar = rng.random() < 0.3
        if nar:
            a[rng.integers(m), rng.integers(k)] = spec.a.nar
        job = plan(spec, a, b, biases[bias], rows=design.rows, columns=design.columns, depth=depth)
        tiles = [("one", "several")[job.settings[f"{side}_tiles"] > 1] for side in ("row", "column")]
        bins = {
            "bias": bias,
            "K": "1" if k == 1 else "longer than the buffers" if k > depth else "fits the buffers",
            "tiles": f"{tiles[0]} of rows, {tiles[1]} of columns",
            "NaR": "in an operand" if nar else "nowhere",
        }
        products.append(Product(job, matmul(spec, a, b, biases[bias]), bins))
    return products


def product_plan(design: Design, products: list[Product], seed: int, ports: Mapping[str, Any] = BARE) -> dict[str, Any]:
    """The plan of a bench, as JSON takes it; every third product from the second on is broken off by a reset."""
    assert design.rows is not None
    assert design.columns is not None
    assert design.depth is not None
    table = gemm_registers(design.spec, rows=design.rows, columns=design.columns, depth=design.depth)
    registers = {register.name: register for register in table}
    control, status = registers["control"], registers["status"]
    biases = ["none", "one a row", "one for all"] + ["one a column"] * (design.spec.a == design.spec.b)
    tiles = ("one", "several")
    return {
        "seed": seed, "ports": dict(ports),
        "constants": [(r.address, r.value) for r in table if r.kind is Kind.CONSTANT],
        "nowhere": table[-1].address + 4,
        "control": control.address, "start": control.mask("start"), "reset": control.mask("reset"),
        "status": status.address, "done": status.mask("done"), "tiles": registers["tiles"].address,
        "shares": SHARES, "channels": CHANNELS, "streams": STREAMS,
        "jobs": [
            {
                "settings": [(registers[name].address, word) for name, word in job.settings.items()],
                "a": job.bytes_a.hex(), "b": job.bytes_b.hex(),
                "tiles": job.settings["row_tiles"] * job.settings["column_tiles"],
                "reset": RESETS[number // 3 % len(RESETS)] if number % 3 == 1 else None,
                "bins": bins,
            }
            for number, (job, _, bins) in enumerate(products)
        ],
        "groups": {
            "bias": biases,
            "K": ["1", "fits the buffers", "longer than the buffers"],
            "tiles": [f"{rows} of rows, {columns} of columns" for rows in tiles for columns in tiles],
            "NaR": ["in an operand", "nowhere"],
            "operands": ["after the start", "behind those of the job before"],
            "pauses": [f"{channel} {share}" for channel in CHANNELS for share in SHARES],
            "reset": list(RESETS),
            **{f"stream {name}": [*HANDSHAKES, "beat after beat"] for name in STREAMS},
        },
    }  # fmt: skip


def check_products(products: list[Product], results: Mapping[str, str]) -> int:
    """Compare the bytes that came out, in hexadecimal by the number of the product; gives the codes compared.

    Raises
    ------
    MismatchError
        At the first that differs.
    """
    codes = 0
    for number, text in results.items():
        job, expected, _ = products[int(number)]
        got = bytes.fromhex(text)
        if len(got) != job.size:
            raise MismatchError(f"job {number}: {len(got)} bytes of results in place of {job.size}")
        wrong = np.argwhere(job.product(got) != expected)
        if wrong.size:
            row, column = wrong[0].tolist()
            raise MismatchError(
                f"job {number}: C[{row}, {column}]: RTL {job.product(got)[row, column]} "
                f"!= golden {expected[row, column]}"
            )
        codes += expected.size
    return codes
