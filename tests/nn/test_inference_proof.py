import json

import pytest

from positcore.data import load
from positcore.errors import MismatchError
from positcore.nn import backends
from positcore.nn.codes import CodesBackend
from positcore.nn.inference_proof import InferenceProof
from positcore.nn.recipe import Recipe
from tests.nn.test_codes import Machine

RECIPE = Recipe(policy="O9-L9-FBG6q", batch_size=2)


@pytest.fixture(scope="module")
def test():
    return load("fashion-mnist-subset", "test").first(5)


@pytest.fixture
def machine(monkeypatch):
    """A backend that multiplies only, by the golden functions; `counts` is what it did."""
    found = Machine()
    counts = {"products": 0}

    def matmul(spec, a, b, bias):
        counts["products"] += 1
        out = Machine.matmul(found, spec, a, b, bias)
        if counts["products"] == found.wrong:
            out[0, 0] ^= 1
        return out

    found.wrong = 0
    monkeypatch.setitem(backends.BACKENDS, "pretended", lambda: CodesBackend(matmul, None, counts))
    monkeypatch.setattr(backends, "_loaded", {})
    return found


@pytest.mark.usefixtures("machine")
def test_images_in_batches_and_going_on(test, tmp_path):
    proof, seen = InferenceProof(RECIPE, test, range(1, 5), tmp_path, "pretended"), []

    def stop(batch):
        seen.append(batch)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        proof.run(stop)
    again = InferenceProof(RECIPE, test, range(1, 5), tmp_path, "pretended")
    again.resume()
    again.run(seen.append)
    assert [(batch.first, batch.count) for batch in seen] == [(1, 2), (3, 2)]
    record = json.loads((tmp_path / "proof.json").read_text())
    assert (record["done"], record["differing"], record["operations"]) == (4, 0, {"products": 10})
    assert record["codes_compared"] > 4 * (6 * 28 * 28 + 16 * 10 * 10 + 120 + 84 + 10)
    assert "4 test images of fashion-mnist-subset" in (tmp_path / "proof.txt").read_text()
    other = InferenceProof(RECIPE, test, range(4), tmp_path, "pretended")
    with pytest.raises(ValueError, match=r"proof\.json is of other images, weights or options; start anew"):
        other.resume()
    (tmp_path / "proof.json").write_text("{}")
    with pytest.raises(ValueError, match=r"proof\.json is no report of this command; start anew"):
        other.resume()


def test_a_code_that_differs(test, tmp_path, machine):
    machine.wrong = 2
    with pytest.raises(MismatchError, match=r"3, forward: conv2d of posit<6,2>"):
        InferenceProof(RECIPE, test, range(2), tmp_path, "pretended").run()
    assert not (tmp_path / "proof.json").exists()


def test_weights_of_another_model(test, tmp_path, monkeypatch):
    monkeypatch.setattr("positcore.nn.inference_proof.load_checkpoint", lambda path: {"recipe": {"model": "mnistnet"}})
    with pytest.raises(ValueError, match=r"w\.pt holds weights of mnistnet, not of lenet5"):
        InferenceProof(RECIPE, test, range(2), tmp_path, "rtl", tmp_path / "w.pt")
