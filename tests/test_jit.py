"""The kernels that are kept on disk."""

import os

from positcore.jit import drop_stale_kernels


def test_kernels_older_than_any_source_with_kernels_are_dropped(tmp_path):
    """Numba would keep them: it looks at the file of a kernel, not at those of the kernels that are part of it."""
    (tmp_path / "gemm" / "__pycache__").mkdir(parents=True)
    (tmp_path / "__pycache__").mkdir()
    inlined, plain = tmp_path / "codec.py", tmp_path / "text.py"
    inlined.write_text("from positcore.jit import kernel")
    plain.write_text("nothing compiled")
    compiled = tmp_path / "gemm" / "__pycache__" / "filter._filter-1.py311.nbi"
    compiled.write_bytes(b"")
    recent = tmp_path / "__pycache__" / "odd.two_sum-1.py311.nbi"
    recent.write_bytes(b"")
    for path, time in ((inlined, 100), (plain, 900), (compiled, 200), (recent, 400)):
        os.utime(path, (time, time))
    assert drop_stale_kernels(tmp_path) == 0
    os.utime(inlined, (300, 300))
    assert drop_stale_kernels(tmp_path) == 1
    assert not compiled.exists()
    assert recent.exists()
