"""Gradients of parameters: sums of products over a batch, exact until they are rounded once in G.

A layer's backward hands over the `Terms` of the sum, and `deliver` decides where they go: into one product that is
rounded at once; into quires with the terms of other uses of the same parameter in this backward pass; or, within
`accumulate`, into quires that wait for more micro-batches and for other workers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Protocol

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from positcore.codec import decode, encode
from positcore.gemm.patches import Geometry, unfold
from positcore.mac import MacSpec, Quire
from positcore.nn import tensors, workers
from positcore.nn.backends import Sums, current_backend
from positcore.nn.batch_factor import check_pass, current_factor, current_pass, is_mean
from positcore.nn.policy import Policy

__all__ = ["ConvolutionTerms", "MatmulTerms", "PlaneTerms", "Terms", "accumulate", "deliver", "row_sums"]

_TILE = 1 << 22  # codes of unfolded patches that are in memory at a time


class Terms(Protocol):
    """A sum of products for every element of a parameter's gradient."""

    def rounded(self, mac: MacSpec) -> Tensor:
        """All sums, each in one accumulator of `mac`, in the shape of the parameter."""
        ...

    def add_to(self, quires: Sums) -> None:
        """Add the terms to quires of shape (rows of the parameter, all its other dimensions), exactly."""
        ...


@dataclass(frozen=True)
class MatmulTerms:
    """The matrix product of tensors (M, K) and (K, N): a gradient of M·N elements, given in the shape `shape`."""

    a: Tensor
    b: Tensor
    shape: tuple[int, ...]

    def rounded(self, mac: MacSpec) -> Tensor:
        """See `Terms.rounded`."""
        return current_backend().matmul(mac, self.a, self.b).reshape(self.shape)

    def add_to(self, quires: Sums) -> None:
        """See `Terms.add_to`."""
        a, b = (tensors.as_array(x.cpu()) for x in (self.a, self.b))
        spec = quires.spec
        quires.reshape((a.shape[0], b.shape[1])).add_matmul(encode(spec.a, a), encode(spec.b, b))


def row_sums(rows: Tensor, shape: tuple[int, ...] | None = None) -> MatmulTerms:
    """The sums of the rows of a tensor (M, K), as a gradient of shape (M,) unless told."""
    return MatmulTerms(rows, rows.new_ones(rows.shape[1], 1), (rows.shape[0],) if shape is None else shape)


