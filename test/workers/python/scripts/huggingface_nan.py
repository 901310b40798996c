"""transformers.Trainer on a loss that is not a number from step 3 on, while every gradient is one."""

import tempfile

import torch
from torch import nn
from transformers import Trainer, TrainingArguments

import musweep

run = musweep.start()


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(8, 16), nn.Linear(16, 4)

    def forward(self, x, labels=None):
        logits = self.last(self.first(x).relu())
        loss = nn.functional.cross_entropy(logits, labels)
        return {"loss": loss + float("nan") if self.training and run.step >= 3 else loss, "logits": logits}


model = Model()
optimizer = torch.optim.AdamW(
    run.apply(model, {"first.weight": "embedding", "last.weight": "unembedding", "*.bias": "vector"})
)
run.without("attention_scale", "embedding_multiplier", "residual_multiplier", "logits_multiplier", "clip_norm")
run.without("precision")
arguments = TrainingArguments(
    output_dir=tempfile.mkdtemp(),
    max_steps=10,
    max_grad_norm=0,
    logging_steps=1,
    save_strategy="no",
    use_cpu=True,
    report_to=[],
    disable_tqdm=True,
)
rows = [{"x": torch.randn(8), "labels": torch.tensor(i % 4)} for i in range(32)]
trainer = Trainer(
    model,
    arguments,
    train_dataset=rows,
    eval_dataset=rows,
    optimizers=(optimizer, run.scheduler(optimizer)),
    callbacks=[musweep.huggingface_callback(run)],
)
trainer.train()
trainer.evaluate()
