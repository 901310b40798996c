"""Runs of one shape, trained together by one program, from their commands to their last events.

Each keeps its own row, step number, schedule, events, checkpoints and outcome. A run that has ended, whichever way, is frozen: its
replica is computed along, changes no more, and touches no other.

The host is one step ahead of what it has seen: it gives the device step t + 1, then looks at the loss of step t, so a GPU need not
wait. What needs the state after a step (an evaluation, a checkpoint, an end) waits until everything up to it was seen.
"""

import gc
import time

import numpy as np
import torch

from . import memory
from .coordinates import CoordinateMeter
from .failure import Failure, of_disk
from .plan import shape_of, tensors_of
from .program import Program
from .seat import Seat


class Programs:
    """The last program that was used, warm for the next runs of its shape."""

    def __init__(self, options, peers):
        self.options, self.peers = options, peers
        self.program = None
        # Whether the device still does what this process tells it.
        self.usable = True

    def get(self, shape, replicas):
        program = self.program
        if program is None or (program.shape, program.replicas) != (shape, replicas):
            # Its memory first; and what was compiled for it: PyTorch keeps only so many versions of a function.
            program = self.program = None
            # Seats of runs that broke off hold it in cycles.
            gc.collect()
            if self.options.compiled:
                torch._dynamo.reset()
            if self.options.device.type == "cuda":
                torch.cuda.empty_cache()
            program = Program(shape, replicas, self.options, self.peers)
            if self.options.compiled or self.options.device.type == "cuda":
                program.try_out()
            self.program = program
        return program

    def forget(self):
        self.program = None


