"""From a board to a bitstream, with a stand-in for the tools; and, marked slow, with the tools."""

import json
import re
import subprocess
from dataclasses import replace

import pytest

import positcore as pc
from positcore.cli import build_parser, main
from positcore.cli.build import planned as planned_by
from positcore.fpga import build as builder
from positcore.fpga import nextpnr, yosys
from positcore.fpga.bitstream import TimingError, check_folder, write_bitstream
from positcore.fpga.boards import top
from positcore.fpga.boards.description import BOARDS, board
from positcore.fpga.build import build, clocks_per_bit, plan
from positcore.fpga.yowasp import SynthesisError, run_tool
from positcore.hw.board import emit_board
from tests.fpga.recorded import routed

TINY = {"spec": pc.MacSpec(pc.PositFormat(4, 0), accumulator=pc.Quire(7)), "rows": 1, "columns": 1, "depth": 8}
WORDS = ["--format", "4,0", "--carry-bits", "7", "--rows", "1", "--columns", "1", "--depth", "8", "--stages", "1"]


def named(design):
    """Stands for the Verilog of a board, which takes seconds to emit."""
    return f"module {design.name}(input clk, rst, rx, output tx, output [3:0] leds); endmodule\n"


class FakeTools:
    """Stands for Yosys, nextpnr and the packers."""

    def __init__(self):
        self.ran = []
        self.fmax = {1: 90.0}
        self.said = {}
        self.error = None

    def __call__(self, tool, words, folder, program=None):
        assert not any("/" in word for word in words), "a path, which YoWASP may not find"
        name = program or tool
        self.ran.append(name)
        if self.error:
            raise self.error
        status, said = self.said.get(name, (0, ""))
        if name == "yosys":
            assert "posit_gemm" in (folder / "board.v").read_text()
            (folder / "yosys.log").write_text("Yosys's log")
            (folder / "top.json").write_text("{}")
        elif name.startswith("nextpnr"):
            seed = int(words[words.index("--seed") + 1])
            (folder / "routed.json").write_text(routed(self.fmax.get(seed, 20.0)))
            (folder / "nextpnr.log").write_text(said or "nextpnr's log")
            (folder / "top.config").write_text(f"seed {seed}")
        else:
            (folder / "top.bin").write_bytes(b"bits of " + (folder / "top.config").read_bytes())
        return subprocess.CompletedProcess([name], status, "", said)


@pytest.fixture
def tools(monkeypatch, tmp_path):
    fake = FakeTools()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("POSITCORE_CACHE", str(tmp_path / "cache"))
    for module in (builder, nextpnr, yosys):
        monkeypatch.setattr(module, "run_tool", fake)
    monkeypatch.setattr(top, "emit_board", named)
    return fake


@pytest.mark.parametrize("name", BOARDS)
def test_pins_and_clock_of_each_board(name, tools):
    planned = plan(name, **TINY)
    files = builder._sources(planned)
    chosen = board(name)
    assert files["board.v"] == named(planned.design)
    pins = "\n".join(text for file, text in files.items() if file.endswith(("lpf", "pcf")))
    assert ("G2" in pins and "M1" in pins and "L4" in pins) if chosen.family == "ecp5" else "clk12_0__io 35" in pins
    assert ("EHXPLLL" in files["top.il"]) == (chosen.family == "ecp5")
    assert planned.design.clock_hz == chosen.frequency_hz


def test_the_text_on_a_board_is_the_one_that_is_simulated(monkeypatch):
    planned = plan("icebreaker", **TINY)
    text = builder._sources(planned)["board.v"]
    assert text == emit_board(planned.design)
    assert "  // nothing depends on these:\n  assign unused_ok = " in text  # where it was cut in two, it was no Verilog


def test_icebreaker_with_a_pll(tools):
    files = builder._sources(plan("icebreaker", frequency_hz=18_000_000, **TINY))
    assert "SB_PLL40_PAD" in files["top.il"]


def test_seeds_until_the_clock_is_met(tools):
    tools.fmax = {3: 45.0}
    made = build(plan("ulx3s", **TINY))
    assert (made.seed, made.fmax_by_seed_mhz, made.data) == (3, (20.0, 20.0, 45.0), b"bits of seed 3")
    assert tools.ran == ["yosys", *["nextpnr-ecp5", "ecppack"] * 3]
    assert build(plan("ulx3s", **TINY)) == made
    assert len(tools.ran) == 7


