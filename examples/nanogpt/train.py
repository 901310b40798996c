"""A small GPT on bytes of text, in plain PyTorch. Lines marked "# musweep" make the script a musweep trainer.

Text: the file that the host's $TEXT names, else the sources of the Python standard library, which every Python has. Not
a setting: a sweep file must not decide what a host reads.
"""

import contextlib
import math
import os
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

import musweep  # musweep

run = musweep.start()  # musweep
settings = run.settings  # musweep
torch.manual_seed(run.seed)  # musweep
device = "cuda" if torch.cuda.is_available() else "cpu"
T, B, C = settings.sequence_length, settings.batch_size, settings.width


def read_text(path):
    """Bytes as a tensor, split into training (90%) and validation."""
    files = [Path(path)] if path else sorted(Path(os.__file__).parent.glob("*.py"))
    content = bytearray(b"".join(file.read_bytes() for file in files))
    tokens = torch.frombuffer(content, dtype=torch.uint8).long()
    return tokens[: len(tokens) * 9 // 10], tokens[len(tokens) * 9 // 10 :]


def sequences(tokens, starts):
    """Inputs and targets, [len(starts), T] each."""
    both = torch.stack([tokens[i : i + T + 1] for i in starts]).to(device)
    return both[:, :-1], both[:, 1:]


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention_norm, self.ffn_norm = nn.RMSNorm(C), nn.RMSNorm(C)
        self.qkv = nn.Linear(C, 3 * C, bias=False)
        self.out = nn.Linear(C, C, bias=False)
        self.up = nn.Linear(C, 4 * C, bias=False)
        self.down = nn.Linear(4 * C, C, bias=False)

    def attention(self, x):
        # [B, T, 3C] to three of [B, heads, T, d_head]
        q, k, v = self.qkv(x).unflatten(-1, (3, -1, settings.d_head)).permute(2, 0, 3, 1, 4)
        scale = run.attention_scale(settings.d_head)  # musweep
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scale)
        return self.out(y.transpose(1, 2).flatten(2))

    def forward(self, x):
        x = x + run.residual_multiplier * self.attention(self.attention_norm(x))  # musweep
        return x + run.residual_multiplier * self.down(F.gelu(self.up(self.ffn_norm(x))))  # musweep


class GPT(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(256, C), nn.Embedding(T, C)
        self.blocks = nn.ModuleList(Block() for _ in range(settings.layers))
        self.norm = nn.RMSNorm(C)
        self.unembedding = nn.Linear(C, 256, bias=False)
        self.unembedding.weight = self.tokens.weight

    def forward(self, tokens):
        x = self.tokens(tokens) + self.positions.weight[: tokens.shape[1]]
        x = run.embedding_multiplier * x  # musweep
        for block in self.blocks:
            x = block(x)
        return run.logits_multiplier * self.unembedding(self.norm(x))  # musweep


training, validation = read_text(os.environ.get("TEXT"))
model = GPT().to(device)
groups = run.apply(  # musweep
    model,
    roles={
        "tokens.*": "embedding",
        "positions.*": "embedding",
        "blocks.*.qkv.*": "hidden",
        "blocks.*.up.*": "hidden",
        "blocks.*.out.*": "residual_output",
        "blocks.*.down.*": "residual_output",
        "blocks.*_norm.*": "vector",
        "norm.*": "final_vector",
    },
)
optimizer = torch.optim.AdamW(groups)  # musweep
scheduler = run.scheduler(optimizer)  # musweep
run.checkpoint(model, optimizer, scheduler)  # musweep


def loss_of(tokens, starts):
    x, y = sequences(tokens, starts)
    half = run.precision == "bfloat16"  # musweep
    with torch.autocast(device, dtype=torch.bfloat16) if half else contextlib.nullcontext():
        logits = model(x)
    return F.cross_entropy(logits.float().flatten(0, 1), y.flatten())


@torch.no_grad()
def validation_loss(batches=8):
    """On the same sequences every time, spread over the held-out text."""
    starts = torch.linspace(0, len(validation) - T - 1, batches * B).long().split(B)
    return sum(float(loss_of(validation, part)) for part in starts) / batches


fixed = sequences(validation, range(0, 4 * T, T))[0]
parts = {"attention": [b.out for b in model.blocks], "ffn": [b.down for b in model.blocks], "logits": model}
run.modules(parts, lambda: model(fixed))  # musweep

parameters = sum(p.numel() for p in model.parameters())
for step in run.steps(tokens_per_step=B * T, flops_per_step=6 * parameters * B * T):  # musweep
    loss = loss_of(training, torch.randint(len(training) - T, (B,)).tolist())
    optimizer.zero_grad()
    loss.backward()
    norm = run.clip(model)  # musweep
    optimizer.step()
    scheduler.step()
    run.report(train_loss=loss, gradient_norm=norm)  # musweep
    if step % 100 == 0 and step < settings.steps:
        run.evaluate(validation_loss=validation_loss())  # musweep

loss = validation_loss()
run.evaluate(validation_loss=loss, bits_per_byte=loss / math.log(2))  # musweep
