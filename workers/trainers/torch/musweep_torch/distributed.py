"""Several processes for one run, on one host, as torchrun starts them: each takes its share of every batch, all hold the same weights.

Rank 0 alone speaks, decides and writes; the others do what it says. What it says goes through gloo, on the CPU, gradients through
NCCL where the ranks have GPUs.
"""

import os
from datetime import timedelta

import torch
import torch.distributed as dist


class Peers:
    """The ranks of this run; one process by itself is rank 0 of 1."""

    def __init__(self, rank=0, world=1, control=None, gradients=None):
        self.rank, self.world = rank, world
        self._control, self._gradients = control, gradients

    @property
    def leads(self):
        return self.rank == 0

    def share(self, value):
        """Rank 0's value, to all."""
        if self.world == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0, group=self._control)
        return box[0]

    def add_up(self, tensors):
        """The sum over ranks, in place. Every rank comes to the same bits."""
        if self.world > 1:
            for tensor in tensors:
                dist.all_reduce(tensor, group=self._gradients)

    def close(self):
        if self.world > 1:
            dist.destroy_process_group()


def local_rank():
    """Which of its host's ranks this process is; 0 without torchrun."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def join(device):
    """The ranks that torchrun started with this one."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        return Peers()
    # Ranks wait for the next run, and for rank 0's disk, as long as it takes. Of one that is gone its closed connection
    # tells, or torchrun, which ends the others.
    patience = timedelta(days=365)
    dist.init_process_group("gloo", timeout=patience)
    gradients = dist.new_group(backend="nccl", timeout=patience) if device.type == "cuda" else None
    if device.type == "cuda":
        # The first collective makes the communicator; better now than within a step.
        dist.all_reduce(torch.zeros(1, device=device), group=gradients)
    return Peers(dist.get_rank(), world, None, gradients)
