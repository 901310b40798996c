"""The model and its training in plain PyTorch, from the formulas of docs/trainer-protocol.md, with autograd.

Forward pass: Dey, Bergsma, Hestness, arXiv 2405.15743, table 1: masked weights are W∘M in the forward pass, which masks their
gradients. ALiBi: Press, Smith, Lewis, arXiv 2108.12409. Optimizer and schedules are PyTorch's own.
"""

import math
import re

import torch
import torch.nn.functional as F


def tensor_shapes(plan):
    """Every tensor of the model by name, in the order of the protocol's page."""
    shape, vocabulary = plan["shape"], plan["data"]["vocab_size"]
    c, f = shape["d_model"], shape["d_ffn"]
    norm_parts = [".gain", ".bias"] if shape["norm"] == "layernorm" else [".gain"]
    shapes = {"embedding": (vocabulary, c)}
    for layer in range(shape["layers"]):
        block = f"blocks.{layer}."
        shapes |= {f"{block}attention_norm{part}": (c,) for part in norm_parts}
        shapes |= {f"{block}attention_{kind}": (c, c) for kind in ["query", "key", "value", "output"]}
        shapes |= {f"{block}ffn_norm{part}": (c,) for part in norm_parts}
        shapes |= {f"{block}ffn_gate": (c, f), f"{block}ffn_up": (c, f), f"{block}ffn_down": (f, c)}
    shapes |= {f"final_norm{part}": (c,) for part in norm_parts}
    return shapes if shape["tied_embeddings"] else shapes | {"unembedding": (vocabulary, c)}


def group_of(plan, tensor):
    """The plan's entry of a tensor: the name without its block and part."""
    name = re.sub(r"^blocks\.\d+\.|\.(gain|bias)$", "", tensor)
    return next(group for group in plan["groups"] if group["name"] == name)


def alibi_slopes(heads):
    """Geometric from 2^(−8/n) with that ratio for n = 2^k heads; else the nearest power below, and every other of twice it."""
    power = 1 << (heads.bit_length() - 1)
    ratio = 2.0 ** (-8.0 / power)
    slopes = [ratio**i for i in range(1, power + 1)]
    finer = math.sqrt(ratio)
    return slopes + [finer ** (2 * i + 1) for i in range(heads - power)]


def schedule_factors(plan):
    """The factor of steps 1 … steps, by PyTorch's schedulers from the peak on."""
    steps, schedule = plan["steps"], plan["schedule"]
    warmup, final = schedule["warmup_steps"], schedule["final_fraction"]
    peak = max(warmup, 1)
    rate = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    span = max(steps - peak, 1)
    scheduler = {
        "linear": lambda: torch.optim.lr_scheduler.LinearLR(rate, 1.0, final, total_iters=span),
        "cosine": lambda: torch.optim.lr_scheduler.CosineAnnealingLR(rate, T_max=span, eta_min=final),
        "constant": lambda: torch.optim.lr_scheduler.ConstantLR(rate, factor=1.0),
    }[schedule["decay"]]()
    factors = [t / warmup for t in range(1, min(warmup, steps) + 1)]
    if warmup == 0:
        factors.append(1.0)
    while len(factors) < steps:
        rate.step()
        scheduler.step()
        factors.append(rate.param_groups[0]["lr"])
    return factors


