"""`Policy`: which format and accumulator each stage of training uses, for the network and for single layers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from positcore.format import PositFormat
from positcore.mac import Accumulator, Aligned, Fused, MacSpec, Quire, Rounded

__all__ = ["ORDERS", "Override", "Policy", "Stage"]

ORDERS = ("exact", "positnn")

_STAGES = {"O": "optimizer", "L": "loss", "F": "forward", "B": "backward", "G": "gradient"}
_LAYERS = "FBG"  # the stages that layers differ in, and that multiply matrices
_GROUP = re.compile(r"([OLFBG]+)(\d+)(?:/(\d+))?(u|f\d+)?(q\d*|\+\w+)?(u|f\d+)?")
_EXPECTED = (
    "a policy is written like O12-L12-FBG8q: letters O (optimizer), L (loss), F (forward), B (backward), "
    "G (gradient), then the posit size, then u for underflow (or f3 to flush below minpos/2^3) and q where sums go "
    "through a quire (or +fused, +rounded, +aligned4x14)"
)


@dataclass(frozen=True)
class Stage:
    """One stage of training: its format, and the accumulator of its sums (None: what the stage does by itself)."""

    format: PositFormat
    accumulator: Accumulator | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.format, PositFormat):
            raise TypeError(f"Stage: format must be a PositFormat, not {self.format!r}")
        if self.accumulator is not None and not isinstance(self.accumulator, Accumulator):
            raise TypeError(
                f"Stage: accumulator must be a Quire, Fused, Rounded or Aligned, or None, not {self.accumulator!r}"
            )

    @property
    def suffix(self) -> str:
        """The stage as it stands after its letter: `8q`, `8/1q` for es = 1, `8+aligned4x14`."""
        es = "" if self.format.es == 2 else f"/{self.format.es}"
        return f"{self.format.n}{es}{self.format.variant}{self._sums}"

    @property
    def _sums(self) -> str:
        if self.accumulator is None:
            return ""
        if isinstance(self.accumulator, Quire):
            return "q" if self.accumulator == Quire() else f"q{self.accumulator.carry_bits}"
        return f"+{self.accumulator.tag}"


@dataclass(frozen=True)
class Override:
    """Other F, B or G stages for the layers whose name matches a pattern.

    Parameters
    ----------
    pattern : str
        As in `fnmatch`, of the module's name in the model: `conv1`, `head.*` (a star matches dots too).
    forward, backward, gradient : Stage, optional
        None: as for the whole network.

    Raises
    ------
    TypeError, ValueError
        If the pattern is not a word without `;`, `=` and `@`, or there is no stage, or one that is no `Stage`.
    """

    pattern: str
    forward: Stage | None = None
    backward: Stage | None = None
    gradient: Stage | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.pattern, str) or not re.fullmatch(r"[^\s;=@]+", self.pattern):
            raise ValueError(
                "Override: a pattern is a layer's name, with * and ? for parts of it, such as head.*; not "
                f"{self.pattern!r}"
            )
        _settle(self, "Override")
        if not self.stages:
            raise ValueError(f"Override: {self.pattern!r} changes no stage; give forward, backward or gradient")

    @property
    def stages(self) -> dict[str, Stage]:
        """The stages that it changes, by name."""
        named = {_STAGES[letter]: getattr(self, _STAGES[letter]) for letter in _LAYERS}
        return {name: stage for name, stage in named.items() if stage is not None}

    def __str__(self) -> str:
        return f"{self.pattern}={_written(self.stages)}"


@dataclass(frozen=True)
class Policy:
    """Formats and accumulators of the five stages of training, as in PositNN (Raposo 2021, §5).

    F, B and G sum products: through a quire, or by any other accumulator of `positcore.mac`. Without one they
    round every product and every sum (`Rounded()`), as PositNN does without a quire.

    Parameters
    ----------
    optimizer : Stage
        O: master weights, optimizer state and update.
    loss : Stage
        L: soft-max, loss and its gradient. Its sums go through a quire, unless an accumulator is given.
    forward : Stage
        F: activations, and the copy of the weights that the forward pass reads.
    backward : Stage
        B: gradients between layers, and the copy of the weights that the backward pass reads.
    gradient : Stage
        G: gradients of parameters.
    order : "exact" or "positnn"
        The order of roundings where PositNN's differs: its bias gradient of a convolution is rounded over the plane,
        then over the batch, then divided. "exact" sums both at once.
    overrides : tuple of Override
        Single layers' own F, B and G. Where several patterns match a layer the last one wins, stage by stage.

    Raises
    ------
    TypeError, ValueError
        If a field is not of its kind, or the loss stage has n > 16.
    """

    optimizer: Stage
    loss: Stage
    forward: Stage
    backward: Stage
    gradient: Stage
    order: str = "exact"
    overrides: tuple[Override, ...] = ()
    wide: bool = field(default=False, repr=False, compare=False)  # another layer's formats need float64 activations

    def __post_init__(self) -> None:
        for name in _STAGES.values():
            if not isinstance(getattr(self, name), Stage):
                raise TypeError(f"Policy: {name} must be a Stage, not {getattr(self, name)!r}")
        _settle(self, "Policy")
        if self.loss.format.n > 16:
            raise ValueError(
                f"Policy: the loss stage needs exp and log, built for n ≤ 16, not {self.loss.format}; take L16 or less"
            )
        if self.order not in ORDERS:
            raise ValueError(f"Policy: order must be one of {', '.join(ORDERS)}, not {self.order!r}")
        if not isinstance(self.overrides, tuple) or not all(isinstance(o, Override) for o in self.overrides):
            raise TypeError(f"Policy: overrides must be a tuple of Override, not {self.overrides!r}")

    @classmethod
    def parse(cls, text: str) -> Policy:
        """Read the thesis's notation, such as `O12-L12-FBG8q`, with its extensions.

        Each group is stage letters, a size n, optionally `/es` (2 unless told), `u` for underflow or `fK`
        to flush below minpos / 2^K, and the accumulator: `q` for a quire (`q7`: with 7 carry bits, 31 unless told),
        `+fused`, `+rounded`, `+aligned4x14` (4 lanes, a grid of 14 bits). Without one F, B and G round at every step.

        `@positnn` behind the groups takes PositNN's order of roundings. Then come single layers' stages, each
        after a semicolon: `O12-L12-FBG8q; conv1=FBG10q; head.*=F16q-BG12q`.

        Raises
        ------
        TypeError, ValueError
            If the text is not of that form, or a stage is missing or named twice.
        """
        if not isinstance(text, str):
            raise TypeError(f"Policy.parse: {_EXPECTED}; not {text!r}")
        network, *layers = text.split(";")
        groups, at, order = network.partition("@")
        if at and order.strip() not in ORDERS:
            raise ValueError(f"Policy.parse: after @ stands {' or '.join(ORDERS)}, not {order.strip()!r} in {text!r}")
        stages: dict[str, Any] = {**_read(groups, text)}
        missing = [letter for letter, name in _STAGES.items() if name not in stages]
        if missing:
            raise ValueError(f"Policy.parse: stage {', '.join(missing)} is missing in {text!r}; {_EXPECTED}")
        overrides = tuple(_read_override(layer, text) for layer in layers)
        return cls(**stages, order=order.strip() or "exact", overrides=overrides)

    def __str__(self) -> str:
        network = _written({name: getattr(self, name) for name in _STAGES.values()})
        order = "" if self.order == "exact" else f"@{self.order}"
        return "; ".join([network + order, *map(str, self.overrides)])

    # Single layers ---------------------------------------------------------------------------------

    def for_layer(self, name: str) -> Policy:
        """The policy of the layer of that name in the model: without overrides, with those that match it applied."""
        stages: dict[str, Any] = {}
        for override in self.overrides:
            if fnmatchcase(name, override.pattern):
                stages |= override.stages
        return replace(self, overrides=(), wide=self._any_wide, **stages) if self.overrides else self

    @property
    def _any_wide(self) -> bool:
        """Whether a format between layers, here or in an override, needs float64."""
        stages = [stage for override in self.overrides for stage in override.stages.values()]
        return any(stage.format.tensor_dtype == np.float64 for stage in (self.forward, self.backward, *stages))

    def check_layers(self, names: Iterable[str]) -> None:
        """Refuse overrides that match none of a model's layers.

        Raises
        ------
        ValueError
            If there is such an override; the message names it and the layers.
        """
        known = [name for name in names if name]
        for override in self.overrides:
            if not any(fnmatchcase(name, override.pattern) for name in known):
                raise ValueError(f"Policy: {override} matches no layer; there are {', '.join(known)}")

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
        """Sums in the loss (L), through a quire unless the stage has another accumulator."""
        return MacSpec(self.loss.format, self.loss.format, self.loss.accumulator or Quire())


def _mac(a: Stage, b: Stage, out: Stage) -> MacSpec:
    assert out.accumulator is not None
    return MacSpec((a.format, b.format), out.format, out.accumulator)


def _settle(owner: Policy | Override, name: str) -> None:
    """Check the stages that sum products, and give those without an accumulator the one that they stand for."""
    for letter in _LAYERS:
        stage = getattr(owner, _STAGES[letter])
        if stage is not None and not isinstance(stage, Stage):
            raise TypeError(f"{name}: {_STAGES[letter]} must be a Stage, not {stage!r}")
        if stage is not None and stage.accumulator is None:
            object.__setattr__(owner, _STAGES[letter], Stage(stage.format, Rounded()))


# The notation ----------------------------------------------------------------------------------------


def _read(groups: str, text: str) -> dict[str, Stage]:
    """The stages, by name, of groups such as `F8q-BG10q`; `text` is the whole policy, for messages."""
    stages: dict[str, Stage] = {}
    for group in groups.strip().split("-"):
        found = _GROUP.fullmatch(group)
        if not found:
            raise ValueError(f"Policy.parse: {group!r} in {text!r} is not a stage; {_EXPECTED}")
        letters, n, es, before, sums, after = found.groups()
        if before and after:
            raise ValueError(f"Policy.parse: {group!r} in {text!r} names two rules for tiny values; give one")
        variant = before or after or ""
        flush = int(variant[1:]) if variant.startswith("f") else None
        fmt = PositFormat(int(n), 2 if es is None else int(es), variant == "u", flush)
        stage = Stage(fmt, _read_accumulator(sums, text) if sums else None)
        for letter in letters:
            if _STAGES[letter] in stages:
                raise ValueError(f"Policy.parse: stage {letter} is named twice in {text!r}")
            stages[_STAGES[letter]] = stage
    return stages


def _read_accumulator(sums: str, text: str) -> Accumulator:
    if sums.startswith("q"):
        return Quire(int(sums[1:])) if sums[1:] else Quire()
    if sums in ("+fused", "+rounded"):
        return Fused() if sums == "+fused" else Rounded()
    found = re.fullmatch(r"\+aligned(\d+)x(\d+)", sums)
    if not found:
        raise ValueError(
            f"Policy.parse: {sums!r} in {text!r} is no accumulator; write q (or q7, with 7 carry bits) for a quire, "
            "+fused, +rounded, or +aligned4x14 for 4 lanes and a grid of 14 bits"
        )
    return Aligned(int(found[1]), int(found[2]))


def _read_override(layer: str, text: str) -> Override:
    pattern, equals, groups = layer.strip().partition("=")
    if not equals:
        raise ValueError(
            f"Policy.parse: {layer.strip()!r} in {text!r} is not of the form layer=stages, such as conv1=FBG10q"
        )
    stages = _read(groups, text)
    if not stages.keys() <= {_STAGES[letter] for letter in _LAYERS}:
        raise ValueError(
            f"Policy.parse: {layer.strip()!r} in {text!r} gives a layer its own O or L; "
            "only F, B and G differ between layers"
        )
    return Override(pattern, **stages)


def _written(stages: dict[str, Stage]) -> str:
    """Stages by name as groups; F, B and G stand together where they agree, and their rounded sums are not named."""
    groups: list[tuple[str, str]] = []
    for letter, name in _STAGES.items():
        if name not in stages:
            continue
        suffix = stages[name].suffix
        if letter in _LAYERS:
            suffix = suffix.removesuffix(f"+{Rounded().tag}")
            if groups and groups[-1][0][0] in _LAYERS and groups[-1][1] == suffix:
                letter = groups.pop()[0] + letter
        groups.append((letter, suffix))
    return "-".join(letters + suffix for letters, suffix in groups)
