"""The trainer protocol (docs/trainer-protocol.md): commands as JSON lines on standard input, events on standard output. One run at a
time, or several of one shape that were sent together; the process stays warm between them and exits when standard input closes.
"""

import json
import os
import queue
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from . import ENGINE, ENGINE_VERSION, checks, stop_signals
from .capacity import MOST, Capacity
from .plan import check_plan, shape_of
from .runs import ENDED, described, follow, train
from .saying import say
from .seat import Request

PROTOCOL_VERSION = 2
MAX_LINE_BYTES = 1 << 20

_seconds = checks.number(above=0)
_run_fields = {
    "run": checks.text(),
    "plan": check_plan,
    "data_directory": checks.text(),
    "checkpoint": checks.nullable(checks.record({"directory": checks.text(), "every_seconds": _seconds})),
    "weights_path": checks.nullable(checks.text()),
    "report_every_steps": checks.whole(least=1),
    "memory_limit_bytes": checks.nullable(checks.number(above=0)),
}
_check_run = checks.record({"type": checks.one_of("run"), **_run_fields})
_check_cohort = checks.record({"type": checks.one_of("cohort"), "runs": checks.items(checks.record(_run_fields))})
_check_capacity = checks.record(
    {
        "type": checks.one_of("capacity"),
        "plan": check_plan,
        "most": checks.whole(least=1),
        "memory_limit_bytes": checks.nullable(checks.number(above=0)),
    }
)
_check_interruption = checks.record({"type": checks.one_of("stop", "cancel"), "run": checks.text()})


@dataclass(frozen=True)
class Question:
    """How many runs of the plan's shape at once."""

    plan: dict
    most: int
    memory_limit_bytes: float | None


def check_command(json_value):
    """A list of Requests of one shape, a Question, or ("stop" or "cancel", run)."""
    kind = json_value.get("type") if isinstance(json_value, dict) else None
    if kind in ("stop", "cancel"):
        command = _check_interruption(json_value, "")
        return command["type"], command["run"]
    if kind == "capacity":
        command = _check_capacity(json_value, "")
        return Question(command["plan"], command["most"], command["memory_limit_bytes"])
    if kind != "cohort":
        return [_request(_check_run(json_value, ""))]
    requests = [_request(command) for command in _check_cohort(json_value, "")["runs"]]
    if not 1 <= len(requests) <= MOST:
        raise checks.Invalid(f"runs: expected 1 to {MOST} of them")
    if len({request.run for request in requests}) < len(requests):
        raise checks.Invalid("runs: expected each run once")
    if len({shape_of(request.plan) for request in requests}) > 1:
        raise checks.Invalid("runs: expected plans of one shape")
    return requests


def _request(command):
    place = command["checkpoint"]
    return Request(
        run=command["run"],
        plan=command["plan"],
        data_directory=command["data_directory"],
        checkpoint_directory=None if place is None else Path(place["directory"]),
        checkpoint_every_seconds=0.0 if place is None else place["every_seconds"],
        weights_path=command["weights_path"],
        report_every_steps=command["report_every_steps"],
        memory_limit_bytes=command["memory_limit_bytes"],
    )


