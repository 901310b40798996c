"""The language model: pre-norm decoder blocks with causal attention and SwiGLU, on R replicas at once.

Every matrix is [R, fan_in, fan_out], every product batched over replicas; what differs between replicas of one shape (weights,
multipliers) comes in as tensors, so one compiled block serves all layers, steps and runs. Products are in the plan's precision; the
residual stream, norms, softmax and loss are in float32.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from .attention import DenseAttention, FlexAttention, flex_takes

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
NORM_PARAMETERS = ("gain", "bias")
BLOCK_PARAMETERS = ("attention_in", "attention_output", "ffn_in", "ffn_down")


@dataclass(frozen=True)
class Multipliers:
    """One number per replica, [R, 1, 1] each."""

    embedding: torch.Tensor
    residual: torch.Tensor
    attention: torch.Tensor
    logits: torch.Tensor

    def by_name(self):
        """Under the plan's names."""
        return {
            "embedding_multiplier": self.embedding,
            "residual_multiplier": self.residual,
            "attention_scale": self.attention,
            "logits_multiplier": self.logits,
        }


class Model:
    def __init__(self, shape, device, compiled):
        self.shape = shape
        self.dtype = DTYPES[shape.precision]
        flex = compiled and device.type == "cuda" and flex_takes(shape)
        self.attention = (FlexAttention if flex else DenseAttention)(shape, device)
        # One block, not the model: compiling takes as long for 24 layers as for one.
        self.compiled_block = torch.compile(self.block, fullgraph=True, dynamic=False) if compiled else self.block

    def product(self, x, w):
        """[R, N, in] · [R, in, out]."""
        return torch.bmm(x.to(self.dtype), w.to(self.dtype))

    def norm(self, x, weights):
        """x [R, N, C]; gain and bias [R, 1, C]."""
        if self.shape.norm == "rmsnorm":
            return F.rms_norm(x, x.shape[-1:], None, self.shape.norm_eps) * weights["gain"]
        return F.layer_norm(x, x.shape[-1:], None, None, self.shape.norm_eps) * weights["gain"] + weights["bias"]

    def heads(self, qkv, scale):
        """[R, N, 3C] to queries, scaled, keys and values: [R·B, H, T, D] each."""
        shape = self.shape
        replicas = qkv.shape[0]
        split = qkv.view(replicas, -1, 3, shape.heads, shape.d_head)
        q, k, v = split.unbind(2)
        q = (q * scale[..., None]).to(self.dtype)
        fold = (-1, shape.sequence_length, shape.heads, shape.d_head)
        return [x.reshape(fold).transpose(1, 2) for x in (q, k, v)]

    def attend(self, x, weights, scale):
        """What the attention block computes from x, before the residual multiplier; and its queries, scaled, and keys."""
        h = self.norm(x, weights["attention_norm"])
        q, k, v = self.heads(self.product(h, weights["attention_in"]), scale)
        mixed = self.attention(q, k, v).transpose(1, 2).reshape(x.shape)
        return self.product(mixed, weights["attention_output"]).float(), q, k

    def feed_forward(self, x, weights):
        h = self.norm(x, weights["ffn_norm"])
        gate, up = self.product(h, weights["ffn_in"]).chunk(2, dim=-1)
        return self.product(F.silu(gate.float()) * up.float(), weights["ffn_down"]).float()

    def block(self, x, weights, residual, attention):
        """x [R, N, C] to the same; the multipliers [R, 1, 1]."""
        attended, _, _ = self.attend(x, weights, attention)
        x = x + residual * attended
        return x + residual * self.feed_forward(x, weights)

    def embed(self, tokens, embedding, multipliers):
        """tokens [R, N] below V, embedding [1, R, V, C]: [R, N, C]."""
        replicas, rows = embedding.shape[1:3]
        first = torch.arange(replicas, device=tokens.device)[:, None] * rows
        return F.embedding(tokens + first, embedding.flatten(0, 2)) * multipliers.embedding

    def trunk(self, tokens, parameters, multipliers):
        """Tokens [R, N], whole sequences, to what the unembedding is multiplied with, [R, N, C]."""
        x = self.embed(tokens, parameters["embedding"], multipliers)
        for weights in self.layers(parameters):
            x = self.compiled_block(x, weights, multipliers.residual, multipliers.attention)
        return self.norm(x, self.norm_weights(parameters, "final_norm", 0))

    def layers(self, parameters):
        """The weights of each block."""
        unbound = {name: array.unbind(0) for name, array in parameters.items()}
        for layer in range(self.shape.layers):
            weights = {name: unbound[name][layer] for name in BLOCK_PARAMETERS}
            for norm in ("attention_norm", "ffn_norm"):
                weights[norm] = self.norm_weights(unbound, norm, layer)
            yield weights

    @staticmethod
    def norm_weights(parameters, norm, layer):
        names = [name for name in NORM_PARAMETERS if f"{norm}.{name}" in parameters]
        return {name: parameters[f"{norm}.{name}"][layer] for name in names}

    def unembedding(self, parameters):
        """[R, V, C]"""
        return parameters["embedding" if self.shape.tied_embeddings else "unembedding"][0]
