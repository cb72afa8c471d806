"""`PositLayer`: what all posit layers share. A posit layer is the `torch.nn` layer with its own `forward`."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import torch

from positcore.nn.policy import Policy
from positcore.nn.tensors import quantize

__all__ = ["PositLayer", "forget_rounding", "round_parameters"]


class PositLayer(torch.nn.Module):
    """A mixin before a `torch.nn` layer: the same constructor with `policy`, the same parameters and state_dict keys.

    A subclass says `float_class`, the layer that it is the twin of, overrides `forward`, and may override `prepare`.

    Parameters
    ----------
    *args, **kwargs
        As the float layer takes them.
    policy : Policy
        Formats and accumulators; the parameters are master weights and belong to the O stage.

    Raises
    ------
    TypeError, ValueError
        If the layer has options that posit arithmetic does not offer.
    """

    float_class: ClassVar[type[torch.nn.Module]]
    policy: Policy
    place: str | None = None
    """Its name in the model that was converted, for errors."""

    def __init__(self, *args: Any, policy: Policy, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._adopt(policy)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the layer; an error in what it is given names it."""
        try:
            return super().__call__(*args, **kwargs)
        except (TypeError, ValueError) as error:
            if self.place is None or type(error) not in (TypeError, ValueError):
                raise
            raise type(error)(f"{type(self).__name__} {self.place!r}: {error}") from error

    @classmethod
    def from_float(cls, layer: torch.nn.Module, policy: Policy) -> Self:
        """Make a float layer its twin, in place: the same object, of this class, with rounded parameters."""
        layer.__class__ = cls
        assert isinstance(layer, cls)
        layer._adopt(policy)
        return layer

    def to_float(self) -> torch.nn.Module:
        """Make the twin a float layer again, in place; parameters and buffers become float32."""
        forget_rounding(self)
        del self.policy
        self.__dict__.pop("place", None)
        self.release()
        self.__class__ = self.float_class  # type: ignore[assignment]
        return self.float()

    def _adopt(self, policy: Policy) -> None:
        if not isinstance(policy, Policy):
            raise TypeError(
                f"{type(self).__name__}: policy must be a Policy, such as Policy.parse('O12-L12-FBG8q'), not {policy!r}"
            )
        self.policy = policy
        self.prepare()
        round_parameters(self, policy)

    def prepare(self) -> None:
        """Check the layer's options, and derive from them what `forward` needs."""

    def release(self) -> None:
        """Remove what `prepare` derived."""

    def extra_repr(self) -> str:
        """What `print(model)` shows."""
        text = super().extra_repr()
        return f"{text}, policy={self.policy}" if text else f"policy={self.policy}"


def round_parameters(module: Any, policy: Policy) -> None:
    """Make a module's own parameters master weights, now and when loaded: values of O, in O's dtype."""
    module._master_format = policy.optimizer.format
    for parameter in module.parameters(recurse=False):  # changed in place: other modules may share them
        if not parameter.is_meta:
            parameter.data = quantize(policy.optimizer.format, parameter)
    module.register_load_state_dict_post_hook(_round_loaded)


def forget_rounding(module: Any) -> None:
    """Let a module load weights as they are."""
    module.__dict__.pop("_master_format", None)
    hooks = module._load_state_dict_post_hooks
    for key in [key for key, hook in hooks.items() if hook is _round_loaded]:
        del hooks[key]


def _round_loaded(module: Any, _: object) -> None:
    """Weights of any origin become master weights when they are loaded.

    What is rounded is a new tensor: with `assign=True` the one that was loaded is that of another model.
    """
    for parameter in module.parameters(recurse=False):
        rounded = quantize(module._master_format, parameter)
        if rounded.dtype != parameter.dtype or not torch.equal(rounded, parameter):
            parameter.data = rounded