def test_clock_that_is_not_met(tools):
    tools.fmax = {}
    with pytest.raises(TimingError, match=r"40 MHz is not met: 20.0 MHz at best of 3 seeds; .* takes 4.5 ns, through"):
        build(plan("ulx3s", **TINY))
    with pytest.raises(TimingError, match=r"take more stages \(--stages 5, up to \d+\) or a slower clock \(--freq"):
        build(plan("ulx3s", **TINY))


@pytest.mark.parametrize(
    ("name", "used", "rows", "said"),
    [
        ("ulx3s", 100000, 2, "83640 (20 % too many); 1 × 1 should fit (--rows 1 --columns 1)"),
        ("ulx3s", 90000, 1, "83640 (8 % too many); take a smaller format, fewer --carry-bits or a larger board"),
        (
            "ulx3s_12f", 30000, 2,
            "24288 (24 % too many); 1 × 1 should fit (--rows 1 --columns 1), or LFE5U-45F would hold it (--board "
            "ulx3s_45f)",
        ),
        ("ulx3s_25f", 50000, 1, "24288 (106 % too many); LFE5U-85F would hold it (--board ulx3s)"),
        ("icebreaker", 6000, 1, "5280 (14 % too many); take a smaller format, fewer --carry-bits or a larger board"),
    ],
)  # fmt: skip
def test_too_large(tools, name, used, rows, said):
    cell, has = ("ICESTORM_LC", 5280) if name == "icebreaker" else ("TRELLIS_COMB", int(said.split()[0]))
    tools.said[board(name).device.tool] = (1, f"Info: \t {cell}: {used}/ {has}   119%\n")
    with pytest.raises(SynthesisError) as caught:
        build(plan(name, **TINY | {"rows": rows}))
    part = board(name).device.part
    assert str(caught.value) == (
        f"{rows} × 1 cells are too large for {part}: {used} {cell} where there are {said}"
    )  # fmt: skip


@pytest.mark.parametrize(("name", "asked"), [("ulx3s", (60, 50, 40, 30, 75)), ("icebreaker", (60, 48, 36, 30, 42))])
def test_a_slower_clock_that_is_named_can_be_built(tools, name, asked):
    """The PLL makes it, and the baud rate divides it."""
    named = set()
    for mhz, fmax in zip(asked, (5.0, 11.4, 17.9, 21.1, 38.4), strict=True):
        tools.fmax = dict.fromkeys((1, 2, 3), fmax)
        with pytest.raises(TimingError) as caught:
            build(plan(name, **TINY | {"frequency_hz": mhz * 1_000_000}))
        if found := re.search(r"a slower clock \(--frequency (\d+)\)$", str(caught.value)):
            named.add(int(found[1]))
            assert int(found[1]) < fmax
            plan(name, frequency_hz=int(found[1]) * 1_000_000)
    assert len(named) > 2


def test_yosys_that_writes_no_netlist(tools, monkeypatch):
    monkeypatch.setattr(builder, "run_yosys", lambda script, folder: None)
    with pytest.raises(SynthesisError, match=r"Yosys wrote no netlist top\.json"):
        build(plan("ulx3s", **TINY))


@pytest.mark.parametrize("name", ["yosys", "nextpnr-ecp5", "ecppack"])
def test_tool_that_fails_leaves_nothing(tools, name, tmp_path):
    tools.said[name] = (1, "out of luck")
    with pytest.raises(SynthesisError, match=r"failed with status 1: .*out of luck"):
        build(plan("ulx3s", **TINY))
    assert not [path for path in (tmp_path / "cache" / "synth").iterdir() if path.is_dir()]


