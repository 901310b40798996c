"""Trains plans from a file where no queue can be reached: `python -m musweep_torch --jobs jobs.jsonl --data DIR --events events.jsonl`.

Jobs and events are those of schema/wire/away.ts and schema/wire/events.ts, one a line. Runs of one shape are trained together. A file of
events that exists is continued: runs that have ended there are left alone, the others go on from their checkpoints. So a failure that
another try may mend is no end: it is said on stderr, and where it would meet every run, nothing more is begun.
"""

import json
import os
import signal
import socket
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from . import ENGINE, ENGINE_VERSION, checks
from .canonical import run_id_of
from .capacity import Capacity
from .data import DataSource
from .failure import Failure
from .plan import check_plan, check_run_id, shape_of
from .regular_file import read_regular
from .runs import described, follow, train
from .saying import say
from .seat import Request
from .stop_signals import STOP_SIGNALS

EXIT_DONE = 0
EXIT_INCOMPLETE = 1
EXIT_USAGE = 2
EXIT_UNAVAILABLE = 3
EXIT_INTERRUPTED = 130

# Training-loss points kept per run, as workers keep them (workers/attempt.ts).
POINTS_PER_RUN = 200
POINTS_GATHERED_SECONDS = 1.0

# A wrapper may pass a signal on that all processes of a job get too: that is no second one.
TOGETHER_SECONDS = 1.0
# A job has some kilobytes, and its events some hundred.
MAX_JOBS_BYTES = 1 << 30
MAX_EVENTS_BYTES = 8 << 30

# The worker events that end an attempt.
ENDS = ("finished", "diverged", "failed")
# Failures that the next runs would meet too: a device or a disk that does not work.
OF_THIS_HOST = ("device-lost", "disk")

check_job = checks.record(
    {
        "version": checks.one_of(1),
        "run": check_run_id,
        "attempt": checks.whole(least=1),
        "token": checks.text(),
        "keep_weights": checks.flag,
        "plan": check_plan,
    }
)


class Unusable(Exception):
    """What is wrong with a file."""


def read_jobs(path):
    """Every job of a file, in its order."""
    jobs, known = [], set()
    for number, line in enumerate(_lines(path), start=1):
        try:
            job = check_job(checks.parse_json(line), "")
        except (ValueError, checks.Invalid) as error:
            raise Unusable(f"{path}:{number}: {error}. `musweep jobs` writes such files.") from error
        if run_id_of(job["plan"]) != job["run"]:
            raise Unusable(f"{path}:{number}: the plan of {job['run']} is another run's, {run_id_of(job['plan'])}.")
        if job["run"] in known:
            raise Unusable(f"{path}:{number}: {job['run']} is in an earlier line already.")
        jobs.append(job)
        known.add(job["run"])
    return jobs


