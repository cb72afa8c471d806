"""A campaign stops and goes on: nothing is compared twice, nothing of another campaign is used."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

import positcore as pc
from positcore.hw.adder import Adder
from positcore.sim import campaign, state, trials
from positcore.sim.campaign import verify

pytestmark = pytest.mark.rtl

F = pc.PositFormat(7, 1)  # 2^14 pairs


@pytest.fixture
def kept(monkeypatch, tmp_path):
    """Many small blocks, and a state after each."""
    monkeypatch.setattr(trials, "_VECTORS", 1 << 10)
    monkeypatch.setattr(campaign, "SAVED_EVERY", -1.0)
    return tmp_path / "add.json"


def add(kept, **options):
    return verify("add", F, **{"exhaustive": True, "waveforms": None, "optimize": "-O1", "state": kept} | options)


def stop_at(share):
    def progress(done, total):
        if done >= share * total:
            raise KeyboardInterrupt

    return progress


def count_blocks(monkeypatch):
    """The numbers of the blocks that are compared from now on."""
    seen, original = [], campaign.trial

    def trial(plan):
        run = original(plan)

        def block(index):
            seen.append(index)
            return run(index)

        return block

    monkeypatch.setattr(campaign, "trial", trial)
    return seen


def test_stopped_and_resumed(kept, monkeypatch):
    whole = add(None)
    with pytest.raises(
        KeyboardInterrupt, match=r"^8,192 of 16,384 vectors \(50\.0 %\) are kept in .*add\.json; the same"
    ):
        add(kept, progress=stop_at(0.5))
    found = json.loads(kept.read_text())
    assert (found["blocks"], found["vectors"], found["runs"]) == (8, 8192, 1)
    seen, calls = count_blocks(monkeypatch), []
    report = add(kept, progress=lambda *done: calls.append(done))
    assert min(seen) == 8
    assert calls[0] == (8192, 16384)
    assert report.runs == 2
    assert report.seconds > found["seconds"]
    assert replace(report, seconds=0, runs=0) == replace(whole, seconds=0, runs=0)
    assert [path.name for path in kept.parent.iterdir()] == ["add.json"]


def test_finished_is_not_repeated(kept, monkeypatch):
    first = add(kept)
    seen = count_blocks(monkeypatch)
    assert replace(add(kept), runs=1) == first
    assert seen == []
    assert add(kept, restart=True).runs == 1
    assert sorted(seen) == list(range(16))


def test_a_mismatch_is_met_again(kept, monkeypatch):
    original = Adder.elaborate

    def elaborate(self, platform):
        m = original(self, platform)
        with m.If(self.a == 70):  # from block 8 on
            m.d.comb += self.code.eq(0)
        return m

    monkeypatch.setattr(Adder, "elaborate", elaborate)
    told = []
    for blocks in (range(17), range(8, 17)):
        seen = count_blocks(monkeypatch)
        with pytest.raises(pc.MismatchError, match=r"a +0b1000110 = ") as error:
            add(kept)
        told.append(str(error.value))
        assert set(seen) <= set(blocks)
        assert error.value.report.vectors == 8192
    assert told[0] == told[1]
    monkeypatch.setattr(Adder, "elaborate", original)
    with pytest.raises(
        pc.DataFileError, match=r"add\.json is of another campaign, the generator \(the unit's RTL is an"
    ):
        add(kept)
    assert add(kept, restart=True).vectors == 16384


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"exhaustive": None, "vectors": 5000, "seed": 1}, "the seed changed since; nothing of it is used: restart"),
        ({"exhaustive": None, "vectors": 6000, "seed": 0}, "the number of vectors changed"),
        ({}, "the kind of inputs, the number of vectors changed"),
        ({"exhaustive": None, "vectors": 5000, "stages": 1}, "the unit or its parameters, .*RTL"),
        ({"exhaustive": None, "vectors": 5000, "netlist": "verilog"}, "the netlist changed"),
        ({"exhaustive": None, "vectors": 5000, "engine": "graph"}, "the netlist, the engine changed"),
    ],
)
def test_another_campaign_is_refused(kept, options, words):
    add(kept, exhaustive=None, vectors=5000, seed=0)
    before = kept.read_bytes()
    with pytest.raises(pc.DataFileError, match=rf"verify: .*add\.json is of another campaign, .*{words}"):
        add(kept, **options)
    assert kept.read_bytes() == before


def test_another_version_or_model_is_refused(kept, monkeypatch):
    add(kept)
    with monkeypatch.context() as patch:
        patch.setattr(campaign, "__version__", "99")
        with pytest.raises(pc.DataFileError, match=r"the version of positcore changed since; .*: restart \(--re"):
            add(kept)
    monkeypatch.setattr(campaign, "sources_digest", lambda: "other")
    with pytest.raises(pc.DataFileError, match="the golden model or the simulator changed since"):
        add(kept)


def test_sources_are_part_of_the_digest(tmp_path, monkeypatch):
    before = state.sources_digest()
    monkeypatch.setattr(state, "files", lambda package: tmp_path)
    (tmp_path / "golden.py").write_text("x = 1\n")
    one = state.sources_digest()
    (tmp_path / "golden.py").write_text("x = 2\n")
    assert len({before, one, state.sources_digest()}) == 3


@pytest.mark.parametrize(
    "text", ["", '{"layout": 1', "[]", '{"layout": 1}', '{"layout": 1, "identity": {"unit": "add"}}']
)
def test_a_damaged_state_is_told(kept, text):
    kept.write_text(text)
    with pytest.raises(
        pc.DataFileError, match=r"add\.json is not the state of a campaign, or damaged; delete it, or na"
    ):
        add(kept)
    assert kept.read_text() == text


def test_a_full_disk_keeps_the_last_state(kept):
    """A limit on the size of files, which is what a full disk does to a write."""
    with pytest.raises(KeyboardInterrupt):
        add(kept, progress=stop_at(0.5))
    before = kept.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(done, total):
        if done > 8192:  # the simulation is compiled
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))

    try:
        with pytest.raises(
            OSError, match=r"the state could not be kept in .*add\.json \(File too large\); free some sp"
        ):
            add(kept, progress=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert kept.read_bytes() == before
    assert [path.name for path in kept.parent.iterdir()] == ["add.json"]
    assert add(kept).vectors == 16384


def test_an_interrupt_of_the_command(tmp_path):
    """Ctrl-C: status 130, one line, and the same command goes on."""
    words = ["mac", "--format", "8,2", "--vectors", "400000", "--state", str(tmp_path / "mac.json")]
    program = (
        "import sys\nfrom positcore.sim import campaign\ncampaign.SAVED_EVERY = -1.0\n"
        f"from positcore.cli import main\nsys.exit(main(['verify', *{words!r}]))"
    )
    run = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True, env=dict(os.environ))
    for _ in range(1200):
        if (tmp_path / "mac.json").exists():
            break
        time.sleep(0.1)
    run.send_signal(signal.SIGINT)
    _, told = run.communicate(timeout=60)
    assert run.returncode == 130, told
    assert told.startswith("positcore: interrupted; ")
    assert told.endswith("% ) are kept in ".replace(" )", ")") + f"{tmp_path / 'mac.json'}; the same command goes on\n")
    found = json.loads((tmp_path / "mac.json").read_text())
    assert 0 < found["vectors"] < 400_000
    assert found["vectors"] == 1024 * found["blocks"]


def test_without_a_state_nothing_is_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        KeyboardInterrupt, match=r"vectors \(.*\) were compared; with a state .--state FILE. it could go on"
    ):
        add(None, progress=stop_at(0))
    assert not list(tmp_path.iterdir())
