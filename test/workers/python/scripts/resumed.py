"""Training that depends on every kind of random number, and a position: resumed, it ends with the same bits."""

import json
import os
import random
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import musweep

run = musweep.start()
torch.manual_seed(run.seed)
random.seed(run.seed)
np.random.seed(run.seed)
model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4))
roles = {"0.weight": "embedding", "3.weight": "hidden", "5.weight": "unembedding", "*.bias": "vector"}
optimizer = torch.optim.AdamW(run.apply(model, roles))
scheduler = run.scheduler(optimizer)
run.without("attention_scale", "embedding_multiplier", "residual_multiplier", "logits_multiplier")
position = 0


def save(path):
    os.makedirs(path)
    with open(os.path.join(path, "position.json"), "w") as file:
        json.dump(position, file)


def load(path):
    global position
    with open(os.path.join(path, "position.json")) as file:
        position = json.load(file)


run.checkpoint(model, optimizer, scheduler, save=save, load=load)
# What is drawn before the first step is drawn by the resumed script too.
held_out = torch.randn(64, 8)
for step in run.steps():
    position += 3
    x = torch.randn(16, 8) + random.random() + float(np.random.rand()) + position / 100
    loss = F.cross_entropy(model(x), (x[:, 0] > 1).long())
    optimizer.zero_grad()
    loss.backward()
    run.clip(model)
    optimizer.step()
    scheduler.step()
    run.report(train_loss=loss)
    if step % 10 == 0 and step < 40:
        run.evaluate(validation_loss=F.cross_entropy(model(held_out), (held_out[:, 0] > 1).long()))
    time.sleep(run.settings.pause)
model.eval()
run.evaluate(validation_loss=F.cross_entropy(model(held_out), (held_out[:, 0] > 1).long()), position=position)
if run.weights_path:
    with open(run.weights_path, "wb") as file:
        file.write(b"".join(tensor.numpy().tobytes() for tensor in model.state_dict().values()))