def estimate(shape, replicas, options, peers):
    """Peak bytes of this process."""
    share = -(-shape.batch_size // peers.world)
    sequences = memory.sequences_per_pass(shape, replicas, share, options.pad, options.device)
    return memory.estimate(shape, replicas, sequences, options.pad, options.device)


def _check_memory(requests, shape, options, peers):
    """The estimate; Failure "memory" when it is more than there is."""
    needed = estimate(shape, len(requests), options, peers)
    if any("coordinates" in request.plan for request in requests):
        needed += memory.coordinates_bytes(shape, len(requests))
    limits = [r.memory_limit_bytes for r in requests if r.memory_limit_bytes is not None]
    if options.device.type == "cuda":
        limits.append(memory.total_bytes(options.device))
    if limits and needed > min(limits):
        mebibytes = [int(-(-n // memory.MEBIBYTE)) for n in (needed, min(limits))]
        message = f"The run needs about {mebibytes[0]} MiB; this trainer may use {mebibytes[1]} MiB."
        raise Failure("memory", f"{message} Set a smaller micro_batch_size, or give the worker more memory.")
    return needed


class Cohort:
    def __init__(self, requests, programs, emit, interruption):
        """
        requests: of one shape; emit(event): called for rank 0's events; interruption(run): "stop", "cancel" or None, asked between steps.
        """
        self.requests, self.programs = requests, programs
        self.peers, self.options = programs.peers, programs.options
        self.emit = emit if self.peers.leads else lambda event: None
        self.interruption = interruption
        self.seats, self.pending = [], []

    @property
    def alive(self):
        return [seat for seat in self.seats if not seat.ended]

    def train(self):
        """Up to the last event of each run; what went wrong is an event too, but for memory: memory.OutOfMemory."""
        for request in self.requests:
            tensors_of(request.plan)
        shape = shape_of(self.requests[0].plan)
        estimated = _check_memory(self.requests, shape, self.options, self.peers)
        self.program = self.programs.get(shape, len(self.requests))
        self.program.load([request.plan for request in self.requests])
        self.seats = [Seat(r, self.program, i, self.peers, self.emit) for i, r in enumerate(self.requests)]
        self._begin(estimated)
        self.checkpointed_at = self.accounted_at = time.monotonic()
        while self.alive:
            self._advance()

    def leave(self):
        """When it has broken off: nothing of its runs is under way any more, and nothing more is said of them."""
        for seat in self.alive:
            seat.leave()

    def _begin(self, estimated):
        measured = None
        if any("coordinates" in seat.plan for seat in self.seats):
            # Also before resuming: changes are measured from the initial networks.
            for replica in range(len(self.seats)):
                self.program.initialize(replica)
            self.meter = CoordinateMeter(self.program)
            measured = self._coordinates()
        notes, self.program.notes = [*self.options.notes, *self.program.notes], []
        for seat in self.seats:
            own_notes, events = seat.resume_or_start()
            seat.begin(estimated, notes + own_notes, events)
            if measured is not None and seat.step == 0 and "coordinates" in seat.plan:
                seat.report_coordinates(measured[seat.replica])

    def _advance(self):
        """A step, and what is due after it."""
        alive = self.alive
        tokens = self._training_tokens()
        steps = [seat.launched + 1 for seat in self.seats]
        results = self.program.step(tokens, steps, [not seat.ended for seat in self.seats], self._is_unwanted)
        if results is not None:
            for seat in alive:
                seat.launched += 1
            self.pending.append((self._to_host(results), alive))
        asked = {seat.request.run: self.interruption(seat.request.run) for seat in alive}
        asked, due = self.peers.share((asked, self._checkpoint_is_due()))
        at_boundary = results is not None and (due or any(map(self._is_boundary, alive)))
        self._see_all(but=0 if at_boundary or any(asked.values()) else 1)
        if at_boundary:
            self._at_boundary(due)
        self._account()
        for seat in self.alive:
            if asked[seat.request.run] is not None:
                self._guarded(seat, lambda: seat.stop(keep=asked[seat.request.run] == "stop"))

    def _is_unwanted(self):
        """Whether everybody asked to end, in the middle of a step. Ranks would have to agree on it there."""
        return self.peers.world == 1 and all(self.interruption(seat.request.run) is not None for seat in self.alive)

    def _checkpoint_is_due(self):
        every = [s.request.checkpoint_every_seconds for s in self.alive if s.writer is not None]
        return bool(every) and time.monotonic() - self.checkpointed_at >= min(every)

    # Tokens.

    def _training_tokens(self):
        share = self.program.share
        rows = []
        for seat in self.seats:
            read = self._guarded(seat, lambda: seat.training_tokens(share))
            # A run that has just failed for it has ended.
            rows.append(seat.training_tokens(share) if read is None else read)
        return torch.from_numpy(np.stack(rows))

    def _validation_tokens(self, first, count):
        return torch.from_numpy(np.stack([s.data.validation_sequences(first, count) for s in self.seats]))

    # What came out.

    def _to_host(self, results):
        """The results, and what to wait for before they can be read."""
        if results.device.type == "cpu":
            return results, None
        host = torch.empty(results.shape, dtype=results.dtype, pin_memory=True)
        host.copy_(results, non_blocking=True)
        there = torch.cuda.Event()
        there.record()
        return host, there

    def _see_all(self, but=0):
        while len(self.pending) > but:
            (results, there), launched = self.pending.pop(0)
            if there is not None:
                there.synchronize()
            losses, norms = results.tolist()
            for seat in launched:
                if not seat.ended:
                    self._guarded(seat, lambda: seat.see(losses[seat.replica], norms[seat.replica]))

    def _is_boundary(self, seat):
        return seat.evaluates(seat.launched) or seat.measures_coordinates(seat.launched)

    def _at_boundary(self, checkpoint_due):
        if any(seat.measures_coordinates(seat.step) for seat in self.alive):
            measured = self._coordinates()
            for seat in self.alive:
                if seat.measures_coordinates(seat.step):
                    seat.report_coordinates(measured[seat.replica])
        evaluated = [seat for seat in self.alive if seat.evaluates(seat.step)]
        if evaluated:
            losses = self.program.evaluate(self._validation_tokens).tolist()
            self._account()
            for seat in evaluated:
                seat.report_evaluation(losses[seat.replica])
                if seat.step == seat.plan["steps"]:
                    self._guarded(seat, lambda: seat.finish(losses[seat.replica]))
        if checkpoint_due:
            for seat in self.alive:
                if seat.writer is not None:
                    self._guarded(seat, seat.checkpoint)
            self.checkpointed_at = time.monotonic()

    def _coordinates(self):
        return self.meter.measure(self._validation_tokens)

    def _account(self):
        """Each run that is trained takes its share of the time."""
        now = time.monotonic()
        for seat in self.alive:
            seat.seconds += (now - self.accounted_at) / len(self.alive)
        self.accounted_at = now

    def _guarded(self, seat, work):
        """What goes wrong with one run's files ends that run alone. Ranks would have to agree on it: they all end."""
        if self.peers.world > 1:
            return work()
        try:
            return work()
        except Failure as failure:
            seat.fail(failure.code, str(failure), failure.retryable)
        except OSError as error:
            failure = of_disk(error) or Failure("internal", str(error), True)
            seat.fail(failure.code, str(failure), failure.retryable)
        return None
