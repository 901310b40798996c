"""Counter-based random numbers: Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011).

A number is a pure function of (seed, stream name, position), as docs/trainer-protocol.md defines it, and so the same on every
device, rank and engine. PyTorch has hardly any arithmetic on unsigned integers; 32-bit words are kept in int64 tensors, whose
products wrap around at 2^64 and have the right bits all the same.
"""

import math

import torch

LOW = 0xFFFFFFFF
ROUNDS = 10
# Blocks of four words drawn at a time: on a CPU what its cache holds, on a GPU what keeps it busy.
BLOCKS_AT_ONCE = {"cpu": 1 << 14, "cuda": 1 << 21}


def fnv1a_64(name):
    """FNV-1a, 64 bits, of the UTF-8 bytes of a name."""
    value = 0xCBF29CE484222325
    for byte in name.encode("utf-8"):
        value = ((value ^ byte) * 0x100000001B3) % 2**64
    return value


class Stream:
    """An endless sequence of 32-bit words, addressed by position: word w is word w mod 4 of block w div 4."""

    def __init__(self, seed, name):
        hashed = fnv1a_64(name)
        self.key = (seed, hashed & LOW)
        self.tag = hashed >> 32

    def blocks(self, index):
        """The blocks of these numbers: int64 [n] to int64 [n, 4]."""
        c = [index & LOW, index >> 32, torch.full_like(index, self.tag), torch.zeros_like(index)]
        k0, k1 = self.key
        for _ in range(ROUNDS):
            left, right = c[0] * 0xD2511F53, c[2] * 0xCD9E8D57
            # The shift copies the sign; the mask takes the copies away.
            c = [((right >> 32) & LOW) ^ c[1] ^ k0, right & LOW, ((left >> 32) & LOW) ^ c[3] ^ k1, left & LOW]
            k0, k1 = (k0 + 0x9E3779B9) & LOW, (k1 + 0xBB67AE85) & LOW
        return torch.stack(c, dim=1)

    def pieces(self, count, device):
        """(position, words) of the first `count` words, in pieces: the first word's place, int64 [at most a piece]."""
        at_once = BLOCKS_AT_ONCE[device.type]
        for first in range(0, -(-count // 4), at_once):
            last = min(first + at_once, -(-count // 4))
            words = self.blocks(torch.arange(first, last, dtype=torch.int64, device=device)).flatten()
            yield 4 * first, words[: count - 4 * first]

    def words(self, count, device):
        """The first `count` words, int64 [count]."""
        out = torch.empty(count, dtype=torch.int64, device=device)
        for start, words in self.pieces(count, device):
            out[start : start + len(words)] = words
        return out

    def fill_normal(self, out, deviation):
        """Normal numbers of mean 0 into float32 [n]: Box and Muller on pairs of words in float64, rounded at the end."""
        count = out.numel()
        for start, words in self.pieces(count + count % 2, out.device):
            pairs = (words.to(torch.float64) + 0.5) / 2.0**32
            radius = deviation * torch.sqrt(-2 * torch.log(pairs[0::2]))
            angle = 2 * math.pi * pairs[1::2]
            normal = torch.stack([radius * torch.cos(angle), radius * torch.sin(angle)], dim=1).flatten()
            out[start : start + len(normal)] = normal[: count - start].to(torch.float32)

    def integers_below(self, bound, positions):
        """Integers in [0, bound) at positions, int64 [n]: ⌊u·bound⌋ with a u of 53 bits from the first two words of a block."""
        four = self.blocks(positions)
        high, low = (four[:, 0] >> 5).to(torch.float64), (four[:, 1] >> 6).to(torch.float64)
        return torch.floor((high * 2.0**26 + low) / 2.0**53 * bound).to(torch.int64)


def rounded(x):
    """To the nearest integer, halves up."""
    whole = math.floor(x)
    return whole + (x - whole >= 0.5)


def smallest(words, count):
    """True at the `count` smallest words, equal ones in the order of their places. By counting: sorting takes far longer."""
    if count == 0:
        return torch.zeros_like(words, dtype=torch.bool)
    high = words >> 16
    threshold, missing = _nth(torch.bincount(high, minlength=1 << 16), count)
    low, missing = _nth(torch.bincount(words[high == threshold] & 0xFFFF, minlength=1 << 16), missing)
    threshold = (threshold << 16) | low
    equal = words == threshold
    return (words < threshold) | (equal & (torch.cumsum(equal, 0) <= missing))


def _nth(counts, n):
    """The value that the n-th of so many counted values has, and how many of that value are among the first n."""
    summed = torch.cumsum(counts, 0)
    value = int(torch.searchsorted(summed, n))
    return value, n - int(summed[value] - counts[value])


def mask(seed, name, size, density, kind, device):
    """Which elements of a matrix exist, bool [size]; docs/trainer-protocol.md, stream `mask/<name>`."""
    words = Stream(seed, f"mask/{name}").words(size, device)
    if kind == "bernoulli":
        # A whole number is below x where it is below ⌈x⌉; comparing with a float would round the words.
        return words < math.ceil(density * 2**32)
    return smallest(words, rounded(density * size))
