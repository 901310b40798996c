"""A run's checkpoints: everything that the next step depends on, in a directory of its own, in the embedded engine's format, so that
either engine goes on from the other's. The last two are kept; a damaged one is passed over. Masks and data order follow from the seed.
"""

import contextlib
import json
import re
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch

from . import ENGINE, ENGINE_VERSION, checks, safetensors_file

FORMAT = "musweep-checkpoint-3"
# As it was before: the events in the metadata, as one list, and no version.
OLD_FORMAT = "musweep-checkpoint-2"
OWN_ENGINE = f"{ENGINE} {ENGINE_VERSION}"
KEPT = 2
ABANDONED_SECONDS = 3600
NAME = re.compile(r"step-\d{9}\.safetensors")

check_loss = checks.record(
    {
        "initial": checks.nullable(checks.number()),
        "lastFinite": checks.nullable(checks.number()),
        "stepsAbove": checks.whole(least=0),
    }
)


@dataclass
class Progress:
    """Steps done, wall-clock seconds so far over all attempts, the loss history, and what is to be emitted again on resuming."""

    step: int = 0
    seconds: float = 0.0
    loss: dict = field(default_factory=lambda: {"initial": None, "lastFinite": None, "stepsAbove": 0})
    events: list = field(default_factory=list)


def _listed(directory):
    """Newest first; none when the directory does not exist."""
    if not directory.exists():
        return []
    return sorted((path for path in directory.iterdir() if NAME.fullmatch(path.name)), reverse=True)


@dataclass
class Checkpoint:
    path: Path
    arrays: dict
    progress: Progress
    engine: str

    def restore(self, state):
        """Into a run's tensors, name → tensor."""
        with torch.no_grad():
            for name, tensor in state.items():
                tensor.copy_(torch.from_numpy(self.arrays[name]))


def read(path, run, shapes):
    """Damaged says what is wrong with it."""
    arrays, metadata, more = safetensors_file.read(path, shapes)
    return Checkpoint(path, arrays, *_progress(run, metadata, more))


def newest(directory, run, shapes):
    """The newest intact checkpoint of this run or None; and a note for each one passed over, and for another engine's."""
    notes = []
    for path in _listed(directory):
        try:
            found = read(path, run, shapes)
        except (safetensors_file.Damaged, OSError) as error:
            notes.append(f"Checkpoint {path.name} was passed over: {error}.")
            continue
        if found.engine != OWN_ENGINE:
            notes.append(
                f"Checkpoint {path.name} is of engine {found.engine}, not {OWN_ENGINE}: from there on numbers may differ by rounding."
            )
        return found, notes
    return None, notes


def _progress(run, metadata, more):
    """Progress, and the engine with its version, from what a checkpoint holds beside tensors."""
    if metadata.get("format") not in (FORMAT, OLD_FORMAT):
        raise safetensors_file.Damaged(f"its format is {metadata.get('format')}")
    if metadata.get("run") != run:
        raise safetensors_file.Damaged(f"it belongs to {metadata.get('run')}")
    try:
        step, seconds = int(metadata["step"]), float(metadata["seconds"])
        loss = check_loss(checks.parse_json(metadata["loss"]), "loss")
        if metadata["format"] == FORMAT:
            events = [checks.parse_json(line) for line in more["events"].splitlines()]
            version = metadata["engine_version"]
        else:
            events, version = checks.parse_json(metadata["events"]), "of an unknown version"
        return Progress(step, seconds, loss, events), f"{metadata['engine']} {version}"
    except (KeyError, ValueError, checks.Invalid) as error:
        raise safetensors_file.Damaged(f"its metadata is not that of a checkpoint ({error})") from error


class Writer:
    """Writes one run's checkpoints, one at a time, beside the steps that follow."""

    def __init__(self, directory, run, leads, emit_written):
        """leads: of several ranks one writes; emit_written(step, path, bytes): called when a checkpoint is one to resume from."""
        self.directory, self.run, self.leads, self.emit_written = directory, run, leads, emit_written
        self.thread = None
        self.error = None

    def write(self, progress, state):
        """From a copy of the state, on the host. Returns the path that the checkpoint will have."""
        self.wait()
        path = self.directory / f"step-{progress.step:09d}.safetensors"
        if not self.leads:
            return path
        tensors = {name: tensor.to("cpu", copy=True).contiguous() for name, tensor in state.items()}
        metadata = {
            "format": FORMAT,
            "run": self.run,
            "engine": ENGINE,
            "engine_version": ENGINE_VERSION,
            "step": str(progress.step),
            "seconds": repr(progress.seconds),
            "loss": json.dumps(progress.loss, allow_nan=False),
        }
        lines = "".join(json.dumps(event, ensure_ascii=False, allow_nan=False) + "\n" for event in progress.events)
        args = (progress.step, path, tensors, metadata, {"events": lines.encode("utf-8")})
        self.thread = threading.Thread(target=self._write, args=args)
        self.thread.start()
        return path

    def _write(self, step, path, tensors, metadata, more):
        try:
            size = safetensors_file.write(path, tensors, metadata, more)
            for old in _listed(self.directory)[KEPT:]:
                old.unlink(missing_ok=True)
            # What a killed process left half-written, a while ago: the trainer of a worker that was cut off may still be at work here,
            # beside that of the worker which has the run now. Both write the same.
            for name in self.directory.glob("*.tmp"):
                with contextlib.suppress(FileNotFoundError):
                    if time.time() - name.stat().st_mtime > ABANDONED_SECONDS:
                        name.unlink()
            self.emit_written(step, str(path), size)
        except BaseException as error:  # Raised where it is waited for.
            self.error = error

    def wait(self):
        """Until the last checkpoint is one to resume from; raises what went wrong with it."""
        if self.thread is not None:
            self.thread.join()
            self.thread = None
        if self.error is not None:
            error, self.error = self.error, None
            raise error
