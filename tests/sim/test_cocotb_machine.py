import shutil

import numpy as np
import pytest
import torch

import positcore as pc
from positcore import nn as pnn
from positcore.errors import MissingToolError
from positcore.nn import backends
from positcore.sim import cocotb_machine
from positcore.sim.cocotb_machine import CocotbMachine

pytestmark = pytest.mark.rtl

F = pc.PositFormat(6, 1)
needs_icarus = pytest.mark.skipif(shutil.which("iverilog") is None, reason="needs Icarus: apt-get install iverilog")


@needs_icarus
def test_units_sums_and_an_array_on_the_text(monkeypatch):
    """Elements through a unit, a product through the array with a bias by columns, and a row sum through the MAC."""
    monkeypatch.setattr(backends, "_loaded", {})
    x = pnn.quantize(F, torch.tensor([[0.5, -3.0, torch.nan], [1.25, 7.0, 0.0]]))
    spec = pc.MacSpec(F)
    with pnn.use_backend("cocotb", compare="golden"):
        pnn.tensors.mul(F, x, x)
        backends.current_backend().matmul(spec, x, x.T, x[:, 1])
        backends.current_backend().matmul(spec, x, x[0][:, None])
        counts = backends.current_backend().first.counts
        assert backends.current_backend().compared == 6 + 4 + 2
    assert counts == {"mul[posit<6,1>]": 6, f"array 2×2[{spec}]": 16, f"mac[{spec}]": 6}


@needs_icarus
def test_a_run_that_fails_says_why():
    """An undefined bit, of an input that nothing drives."""
    machine = CocotbMachine()
    design = cocotb_machine.Design.of("neg", F)
    unit = machine.make_unit(design)
    with pytest.raises(RuntimeError, match=r"neg\[posit<6,1>\]: the simulation failed"):
        unit.simulate("elements", {"b": np.array([1])})


def test_without_icarus(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingToolError, match=r"Icarus \(iverilog\) not found.*apt-get install iverilog"):
        CocotbMachine()


@needs_icarus
def test_without_cocotb(monkeypatch):
    monkeypatch.setattr(cocotb_machine, "find_spec", lambda name: None)
    with pytest.raises(MissingToolError, match=r"Python package cocotb not found.*pip install \"positcore\[sim\]\""):
        CocotbMachine()
