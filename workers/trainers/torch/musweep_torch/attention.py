"""Causal attention with linear biases (ALiBi: Press, Smith, Lewis, arXiv 2108.12409), replicas folded into the batch.

On a GPU: FlexAttention, whose kernel adds the biases itself and skips what is in the future. Elsewhere, and for shapes that it does not
take: scaled dot products with a dense bias, which is one matrix of T × T per head.
"""

import math

import torch
import torch.nn.functional as F


def alibi_slopes(heads):
    """Geometric from 2^(−8/n) with that ratio for n = 2^k heads; else of the nearest power below, then every other of twice it."""
    power = 1 << (heads.bit_length() - 1)
    slopes = [2.0 ** (-8.0 * (i + 1) / power) for i in range(power)]
    return slopes + [2.0 ** (-8.0 * (i + 1) / (2 * power)) for i in range(0, 2 * (heads - power), 2)]


class DenseAttention:
    """[n, H, T, D] queries, already scaled, with keys and values: the mixed values, the same shape."""

    def __init__(self, shape, device):
        self.bias = None
        if shape.positions == "alibi":
            position = torch.arange(shape.sequence_length, device=device)
            distance = (position[:, None] - position[None, :]).float()
            slopes = torch.tensor(alibi_slopes(shape.heads), device=device)
            bias = -slopes[:, None, None] * distance
            # With an axis for the batch: without it PyTorch takes a slower way, which keeps every score.
            self.bias = bias.masked_fill(distance < 0, -math.inf)[None]  # [1, H, T, T]

    def __call__(self, q, k, v):
        if self.bias is None:
            return F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=1.0)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=self.bias.to(q.dtype), scale=1.0)


class FlexAttention:
    """As DenseAttention. Has to be compiled to be fast; by itself it computes every score."""

    def __init__(self, shape, device):
        from torch.nn.attention.flex_attention import create_block_mask, flex_attention

        self.flex_attention = flex_attention
        length = shape.sequence_length
        self.causal = create_block_mask(lambda b, h, q, k: q >= k, None, None, length, length, device=str(device))
        self.biased = None
        if shape.positions == "alibi":
            slopes = torch.tensor(alibi_slopes(shape.heads), device=device)
            self.biased = lambda score, b, h, q, k: score - slopes[h] * (q - k)

    def __call__(self, q, k, v):
        return self.flex_attention(q, k, v, score_mod=self.biased, block_mask=self.causal, scale=1.0)


def flex_takes(shape):
    """What the kernel is known to take: heads of a power of two from 16, and whole blocks of 128 tokens."""
    d = shape.d_head
    return d >= 16 and d & (d - 1) == 0 and shape.sequence_length % 128 == 0
