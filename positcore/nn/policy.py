"""`Policy`: which format and accumulator each stage of training uses."""

from __future__ import annotations

import re
from dataclasses import dataclass

from positcore.format import PositFormat
from positcore.mac import MacSpec, Quire

__all__ = ["Policy", "Stage"]

_STAGES = {"O": "optimizer", "L": "loss", "F": "forward", "B": "backward", "G": "gradient"}
_EXPECTED = (
    "a policy is written like O12-L12-FBG8q: letters O (optimizer), L (loss), F (forward), B (backward), "
    "G (gradient), then the posit size, then u for underflow (or f3 to flush below minpos/2^3) and q where sums go "
    "through a quire"
)


@dataclass(frozen=True)
class Stage:
    """One stage of training: its format, and the accumulator of its sums (None: the stage sums nothing)."""

    format: PositFormat
    accumulator: Quire | None = None

    @property
    def suffix(self) -> str:
        """The stage as it stands after its letter in the thesis's notation: `8q`, or `8/1q` for es = 1."""
        es = "" if self.format.es == 2 else f"/{self.format.es}"
        return f"{self.format.n}{es}" + self.format.variant + self._quire

    @property
    def _quire(self) -> str:
        if self.accumulator is None:
            return ""
        return "q" if self.accumulator == Quire() else f"q{self.accumulator.carry_bits}"


@dataclass(frozen=True)
class Policy:
    """Formats and accumulators of the five stages of training, as in PositNN (Raposo 2021, §5).

    Parameters
    ----------
    optimizer : Stage
        O: master weights, optimizer state and update.
    loss : Stage
        L: soft-max, loss and its gradient. Its sums go through a quire.
    forward : Stage
        F: activations, and the copy of the weights that the forward pass reads.
    backward : Stage
        B: gradients between layers, and the copy of the weights that the backward pass reads.
    gradient : Stage
        G: gradients of parameters.

    Raises
    ------
    ValueError
        If a stage that multiplies matrices (F, B, G) has no accumulator, or the loss stage has n > 16.
    """

    optimizer: Stage
    loss: Stage
    forward: Stage
    backward: Stage
    gradient: Stage

    def __post_init__(self) -> None:
        for letter in "FBG":
            stage: Stage = getattr(self, _STAGES[letter])
            if stage.accumulator is None:
                raise ValueError(
                    f"Policy: the {_STAGES[letter]} stage sums products and needs an accumulator; "
                    f"write {letter}{stage.suffix}q for a quire"
                )
        if self.loss.format.n > 16:
            raise ValueError(
                f"Policy: the loss stage needs exp and log, built for n ≤ 16, not {self.loss.format}; take L16 or less"
            )

    @classmethod
    def parse(cls, text: str) -> Policy:
        """Read the thesis's notation, such as `O12-L12-FBG8q`.

        Each group is stage letters, a size n, optionally `/es` (2 unless told), `u` for underflow or `fK`
        to flush below minpos / 2^K, and `q` for a quire (`q7`: with 7 carry bits, 31 unless told).

        Raises
        ------
        TypeError, ValueError
            If the text is not of that form, or a stage is missing or named twice.
        """
        if not isinstance(text, str):
            raise TypeError(f"Policy.parse: {_EXPECTED}; not {text!r}")
        stages: dict[str, Stage] = {}
        for group in text.strip().split("-"):
            found = re.fullmatch(r"([OLFBG]+)(\d+)(?:/(\d+))?(u|f\d+)?(q\d*)?(u|f\d+)?", group)
            if not found:
                raise ValueError(f"Policy.parse: {group!r} in {text!r} is not a stage; {_EXPECTED}")
            letters, n, es, before, quire, after = found.groups()
            if before and after:
                raise ValueError(f"Policy.parse: {group!r} in {text!r} names two rules for tiny values; give one")
            variant = before or after or ""
            flush = int(variant[1:]) if variant.startswith("f") else None
            fmt = PositFormat(int(n), 2 if es is None else int(es), variant == "u", flush)
            carry_bits = 31 if quire == "q" else int((quire or "q0")[1:])
            stage = Stage(fmt, Quire(carry_bits) if quire else None)
            for letter in letters:
                if letter in stages:
                    raise ValueError(f"Policy.parse: stage {letter} is named twice in {text!r}")
                stages[letter] = stage
        missing = [letter for letter in _STAGES if letter not in stages]
        if missing:
            raise ValueError(f"Policy.parse: stage {', '.join(missing)} is missing in {text!r}; {_EXPECTED}")
        return cls(**{name: stages[letter] for letter, name in _STAGES.items()})

    def __str__(self) -> str:
        groups: list[tuple[str, str]] = []
        for letter, name in _STAGES.items():
            suffix = getattr(self, name).suffix
            if letter in "BG" and groups[-1][1] == suffix:  # F, B and G stand together where they agree
                letter = groups.pop()[0] + letter
            groups.append((letter, suffix))
        return "-".join(letters + suffix for letters, suffix in groups)

    # The datapaths of the matrix products ----------------------------------------------------------

    @property
    def forward_mac(self) -> MacSpec:
        """Activations (F) times weights (F), rounded to F."""
        return _mac(self.forward, self.forward, self.forward)

    @property
    def backward_mac(self) -> MacSpec:
        """Output gradients (B) times weights (B), rounded to B."""
        return _mac(self.backward, self.backward, self.backward)

    @property
    def gradient_mac(self) -> MacSpec:
        """Output gradients (B) times activations (F), rounded to G."""
        return _mac(self.backward, self.forward, self.gradient)

    @property
    def loss_mac(self) -> MacSpec:
        """Sums in the loss (L), through a quire."""
        return MacSpec(self.loss.format, self.loss.format, self.loss.accumulator or Quire())


def _mac(a: Stage, b: Stage, out: Stage) -> MacSpec:
    assert out.accumulator is not None
    return MacSpec((a.format, b.format), out.format, out.accumulator)
