"""One run in its place in a program: its row of tokens, its loss history, its events, its checkpoints, its end.

Everything that depends on the clock (checkpoints, reported speed) leaves the numbers alone.
"""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from . import checkpoint, divergence, safetensors_file
from .canonical import run_id_of
from .data import DataSource
from .failure import Failure
from .plan import flops_per_token, parameter_count, token_count

# A step is reported at least this often, so that nobody takes a slow model for a dead trainer.
SIGN_OF_LIFE_SECONDS = 10


@dataclass(frozen=True)
class Request:
    """What a `run` command asks for (schema/wire/protocol.ts)."""

    run: str
    plan: dict
    data_directory: str
    checkpoint_directory: Path | None
    checkpoint_every_seconds: float
    weights_path: str | None
    report_every_steps: int
    memory_limit_bytes: float | None


class Seat:
    def __init__(self, request, program, replica, peers, emit):
        self.request, self.plan, self.program, self.replica = request, request.plan, program, replica
        self.peers = peers
        self.data = DataSource(self.plan, request.data_directory)
        # Of the plan; the run may be called otherwise.
        self.run_id = run_id_of(self.plan)
        self._emit = emit
        # Steps whose results were seen, and steps given to the device.
        self.step = self.launched = 0
        self.seconds = 0.0
        self.history = dict(divergence.INITIAL)
        self.ended = False
        # Emitted since the last checkpoint, and between that and the one before: emitted again on resuming.
        self.events = []
        self.writer = None
        if request.checkpoint_directory is not None:
            self.writer = checkpoint.Writer(request.checkpoint_directory, self.run_id, peers.leads, self._written)
        self.reported = (0, time.monotonic())

    # Tokens.

    def training_tokens(self, share):
        """This rank's of the next step, int64 [share, T + 1]; of a run that has ended, any."""
        if self.ended:
            return np.zeros((share, self.data.length + 1), dtype=np.int64)
        return self.data.training_sequences(self.launched + 1, self.peers.rank * share, share)

    # Beginning.

    def resume_or_start(self):
        """What the attempt's record should say about it, and the events to emit again."""
        found, notes = None, []
        state = self.program.state(self.replica)
        if self.writer is not None:
            shapes = {name: tensor.shape for name, tensor in state.items()}
            if self.peers.leads:
                found, notes = checkpoint.newest(self.writer.directory, self.run_id, shapes)
            path = self.peers.share(found.path if found else None)
            if path is not None and not self.peers.leads:
                found = checkpoint.read(path, self.run_id, shapes)
        if found is None:
            self.program.initialize(self.replica)
            return notes, []
        found.restore(state)
        progress = found.progress
        self.step = self.launched = progress.step
        self.seconds, self.history = progress.seconds, progress.loss
        return notes, progress.events

    def begin(self, estimated_memory, notes, events):
        self._emit(
            {
                "type": "started",
                "run": self.request.run,
                "resumed_from_step": self.step,
                "parameters": parameter_count(self.plan),
                "nonzero_parameters": self.program.existing_parameters(self.replica),
                "estimated_memory_bytes": estimated_memory,
                "notes": notes,
            }
        )
        for event in events:
            self.report(event)
        self.reported = (self.step, time.monotonic())

    # On the way.

    def report(self, event):
        """Emits what a resumed run will not come by again, and keeps it for its checkpoints."""
        if self.writer is not None:
            self.events.append(event)
        self._emit(event)

    def see(self, loss, norm):
        """The results of the next step."""
        self.step += 1
        self.history, verdict = divergence.observe(self.history, loss, norm, self.plan["divergence"]["patience_steps"])
        if divergence.finite_or_none(loss) is None:
            pass
        elif self.step in (1, self.plan["steps"]) or self.step % self.request.report_every_steps == 0:
            self.report(self._step_event(loss, norm))
        elif time.monotonic() - self.reported[1] >= SIGN_OF_LIFE_SECONDS:
            self._emit(self._step_event(loss, norm))
        if verdict is not None:
            self.diverge(verdict)

    def _step_event(self, loss, norm):
        (step, at), now = self.reported, time.monotonic()
        self.reported = (self.step, now)
        return {
            "type": "step",
            "run": self.request.run,
            "step": self.step,
            "train_loss": loss,
            "gradient_norm": divergence.finite_or_none(norm),
            "tokens_per_second": token_count(self.plan, self.step - step) / max(now - at, 1e-6),
        }

    def report_coordinates(self, modules):
        self.report({"type": "coordinates", "run": self.request.run, "step": self.step, "modules": modules})

    def report_evaluation(self, loss):
        loss = divergence.finite_or_none(loss)
        self.report({"type": "evaluation", "run": self.request.run, "step": self.step, "validation_loss": loss})

    def measures_coordinates(self, step):
        return "coordinates" in self.plan and step <= self.plan["coordinates"]["steps"]

    def evaluates(self, step):
        every = self.plan["evaluation"]["every_steps"]
        return step == self.plan["steps"] or (every is not None and step % every == 0)

    def checkpoint(self):
        """The path that the checkpoint will have; its event follows when it can be resumed from."""
        progress = checkpoint.Progress(self.step, self.seconds, self.history, list(self.events))
        return self.writer.write(progress, self.program.state(self.replica))

    def _written(self, step, path, size):
        self._emit({"type": "checkpoint", "run": self.request.run, "step": step, "path": path, "bytes": size})

    # Ends.

    def _end(self, event):
        """A run's last event: nothing of it is under way then."""
        if self.writer is not None:
            self.writer.wait()
        self._close()
        self._emit({"run": self.request.run, **event})

    def _close(self):
        self.ended = True
        # It calls back: through it this seat would hold itself, and the program with all its memory.
        self.writer = None

    def stop(self, keep):
        path = None
        if keep and self.writer is not None and self.step > 0:
            path = str(self.checkpoint())
        self._end({"type": "stopped", "step": self.step, "checkpoint": path})

    def leave(self):
        """Whatever of it is under way does not matter any more."""
        if self.writer is not None and self.writer.thread is not None:
            self.writer.thread.join()
        self._close()

    def fail(self, code, message, retryable):
        self.leave()
        self._emit(
            {"type": "failed", "run": self.request.run, "code": code, "message": message, "retryable": retryable}
        )

    def diverge(self, reason):
        if reason == "non-finite" and self.plan["precision"] == "bfloat16":
            print(
                f"{self.request.run}: not finite at step {self.step} in bfloat16. If float32 is finite there, it is the precision"
                " and not the learning rate.",
                file=sys.stderr,
            )
        tokens = token_count(self.plan, self.step)
        self._end(
            {
                "type": "diverged",
                "step": self.step,
                "last_finite_loss": self.history["lastFinite"],
                "reason": reason,
                "tokens": tokens,
                "flops": tokens * flops_per_token(self.plan),
                "seconds": self.seconds,
            }
        )

    def finish(self, validation_loss):
        train_loss = self.history["lastFinite"]
        finite = divergence.finite_or_none(validation_loss) is not None
        if not finite or train_loss is None or not self.program.weights_are_finite(self.replica):
            return self.diverge("non-finite")
        if validation_loss == 0:
            raise Failure(
                "zero-loss",
                "The validation loss is 0: the model is certain of every token, and no logarithm of it can be fitted."
                " Train fewer steps, or on data that is harder to predict.",
            )
        path = self.request.weights_path
        if path is not None and self.peers.leads:
            self._write_weights(Path(path))
        tokens = token_count(self.plan)
        return self._end(
            {
                "type": "finished",
                "step": self.step,
                "train_loss": train_loss,
                "validation_loss": validation_loss,
                "tokens": tokens,
                "flops": tokens * flops_per_token(self.plan),
                "seconds": self.seconds,
                "weights_path": path,
            }
        )

    def _write_weights(self, path):
        tensors = {
            name: tensor.to(torch.device("cpu")) for name, tensor in self.program.weights_of(self.replica).items()
        }
        safetensors_file.write(path, tensors, {"format": "pt", "run": self.run_id, "step": str(self.step)})
