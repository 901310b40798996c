"""A warm trainer that reports how many models of earlier runs are still there. Python collects nothing by itself."""

import gc
import weakref

import torch
from torch import nn

import musweep

gc.disable()
models = weakref.WeakSet()


def train(run):
    held = len(models)
    model = nn.Sequential(nn.Linear(8, 16), nn.Linear(16, 4))
    models.add(model)
    roles = {"0.weight": "embedding", "1.weight": "unembedding", "*.bias": "vector"}
    optimizer = torch.optim.AdamW(run.apply(model, roles))
    scheduler = run.scheduler(optimizer)
    run.checkpoint(model, optimizer, scheduler)
    run.without("attention_scale", "embedding_multiplier", "residual_multiplier", "logits_multiplier", "clip_norm")
    for step in run.steps():
        optimizer.zero_grad()
        loss = model(torch.ones(2, 8)).square().mean() + 1
        loss.backward()
        optimizer.step()
        scheduler.step()
        run.report(train_loss=float("nan") if run.settings.end == "diverged" and step == 3 else loss, held=held)
        if run.settings.end == "failed" and step == 3:
            raise RuntimeError("out of luck")
    run.evaluate(validation_loss=loss)


musweep.main(train)
