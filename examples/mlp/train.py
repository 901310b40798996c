"""An image classifier: a multilayer perceptron on drawn digits. Stays warm: one process trains one run after the other.

The images are made, not loaded: digits of seven segments, moved, turned, sheared, scaled at random, with noise. Lines
marked "# musweep" make the script a musweep trainer.
"""

import torch
import torch.nn.functional as F
from torch import nn

import musweep  # musweep

SIZE = 16
# Lit segments of each digit: top, upper left, upper right, middle, lower left, lower right, bottom.
DIGITS = ("1110111", "0010010", "1011101", "1011011", "0111010", "1101011", "1101111", "1010010", "1111111", "1111011")
# Rows and columns of each segment on a canvas of 9 × 6.
SEGMENTS = ((0, 1, 1, 5), (1, 4, 0, 1), (1, 4, 5, 6), (4, 5, 1, 5), (5, 8, 0, 1), (5, 8, 5, 6), (8, 9, 1, 5))


def canvases():
    """[10, 1, 9, 6], ink is 1."""
    drawn = torch.zeros(10, 1, 9, 6)
    for digit, lit in enumerate(DIGITS):
        for on, (top, bottom, left, right) in zip(lit, SEGMENTS):
            drawn[digit, 0, top:bottom, left:right] = float(on)
    return drawn


def draw(count, generator):
    """Images [count, SIZE²] with mean square about 1, and their digits [count]."""
    digits = torch.randint(10, (count,), generator=generator)
    turn, shear, scale, x, y = (torch.rand(5, count, generator=generator) * 2 - 1) * torch.tensor(
        [[0.4], [0.3], [0.3], [0.5], [0.4]]
    )
    size = 1.5 * torch.exp(scale)
    cos, sin = size * torch.cos(turn), size * torch.sin(turn)
    poses = torch.stack((torch.stack((1.4 * cos, shear - sin, x), 1), torch.stack((sin, cos, y), 1)), 1)
    grid = F.affine_grid(poses, [count, 1, SIZE, SIZE], align_corners=False)
    images = F.grid_sample(canvases()[digits], grid, align_corners=False).flatten(1)
    return 2 * images + 0.5 * torch.randn(images.shape, generator=generator), digits


class MLP(nn.Module):
    def __init__(self, run):
        super().__init__()
        self.run = run
        width = run.settings.width
        self.input = nn.Linear(SIZE * SIZE, width)
        self.hidden = nn.ModuleList(nn.Linear(width, width) for _ in range(run.settings.layers))
        self.output = nn.Linear(width, 10)
        for layer in (self.input, *self.hidden, self.output):
            nn.init.zeros_(layer.bias)

    def forward(self, images):
        x = self.run.embedding_multiplier * self.input(images)  # musweep
        for layer in self.hidden:
            x = layer(F.relu(x))
        return self.run.logits_multiplier * self.output(F.relu(x))  # musweep


def train(run):
    settings = run.settings
    # The same held-out images for every run; training images follow the seed.
    images, digits = draw(2000, torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(run.seed + 1)  # musweep
    model = MLP(run)
    roles = {
        "input.weight": "embedding",
        "hidden.*.weight": "hidden",
        "output.weight": "unembedding",
        "*.bias": "vector",
    }
    optimizer = torch.optim.AdamW(run.apply(model, roles))  # musweep
    scheduler = run.scheduler(optimizer)  # musweep
    run.without("attention_scale", "residual_multiplier")  # musweep
    run.checkpoint(  # musweep
        model,
        optimizer,
        scheduler,
        save=lambda path: torch.save(generator.get_state(), path),
        load=lambda path: generator.set_state(torch.load(path)),
    )
    run.modules({"hidden": model.hidden, "logits": model}, lambda: model(images[:500]))  # musweep

    parameters = sum(p.numel() for p in model.parameters())
    batch = settings.batch_size
    for _ in run.steps(tokens_per_step=batch, flops_per_step=6 * parameters * batch):  # musweep
        x, y = draw(batch, generator)
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        run.clip(model)  # musweep
        optimizer.step()
        scheduler.step()
        run.report(train_loss=loss)  # musweep

    with torch.no_grad():
        logits = model(images)
    accuracy = float((logits.argmax(1) == digits).float().mean())
    run.evaluate(validation_loss=F.cross_entropy(logits, digits), accuracy=accuracy)  # musweep


musweep.main(train)  # musweep