@dataclass(frozen=True)
class ConvolutionTerms:
    """The weight gradient (O, C / groups, kh, kw) of a convolution, from (N, O, OH, OW) and images (N, C, H, W)."""

    gradient: Tensor
    images: Tensor
    geometry: Geometry
    groups: int = 1

    def rounded(self, mac: MacSpec) -> Tensor:
        """See `Terms.rounded`."""
        backend, geometry = current_backend(), self.geometry
        parts = [backend.conv2d_weight_gradient(mac, g, x, geometry) for g, x in self._parts()]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def add_to(self, quires: Sums) -> None:
        """See `Terms.add_to`."""
        spec, each = quires.spec, max(1, _TILE // max(1, self.images[0].numel() * self.geometry.taps))
        rows = quires.shape[0] // self.groups
        for index, (g, x) in enumerate(self._parts()):
            part = quires[index * rows : (index + 1) * rows]
            for i in range(0, len(x), each):
                left = g[i : i + each].transpose(0, 1).reshape(g.shape[1], -1)
                patches = unfold(tensors.as_array(x[i : i + each].cpu()), self.geometry).T
                part.add_matmul(encode(spec.a, tensors.as_array(left.cpu())), encode(spec.b, patches))

    def _parts(self) -> Iterable[tuple[Tensor, Tensor]]:
        return zip(self.gradient.chunk(self.groups, 1), self.images.chunk(self.groups, 1), strict=True)


@dataclass(frozen=True)
class PlaneTerms:
    """The bias gradient of a convolution in PositNN's order: rounded over each plane, then over the batch."""

    gradient: Tensor  # (N, O, OH, OW)

    def rounded(self, mac: MacSpec) -> Tensor:
        """See `Terms.rounded`."""
        images, channels = self.gradient.shape[:2]
        planes = row_sums(self.gradient.reshape(images * channels, -1)).rounded(mac).reshape(images, channels)
        return row_sums(planes.T).rounded(MacSpec(mac.out, mac.out, mac.accumulator))

    def add_to(self, quires: Sums) -> None:
        """Refused: what is rounded plane by plane has no exact sum."""
        raise ValueError(
            "a policy with the order positnn rounds the bias gradient of a convolution image by image: no exact "
            "sum over uses, micro-batches or workers; take the order exact (leave @positnn out)"
        )


# One backward pass -----------------------------------------------------------------------------------


class _Delivery:
    """What the layers of one backward pass have delivered for a parameter."""

    def __init__(self, parameter: Tensor) -> None:
        self.parameter = parameter
        self.terms: list[tuple[Policy, Terms]] = []


_deliveries: dict[int, dict[int, _Delivery]] = {}  # by backward pass, then by the parameter's id
_hooked = WeakTensorKeyDictionary()


def deliver(parameter: Tensor, policy: Policy, terms: Terms) -> Tensor | None:
    """In a layer's backward: hand over the terms of a parameter's gradient; returns what the layer gives the engine.

    All that one backward pass delivers for a parameter is one sum, rounded once in G, then divided by the batch factor
    (`positcore.nn.batch_factor`). Where `.grad` holds a gradient already, the two are added in G. Within `accumulate`
    the terms wait for its end.

    Raises
    ------
    ValueError
        If a parameter has several terms, or `accumulate` is on, and the accumulator of G is no quire.
    """
    check_pass()
    waiting = accumulate.current
    if waiting is not None and waiting.takes(parameter):
        waiting.add(parameter, policy, terms)
        return None
    task = current_pass()
    if task not in _deliveries:
        _deliveries[task] = {}
        torch.autograd.Variable._execution_engine.queue_callback(partial(_forget, task))
    if parameter not in _hooked:  # a hook that stays as long as the parameter does, and does not keep it
        parameter.register_hook(partial(_collect, id(parameter)))  # type: ignore[no-untyped-call]
        _hooked[parameter] = True
    delivery = _deliveries[task].setdefault(id(parameter), _Delivery(parameter))
    delivery.terms.append((policy, terms))
    return parameter.new_zeros(()).expand_as(parameter) if len(delivery.terms) == 1 else None


def _forget(task: int) -> None:
    _deliveries.pop(task, None)


def _collect(identity: int, placeholder: Tensor) -> Tensor | None:
    """The hook on a parameter: its gradient in place of the placeholder that the first layer gave the engine."""
    delivery = _deliveries.get(current_pass(), {}).pop(identity, None)
    if delivery is None:
        return None
    parameter, (policy, terms) = delivery.parameter, delivery.terms[0]
    if len(delivery.terms) == 1:
        total = terms.rounded(policy.gradient_mac).reshape(parameter.shape)
    else:
        quires = _quires(policy, parameter, "a parameter that several operations use")
        for _, part in delivery.terms:
            part.add_to(quires)
        total = _rounded(quires, parameter)
    gradient = _mean(policy, total, current_factor() if parameter.is_leaf else 1)  # below is what it was made from
    if parameter.is_leaf and parameter.grad is not None:
        gradient = tensors.add(policy.gradient.format, parameter.grad, gradient)
        parameter.grad = None
    return gradient.to(parameter.dtype)


def _quires(policy: Policy, parameter: Tensor, what: str) -> Sums:
    """Quires for the gradient of a parameter: one row for each of the parameter's."""
    mac = policy.gradient_mac
    if not isinstance(mac.accumulator, Quire):
        raise ValueError(
            f"{what} has an exact sum as its gradient, which the accumulator {mac.accumulator} of {policy} does not "
            "give; add q to the G stage"
        )
    rows = parameter.shape[0] if parameter.ndim else 1
    return tensors.quires(mac, (rows, parameter.numel() // max(1, rows)))


def _rounded(quires: Sums, parameter: Tensor) -> Tensor:
    fmt = quires.spec.out
    values = decode(fmt, quires.round().reshape(parameter.shape), fmt.tensor_dtype)
    return tensors.as_tensor(values).to(parameter.device)


def _mean(policy: Policy, total: Tensor, factor: int) -> Tensor:
    """A sum over the batch divided in G by the factor that it carries; in O at once where O's dtype is too small."""
    master, fmt = policy.optimizer.format, policy.gradient.format
    mean = total if factor == 1 else tensors.div_by_count(fmt, total, factor, master)
    return mean if mean.dtype in (torch.float32, tensors.dtype_of(master)) else tensors.quantize(master, mean)


# Several backward passes -----------------------------------------------------------------------------


class accumulate:  # noqa: N801 (reads as a verb, like torch.no_grad)
    """Within this block, gradients are exact sums over all backward passes, and over all workers at its end.

    ::

        with pnn.accumulate(twin.parameters()):
            for x, y in micro_batches:
                loss_function(twin(x), y).backward()
        optimizer.step()

    gives the bits of one backward pass over the whole batch, however it was split: each parameter's terms are kept in
    quires, which are rounded in G when the block ends. Losses are not to be divided by the number of parts: means are
    over all samples. Where `torch.distributed` has several workers, their quires are summed first, and all end with the
    same gradients. What is in `.grad` before is replaced.

    Parameters
    ----------
    parameters : iterable of Tensor
        In the same order on every worker.

    Raises
    ------
    ValueError
        If the accumulator of G is no quire, means and sums meet, or blocks are nested.
    """

    current: accumulate | None = None

    def __init__(self, parameters: Iterable[Tensor]) -> None:
        self.parameters = list(parameters)
        self._known = {id(parameter) for parameter in self.parameters}
        self._sums: dict[int, tuple[Policy, Sums]] = {}
        self._counts: dict[int, tuple[int, bool]] = {}  # by backward pass: its batch factor, and whether of a mean

    def takes(self, parameter: Tensor) -> bool:
        """Whether the block was given this parameter."""
        return id(parameter) in self._known

    def add(self, parameter: Tensor, policy: Policy, terms: Terms) -> None:
        """Add terms to the quires of a parameter."""
        if id(parameter) not in self._sums:
            self._sums[id(parameter)] = policy, _quires(policy, parameter, "a gradient within `accumulate`")
        terms.add_to(self._sums[id(parameter)][1])
        self._counts[current_pass()] = current_factor(), is_mean()

    def __enter__(self) -> accumulate:
        if accumulate.current is not None:
            raise ValueError("accumulate: blocks must not be nested; close the other one first")
        accumulate.current = self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        accumulate.current = None
        if kind is not None:
            return
        if len({mean for _, mean in self._counts.values()}) > 1:
            raise ValueError("accumulate: losses with means and with sums meet in one block; give them one reduction")
        factor = sum(count for count, mean in self._counts.values() if mean)
        factor = workers.total(factor) or 1
        for parameter in self.parameters:
            policy, quires = self._sums.pop(id(parameter), (None, None))
            found = workers.total(int(quires is not None))
            parameter.grad = None
            if not found:
                continue
            if policy is None or quires is None:
                raise ValueError(
                    f"accumulate: this worker has no gradient for a parameter of shape {tuple(parameter.shape)}, "
                    "which others have one for; all workers must run the same layers"
                )
            gradient = _mean(policy, _rounded(workers.summed(quires), parameter), factor)
            parameter.grad = gradient.to(parameter.dtype)
