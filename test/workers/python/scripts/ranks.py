"""Data-parallel training under torchrun. Each rank prints, and writes what it sees to $SEEN/rank-<r>-….json."""

import hashlib
import json
import os
import time

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import musweep

dist.init_process_group("gloo")
rank = dist.get_rank()
print(f"rank {rank} prints before")
run = musweep.start()
print(f"rank {rank} prints after")
torch.manual_seed(run.seed + rank)
net = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Dropout(0.25), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4))
roles = {"0.weight": "embedding", "3.weight": "hidden", "5.weight": "unembedding", "*.bias": "vector"}
groups = run.apply(net, roles)
mask = hashlib.sha256((net[3].weight == 0).numpy().tobytes()).hexdigest()
model = DistributedDataParallel(net)
optimizer = torch.optim.AdamW(groups)
scheduler = run.scheduler(optimizer)
run.without("attention_scale", "embedding_multiplier", "residual_multiplier", "logits_multiplier")
run.checkpoint(net, optimizer, scheduler)
seen = {"mask": mask, "from": run.resumed_from_step, "steps": 0}


def tell():
    seen["weights"] = hashlib.sha256(b"".join(p.detach().numpy().tobytes() for p in net.parameters())).hexdigest()
    seen["zeros"] = int((net[3].weight == 0).sum())
    with open(os.path.join(os.environ["SEEN"], f"rank-{rank}-from-{run.resumed_from_step}.json"), "w") as file:
        json.dump(seen, file)


try:
    for step in run.steps():
        x = torch.randn(16, 8)
        loss = F.cross_entropy(model(x), (x[:, 0] > 0).long())
        optimizer.zero_grad()
        loss.backward()
        run.clip(net)
        optimizer.step()
        scheduler.step()
        run.report(train_loss=loss)
        seen["steps"] = step
        time.sleep(run.settings.pause)
    if rank == 0:
        run.evaluate(validation_loss=loss)
finally:
    tell()
    dist.destroy_process_group()