def test_command(tools, capsys, tmp_path):
    words = ["build", "--board", "ulx3s", *WORDS, "-o", "out/tiny"]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert out.startswith("ulx3s: gemm[posit<4,0>")
    assert "load it: openFPGALoader -b ulx3s out/tiny/ulx3s.bit" in out
    folder = tmp_path / "out" / "tiny"
    assert sorted(path.name for path in folder.iterdir()) == [
        "board.v", "nextpnr.log", "report.json", "timing.json", "top.il", "top.lpf", "top.ys", "ulx3s.bit", "yosys.log",
    ]  # fmt: skip
    report = json.loads((folder / "report.json").read_text())
    assert (report["seed"], report["clock_mhz"], report["bytes"]) == (1, 40.0, 14)
    again = report["command"].split()[1:]
    assert main([*again, "-o", "out/tiny", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == report
    assert len(tools.ran) == 3


def test_damaged_entries_of_the_cache_are_made_anew(tools, tmp_path):
    made = build(plan("ulx3s", **TINY))
    entries = {path: json.loads(path.read_text()) for path in (tmp_path / "cache" / "synth").iterdir()}
    damages = [(path, name) for path, texts in entries.items() for name in texts if name != "log"]
    assert sorted(name for _, name in damages) == ["bitstream", "netlist", "report", "seconds", "seconds"]
    for path, name in damages:
        ran = len(tools.ran)
        path.write_text(json.dumps(entries[path] | {name: entries[path][name][:-5]}))
        assert replace(build(plan("ulx3s", **TINY)), seconds=made.seconds) == made
        assert len(tools.ran) > ran
        assert json.loads(path.read_text()).keys() == entries[path].keys()


def test_command_whose_clock_is_not_met(tools, capsys, tmp_path):
    tools.fmax = {}
    assert main(["build", "--board", "ulx3s", *WORDS, "--seeds", "1", "-o", "out"]) == 1
    assert "positcore: the clock of 40 MHz is not met" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_interrupted(tools, capsys, tmp_path):
    tools.error = KeyboardInterrupt()
    assert main(["build", "--board", "ulx3s", *WORDS, "-o", "out"]) == 130
    assert capsys.readouterr().err == "positcore: interrupted\n"
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]
    assert list((tmp_path / "cache" / "synth").iterdir()) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--board arty", "unknown board 'arty'; the boards are: ulx3s, ulx3s_12f, ulx3s_25f, ulx3s_45f, icebreaker"),
        ("--board ulx3s --frequency 41", "the PLL of ecp5 makes no 41 MHz of 25 MHz; take one of: "),
        ("--board ulx3s --baud 6000000", "a clock of 40 MHz makes no 6000000 baud"),
        ("--board ulx3s --baud 0", "baud must be positive, not 0"),
        (
            "--board ulx3s --baud 1",
            "a clock of 40 MHz makes no 1 baud, for which a bit takes 65535 clocks at most; take 611 baud or more",
        ),
        ("--board icebreaker --frequency 15", "the PLL of ice40 makes 16 to 275 MHz, not 15 MHz"),
        ("--board ulx3s --rows 65", "rows must be"),
        ("--board ulx3s --seeds 0", "seeds must be an integer in 1..100, not 0"),
    ],
)
def test_usage(tools, capsys, words, message):
    assert main(["build", *words.split(), "-o", "out"]) == 2
    assert message in capsys.readouterr().err
    assert tools.ran == []


@pytest.mark.parametrize("text", ["0", "-1", "inf", "nan", "1e6", "fast"])
@pytest.mark.parametrize("words", ["build -o out --board ulx3s", "board simulate", "synth add --format 8,2 --place"])
def test_a_clock_that_is_none(tools, capsys, words, text):
    with pytest.raises(SystemExit, match="2"):
        main([*words.split(), "--frequency", text])
    message = f"argument --frequency: a clock in MHz is a number above 0 and below 1000000, not {text!r}; see"
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("hz", [0, -1, 10**30])
def test_a_frequency_that_no_board_has(hz):
    with pytest.raises(ValueError, match=r"the PLL of ecp5 makes 3\.125 to 400 MHz, not"):
        plan("ulx3s", frequency_hz=hz, **TINY)


def test_the_command_tells_the_clock_exactly():
    planned = plan("ulx3s", frequency_hz=12_890_625, baud=9600, **TINY)
    assert " --frequency 12.890625 --baud 9598 " in planned.command
    words = planned.command.split()[1:]
    parser = build_parser("build")
    assert planned_by(parser.parse_args([*words, "-o", "out"])).design == planned.design


def test_folders_that_are_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(NotADirectoryError, match="is a file; name a folder such as out/ulx3s"):
        check_folder(tmp_path / "file")
    with pytest.raises(FileExistsError, match="holds file, which no build wrote; name a new folder"):
        check_folder(tmp_path)