class Conversation:
    """Rank 0's side: a thread reads commands while the main one trains."""

    def __init__(self, output, alone):
        """output: a binary file; alone: no other ranks wait for this process."""
        self.output, self.alone = output, alone
        self.commands = queue.Queue()
        self.lock = threading.Lock()
        # The runs under way, and what was asked of each.
        self.asked = {}

    def emit(self, event):
        """Of a run under way."""
        if event["type"] in ENDED:
            # From the last one on the next may be sent.
            self.asked.pop(event["run"], None)
        self.write(event)

    def write(self, event):
        line = json.dumps(event, ensure_ascii=False, allow_nan=False).encode("utf-8") + b"\n"
        with self.lock:
            try:
                self.output.write(line)
                self.output.flush()
            except OSError:
                # The worker has gone: nobody is left to train for.
                self.close()

    def interruption(self, run):
        return self.asked.get(run)

    def close(self):
        if self.alone:
            os._exit(0)
        # The others are told at the end of a run; this one ends soon.
        self.asked = dict.fromkeys(self.asked, "cancel")
        self.commands.put(None)

    def listen(self, stdin):
        pending = b""
        # What is there, not until a buffer is full.
        while chunk := os.read(stdin.fileno(), 1 << 16):
            *lines, pending = (pending + chunk).split(b"\n")
            for line in lines:
                if line.strip():
                    self._handle(line)
            if len(pending) > MAX_LINE_BYTES:
                print(
                    f"A command is longer than {MAX_LINE_BYTES} bytes; this is not the trainer protocol.",
                    file=sys.stderr,
                )
                os._exit(2)
        self.close()

    def _handle(self, line):
        try:
            value = checks.parse_json(line)
        except ValueError:
            return self._refuse("unknown", "A command is not JSON.")
        try:
            command = check_command(value)
        except checks.Invalid as error:
            named = value.get("run") if isinstance(value, dict) else None
            return self._refuse(named if isinstance(named, str) else "unknown", f"The command is invalid: {error}.")
        if isinstance(command, (list, Question)):
            return self._take(command)
        asked, run = command
        if run in self.asked:
            self.asked[run] = asked
        else:
            # A run may end while a stop for it is under way; its own last event is the answer.
            say(f"No run {run} to {asked}.")

    def _take(self, command):
        requests = command if isinstance(command, list) else []
        with self.lock:
            busy = list(self.asked)
            if not busy:
                self.asked = {request.run: None for request in requests}
        if not busy:
            return self.commands.put(command)
        message = f"This trainer is busy with run {busy[0]}; it trains what was sent together, then the next."
        for request in requests:
            self._fail(request.run, "busy", message, True)
        if isinstance(command, Question):
            self.write({"type": "capacity", "runs": 1})
        return None

    def _refuse(self, run, message):
        self._fail(run, "invalid-command", message, False)

    def _fail(self, run, code, message, retryable):
        self.write({"type": "failed", "run": run, "code": code, "message": message, "retryable": retryable})


def own_output():
    """
    Standard output for events alone: whatever a library prints there goes to standard error from now on.
    """
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return output


def serve(programs):
    """Trains what it is told to until standard input closes. On every rank; only rank 0 is told."""
    output = own_output()
    peers = programs.peers
    if not peers.leads:
        return follow(programs)
    if peers.world == 1:
        # torchrun ends its ranks by them.
        stop_signals.outlive()
    conversation = Conversation(output, alone=peers.world == 1)
    conversation.write(
        {
            "type": "ready",
            "protocol": PROTOCOL_VERSION,
            "engine": ENGINE,
            "engine_version": ENGINE_VERSION,
            "device": described(programs.options, peers),
            "most_runs": MOST if peers.world == 1 else 1,
        }
    )
    capacity = Capacity(programs)
    threading.Thread(target=conversation.listen, args=(sys.stdin,), daemon=True).start()
    while (command := conversation.commands.get()) is not None:
        if isinstance(command, Question):
            runs = capacity.answer(command.plan, command.most, command.memory_limit_bytes)
            conversation.write({"type": "capacity", "runs": runs})
        else:
            _train(command, programs, conversation, capacity)
    peers.share(None)
    return peers.close()


def _train(requests, programs, conversation, capacity):
    """All of them; where memory does not suffice for all at once, one half after the other."""
    begun = set()

    def emit(event):
        if event["type"] == "started":
            begun.add(event["run"])
        conversation.emit(event)

    shared = programs.peers.share(requests)
    shortage = train(shared, programs, emit, conversation.interruption, splits_memory=len(requests) > 1)
    if shortage is None:
        return
    half = len(requests) // 2
    capacity.lower(requests[0].plan, half)
    say(f"Out of memory with {len(requests)} runs at once, on with {half}: {shortage.reason}")
    for request in shortage.left:
        if request.run in begun:
            # Its events so far are those of another start.
            message = f"Memory did not suffice for {len(requests)} runs at once; fewer are trained together from now on."
            fields = {"run": request.run, "code": "cohort-memory", "message": message, "retryable": True}
            conversation.emit({"type": "failed", **fields})
    left = [request for request in shortage.left if request.run not in begun]
    for part in (left[:half], left[half:]):
        if part:
            _train(part, programs, conversation, capacity)
