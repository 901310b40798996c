"""A transformers model under transformers.Trainer. Lines marked "# musweep" make the script a musweep trainer.

Granite is a Llama whose configuration has all four multipliers. The text is the Python standard library.
"""

import os
import tempfile
from pathlib import Path

import torch
from transformers import GraniteConfig, GraniteForCausalLM, Trainer, TrainingArguments

import musweep  # musweep

run = musweep.start()  # musweep
settings = run.settings  # musweep
length, width, d_head = settings.sequence_length, settings.width, settings.d_head

files = sorted(Path(os.__file__).parent.glob("*.py"))
tokens = torch.frombuffer(bytearray(b"".join(file.read_bytes() for file in files)), dtype=torch.uint8).long()
rows = [{"input_ids": row, "labels": row} for row in tokens[: len(tokens) // length * length].view(-1, length)]
held_out = rows[:: len(rows) // 64][:64]
training = [row for i, row in enumerate(rows) if i % (len(rows) // 64)]

torch.manual_seed(run.seed)  # musweep
config = GraniteConfig(
    vocab_size=256,
    hidden_size=width,
    intermediate_size=4 * width,
    num_hidden_layers=settings.layers,
    num_attention_heads=width // d_head,
    max_position_embeddings=length,
    embedding_multiplier=run.embedding_multiplier,  # musweep
    residual_multiplier=run.residual_multiplier,  # musweep
    attention_multiplier=run.attention_scale(d_head),  # musweep
    logits_scaling=1 / run.logits_multiplier,  # musweep
    tie_word_embeddings=True,
    bos_token_id=None,
    eos_token_id=None,
    pad_token_id=None,
)
model = GraniteForCausalLM(config)
roles = {
    "*.embed_tokens.weight": "embedding",
    "*.[qkv]_proj.weight": "hidden",
    "*.gate_proj.weight": "hidden",
    "*.up_proj.weight": "hidden",
    "*.o_proj.weight": "residual_output",
    "*.down_proj.weight": "residual_output",
    "*layernorm.weight": "vector",
    "model.norm.weight": "final_vector",
}
optimizer = torch.optim.AdamW(run.apply(model, roles))  # musweep
output = tempfile.TemporaryDirectory()
arguments = TrainingArguments(
    output_dir=output.name,
    max_steps=settings.steps,  # musweep
    per_device_train_batch_size=settings.batch_size,
    per_device_eval_batch_size=settings.batch_size,
    max_grad_norm=run.clip_norm or 0,  # musweep
    bf16=run.precision == "bfloat16",  # musweep
    seed=run.seed,  # musweep
    logging_steps=1,  # musweep
    save_strategy="no",
    use_cpu=not torch.cuda.is_available(),
    report_to=[],
    disable_tqdm=True,
)
trainer = Trainer(
    model,
    arguments,
    train_dataset=training,
    eval_dataset=held_out,
    optimizers=(optimizer, run.scheduler(optimizer)),  # musweep
    callbacks=[musweep.huggingface_callback(run)],  # musweep
)
trainer.train()
trainer.evaluate()
