"""FlexAttention against dense biases: the largest difference of each shape, a line each. Without gradients, which it has on GPUs alone."""

import sys

import torch

from musweep_torch.attention import DenseAttention, FlexAttention, flex_takes
from musweep_torch.plan import Shape

torch.manual_seed(1)
cpu = torch.device("cpu")
for positions, heads, d_head, length in [("alibi", 4, 16, 128), ("alibi", 6, 32, 256), ("none", 2, 64, 128)]:
    shape = Shape(1, heads * d_head, d_head, 8, length, "rmsnorm", 1e-5, positions, True, 16, 1, None, 1, "float32")
    if not flex_takes(shape):
        sys.exit(f"{shape} is not taken")
    q, k, v = torch.randn(3, 3, heads, length, d_head)
    print((DenseAttention(shape, cpu)(q, k, v) - FlexAttention(shape, cpu)(q, k, v)).abs().max().item(), flush=True)
