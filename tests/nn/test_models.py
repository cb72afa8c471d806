import copy

import pytest
import torch
from torch import nn

from positcore import nn as pnn
from positcore.nn.models import MODELS, Transformer, build

SHAPES = {"cifarnet": (3, 32, 32), "resnet20": (3, 32, 32)}


def shape_of(name):
    return SHAPES.get(name, (1, 28, 28))


def parameters(model):
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(
    ("name", "count"),
    [("lenet5", 61706), ("cifarnet", 473274), ("mnistnet", 25450), ("resnet20", 269722), ("transformer", 71946)],
)
def test_parameters(name, count):
    assert parameters(build(name, 10, shape_of(name))) == count


@pytest.mark.parametrize("name", MODELS)
def test_logits_and_gradients_of_every_parameter(name):
    model = build(name, 7, shape_of(name))
    logits = model(torch.randn(2, *shape_of(name)))
    assert logits.shape == (2, 7)
    logits.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("name", ["resnet20", "transformer"])
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32)])
def test_models_for_images_of_any_shape(name, shape):
    assert build(name, 10, shape)(torch.randn(2, *shape)).shape == (2, 10)


@pytest.mark.parametrize(
    ("name", "shape"), [("cifarnet", (3, 32, 32)), ("resnet20", (3, 8, 8)), ("transformer", (1, 8, 8))]
)
def test_a_step_of_the_posit_twin_under_the_audit(name, shape):
    torch.manual_seed(0)
    policy, model = pnn.Policy.parse("O16-L16-FBG8q"), build(name, 3, shape)
    twin, loss = pnn.convert(model, policy), pnn.CrossEntropyLoss(policy)
    assert list(twin.state_dict()) == list(model.state_dict())
    optimizer = pnn.SGD(twin.parameters(), policy, lr=1 / 16)
    x, y = torch.randn(6, *shape), torch.tensor([0, 1, 2, 0, 1, 2])
    before = copy.deepcopy(twin.state_dict())
    with pnn.audit(twin):
        loss(twin(x), y).backward()
        optimizer.step()
    assert all(p.grad.isfinite().all() and p.grad.any() for p in twin.parameters())
    assert all(not torch.equal(p, before[key]) for key, p in twin.named_parameters())
    ours, theirs = twin.eval()(x), pnn.to_float(twin).eval()(x)
    assert (ours - theirs).abs().max() < 0.25 * theirs.abs().max()


def test_cifarnet_has_the_classes_of_cifar_100():
    assert parameters(build("cifarnet", 100, (3, 32, 32))) == 473274 + 90 * 193


def test_a_shortcut_moves_values():
    block = build("resnet20", 10, (3, 32, 32)).blocks[3].eval()
    nn.init.zeros_(block.bn2.weight)
    x = torch.randn(2, 16, 8, 8).relu()
    out = block(x)
    assert torch.equal(out[:, 8:24], x[:, :, ::2, ::2])
    assert not out[:, :8].any()
    assert not out[:, 24:].any()


def test_patches_are_squares_of_the_image():
    model = Transformer(image_shape=(2, 8, 12), width=32, heads=2)
    model.embed = nn.Identity()
    model.position = nn.Embedding.from_pretrained(torch.zeros(6, 32))
    seen = []
    model.blocks.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0]))
    x = torch.arange(2 * 2 * 8 * 12.0).reshape(2, 2, 8, 12)
    model(x)
    assert torch.equal(seen[0][1, 4], x[1, :, 4:8, 4:8].reshape(-1))


def test_a_seed_gives_the_same_weights():
    first, second, other = (torch.manual_seed(s) and build("transformer", 10, (1, 28, 28)) for s in (3, 3, 4))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not torch.equal(first.fc.weight, other.fc.weight)


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("vgg", (1, 28, 28), "no model 'vgg'; there are lenet5, cifarnet, mnistnet, resnet20, transformer"),
        (
            "lenet5",
            (3, 32, 32),
            r"lenet5 takes images of 1×28×28 \(channels, height, width\), not 3×32×32",
        ),
        ("cifarnet", (1, 28, 28), "cifarnet takes images of 3×32×32"),
        ("transformer", (1, 30, 28), "images of 30×28 do not divide into patches of 4×4"),
    ],
)
def test_errors(name, shape, message):
    with pytest.raises(ValueError, match=message):
        build(name, 10, shape)
