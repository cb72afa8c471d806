"""Each example, as its command runs it."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

import positcore as pc

ROOT = Path(__file__).parent.parent / "examples"
COMMANDS = re.findall(r"^\| `python examples/(\S+)`", (ROOT / "README.md").read_text(), re.MULTILINE)

pytestmark = pytest.mark.rtl


def load(path):
    spec = importlib.util.spec_from_file_location(path.replace("/", "_").removesuffix(".py"), ROOT / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_example_has_a_command():
    assert {Path(command).parent.name for command in COMMANDS} == {
        path.name for path in ROOT.iterdir() if path.is_dir()
    }


@pytest.mark.parametrize("command", COMMANDS)
def test_example(command):
    assert re.fullmatch(r"PASS: [1-9]\d* (results|dot products|norms)", load(command).main())


def test_test_bench_tells_wrong_results(monkeypatch):
    example = load("polynomial/run.py")
    codes = example.expected()
    codes[0x41] ^= 1
    monkeypatch.setattr(example, "expected", lambda: codes)
    with pytest.raises(RuntimeError, match=r"polynomial: x = 41: [0-9a-f]{2}, not [0-9a-f]{2}\nFAIL: 1 of 256 results"):
        example.main()


def test_wrong_dot_products_are_told(monkeypatch):
    example = load("dot_engine/run.py")
    monkeypatch.setattr(pc, "dot", lambda spec, a, b: np.uint8(1))
    with pytest.raises(RuntimeError, match=r"dot_engine: dot product 0: [0-9a-f]{2}, not 01"):
        example.main()


def test_wrong_norms_are_told(monkeypatch):
    example = load("norm/norm.py")
    monkeypatch.setattr(example, "golden", lambda vectors: [0] * len(vectors))
    with pytest.raises(RuntimeError, match=r"norm: \[.*\], not \[0, 0, 0, 0, 0\]"):
        example.main()


def test_a_warning_of_the_simulator_is_an_error(tmp_path):
    folder = tmp_path / "bad"
    folder.mkdir()
    (folder / "bench.v").write_text("module bench; wire [1:0] a = missing; endmodule\n")
    with pytest.raises(RuntimeError, match=r"bad: .*missing"):
        load("icarus.py").simulate(folder, {}, {})
