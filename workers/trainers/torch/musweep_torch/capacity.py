"""How many runs of a shape are trained at once: as many as fit, and as pay.

What fits follows from the memory estimate, and from what did not fit before. What pays is measured: a step of 1, 2, 4, … runs, as long
as four times as many are markedly faster than one after the other. The answer is kept on disk, by device, software and shape.
"""

import dataclasses
import hashlib
import json
import os
import time
import uuid
from pathlib import Path

import torch

from . import ENGINE_VERSION, memory
from .cohort import estimate
from .plan import shape_of
from .runs import described
from .saying import say

# More gain nothing beyond, and each takes its row in every reply.
MOST = 16
# Together they have to be trained at least so many times as fast: runs that wait for each other end later.
PAYS = 1.15
# Of those that pay, the fewest that are nearly as fast as the fastest.
NEARLY = 0.9
# One run alone keeps a device busy when its step takes so long.
LONG_STEP_SECONDS = 1.0
# A number of runs is measured for so long, and so many steps at least.
SECONDS = 0.5
STEPS = 3


class Capacity:
    def __init__(self, programs):
        self.programs = programs
        # By key, of this process: what did not fit, and what was measured where nothing can be written.
        self.known = {}

    def answer(self, plan, most, limit_bytes):
        """As `of`; what goes wrong is the run's affair, once it is trained."""
        try:
            return self.of(plan, most, limit_bytes)
        except Exception as error:
            self.programs.forget()
            say(f"How many runs to train at once could not be found out: {error}")
            return 1

    def of(self, plan, most, limit_bytes):
        """Runs of the plan's shape at once, from 1 to `most`; limit_bytes: as for a run."""
        shape = shape_of(plan)
        key = self._key(shape)
        fits = self._fitting(shape, min(most, MOST), limit_bytes)
        if fits == 1 or self.programs.peers.world > 1:
            return 1
        known = self.known.get(key) or _read(key)
        # Measured with less memory, or for fewer: more may pay.
        if known is None or (known["runs"] > 1 and known["tried"] < fits):
            known = self._measure(plan, shape, fits)
            self.known[key] = known
            _write(key, known)
        return min(known["runs"], fits)

    def lower(self, plan, runs):
        """So many did not fit."""
        known = {"runs": runs, "tried": MOST}
        self.known[self._key(shape_of(plan))] = known
        _write(self._key(shape_of(plan)), known)

    def _key(self, shape):
        options = self.programs.options
        what = {
            "device": described(options, self.programs.peers),
            "engine": ENGINE_VERSION,
            "threads": torch.get_num_threads(),
            "compiled": options.compiled,
            "captured": options.captured,
            "shape": dataclasses.asdict(shape),
        }
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:32]

    def _fitting(self, shape, most, limit_bytes):
        options, peers = self.programs.options, self.programs.peers
        limits = [] if limit_bytes is None else [limit_bytes]
        if options.device.type == "cuda":
            limits.append(memory.total_bytes(options.device))
        fits = most
        while fits > 1 and limits and estimate(shape, fits, options, peers) > min(limits):
            fits //= 2
        return max(1, fits)

    def _measure(self, plan, shape, fits):
        """How many pay, of those that fit."""
        # Steps a second of all runs together, by how many they are.
        speeds = {}
        runs = 1
        while runs <= fits:
            try:
                speeds[runs] = runs / self._seconds(plan, shape, runs)
            except Exception as error:
                if not (isinstance(error, memory.OutOfMemory) or memory.is_out_of_memory(error)):
                    raise
                self.programs.forget()
                break
            if speeds[1] < 1 / LONG_STEP_SECONDS or speeds[runs] < PAYS * speeds.get(runs // 4, 0):
                break
            runs *= 2
        fastest = max(speeds.values())
        best = min(n for n, speed in speeds.items() if speed >= NEARLY * fastest) if fastest >= PAYS * speeds[1] else 1
        measured = ", ".join(f"{n}: {speed:.3g}" for n, speed in speeds.items())
        say(f"{best} runs of this shape are trained at once (steps/s of all by how many: {measured})")
        # A number that was not tried, for memory or because it is no power of 2, is not asked for again.
        return {"runs": best, "tried": max(fits, *speeds)}

    def _seconds(self, plan, shape, runs):
        """Of one step of so many runs."""
        program = self.programs.get(shape, runs)
        program.load([plan] * runs)
        for replica in range(runs):
            program.initialize(replica)
        tokens = torch.zeros(runs, program.share, shape.sequence_length + 1, dtype=torch.int64)

        def step():
            program.step(tokens, [1] * runs, [True] * runs)

        step()
        self._finish()
        # Of one thread the processor's time is that of its own work alone, whatever else the machine does meanwhile.
        on_one_thread = self.programs.options.device.type == "cpu" and torch.get_num_threads() == 1
        clock = time.process_time if on_one_thread else time.perf_counter
        times = []
        while len(times) < STEPS or sum(times) < SECONDS:
            started = clock()
            step()
            self._finish()
            times.append(clock() - started)
        # What else the machine does makes a step longer, never shorter.
        return min(times)

    def _finish(self):
        if self.programs.options.device.type == "cuda":
            torch.cuda.synchronize()


def _path(key):
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(cache) / "musweep" / "cohorts" / f"{key}.json"


def _read(key):
    try:
        known = json.loads(_path(key).read_text("utf-8"))
        return {name: int(known[name]) for name in ("runs", "tried")}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(key, known):
    """A cache that cannot be written is none: it is measured again."""
    path = _path(key)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        other = path.with_suffix(f".{uuid.uuid4().hex}")
        other.write_text(json.dumps(known), "utf-8")
        other.replace(path)
    except OSError as error:
        say(f"What was measured cannot be kept: {error}")
