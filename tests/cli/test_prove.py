import json

import pytest

from positcore.cli import main
from positcore.errors import MismatchError
from positcore.fpga.board.machine import PORT_VARIABLE
from positcore.nn import proof
from positcore.nn.proof import ProvenStep

SMALL = ["prove", "lenet5", "--batch-size", "2", "--policy", "O9-L9-FBG6q"]


@pytest.fixture
def _quick(monkeypatch):
    """Steps that do nothing but count: what they do is tested beside `Proof`."""

    def run(self, steps, told=None):
        while len(self.steps) < steps:
            self.steps.append(ProvenStep(len(self.steps) + 1, 2.25, 100, 0.5, {"add[posit<9,2>]": 7}, 321))
            self.write()
            self.simulated.save(self.checkpoint)
            told(self.steps[-1])

    monkeypatch.setattr(proof.Proof, "run", run)


@pytest.mark.usefixtures("_quick")
def test_progress_text_and_json(tmp_path, capsys):
    assert main([*SMALL, "--steps", "3", "-o", str(tmp_path / "a")]) == 0
    shown = capsys.readouterr()
    assert "step 2/3: loss 2.2500, 100 codes equal, 0.5 s, 0 s left" in shown.err
    assert (
        "300 codes of losses, weights, buffers and optimizer state compared with the golden model's, 0 differ"
        in shown.out
    )
    assert "add[posit<9,2>]" in shown.out
    assert main([*SMALL, "--steps", "1", "--json", "-o", str(tmp_path / "b")]) == 0
    assert json.loads(capsys.readouterr().out)["operations"] == {"add[posit<9,2>]": 7}


@pytest.mark.usefixtures("_quick")
def test_an_output_folder_that_is_used(tmp_path, capsys):
    assert main([*SMALL, "--resume", "-o", str(tmp_path)]) == 2
    assert "--resume: there is no" in capsys.readouterr().err
    assert main([*SMALL, "--steps", "1", "-o", str(tmp_path)]) == 0
    assert main([*SMALL, "--steps", "1", "-o", str(tmp_path)]) == 2
    assert "is there already; go on from it with --resume, or choose another -o" in capsys.readouterr().err


def test_a_difference_is_exit_status_1(tmp_path, capsys, monkeypatch):
    def run(self, steps, told=None):
        raise MismatchError("step 1: the loss is 1.0, not 2.0, as in the golden model")

    monkeypatch.setattr(proof.Proof, "run", run)
    assert main([*SMALL, "-o", str(tmp_path)]) == 1
    assert capsys.readouterr().err == "positcore: step 1: the loss is 1.0, not 2.0, as in the golden model\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--steps", "0"], "prove: --steps must be at least 1, not 0"),
        (["--threads", "0"], "prove: --threads must be at least 1, not 0"),
        (["--backend", "golden"], "backend must be one of rtl, cocotb, board, not 'golden'"),
        (["--backend", "board"], "so that it cannot be barred; compare each operation (--compare)"),
        (["--policy", "float32"], "float32 has no hardware here"),
        (["--images", "5:5"], "images 5:5 are not among the 2000 of"),
        (["--images", "5", "--policy", "float32"], "InferenceProof: float32 has no hardware here"),
        (["--images", "5", "--backend", "golden"], "InferenceProof: backend must be one of rtl, cocotb, board, not"),
        (["--weights", "x.pt"], "prove: --weights is of --images; training begins with its own"),
    ],
)
def test_wrong_options(tmp_path, capsys, arguments, message):
    assert main([*SMALL, *arguments, "-o", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err


def test_without_a_board_no_folder_stays(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv(PORT_VARIABLE, raising=False)
    words = [*SMALL, "--images", "2", "--backend", "board", "-o", str(tmp_path / "out" / "proof")]
    assert main(words) == 2
    assert "board: no port is named; set POSITCORE_BOARD" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
