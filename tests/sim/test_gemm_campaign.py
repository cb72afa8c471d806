"""`verify gemm`: products of random shapes through AXI, a planted fault among them."""

import re

import pytest

import positcore as pc
from positcore.hw.array import ColumnDrain
from positcore.sim.campaign import verify

pytestmark = pytest.mark.rtl

F4 = pc.PositFormat(4, 0)
SHAPE = {"rows": 2, "columns": 2, "depth": 4}


def test_campaign():
    report = verify("gemm", F4, vectors=1_000, seed=3, waveforms=None, optimize="-O0", **SHAPE)
    assert report.vectors >= 1_000


def test_a_fault_is_told_as_a_dot_product(monkeypatch, tmp_path):
    original = ColumnDrain.elaborate

    def elaborate(self, platform):
        m = original(self, platform)
        m.d.comb += self.code.eq(0)
        return m

    monkeypatch.setattr(ColumnDrain, "elaborate", elaborate)
    with pytest.raises(pc.MismatchError, match=r"(?s)gemm.*code +RTL 0b0000 .*golden +python -c .*pc\.dot"):
        verify("gemm", F4, vectors=100, waveforms=tmp_path, optimize="-O0", **SHAPE)
    (path,) = tmp_path.iterdir()
    assert path.name == "posit_gemm_4_0_quire31_2x2x4_mismatch.vcd"
    text = path.read_text()
    tvalid = re.search(r"\$var wire 1 (\S+) m_axis_c_tvalid \$end", text)[1]
    assert f"\n1{tvalid}\n" in text, "no result came"


def test_matrices_have_no_exhaustive_list():
    with pytest.raises(ValueError, match="verify: gemm takes matrices of any size; use vectors and a seed"):
        verify("gemm", F4, exhaustive=True, **SHAPE)


def test_the_shape_is_checked():
    with pytest.raises(TypeError, match=r"gemm: rows must be an integer in 1..64, not None"):
        verify("gemm", F4)
    with pytest.raises(ValueError, match=r"gemm: columns must be an integer in 1..64, not 0"):
        verify("gemm", F4, rows=2, columns=0)
