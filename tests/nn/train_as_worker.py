"""A training run as one of several workers, for test_workers.py; prints a digest.

`torchrun … train_as_worker.py POLICY BACKEND`
"""

import hashlib
import os
import sys

import torch
from torch import nn

from positcore import nn as pnn


def train(text, rank=0, workers=1):
    """Three steps of a small network on this worker's share of each batch; a digest of the weights."""
    policy = pnn.Policy.parse(text)
    torch.manual_seed(1)
    twin = pnn.convert(nn.Sequential(nn.Conv2d(1, 4, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(36, 10)), policy)
    optimizer = pnn.SGD(twin.parameters(), policy, lr=1 / 4, momentum=0.5, weight_decay=1 / 64)
    loss = pnn.CrossEntropyLoss(policy)
    generator = torch.Generator().manual_seed(2)
    for _ in range(3):
        images = torch.randn(12, 1, 8, 8, generator=generator)
        labels = torch.randint(0, 10, (12,), generator=generator)
        mine = torch.arange(12)[rank::workers]  # what a DistributedSampler gives
        with pnn.audit(twin), pnn.accumulate(twin.parameters()):
            for part in mine.split(2):
                loss(twin(images[part]), labels[part]).backward()
        optimizer.step()
    return hashlib.sha256(b"".join(p.detach().numpy().tobytes() for p in twin.parameters())).hexdigest()


def main():
    torch.distributed.init_process_group("gloo")
    torch.set_num_threads(1)
    with pnn.use_backend(sys.argv[2]):
        digest = train(sys.argv[1], torch.distributed.get_rank(), torch.distributed.get_world_size())
    os.write(1, f"digest {digest}\n".encode())  # in one piece: workers share the pipe
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
