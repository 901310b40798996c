"""Reads and writes safetensors files of float32 tensors, and of bytes, as the embedded engine does (common/safetensors.ts there): 8
bytes header length, a JSON header, raw little-endian data. A file is written beside its destination and renamed, so a reader sees a
whole one or none; a SHA-256 over everything but itself, in the metadata, tells a damaged file from a good one.
"""

import hashlib
import json
import os
import secrets

import numpy as np

from .canonical import canonical_json
from .regular_file import open_regular

CHECKSUM = "sha256"
METADATA = "__metadata__"
# Longest header that is read; the reference implementation's own limit.
MAX_HEADER_BYTES = 100_000_000


class Damaged(Exception):
    """What is wrong with a file."""


def _checksum(entries, metadata):
    return hashlib.sha256(canonical_json({"entries": entries, "metadata": metadata}).encode("utf-8"))


def _header(contents):
    # Padded so that data starts at a multiple of 8.
    text = json.dumps(contents, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def write(path, tensors, metadata, more=None):
    """
    Writes tensors (name → float32 on the host), metadata (name → text) and more (name → bytes) to `path`, whole or not at all, and
    durably. Returns the file's size in bytes.
    """
    arrays = {name: np.ascontiguousarray(tensor.numpy(), dtype="<f4") for name, tensor in tensors.items()}
    contents = [(name, "F32", list(array.shape), memoryview(array).cast("B")) for name, array in arrays.items()]
    contents += [(name, "U8", [len(content)], content) for name, content in (more or {}).items()]
    entries, offset = {}, 0
    for name, dtype, shape, content in contents:
        entries[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + len(content)]}
        offset += len(content)
    hashed = _checksum(entries, metadata)

    def header(digest):
        return _header({METADATA: {**metadata, CHECKSUM: digest}, **entries})

    # A checksum is as long as another.
    start = len(header(hashed.hexdigest()))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("wb") as file:
            file.seek(start)
            for *_, content in contents:
                hashed.update(content)
                file.write(content)
            file.seek(0)
            file.write(header(hashed.hexdigest()))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)
    return start + offset


def _sync_directory(directory):
    """Makes a rename in it durable."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read(path, shapes):
    """
    The file's tensors by name, its metadata, and the bytes that it holds beside tensors, by name. shapes: exactly the tensors that it
    must hold, name → shape. Damaged says what is wrong with it.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        length = int.from_bytes(file.read(8), "little")
        if length > min(MAX_HEADER_BYTES, size):
            raise Damaged("its header length is wrong")
        try:
            entries = json.loads(file.read(length))
            metadata = entries.pop(METADATA)
            expected = metadata.pop(CHECKSUM)
            places = {
                name: (entry["dtype"], tuple(entry["shape"]), *entry["data_offsets"]) for name, entry in entries.items()
            }
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Damaged("its header is not that of a checkpoint") from error
        beside = {name for name, (dtype, *_) in places.items() if dtype == "U8"}
        if places.keys() - beside != shapes.keys():
            raise Damaged("it holds other tensors")
        hashed, arrays, more = _checksum(entries, metadata), {}, {}
        for name, (dtype, shape, start, end) in sorted(places.items(), key=lambda place: place[1][2]):
            if name in beside:
                if shape != (end - start,):
                    raise Damaged(f"its bytes {name} have another length")
                file.seek(8 + length + start)
                more[name] = file.read(end - start)
                hashed.update(more[name])
                continue
            if dtype != "F32" or shape != tuple(shapes[name]) or end - start != 4 * np.prod(shape, dtype=np.int64):
                raise Damaged(f"its tensor {name} has another shape")
            file.seek(8 + length + start)
            array = np.empty(shape, dtype="<f4")
            if file.readinto(memoryview(array).cast("B")) != array.nbytes:
                raise Damaged(f"the file ends at byte {size}")
            hashed.update(memoryview(array).cast("B"))
            arrays[name] = array
    if hashed.hexdigest() != expected:
        raise Damaged("its checksum does not match")
    return arrays, metadata, more
