"""`CampaignState`: how far a campaign is, in a file, so that it can be stopped and goes on where it was."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from importlib.resources import files
from pathlib import Path

from positcore.errors import DataFileError
from positcore.files import write_aside

__all__ = ["CampaignState", "Identity", "sources_digest"]

_LAYOUT = 1
_PACKAGES = ("positcore", "positcore.gemm", "positcore.sim")


@dataclass(frozen=True)
class Identity:
    """All that the results of a campaign depend on: what is finished of one is finished of no other.

    Parameters
    ----------
    unit : str
        The design, as the command that emits it.
    inputs : str
        "all", or "drawn".
    total : int
        How many vectors there are to compare.
    seed : int
        Of drawn vectors; of all inputs, that of the stalls of a stream.
    netlist : str
        What is simulated, "verilog" or "rtlil".
    engine : str
        How: "graph" or "native".
    version : str
        Of positcore.
    rtl : str
        The digest of the unit's text, as its generator emits it today.
    sources : str
        The digest of the golden model, the campaign and the simulators.
    """

    unit: str
    inputs: str
    total: int
    seed: int
    netlist: str
    engine: str
    version: str
    rtl: str
    sources: str


_WORDS = {
    "unit": "the unit or its parameters", "inputs": "the kind of inputs", "total": "the number of vectors",
    "seed": "the seed", "netlist": "the netlist", "engine": "the engine", "version": "the version of positcore",
    "rtl": "the generator (the unit's RTL is another)", "sources": "the golden model or the simulator",
}  # fmt: skip


@dataclass
class CampaignState:
    """The finished prefix of a campaign.

    Parameters
    ----------
    identity : Identity
        Of which campaign.
    blocks : int
        How many blocks of inputs, from the first, are finished; they are not compared again.
    vectors : int
        The inputs in them.
    seconds : float
        The time that they took, in all runs.
    runs : int
        How often the campaign was started or continued.
    coverage : dict of str to list of int
        The counts of each group of bins.
    """

    identity: Identity
    blocks: int = 0
    vectors: int = 0
    seconds: float = 0.0
    runs: int = 0
    coverage: dict[str, list[int]] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write it, aside and renamed."""
        text = json.dumps({"layout": _LAYOUT, **asdict(self)}, indent=1) + "\n"
        write_aside(path, lambda aside: aside.write_text(text, encoding="utf-8"))

    @classmethod
    def load(cls, path: Path, identity: Identity) -> CampaignState:
        """The state in a file, or a new one if there is none.

        Raises
        ------
        DataFileError
            If the file is no state, or that of another campaign; the message says in what it differs.
        """
        if not path.exists():
            return cls(identity)
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            layout, kept = found.pop("layout"), Identity(**found.pop("identity"))
            state = cls(kept, **found)
        except (ValueError, TypeError, KeyError, AttributeError):
            raise DataFileError(
                f"verify: {path} is not the state of a campaign, or damaged; delete it, or name another file"
            ) from None
        fields = [name for name, value in asdict(identity).items() if asdict(kept)[name] != value]
        if fields or layout != _LAYOUT:
            changed = ", ".join(_WORDS[name] for name in fields) or "the layout of the file"
            raise DataFileError(
                f"verify: {path} is of another campaign, {changed} changed since; nothing of it is used: restart "
                "(--restart) or name another file"
            )
        return state


def sources_digest() -> str:
    """The digest of the sources that decide what a campaign compares, and how."""
    digest = hashlib.sha256()
    for package in _PACKAGES:
        for file in sorted(files(package).iterdir(), key=lambda entry: entry.name):
            if file.name.endswith((".py", ".h")):
                digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    digest.update((files("positcore.hw") / "golden.py").read_bytes())
    return digest.hexdigest()[:32]