class Reference:
    """One run. Matrices are [fan_in, fan_out]; tokens [B, T]."""

    def __init__(self, plan, weights, masks, dtype=torch.float64):
        self.plan = plan
        self.masks = {name: mask.to(dtype) for name, mask in masks.items()}
        self.weights = {name: weight.to(dtype).clone().requires_grad_() for name, weight in weights.items()}
        self.dtype = dtype
        self.factors = schedule_factors(plan)
        self.optimizer = self.make_optimizer()

    # The forward pass.

    def weight(self, name):
        return self.weights[name] * self.masks[name] if name in self.masks else self.weights[name]

    def norm(self, x, name):
        c, eps = self.plan["shape"]["d_model"], self.plan["shape"]["norm_eps"]
        if self.plan["shape"]["norm"] == "rmsnorm":
            return F.rms_norm(x, (c,), self.weight(f"{name}.gain"), eps)
        return F.layer_norm(x, (c,), self.weight(f"{name}.gain"), self.weight(f"{name}.bias"), eps)

    def slopes(self, heads):
        return alibi_slopes(heads) if self.plan["shape"]["positions"] == "alibi" else [0.0] * heads

    def bias(self, heads, length):
        """What is added to the attention scores, [H, T, T]: −slope·distance to the past, −∞ to the future."""
        position = torch.arange(length, dtype=self.dtype)
        distance = position[:, None] - position[None, :]
        slopes = torch.tensor(self.slopes(heads), dtype=self.dtype)
        return (-slopes[:, None, None] * distance).masked_fill(distance < 0, -math.inf)

    def attention(self, x, prefix):
        batch, length, c = x.shape
        heads = c // self.plan["shape"]["d_head"]
        q, k, v = (
            (x @ self.weight(f"{prefix}attention_{kind}")).unflatten(-1, (heads, -1)).transpose(1, 2)
            for kind in ["query", "key", "value"]
        )
        scale = self.plan["forward"]["attention_scale"]
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=self.bias(heads, length), scale=scale)
        return mixed.transpose(1, 2).reshape(batch, length, c) @ self.weight(f"{prefix}attention_output")

    def feed_forward(self, x, prefix):
        gate, up = x @ self.weight(f"{prefix}ffn_gate"), x @ self.weight(f"{prefix}ffn_up")
        return (F.silu(gate) * up) @ self.weight(f"{prefix}ffn_down")

    def unembedding(self):
        return self.weight("embedding" if self.plan["shape"]["tied_embeddings"] else "unembedding")

    def logits(self, inputs):
        forward = self.plan["forward"]
        x = forward["embedding_multiplier"] * F.embedding(inputs, self.weight("embedding"))
        r = forward["residual_multiplier"]
        for layer in range(self.plan["shape"]["layers"]):
            block = f"blocks.{layer}."
            x = x + r * self.attention(self.norm(x, f"{block}attention_norm"), block)
            x = x + r * self.feed_forward(self.norm(x, f"{block}ffn_norm"), block)
        return forward["logits_multiplier"] * self.norm(x, "final_norm") @ self.unembedding().T

    def loss(self, inputs, targets):
        return F.cross_entropy(self.logits(inputs).flatten(0, 1), targets.flatten())

    # Training.

    def gradients(self, inputs, targets):
        """Loss, and its gradients by name; masked, not clipped."""
        loss = self.loss(inputs, targets)
        gradients = torch.autograd.grad(loss, list(self.weights.values()), allow_unused=True, materialize_grads=True)
        return loss.item(), dict(zip(self.weights, gradients))

    def make_optimizer(self):
        groups = [
            {"params": [weight], "group": group_of(self.plan, name), "eps": group_of(self.plan, name)["eps"]}
            for name, weight in self.weights.items()
        ]
        adam = self.plan["optimizer"]
        betas = (float(adam["beta1"]), float(adam["beta2"]))
        return torch.optim.AdamW(groups, betas=betas)

    def clip_factor(self, norm):
        clip = self.plan["clip_norm"]
        return 1.0 if clip is None or norm <= clip else clip / norm

    def update(self, t, gradients):
        """Step t of AdamW. PyTorch's decay per step is lr·weight_decay; ours is given as it is."""
        for entry in self.optimizer.param_groups:
            entry["lr"] = self.factors[t - 1] * entry["group"]["learning_rate"]
            entry["weight_decay"] = entry["group"]["decay_per_step"] / entry["group"]["learning_rate"]
        for name, weight in self.weights.items():
            weight.grad = gradients[name]
        self.optimizer.step()

    def step(self, t, inputs, targets):
        """Loss before the update, and the gradient's global norm before clipping."""
        loss, gradients = self.gradients(inputs, targets)
        norm = torch.linalg.vector_norm(torch.stack([g.norm() for g in gradients.values()])).item()
        self.update(t, {name: g * self.clip_factor(norm) for name, g in gradients.items()})
        return loss, norm

    def evaluate(self, inputs, targets):
        """Mean over the sequences, all of one length."""
        with torch.no_grad():
            return self.loss(inputs, targets).item()