def _lines(path):
    try:
        # Not splitlines: JSON may have separators of lines and paragraphs inside its texts.
        return [line for line in read_regular(path, MAX_JOBS_BYTES).decode("utf-8").split("\n") if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise Unusable(f"{path} cannot be read: {error}.") from error


class EventsFile:
    """Events of all runs, appended one a line; a line that was cut off by a crash is taken away."""

    def __init__(self, path):
        # By attempt: the last sequence number, and the event that ended it.
        self.last, self.ended = {}, {}
        whole = 0
        if path.exists():
            try:
                content = read_regular(path, MAX_EVENTS_BYTES)
            except OSError as error:
                raise Unusable(f"{path} cannot be read: {error}. Name another file with --events.") from error
            *lines, _cut_off = content.split(b"\n")
            for number, line in enumerate(lines, start=1):
                try:
                    event = checks.parse_json(line)
                    key = (event["run"], event["attempt"], event["token"])
                    self.last[key] = event["sequence"]
                    self._note_end(key, event["body"])
                except (ValueError, KeyError, TypeError) as error:
                    raise Unusable(f"{path}:{number}: not an event. Name another file with --events.") from error
                whole += len(line) + 1
        path.parent.mkdir(parents=True, exist_ok=True)
        self.file = path.open("ab")
        self.file.truncate(whole)
        host = socket.gethostname()
        self.by = {"worker": f"{host}-{os.getpid()}-{uuid.uuid4().hex[:4]}", "host": host}

    def add(self, key, body):
        run, attempt, token = key
        sequence = self.last[key] = self.last.get(key, 0) + 1
        event = {"run": run, "attempt": attempt, "token": token, "sequence": sequence}
        event |= {"at": int(time.time() * 1000), **self.by, "body": body}
        self.file.write(json.dumps(event, ensure_ascii=False, allow_nan=False).encode("utf-8") + b"\n")
        self.file.flush()
        if self._note_end(key, body):
            os.fsync(self.file.fileno())

    def _note_end(self, key, body):
        if body["type"] in ENDS:
            self.ended[key] = body["type"]
        return key in self.ended


@dataclass(frozen=True)
class Job:
    key: tuple
    request: Request

    @staticmethod
    def of(job, options):
        plan, run = job["plan"], job["run"]
        kept = job["keep_weights"] and options.weights is not None
        request = Request(
            run=run,
            plan=plan,
            data_directory=options.data,
            checkpoint_directory=None if options.checkpoints is None else Path(options.checkpoints) / run,
            checkpoint_every_seconds=options.checkpoint_seconds,
            weights_path=str(Path(options.weights) / f"{run}.safetensors") if kept else None,
            report_every_steps=-(-plan["steps"] // POINTS_PER_RUN),
            memory_limit_bytes=None,
        )
        return Job((run, job["attempt"], job["token"]), request)


def is_mendable(event):
    """Of the trainer protocol: a failure that another try may mend."""
    return event["type"] == "failed" and event["retryable"]


class Report:
    """A run's events of the trainer protocol as those of a worker (workers/attempt.ts)."""

    def __init__(self, job, events, device):
        self.job, self.events, self.device = job, events, device
        self.points, self.since = [], 0.0

    def take(self, event):
        kind = event["type"]
        if is_mendable(event):
            # The attempt goes on when this program is started again, from what its last checkpoint says.
            return None
        body = {name: value for name, value in event.items() if name != "run"}
        if kind in ("step", "evaluation"):
            return self._point(event)
        self._flush()
        if kind == "started":
            del body["estimated_memory_bytes"]
            body |= {"engine": ENGINE, "engine_version": ENGINE_VERSION, "device": self.device}
        elif kind == "checkpoint":
            del body["bytes"]
        elif kind == "failed":
            del body["retryable"]
            body |= {"final": True, "log_tail": ""}
        elif kind in ("finished", "diverged"):
            body["log_tail"] = ""
        elif kind == "stopped":
            # The attempt goes on when this program is started again.
            return None
        return self.events.add(self.job.key, body)

    def _point(self, event):
        request, step = self.job.request, event["step"]
        # Slow models also report between these steps, as a sign of life.
        if event["type"] == "step" and step not in (1, request.plan["steps"]) and step % request.report_every_steps:
            return
        fields = ("train_loss", "validation_loss", "gradient_norm", "tokens_per_second")
        if not self.points:
            self.since = time.monotonic()
        self.points.append({"step": step, **{name: event.get(name) for name in fields}})
        if time.monotonic() - self.since >= POINTS_GATHERED_SECONDS:
            self._flush()

    def _flush(self):
        if self.points:
            self.events.add(self.job.key, {"type": "metrics", "points": self.points})
            self.points = []


class Stop:
    """
    Whether a signal asked to stop: checkpoints are written then, and nothing new begins. A second one ends at once.
    Nothing new begins either after a failure that the next runs would meet too.
    """

    def __init__(self):
        self.asked, self.asked_at = None, 0.0
        # The code of that failure.
        self.failure = None
        for number in STOP_SIGNALS:
            signal.signal(number, self._ask)

    def _ask(self, number, _frame):
        if self.asked is None:
            self.asked, self.asked_at = signal.Signals(number).name, time.monotonic()
        elif time.monotonic() - self.asked_at >= TOGETHER_SECONDS:
            os._exit(EXIT_INTERRUPTED)

    @property
    def wanted(self):
        return self.asked is not None or self.failure is not None


def by_shape(jobs):
    """Jobs of one shape, a list each; shapes in the order of their first job."""
    shapes = {}
    for job in jobs:
        shapes.setdefault(shape_of(job.request.plan), []).append(job)
    return list(shapes.values())


def train_alike(jobs, options, capacity, train_some, stop):
    """
    Jobs of one shape, as many at once as fit and pay (capacity.py), or as the command line says.
    train_some: returns a Shortage where memory does not suffice for all; then those that it has left go on, half as many at once.
    """
    most = len(jobs)
    while jobs and not stop.wanted:
        wanted = min(len(jobs), most)
        plan = jobs[0].request.plan
        # One alone is not measured.
        size = min(wanted, options.cohort or (capacity.answer(plan, wanted, None) if wanted > 1 else 1))
        shortage = train_some(jobs[:size])
        left = [] if shortage is None else [job for job in jobs[:size] if job.request in shortage.left]
        jobs = left + jobs[size:]
        if shortage is not None:
            most = size // 2
            capacity.lower(plan, most)
            say(f"Out of memory with {size} runs at once, on with {most}: {shortage.reason}")


def work(options, programs):
    """The exit code."""
    stop = Stop()
    if not programs.peers.leads:
        return follow(programs)
    try:
        jobs = [Job.of(job, options) for job in read_jobs(Path(options.jobs))]
        events = EventsFile(Path(options.events))
    except Unusable as error:
        return _refuse(programs, error, EXIT_USAGE)
    waiting = [job for job in jobs if job.key not in events.ended]
    try:
        for plan in {job.request.plan["data"]["hash"]: job.request.plan for job in waiting}.values():
            DataSource(plan, options.data)
    except Failure as failure:
        return _refuse(programs, failure, EXIT_UNAVAILABLE)
    say(f"{len(waiting)} of {len(jobs)} runs to train on {described(programs.options, programs.peers)}")
    capacity = Capacity(programs)
    for jobs_alike in by_shape(waiting):
        train_alike(jobs_alike, options, capacity, lambda some: _train(some, programs, events, stop), stop)
    programs.peers.share(None)
    programs.peers.close()
    return _summary(jobs, events, stop)


def _refuse(programs, error, code):
    programs.peers.share(None)
    say(error)
    return code


def _train(cohort, programs, events, stop):
    """None, or the Shortage of memory."""
    device = described(programs.options, programs.peers)
    reports = {job.request.run: Report(job, events, device) for job in cohort}
    for job in cohort:
        if job.key not in events.last:
            events.add(job.key, {"type": "claimed"})

    # Checkpoints are written, and said to be, by threads of their own.
    lock = threading.Lock()

    def emit(event):
        with lock:
            reports[event["run"]].take(event)
        if event["type"] in ENDS:
            said = {name: event[name] for name in ("step", "validation_loss", "reason", "message") if name in event}
            say(f"{event['run']} {event['type']}: {json.dumps(said, ensure_ascii=False)}")
        if is_mendable(event):
            say(f"{event['run']} has not ended: the same command tries it again.")
            if event["code"] in OF_THIS_HOST or not programs.usable:
                stop.failure = event["code"]

    requests = programs.peers.share([job.request for job in cohort])
    return train(requests, programs, emit, lambda run: "stop" if stop.asked else None, splits_memory=True)


def _summary(jobs, events, stop):
    ends = [events.ended[job.key] for job in jobs if job.key in events.ended]
    counts = ", ".join(f"{ends.count(end)} {end}" for end in ENDS)
    say(f"{len(ends)} of {len(jobs)} runs have ended ({counts}), in {events.file.name}")
    if stop.asked is not None and len(ends) < len(jobs):
        say(f"Stopped by {stop.asked}. The same command goes on.")
        return EXIT_INTERRUPTED
    if stop.failure is not None:
        say(f"Left at {stop.failure}, which the next runs would meet too. The same command goes on.")
    return EXIT_DONE if len(ends) == len(jobs) and "failed" not in ends else EXIT_INCOMPLETE
