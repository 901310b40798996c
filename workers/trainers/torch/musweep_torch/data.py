"""Tokens for training and validation: sequences by position from the flat token files, so a corpus of any size costs no memory, and
a batch is a pure function of (seed, step). See schema/wire/data.ts and docs/trainer-protocol.md."""

import hashlib
import os
from pathlib import Path

import numpy as np
import torch

from . import checks
from .failure import Failure
from .philox import Stream
from .regular_file import open_regular

DTYPES = {"uint16": np.dtype("<u2"), "uint32": np.dtype("<u4")}
# Offsets are drawn for this many sequences at a time: one by one they would cost more than a small model's step.
DRAWN_AT_ONCE = 4096

check_meta = checks.record(
    {
        "version": checks.one_of(1),
        "hash": checks.text(),
        "source": checks.text(),
        "tokenizer": checks.text(),
        "vocab_size": checks.whole(least=1),
        "dtype": checks.one_of(*DTYPES),
        "train_tokens": checks.whole(least=1),
        "validation_tokens": checks.whole(least=1),
        "text_bytes": checks.nullable(checks.whole()),
    }
)


def _mismatch(message, remedy="Prepare the data set again (musweep data prepare)."):
    return Failure("data-mismatch", f"{message} {remedy}")


def _open(path):
    try:
        return open_regular(path)
    except OSError as error:
        remedy = "Prepare the data set on this host, or point data_directory at it."
        raise Failure("data-missing", f"{path} cannot be read: {error.strerror or error}. {remedy}") from error


def _read_meta(directory, plan):
    path = directory / "meta.json"
    with _open(path) as file:
        try:
            meta = check_meta(checks.parse_json(file.read()), "")
        except ValueError as error:
            raise _mismatch(f"{path} is not JSON: {error}.") from error
        except checks.Invalid as error:
            raise _mismatch(f"{path} does not describe a data set: {error}.") from error
    for field, said, wanted in [
        ("data", meta["hash"], plan["data"]["hash"]),
        ("a vocabulary of", meta["vocab_size"], plan["data"]["vocab_size"]),
    ]:
        if said != wanted:
            raise _mismatch(f"{path} has {field} {said}; the plan wants {wanted}.")
    return meta


def _tokens(path, meta, expected):
    """A token file, mapped."""
    with _open(path) as file:
        dtype = DTYPES[meta["dtype"]]
        held = file.seek(0, 2) / dtype.itemsize
        if held != expected:
            raise _mismatch(f"{path} holds {held:g} tokens; meta.json says {expected}.")
        return np.memmap(file, dtype=dtype, mode="r")


# Data sets that this process has read in full, and found to be what they are called, by the state of their files.
_verified = set()


def _verify(directory, meta):
    """The name of a data set is a hash of its bytes (schema/wire/data.ts): one that has changed on its disk would train other models
    than the plan says."""
    paths = [directory / "train.bin", directory / "validation.bin"]
    states = [os.stat(path) for path in paths]
    state = (meta["hash"], *((s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for s in states))
    if state in _verified:
        return
    found = hashlib.sha256(f"{meta['tokenizer']}\n{meta['vocab_size']}".encode())
    for path, stat in zip(paths, states, strict=True):
        found.update(f"\n{stat.st_size}\n".encode())
        with _open(path) as file:
            while piece := file.read(1 << 20):
                found.update(piece)
    found = found.hexdigest()[: len(meta["hash"])]
    if found != meta["hash"]:
        raise _mismatch(f"{directory} is damaged: its bytes are those of {found}.")
    _verified.add(state)


class DataSource:
    """A run's view of its data set. Sequences have T + 1 tokens: T inputs, and the same shifted by one as targets."""

    def __init__(self, plan, data_directory):
        self.directory = Path(data_directory) / plan["data"]["hash"]
        meta = _read_meta(self.directory, plan)
        self.batch_size, self.sequences = plan["batch_size"], plan["evaluation"]["sequences"]
        self.vocab_size, self.length = plan["data"]["vocab_size"], plan["shape"]["sequence_length"]
        self.train = _tokens(self.directory / "train.bin", meta, meta["train_tokens"])
        self.validation = _tokens(self.directory / "validation.bin", meta, meta["validation_tokens"])
        for name, tokens in [("train", self.train), ("validation", self.validation)]:
            if len(tokens) < self.length + 1:
                raise _mismatch(
                    f"The {name} split has {len(tokens)} tokens; a sequence needs {self.length + 1}.",
                    "Train on a longer text, with a shorter sequence_length, or with another validation_fraction.",
                )
        _verify(self.directory, meta)
        self.stream = Stream(plan["seed"], "data")
        # First position drawn, and what was drawn from there on.
        self.drawn = (0, np.empty(0, dtype=np.int64))

    def training_offsets(self, t, first, count):
        """First tokens of sequences first … first + count − 1 of step t's batch, int64 [count]."""
        position = (t - 1) * self.batch_size + first
        start, offsets = self.drawn
        if not start <= position <= start + len(offsets) - count:
            positions = torch.arange(position, position + max(count, DRAWN_AT_ONCE), dtype=torch.int64)
            starts = len(self.train) - self.length
            start, offsets = self.drawn = (position, self.stream.integers_below(starts, positions).numpy())
        return offsets[position - start : position - start + count]

    def training_sequences(self, t, first, count):
        """int64 [count, T + 1]."""
        return self._read(self.train, "train.bin", self.training_offsets(t, first, count))

    def validation_sequences(self, first, count):
        """Evenly spaced over the held-out split, the same for every seed; int64 [count, T + 1]."""
        last = len(self.validation) - self.length - 1
        between = max(self.sequences - 1, 1)
        offsets = [j * last // between if self.sequences > 1 else 0 for j in range(first, first + count)]
        return self._read(self.validation, "validation.bin", np.array(offsets, dtype=np.int64))

    def _read(self, tokens, name, offsets):
        rows = tokens[offsets[:, None] + np.arange(self.length + 1)]
        if rows.max() >= self.vocab_size:
            path = self.directory / name
            raise _mismatch(f"{path} holds token {rows.max()}; the vocabulary ends at {self.vocab_size - 1}.")
        return rows.astype(np.int64)
