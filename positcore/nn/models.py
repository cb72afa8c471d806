"""Networks for images, as ordinary float PyTorch models; `convert` makes their posit twins."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

__all__ = [
    "MODELS", "BasicBlock", "Block", "ResNet20", "Transformer", "build", "cifarnet", "lenet5", "mnistnet", "resnet20",
    "transformer",
]  # fmt: skip

Shape = tuple[int, int, int]


def lenet5(classes: int = 10) -> nn.Sequential:
    """LeNet-5 for 28×28 images of one channel; 61,706 parameters (Raposo 2021, §6.1)."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.MaxPool2d(2), nn.ReLU(),
        nn.Conv2d(6, 16, 5), nn.MaxPool2d(2), nn.ReLU(),
        nn.Conv2d(16, 120, 5), nn.ReLU(), nn.Flatten(),
        nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, classes),
    )  # fmt: skip


def cifarnet(classes: int = 10) -> nn.Sequential:
    """CifarNet for 32×32 images of three channels; 473,274 parameters (Raposo 2021, §6.1)."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 5, padding=2), nn.MaxPool2d(2), nn.ReLU(),
        nn.Conv2d(8, 16, 5, padding=2), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten(),
        nn.Dropout(0.5), nn.Linear(1024, 384), nn.ReLU(),
        nn.Dropout(0.5), nn.Linear(384, 192), nn.ReLU(), nn.Linear(192, classes),
    )  # fmt: skip


def mnistnet(classes: int = 10) -> nn.Sequential:
    """The fully connected network 784-32-10 for 28×28 images of one channel; 25,450 parameters (Raposo 2021)."""
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 32), nn.ReLU(), nn.Linear(32, classes))


class BasicBlock(nn.Module):
    """Two 3×3 convolutions with batch norm, and a shortcut around them that has no parameters.

    Where the block narrows the image, the shortcut takes every `stride`-th pixel and pads the new channels with
    zeros, half before and half after: option A of He et al. (2016), which only moves values.

    Parameters
    ----------
    inputs, outputs : int
        Channels.
    stride : int
        Of the first convolution.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.stride, self.added = stride, outputs - inputs
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) → (N, outputs, H / stride, W / stride)."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        before = self.added // 2
        shortcut = x
        if self.added or self.stride > 1:
            strided = x[:, :, :: self.stride, :: self.stride]
            shortcut = nn.functional.pad(strided, (0, 0, 0, 0, before, self.added - before))
        return self.relu(out + shortcut)


class ResNet20(nn.Module):
    """A convolution, three stages of three `BasicBlock` each with 16, 32 and 64 channels, the mean, a linear layer.

    Parameters
    ----------
    classes : int
    channels : int
        Of the images; their height and width are free.

    References
    ----------
    He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", CVPR 2016, §4.2 (n = 3).
    """

    def __init__(self, classes: int = 10, channels: int = 3) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU()
        blocks = [BasicBlock(16, 16), BasicBlock(16, 16), BasicBlock(16, 16)]
        for inputs, outputs in ((16, 32), (32, 64)):
            blocks += [BasicBlock(inputs, outputs, 2), BasicBlock(outputs, outputs), BasicBlock(outputs, outputs)]
        self.blocks = nn.Sequential(*blocks)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(64, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) → (N, classes)."""
        x = self.blocks(self.relu(self.bn1(self.conv1(x))))
        return self.fc(self.flatten(self.pool(x)))


def resnet20(classes: int = 10, image_shape: Shape = (3, 32, 32)) -> ResNet20:
    """ResNet-20 for images of any number of channels; 269,722 parameters for three channels and ten classes."""
    return ResNet20(classes, image_shape[0])


class Block(nn.Module):
    """A block of a transformer, normalized before each part: x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.norm2 = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, 2 * width)
        self.gelu = nn.GELU()
        self.fc2 = nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(N, tokens, width) → the same shape."""
        y = self.norm1(x)
        y, _ = self.attention(y, y, y, need_weights=False)
        x = x + y
        return x + self.fc2(self.gelu(self.fc1(self.norm2(x))))


class Transformer(nn.Module):
    """A small vision transformer: patches, embedded with their position, two `Block`s, the mean, a linear layer.

    The position is an embedding of the patch's index, so that every parameter belongs to a layer.

    Parameters
    ----------
    classes : int
    image_shape : tuple of int
        (C, H, W); H and W are multiples of `patch`.
    patch : int
        Height and width of a patch.
    width, heads, depth : int
        Of the blocks, and their number.

    Raises
    ------
    ValueError
        If the images do not divide into patches.

    References
    ----------
    Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021.
    """

    def __init__(
        self, classes: int = 10, image_shape: Shape = (1, 28, 28), patch: int = 4, width: int = 64, heads: int = 4,
        depth: int = 2,
    ) -> None:  # fmt: skip
        super().__init__()
        channels, height, breadth = image_shape
        if height % patch or breadth % patch:
            raise ValueError(f"Transformer: images of {height}×{breadth} do not divide into patches of {patch}×{patch}")
        self.patch, self.grid = patch, (height // patch, breadth // patch)
        self.embed = nn.Linear(channels * patch * patch, width)
        self.position = nn.Embedding(self.grid[0] * self.grid[1], width)
        self.blocks = nn.Sequential(*[Block(width, heads) for _ in range(depth)])
        self.norm = nn.LayerNorm(width)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(width, classes)
        nn.init.normal_(self.position.weight, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, classes)."""
        count, (rows, columns), p = len(x), self.grid, self.patch
        patches = x.reshape(count, -1, rows, p, columns, p).permute(0, 2, 4, 1, 3, 5).reshape(count, rows * columns, -1)
        places = torch.arange(rows * columns, device=x.device).expand(count, -1)
        tokens = self.norm(self.blocks(self.embed(patches) + self.position(places)))
        images = tokens.transpose(1, 2).unflatten(2, (rows, columns))
        return self.fc(self.flatten(self.pool(images)))


def transformer(classes: int = 10, image_shape: Shape = (1, 28, 28)) -> Transformer:
    """The small transformer for images of any shape whose sides are multiples of 4; 71,946 parameters for 28×28."""
    return Transformer(classes, image_shape)


MODELS: dict[str, Callable[..., nn.Module]] = {
    "lenet5": lenet5, "cifarnet": cifarnet, "mnistnet": mnistnet, "resnet20": resnet20, "transformer": transformer,
}  # fmt: skip

# The shape of images (C, H, W) that the others take; what is not here is built for the images it gets.
_SHAPES: dict[str, Shape] = {"lenet5": (1, 28, 28), "cifarnet": (3, 32, 32), "mnistnet": (1, 28, 28)}


def build(name: str, classes: int, image_shape: Shape) -> nn.Module:
    """The network `name` for images of a shape, its parameters initialized by PyTorch's generator.

    Raises
    ------
    ValueError
        If there is no such network, or it takes images of another shape.
    """
    if name not in MODELS:
        raise ValueError(f"no model {name!r}; there are {', '.join(MODELS)}")
    if name not in _SHAPES:
        return MODELS[name](classes, image_shape)
    if image_shape != _SHAPES[name]:
        takes, given = ("×".join(map(str, shape)) for shape in (_SHAPES[name], image_shape))
        raise ValueError(f"{name} takes images of {takes} (channels, height, width), not {given}")
    return MODELS[name](classes)
