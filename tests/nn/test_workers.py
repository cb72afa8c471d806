"""Any number of workers trains the same bits: real processes, started as users start them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import positcore as pc
from positcore.nn import workers
from tests.nn.train_as_worker import train

SCRIPT = Path(__file__).with_name("train_as_worker.py")


def digests(processes, policy, backend="golden"):
    """The digests of the weights that each worker ends with."""
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(
        [sys.executable, *launcher, str(SCRIPT), policy, backend],
        capture_output=True, text=True, timeout=1200, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return re.findall(r"digest (\w+)", done.stdout)


@pytest.mark.parametrize(
    ("processes", "policy"),
    [
        (2, "O16-L16-FBG8q"),
        pytest.param(1, "O16-L16-FBG8q", marks=pytest.mark.slow),
        pytest.param(4, "O16-L16-FBG8q", marks=pytest.mark.slow),
        pytest.param(3, "O12-L12-F8/1q-B10q-G16q", marks=pytest.mark.slow),
    ],
)
def test_workers_end_with_the_weights_of_one_process(processes, policy):
    together = digests(processes, policy)
    assert len(together) == processes
    assert set(together) == {train(policy)}


@pytest.mark.rtl
@pytest.mark.slow
def test_workers_in_simulated_rtl():
    policy = "O12-L12-FBG8q"
    assert set(digests(2, policy, "rtl")) == {train(policy)}


def test_alone_nothing_is_exchanged():
    quires = pc.QuireArray(pc.posit8, 3)
    assert not workers.active()
    assert workers.summed(quires) is quires
    assert workers.total(5) == 5


@pytest.fixture
def one_worker(tmp_path):
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


def test_the_exchange_of_one_worker_changes_nothing(one_worker, monkeypatch):
    assert not workers.active()
    monkeypatch.setattr(workers, "_size", lambda: 2)
    quires = pc.QuireArray(pc.posit16, (2, 3)).add(pc.posit16.encode([[1.5, -2.0, 1e-9], [0.0, 3.0, float("nan")]]))
    assert workers.summed(quires).image.tolist() == quires.image.tolist()
    assert workers.total(7) == 7