@pytest.mark.parametrize(
    "report",
    [
        "{}", "[]", "half a rep", '{"command": "positcore synth mul", "file": "thesis.tex", "files": []}',
        '{"command": "positcore build --board ulx3s", "file": "../thesis.tex", "files": ["thesis.tex"]}',
        '{"command": "positcore build --board ulx3s", "file": "thesis.tex", "files": [1]}',
    ],
)  # fmt: skip
def test_a_report_that_is_none_of_a_build(tmp_path, report):
    (tmp_path / "report.json").write_text(report)
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(FileExistsError, match=r"holds report\.json, which no build wrote"):
        check_folder(tmp_path)


def test_nothing_of_the_users_goes(tools, tmp_path, capsys):
    words = ["build", "--board", "ulx3s", *WORDS, "-o", "out"]
    (tmp_path / "out").mkdir()
    assert main(words) == 0
    made = {path.name for path in (tmp_path / "out").iterdir()}
    (tmp_path / "out" / "src").mkdir()
    assert main(words) == 2
    assert "build: out holds src, which no build wrote; name a new folder" in capsys.readouterr().err
    (tmp_path / "out" / "src").rmdir()
    (tmp_path / "out" / "thesis.tex").write_text("mine")
    assert main(words) == 2
    assert {path.name for path in (tmp_path / "out").iterdir()} == made | {"thesis.tex"}


def test_what_an_earlier_build_wrote_goes(tools, tmp_path):
    assert main(["build", "--board", "ulx3s", *WORDS, "-o", "out"]) == 0
    (tmp_path / "link").symlink_to("out")
    assert main(["build", "--board", "icebreaker", *WORDS, "-o", "link"]) == 0
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"icebreaker.bin", "top.pcf", "report.json"} <= names
    assert not {"ulx3s.bit", "top.lpf"} & names
    assert (tmp_path / "link").is_symlink()


def test_a_folder_that_may_not_be_written_to(tools, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert main(["build", "--board", "ulx3s", *WORDS, "-o", "out"]) == 2
    assert f"build: out cannot be written: {tmp_path} is not writable; name another place" in capsys.readouterr().err
    assert tools.ran == []


def test_missing_tools(tools, monkeypatch, capsys):
    monkeypatch.setattr("positcore.fpga.yowasp.find_spec", lambda name: None)
    assert main(["build", "--board", "ulx3s", *WORDS, "-o", "out"]) == 2
    assert 'install it: pip install "positcore[fpga]"' in capsys.readouterr().err


def test_missing_boards(monkeypatch):
    monkeypatch.setattr(
        "positcore.fpga.boards.description.import_module",
        lambda name: (_ for _ in ()).throw(ModuleNotFoundError(name=name)),
    )
    with pytest.raises(pc.errors.MissingToolError, match="Python package amaranth-boards not found"):
        board("ulx3s").open_platform()


def test_clocks_a_bit():
    assert [clocks_per_bit(12_000_000, 1_000_000), clocks_per_bit(25_000_000, 115200)] == [12, 217]
    with pytest.raises(ValueError, match=r"12 MHz makes no 2000000 baud, .* take one of: 1000000, 1200000, 1500000"):
        clocks_per_bit(12_000_000, 2_000_000)


@pytest.mark.slow
@pytest.mark.synth
@pytest.mark.parametrize("name", ["ulx3s", "icebreaker"])
def test_bitstream(name, tmp_path, monkeypatch):
    monkeypatch.setenv("POSITCORE_CACHE", str(tmp_path / "cache"))
    made = build(plan(name))
    assert made.fmax_mhz >= made.clock_mhz
    path = write_bitstream(made, tmp_path / name)
    assert path.read_bytes() == made.data
    assert len(made.data) > 100_000


@pytest.mark.slow
@pytest.mark.synth
def test_yosys_takes_a_small_board(tmp_path):
    files = builder._sources(plan("icebreaker", **TINY))
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "check.ys").write_text(
        "read_verilog board.v\nread_rtlil top.il\nread_verilog -lib +/ice40/cells_sim.v\nhierarchy -check -top top\n"
    )
    done = run_tool("yosys", ["-q", "-s", "check.ys"], tmp_path)
    assert done.returncode == 0, done.stderr
