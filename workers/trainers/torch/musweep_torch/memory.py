"""How much memory a run will need, from its shape alone, and how running out of it shows."""

import math
import os

import torch

from .layout import parameters_of
from .loss import tokens_per_piece

MEBIBYTE = 2**20


def _own_bytes():
    """Resident bytes of Python, PyTorch and their code, before any run: PyTorch for CUDA takes twice what the one for CPUs does."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        # Not Linux: that of a PyTorch for CPUs.
        return 210 * MEBIBYTE


# With what PyTorch loads at its first pass; on a GPU what CUDA's context and libraries take there.
PROCESS_BYTES = {"cpu": _own_bytes() + 90 * MEBIBYTE, "cuda": 900 * MEBIBYTE}
# Of what a device has, what passes may fill; the rest is for pieces that fit nothing.
FILLED = 0.8
# Sequences times heads of a pass: older versions of FlexAttention have one of CUDA's second dimension for each.
MOST_HEADS = 65_535
# Tokens per pass that a CPU is kept busy by.
CPU_TOKENS_PER_PASS = 4096


class OutOfMemory(Exception):
    """Not even the smallest pass fits."""


def is_out_of_memory(error):
    # The CPU's allocator, CUDA's libraries and kernels that are compiled have no class of their own for it.
    said = (
        "DefaultCPUAllocator: can't allocate memory",
        "CUDA error: out of memory",
        "CUDA driver error: out of memory",
        "CUBLAS_STATUS_ALLOC_FAILED",
        "Triton Error [CUDA]: out of memory",
    )
    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in said)
    )


def _sizes(shape, replicas, pad):
    return [math.prod(p.shape(replicas)) for p in parameters_of(shape, pad).values()]


def state_bytes(shape, replicas, pad):
    """Weights, two moments, gradients, and a byte of mask each."""
    return (4 * 4 + 1) * sum(_sizes(shape, replicas, pad))


def update_bytes(shape, replicas, pad):
    """What an update of the largest parameter takes besides."""
    return 4 * 5 * max(_sizes(shape, replicas, pad))


def bytes_per_token(shape):
    """What a token's forward pass leaves behind for its backward pass, in one replica."""
    wide = 4 if shape.precision == "float32" else 3
    block = 16 * shape.d_model + 6 * shape.d_ffn
    return wide * (shape.layers * block + 4 * shape.d_model)


def loss_bytes(shape, replicas, tokens, pad, device_type):
    """Pieces of logits, and their gradients at the unembedding."""
    rows = -(-shape.vocab_size // pad) * pad
    piece = min(tokens_per_piece(replicas, rows, device_type), tokens)
    return replicas * (4 * 3 * piece * rows + 2 * 4 * rows * shape.d_model)


def pass_bytes(shape, replicas, sequences, pad, device_type):
    """One forward and backward pass of this many sequences of each replica."""
    tokens = sequences * shape.sequence_length
    activations = replicas * tokens * bytes_per_token(shape)
    # Those of the layers, before they are put together.
    gradients = 4 * sum(_sizes(shape, replicas, pad))
    bias = 2 * 4 * shape.heads * shape.sequence_length**2 if device_type == "cpu" else 0
    return activations + gradients + loss_bytes(shape, replicas, tokens, pad, device_type) + bias


def divisors(n):
    """Of n, from the largest."""
    return [d for d in range(n, 0, -1) if n % d == 0]


def sequences_per_pass(shape, replicas, share, pad, device):
    """
    How many of the `share` sequences of a rank go into one pass: what the plan says, else as many as keep a CPU busy or
    fit a GPU; there, no more than attention takes at once.
    """
    launches = lambda n: device.type == "cpu" or replicas * n * shape.heads <= MOST_HEADS
    if shape.micro_batch_size is not None:
        return next(filter(launches, divisors(math.gcd(shape.micro_batch_size, share))), 1)
    if device.type == "cpu":
        fits = lambda n: replicas * n * shape.sequence_length <= CPU_TOKENS_PER_PASS
    else:
        room = FILLED * total_bytes(device) - state_bytes(shape, replicas, pad) - PROCESS_BYTES["cuda"]
        fits = lambda n: pass_bytes(shape, replicas, n, pad, device.type) <= room
    return next((n for n in divisors(share) if launches(n) and fits(n)), 1)


def coordinates_bytes(shape, replicas):
    """Activations of the initial networks that a coordinate check keeps, and those of the sequence under way."""
    length, layers = shape.sequence_length, shape.layers
    values = length * ((1 + 2 * layers) * shape.d_model + layers * shape.heads * length + shape.vocab_size)
    return 4 * replicas * values * (shape.evaluation_sequences + 3)


def total_bytes(device):
    return torch.cuda.get_device_properties(device).total_memory


def estimate(shape, replicas, sequences, pad, device):
    """Peak bytes of a process that trains this many replicas: resident ones on a CPU, the device's on a GPU."""
    kind = device.type
    # A checkpoint is written from a copy on the host, while training goes on.
    copy = 4 * 3 * sum(_sizes(shape, replicas, pad)) if kind == "cpu" else 0
    working = max(pass_bytes(shape, replicas, sequences, pad, kind), update_bytes(shape, replicas, pad))
    return PROCESS_BYTES[kind] + copy + state_bytes(shape, replicas, pad) + working
