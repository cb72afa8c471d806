import json

import pytest
import torch

import positcore as pc
from positcore.data import Dataset, load
from positcore.errors import MismatchError
from positcore.nn import backends
from positcore.nn.codes import CodesBackend
from positcore.nn.guard import GoldenArithmeticError
from positcore.nn.proof import Proof
from positcore.nn.recipe import Recipe
from tests.nn.test_codes import Machine

RECIPE = Recipe(policy="O9-L9-FBG6q", epochs=1, batch_size=2)


@pytest.fixture(scope="module")
def data() -> tuple[Dataset, Dataset]:
    return load("fashion-mnist-subset", "train").first(8), load("fashion-mnist-subset", "test").first(2)


@pytest.fixture
def _golden_units(monkeypatch):
    """A backend that says that it simulates, and takes the golden functions instead."""
    machine = Machine()
    monkeypatch.setitem(backends.BACKENDS, "pretended", lambda: CodesBackend(machine.matmul, machine.run))
    monkeypatch.setattr(backends, "_loaded", {})


@pytest.mark.rtl
def test_two_steps_of_lenet_in_the_rtl_and_going_on(data, tmp_path):
    """Every unit that a step needs was run; another process goes on after the first step, with the same bits."""
    proof = Proof(RECIPE, *data, tmp_path)
    proof.run(1)
    again = Proof(RECIPE, *data, tmp_path)
    again.resume()
    seen = []
    again.run(2, seen.append)
    assert [step.step for step in seen] == [2]
    record = json.loads((tmp_path / "proof.json").read_text())
    assert [step["step"] for step in record["steps"]] == [1, 2]
    assert record["codes_compared"] == sum(step["codes"] for step in record["steps"]) > 2 * 61706
    assert all(step["barred"] > 100 for step in record["steps"])
    units = {name.partition("[")[0] for name in record["operations"]}
    assert units == {"array 2×2", "mac", "from-float", "convert", "sub", "div", "fma", "function"}
    macs = next(count for name, count in record["operations"].items() if name.startswith("array"))
    assert macs > 2 * 2 * 416520  # two steps of two images, and twice as much again backward
    text = (tmp_path / "proof.txt").read_text()
    assert "0 differ" in text
    assert "golden arithmetic was barred" in text


@pytest.mark.usefixtures("_golden_units")
def test_golden_arithmetic_in_the_simulated_run_is_caught(data, tmp_path):
    with pytest.raises(GoldenArithmeticError, match="was called where only the simulation may compute"):
        Proof(RECIPE, *data, tmp_path, "pretended").run(1)
    assert not (tmp_path / "proof.json").exists()


def test_one_wrong_bit_of_a_weight_is_found(data, tmp_path, monkeypatch):
    """Compared operation by operation nothing is barred; a weight that is changed between steps is named."""
    machine = Machine()
    monkeypatch.setitem(backends.BACKENDS, "pretended", lambda: CodesBackend(machine.matmul, machine.run, {"add": 0}))
    monkeypatch.setattr(backends, "_loaded", {})
    proof = Proof(RECIPE, *data, tmp_path, "pretended", compare=True)
    proof.run(1)
    assert "every operation was compared as it was done" in (tmp_path / "proof.txt").read_text()
    with torch.no_grad():
        fmt, weight = pc.PositFormat(9, 2), proof.simulated.model.state_dict()["9.weight"]
        weight[3, 5] = float(fmt.decode(fmt.encode(weight[3, 5].item()) ^ 1))
    with pytest.raises(MismatchError, match=r"step 2: (the loss is|0\.weight|9\.weight).* in the golden model"):
        proof.run(2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"policy": "float32"}, "Proof: float32 has no hardware here; give a policy such as O12-L12-FBG8q"),
        ({"backend": "golden"}, r"Proof: backend must be one of rtl, cocotb, board.*, not 'golden'"),
        ({"backend": "vcs"}, r"Proof: backend must be one of rtl, cocotb, board.*, not 'vcs'"),
    ],
)
def test_a_wrong_choice(data, tmp_path, change, message):
    backend = change.get("backend", "rtl")
    recipe = Recipe(policy=change.get("policy", RECIPE.policy), epochs=1, batch_size=2)
    with pytest.raises(ValueError, match=message):
        Proof(recipe, *data, tmp_path, backend)


def test_a_damaged_report_and_more_steps_than_there_are(data, tmp_path, monkeypatch):
    machine = Machine()
    monkeypatch.setitem(backends.BACKENDS, "pretended", lambda: CodesBackend(machine.matmul, machine.run))
    monkeypatch.setattr(backends, "_loaded", {})
    few = data[0].first(2), data[1]
    proof = Proof(RECIPE, *few, tmp_path, "pretended", compare=True)
    with pytest.raises(ValueError, match="all 1 steps of the epoch are done; ask for fewer"):
        proof.run(2)
    assert len(proof.steps) == 1
    other = Proof(RECIPE, *few, tmp_path, "pretended")
    with pytest.raises(ValueError, match="is of another backend or comparison; start anew in another folder"):
        other.resume()
    (tmp_path / "proof.json").write_text("{")
    with pytest.raises(ValueError, match="is no report of this command; start anew in another folder"):
        Proof(RECIPE, *few, tmp_path, "pretended", compare=True).resume()
