import pytest
import torch

import positcore as pc
from positcore import nn as pnn
from positcore.gemm.patches import Geometry
from positcore.nn import tensors
from positcore.nn.golden import GoldenBackend
from positcore.nn.guard import GoldenArithmeticError, only_simulated

F8 = pc.PositFormat(8, 2)
SPEC = pc.MacSpec(F8)
X = torch.tensor([[1.5, -2.0], [0.25, 3.0]])
IMAGE, KERNEL, GEOMETRY = torch.ones(1, 1, 3, 3), torch.ones(1, 1, 2, 2), Geometry((2, 2))
CALLS = {
    "quantize": (F8, X / 3), "add": (F8, X, X), "sub": (F8, X, X), "mul": (F8, X, X), "div": (F8, X, X),
    "fma": (F8, X, X, X), "sqrt": (F8, X), "matmul": (SPEC, X, X), "conv2d": (SPEC, IMAGE, KERNEL, None, GEOMETRY),
    "conv2d_input_gradient": (SPEC, KERNEL, KERNEL, GEOMETRY, (3, 3)),
    "conv2d_weight_gradient": (SPEC, KERNEL, IMAGE, GEOMETRY),
    "bit_trick": (pc.PositFormat(8, 0), "tanh", X),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_every_golden_operation_raises(name):
    """Within the block and not after it."""
    method = getattr(GoldenBackend(), name)
    expected = method(*CALLS[name])
    with (
        only_simulated() as barred,
        pytest.raises(GoldenArithmeticError, match="where only the simulation may compute"),
    ):
        method(*CALLS[name])
    assert barred > 100
    assert torch.allclose(method(*CALLS[name]), expected, rtol=0, atol=0, equal_nan=True)


def test_accumulators_quires_and_functions_of_the_package_raise():
    a = F8.encode(X.numpy())
    calls = [
        lambda: pc.matmul(SPEC, a, a), lambda: pc.matmul(pc.MacSpec(F8, F8, pc.Fused()), a, a),
        lambda: pc.add(F8, a, a),
        lambda: pc.QuireArray(SPEC, (2, 2)).add_matmul(a, a), lambda: pc.QuireArray(SPEC, (2,)).round(),
        lambda: tensors.quantize(F8, X / 3), lambda: pc.array(F8, X.numpy()) + 1,
    ]  # fmt: skip
    for call in calls:
        call()
        with only_simulated(), pytest.raises(GoldenArithmeticError):
            call()


def test_codes_may_be_made_of_values_without_rounding():
    from positcore.nn import codes

    assert codes.exact_codes(F8, (X / 3).numpy()) is None
    with only_simulated():
        assert codes.exact_codes(F8, X.numpy()).tolist() == F8.encode(X.numpy()).tolist()
        assert codes.exact_codes(F8, (X / 3).numpy()) is None
        from positcore.nn import gradients

        assert gradients.encode(F8, X.numpy()).tolist() == codes.exact_codes(F8, X.numpy()).tolist()
        with pytest.raises(GoldenArithmeticError, match="encode would round to posit<8,2>"):
            gradients.encode(F8, (X / 3).numpy())


def test_a_golden_step_is_caught():
    policy = pnn.Policy.parse("O12-L12-FBG8q")
    layer, loss = pnn.layers.Linear(2, 3, policy=policy), pnn.CrossEntropyLoss(policy)
    loss(layer(X), torch.tensor([0, 2])).backward()
    with only_simulated(), pytest.raises(GoldenArithmeticError):
        loss(layer(X), torch.tensor([0, 2])).backward()
