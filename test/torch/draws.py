"""The random numbers of docs/trainer-protocol.md, drawn from that page alone: initial weights, masks, batches.

Nothing here knows the embedded trainer. If these numbers are its numbers, the page is enough for another engine.
"""

import math

import numpy as np

LOW = np.uint64(0xFFFFFFFF)
SHIFT = np.uint64(32)


def philox4x32_10(counter, key):
    """Philox4x32-10 (Salmon et al., SC 2011). counter: four arrays of 32-bit words; key: two words. Four arrays."""
    c = [np.asarray(word, dtype=np.uint64) for word in counter]
    k = [int(word) for word in key]
    for _ in range(10):
        left = c[0] * np.uint64(0xD2511F53)
        right = c[2] * np.uint64(0xCD9E8D57)
        c = [
            (right >> SHIFT) ^ c[1] ^ np.uint64(k[0]),
            right & LOW,
            (left >> SHIFT) ^ c[3] ^ np.uint64(k[1]),
            left & LOW,
        ]
        k = [(k[0] + 0x9E3779B9) % 2**32, (k[1] + 0xBB67AE85) % 2**32]
    return c


# The known answers that come with the authors' Random123 library: counter, key, result.
KNOWN_ANSWERS = [
    ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        [0xA4093822, 0x299F31D0],
        [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
    ),
]


def known_answers_hold():
    return all(
        [int(word) for word in philox4x32_10(counter, key)] == result for counter, key, result in KNOWN_ANSWERS
    )


def fnv1a_64(text):
    value = 0xCBF29CE484222325
    for byte in text.encode("utf-8"):
        value = ((value ^ byte) * 0x100000001B3) % 2**64
    return value


def words(seed, stream, first_block, blocks):
    """Words 4·first_block … of a stream, [4·blocks]."""
    h = fnv1a_64(stream)
    b = np.arange(first_block, first_block + blocks, dtype=np.uint64)
    tag = np.full_like(b, h >> 32)
    block = philox4x32_10([b & LOW, b >> SHIFT, tag, np.zeros_like(b)], [seed, h % 2**32])
    return np.stack(block, axis=1).reshape(-1)


def normal(seed, name, size, std):
    w = words(seed, f"init/{name}", 0, -(-size // 4)).astype(np.float64)
    u, v = (w[0::2] + 0.5) / 2**32, (w[1::2] + 0.5) / 2**32
    r = np.sqrt(-2 * np.log(u))
    pairs = np.stack([r * np.cos(2 * np.pi * v), r * np.sin(2 * np.pi * v)], axis=1)
    return (pairs.reshape(-1)[:size] * std).astype(np.float32)


def mask(seed, name, size, density, kind):
    w = words(seed, f"mask/{name}", 0, -(-size // 4))[:size]
    if kind == "bernoulli":
        return (w.astype(np.float64) < density * 2**32).astype(np.float32)
    out = np.zeros(size, dtype=np.float32)
    out[np.argsort(w, kind="stable")[: math.floor(density * size + 0.5)]] = 1
    return out


def training_offsets(plan, train_tokens):
    """First tokens of all training sequences of a run, [steps, batch_size]."""
    count = plan["steps"] * plan["batch_size"]
    w = words(plan["seed"], "data", 0, count).reshape(count, 4)
    # Exact in float64: both parts together have 53 bits.
    u = ((w[:, 0] >> np.uint64(5)).astype(np.float64) * 2**26 + (w[:, 1] >> np.uint64(6)).astype(np.float64)) / 2**53
    starts = np.floor(u * (train_tokens - plan["shape"]["sequence_length"])).astype(np.int64)
    return starts.reshape(plan["steps"], plan["batch_size"])


def validation_offsets(plan, validation_tokens):
    count = plan["evaluation"]["sequences"]
    last = validation_tokens - plan["shape"]["sequence_length"] - 1
    return np.array([j * last // (count - 1) if count > 1 else 0 for j in range(count)])


def sequences(tokens, offsets, length):
    """T + 1 tokens from each offset: inputs and targets, each [..., T]."""
    both = tokens[offsets[..., None] + np.arange(length + 1)].astype(np.int64)
    return both[..., :-1], both[..., 1:]
