"""Makes a training script a musweep trainer: docs/own-model.md.

One file, so that it can be copied beside a script, hence its length. It needs the standard library, and PyTorch from
`run.apply` on. From top to bottom: errors, settings, the plan, streams, who listens (a worker, a terminal), ranks,
random numbers, roles and weights, coordinates, checkpoints, the run, and how a run begins and ends.

Started by a worker, a script speaks the trainer protocol (docs/trainer-protocol.md) on a channel of its own, and what
it prints is text for the log. Started with --musweep-plan FILE, it runs that plan alone and says in words what it would
have reported.
"""

from __future__ import annotations

import atexit
import contextlib
import datetime
import difflib
import fnmatch
import functools
import gc
import hashlib
import json
import math
import multiprocessing
import os
import pickle
import queue
import random
import re
import shutil
import signal
import stat
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

__version__ = "0.2.0"
__all__ = ["Run", "RunEnded", "ScriptError", "huggingface_callback", "main", "start"]

PROTOCOL_VERSION = 1
# A longer line is not the protocol.
MAX_LINE_BYTES = 1 << 20
# A step is reported at least this often, so that nobody takes a slow model for a dead trainer.
SIGN_OF_LIFE_SECONDS = 10
# Training loss above its first value for so many steps in a row is divergence, where the plan does not say how many.
PATIENCE_STEPS = 100
CHECKPOINT_FORMAT = "musweep-script-checkpoint-1"
ABANDONED_SECONDS = 3600
CHECKPOINTS_KEPT = 2
# Numbers beside the losses that a run keeps (schema/wire/outcomes.ts).
MOST_METRICS = 16


class ScriptError(Exception):
    """The script, or its sweep file, asks for something that cannot be right: trying again does not help."""

    code = "script"


class PlanError(ScriptError):
    """The plan is not one that a script can train."""

    def __init__(self, message: str, code: str = "invalid-command"):
        super().__init__(message)
        self.code = code


class RunEnded(SystemExit):
    """Raised where the script asks for its next step and there is none: the run was stopped, cancelled, or diverged."""


# Settings


class UnknownSetting(ScriptError, KeyError, AttributeError):
    """Also what `hasattr` and `settings.get(name, default)` expect."""

    def __str__(self) -> str:
        return str(self.args[0])


class Settings(Mapping):
    """What the sweep file and its axes say of this run: `settings.width` or `settings["width"]`."""

    def __init__(self, values: Mapping[str, Any]):
        self._values = dict(values)
        self._read: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        if name not in self._values:
            close = difflib.get_close_matches(name, self._values, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else "."
            known = ", ".join(sorted(self._values)) or "none"
            raise UnknownSetting(f"the sweep file gives no setting {name!r}{hint} There are: {known}.")
        self._read.add(name)
        return self._values[name]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return self[name]

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


# Settings that the plan's other numbers have taken in already: nobody misses them if the script does not read them.
_OBEYED_BY_THE_PLAN = frozenset(
    "parameterization learning_rate init_std alpha_input alpha_output weight_decay decay_mode sparsity density mask"
    " beta1 beta2 eps clip_norm warmup_steps warmup_fraction schedule final_fraction steps tokens precision seed"
    " base_width base_layers base_density".split()
)

# The plan

_NUMBER = (int, float)
_PLAN_FIELDS = {
    **dict.fromkeys(("version", "seed"), int),
    **dict.fromkeys(("precision", "mask", "optimizer.name"), str),
    **dict.fromkeys(("settings", "roles"), dict),
    **dict.fromkeys(("model.width_multiplier", "optimizer.beta1", "optimizer.beta2"), _NUMBER),
    **dict.fromkeys(("forward.embedding_multiplier", "forward.residual_multiplier"), _NUMBER),
    **dict.fromkeys(("forward.logits_multiplier", "forward.attention_scale_power"), _NUMBER),
}
_ROLE_FIELDS = dict.fromkeys(("learning_rate", "decay_per_step", "eps", "density"), _NUMBER)
_SCHEDULE_FIELDS = {"warmup_steps": int, "decay": str, "final_fraction": _NUMBER}


def _check_fields(value: Any, fields: Mapping[str, Any], where: str) -> None:
    for path, kind in fields.items():
        at = value
        for part in path.split("."):
            at = at.get(part) if isinstance(at, dict) else None
        if not isinstance(at, kind) or isinstance(at, bool):
            raise PlanError(f"the {where} has no valid {path}: {json.dumps(at)}")


def _check_plan(plan: Any) -> None:
    if isinstance(plan, dict) and "groups" in plan and "roles" not in plan:
        raise PlanError(
            "this plan is for the built-in trainer, which lists tensors; a script's plan has roles. "
            "Name this trainer in the sweep file (trainer: …)",
            "unsupported",
        )
    _check_fields(plan, _PLAN_FIELDS, "plan")
    if not 0 <= plan["seed"] < 2**32:
        raise PlanError(f"the plan's seed {plan['seed']} is not a whole number from 0 to 2^32 - 1")
    for name, role in plan["roles"].items():
        _check_fields(role, _ROLE_FIELDS, f"plan's role {name}")
    schedule = plan.get("schedule")
    if schedule is not None:
        _check_fields(schedule, _SCHEDULE_FIELDS, "plan's schedule")
    known = {
        "version": (plan["version"], (2,)),
        "mask": (plan["mask"], ("exact", "bernoulli")),
        "schedule": (schedule and schedule["decay"], (None, "linear", "cosine", "constant")),
    }
    for name, (value, values) in known.items():
        if value not in values:
            raise PlanError(f"this musweep.py knows no plan with {name} {value!r}: update it", "unsupported")


_MAX_FLOAT32 = 3.4028235e38


def _finite(value: Any) -> float:
    """A number or a tensor of one; NaN for an infinity too, and for what is one to the worker."""
    number = float(value.detach() if hasattr(value, "detach") else value)
    return number if abs(number) <= _MAX_FLOAT32 else math.nan


def _or_null(value: float) -> float | None:
    """JSON has no NaN."""
    return value if math.isfinite(value) else None


# As the worker takes them (schema/wire/outcomes.ts).
_METRIC_NAME = re.compile(r"[\w./@%-]{1,64}", re.ASCII)


# The protocol's streams, and what a worker says through the environment


@functools.cache
def _take_streams() -> tuple[int, int]:
    """Standard input and output, for the protocol alone: the script and its programs get an empty one, and stderr."""
    # Programs that the script starts inherit neither copy.
    streams = os.dup(0), os.dup(1)
    os.dup2(2, 1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    # Prints reach the log as they come, in order with what goes to stderr.
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(line_buffering=True)
    return streams


def _obey_worker() -> None:
    """Started by a worker, nothing that is printed from here on reaches the protocol.

    It says how many threads are this trainer's. The variable is taken away, because it is the mark: a program that the
    script starts is no trainer, even if it imports this file.
    """
    threads = os.environ.pop("MUSWEEP_THREADS", None)
    if threads is None:
        return
    _take_streams()
    _outlive_stop_signals()
    if "OMP_NUM_THREADS" not in os.environ:
        os.environ["OMP_NUM_THREADS"] = threads
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(int(threads))


# By which a terminal or a scheduler stops all processes of a job at once.
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)


def _outlive_stop_signals() -> None:
    """The worker, which gets them too, says when to stop: a run is to be checkpointed. What the script does about one is left alone."""
    # torchrun ends its ranks by them.
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 or threading.current_thread() is not threading.main_thread():
        return
    outlived = [n for n in _STOP_SIGNALS if signal.getsignal(n) in (signal.SIG_DFL, signal.default_int_handler)]
    for number in outlived:
        signal.signal(number, _outlive)
    forking = threading.local()

    def hold() -> None:
        forking.mask = signal.pthread_sigmask(signal.SIG_BLOCK, outlived)

    def let_go() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, forking.mask)

    def end_by_them() -> None:
        for number in outlived:
            if signal.getsignal(number) is _outlive:
                signal.signal(number, signal.SIG_DFL)
        let_go()

    # Whoever forks a process, a data loader say, ends it by them, from its first moment on.
    os.register_at_fork(before=hold, after_in_parent=let_go, after_in_child=end_by_them)


def _outlive(_number: int, _frame: Any) -> None:
    pass


_obey_worker()

# Who listens: nobody (ranks other than the first), a worker, or a person at a terminal


# What a terminal would obey: control characters but for tabs and line ends, those that turn the direction of writing,
# line and paragraph separators, halves of characters.
_COMMANDS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def _printable(text: str) -> str:
    return _COMMANDS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _say(text: str) -> None:
    print(f"musweep: {_printable(text)}", file=sys.stderr, flush=True)


class _Channel:
    """Commands in, events out."""

    alone = False
    asked: str | None = None

    def emit(self, event: Mapping[str, Any]) -> None:
        pass

    def end(self, event: Mapping[str, Any], another: bool) -> None:
        """A run's last event. Without another run to come, later `run` commands are refused as during this one."""
        self.emit(event)


class _Worker(_Channel):
    """The protocol on its two pipes."""

    def __init__(self, ready: Mapping[str, Any]):
        commands, events = _take_streams()
        self._events = os.fdopen(events, "wb", buffering=0)
        self._writing = threading.Lock()
        self._commands: queue.Queue[dict[str, Any]] = queue.Queue()
        self._active: str | None = None
        self.emit({"type": "ready", "protocol": PROTOCOL_VERSION, **ready})
        threading.Thread(target=self._listen, args=(commands,), daemon=True, name="musweep").start()

    def emit(self, event: Mapping[str, Any]) -> None:
        line = json.dumps(event, allow_nan=False).encode() + b"\n"
        with self._writing:
            try:
                while line:
                    line = line[self._events.write(line) :]
            except BrokenPipeError:
                self._leave()

    def take(self) -> dict[str, Any]:
        return self._commands.get()

    def end(self, event: Mapping[str, Any], another: bool) -> None:
        if another:
            self._active = self.asked = None
        self.emit(event)

    def decline(self, run: str, code: str, message: str) -> None:
        """Of a run taken whose plan cannot be trained."""
        self._active = None
        self._refuse(run, code, message)

    def _refuse(self, run: Any, code: str, message: str) -> None:
        named = run if isinstance(run, str) else "unknown"
        self.emit({"type": "failed", "run": named, "code": code, "message": message, "retryable": code == "busy"})

    def _listen(self, descriptor: int) -> None:
        with os.fdopen(descriptor, "rb") as lines:
            while line := lines.readline(MAX_LINE_BYTES + 1):
                if len(line) > MAX_LINE_BYTES:
                    _say(f"a command is longer than {MAX_LINE_BYTES} bytes; this is not the trainer protocol")
                    os._exit(2)
                if line.strip():
                    self._obey(line)
        # The worker has gone: nobody is left to train for.
        self._leave()

    def _leave(self) -> None:
        sys.stderr.flush()
        # Under torchrun the other ranks are ended when one fails.
        os._exit(0 if int(os.environ.get("WORLD_SIZE", "1")) == 1 else 1)

    def _obey(self, line: bytes) -> None:
        try:
            command = json.loads(line)
        except (ValueError, RecursionError):
            return self._refuse(None, "invalid-command", "A command is not JSON.")
        kind, run = (command.get("type"), command.get("run")) if isinstance(command, dict) else (None, None)
        if kind not in ("run", "stop", "cancel") or not isinstance(run, str):
            message = "A command is none of run, stop and cancel, or names no run."
            return self._refuse(run, "invalid-command", message)
        if kind == "run" and self._active is not None:
            return self._refuse(run, "busy", f"This trainer is busy with run {self._active}.")
        if kind == "run":
            self._active, self.asked = run, None
            self._commands.put(command)
        elif run == self._active:
            self.asked = kind
        else:
            # A run may end while a stop for it is under way; its own last event is the answer.
            _say(f"no run {run} to {kind}")
        return None


def _read_regular(path: str) -> str:
    """A plan. A pipe would be waited for without end, and a device has none."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError("it is no regular file")
        if status.st_size > MAX_LINE_BYTES:
            raise OSError(f"it is larger than {MAX_LINE_BYTES} bytes")
        return file.read(status.st_size).decode("utf-8")


class _Terminal(_Channel):
    """A plan file without a worker: events as lines that a person reads. Nothing is stored."""

    alone = True

    def __init__(self, path: str):
        try:
            plan = json.loads(_read_regular(path))
        except RecursionError:
            raise PlanError(f"cannot read the plan {_printable(path)}: it is too deep") from None
        except (OSError, ValueError) as error:
            raise PlanError(f"cannot read the plan {_printable(path)}: {_printable(str(error))}") from None
        every = max(1, (plan.get("steps") or 100) // 20) if isinstance(plan, dict) else 1
        self._command = {"run": "alone", "plan": plan, "report_every_steps": every}

    def take(self) -> dict[str, Any]:
        return self._command

    def decline(self, run: str, code: str, message: str) -> None:
        raise PlanError(message, code)

    def emit(self, event: Mapping[str, Any]) -> None:
        for module in event.get("modules", ()):
            layer = "" if module["layer"] is None else f" {module['layer']}"
            size, change = module["size"], module["change"]
            _say(f"step {event['step']}  {module['module']}{layer}: size {size}, change {change}")
        left_out = ("type", "run", "step", "notes", "modules", "metrics")
        said = {k: v for k, v in {**event, **event.get("metrics", {})}.items() if k not in left_out and v}
        values = (f"{k.replace('_', ' ')} {v:.5g}" if isinstance(v, float) else f"{k} {v}" for k, v in said.items())
        at = f"step {event['step']}" if "step" in event else ""
        kind = "" if event["type"] in ("step", "evaluation") else event["type"]
        if event["type"] != "coordinates":
            _say("  ".join(filter(None, (at, kind, *values))))


# Ranks: one process, or those that torchrun started


class _Ranks:
    """Rank 0 speaks with the worker; what it decides goes to the others through a group of its own, on the CPU."""

    def __init__(self) -> None:
        self.size = int(os.environ.get("WORLD_SIZE", "1"))
        self.rank = int(os.environ.get("RANK", "0"))
        self._group: Any = None

    def connect(self) -> None:
        if self.size == 1:
            return
        import torch.distributed as dist

        if not dist.is_initialized():
            raise ScriptError("under torchrun call torch.distributed.init_process_group() before musweep starts")
        # A warm trainer may wait for its next run for long.
        self._group = dist.new_group(backend="gloo", timeout=datetime.timedelta(days=365))
        threading.Thread(target=self._follow_parent, daemon=True).start()

    def share(self, value: Any) -> Any:
        """Rank 0's value, on every rank."""
        if self.size == 1:
            return value
        import torch.distributed as dist

        box = [value]
        dist.broadcast_object_list(box, src=0, group=self._group)
        return box[0]

    def gather(self, value: Any) -> list[Any]:
        """Every rank's value, on rank 0."""
        if self.size == 1:
            return [value]
        import torch.distributed as dist

        values = [None] * self.size if self.rank == 0 else None
        dist.gather_object(value, values, dst=0, group=self._group)
        return values or []

    def _follow_parent(self) -> None:
        """torchrun gives each rank a session of its own: when it is killed, nothing else ends them."""
        parent = os.getppid()
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)


# Random numbers: the streams of docs/trainer-protocol.md

_LOW = 0xFFFFFFFF
_BLOCKS_AT_ONCE = 1 << 20


def _fnv1a_64(text: str) -> int:
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = ((value ^ byte) * 0x100000001B3) % 2**64
    return value


def _words(seed: int, stream: str, first: int, blocks: int, device: Any) -> Any:
    """Words 4·first … of a stream, [4·blocks], as int64. Philox4x32-10; the products' high words survive the wrap."""
    import torch

    tag = _fnv1a_64(stream)
    block = torch.arange(first, first + blocks, dtype=torch.int64, device=device)
    c0, c1 = block & _LOW, block >> 32
    c2, c3 = torch.full_like(block, tag >> 32), torch.zeros_like(block)
    k0, k1 = seed, tag & _LOW
    for _ in range(10):
        left, right = c0 * 0xD2511F53, c2 * 0xCD9E8D57
        c0, c1 = (right >> 32) & _LOW ^ c1 ^ k0, right & _LOW
        c2, c3 = (left >> 32) & _LOW ^ c3 ^ k1, left & _LOW
        k0, k1 = (k0 + 0x9E3779B9) & _LOW, (k1 + 0xBB67AE85) & _LOW
    return torch.stack((c0, c1, c2, c3), dim=1).reshape(-1)


def _pieces(seed: int, stream: str, size: int, device: Any) -> Iterator[tuple[slice, Any]]:
    """A stream's first words, a part at a time; the last may be longer than its slice of `size`."""
    blocks = -(-size // 4)
    for first in range(0, blocks, _BLOCKS_AT_ONCE):
        words = _words(seed, stream, first, min(_BLOCKS_AT_ONCE, blocks - first), device)
        yield slice(4 * first, min(4 * first + len(words), size)), words


def _draw_normal(seed: int, name: str, size: int, std: float, device: Any) -> Any:
    """[size], float32: Box-Muller on pairs of words."""
    import torch

    out = torch.empty(size, dtype=torch.float32, device=device)
    for part, words in _pieces(seed, f"init/{name}", size, device):
        u, v = (words[0::2].double() + 0.5) / 2**32, (words[1::2].double() + 0.5) / 2**32
        radius, angle = (-2 * u.log()).sqrt(), 2 * math.pi * v
        pairs = torch.stack((radius * angle.cos(), radius * angle.sin()), dim=1).reshape(-1)
        out[part] = (pairs[: part.stop - part.start] * std).float()
    return out


def _draw_dropped(seed: int, name: str, size: int, density: float, kind: str, device: Any) -> Any:
    """[size], bool: True where no weight exists."""
    import torch

    words = torch.empty(size, dtype=torch.int64, device=device)
    for part, piece in _pieces(seed, f"mask/{name}", size, device):
        words[part] = piece[: part.stop - part.start]
    if kind == "bernoulli":
        return words.double() >= density * 2**32
    keep = math.floor(density * size + 0.5)
    if keep == 0:
        return torch.ones(size, dtype=torch.bool, device=device)
    last = words.kthvalue(keep).values
    kept = words < last
    # Equal words in index order.
    kept[(words == last).nonzero()[: keep - int(kept.sum())]] = True
    return ~kept


# Roles and weights


@dataclass(frozen=True)
class Role:
    """What a parameter is in the model, and the plan's numbers for it. Made by `run.role`."""

    name: str
    label: str
    init_std: float | None
    learning_rate: float
    decay_per_step: float
    eps: float
    density: float
    # Axis of the stored tensor along which a neuron's inputs lie; a convolution's kernel counts as inputs too.
    fan_in_axis: int
    # normal: the plan's init_std; keep: the script's own initial weights, times own_factor.
    init: str
    own_factor: float

    @property
    def draws(self) -> bool:
        """Whether initial weights are the plan's."""
        return self.init == "normal" and self.init_std is not None


class _Dropped:
    """Elements of a parameter that do not exist, kept where the parameter is: the model may move after run.apply."""

    def __init__(self, elements: Any):
        self._elements = elements

    def clear(self, values: Any) -> Any:
        """Sets them to 0, in place."""
        self._elements = self._elements.to(values.device)
        return values.masked_fill_(self._elements, 0)

    def cleared(self, gradient: Any) -> Any:
        return self.clear(gradient.clone())

    def count(self) -> int:
        return int(self._elements.sum())


@dataclass(frozen=True)
class _Weight:
    name: str
    parameter: Any
    role: Role
    dropped: _Dropped | None
    # Euclidean norm after run.apply.
    norm: float


def _norm(parameter: Any) -> float:
    import torch

    return float(torch.linalg.vector_norm(parameter.detach(), dtype=torch.float64))


_SCALED_RATES = (
    "run.scheduler(optimizer) scales each group's own rate, once after every optimizer step; by hand it is "
    "group['lr'] = group['initial_lr'] * run.schedule_factor(step)"
)


class _Weights:
    """What `run.apply` did to a model, held against what the optimizer does with it."""

    def __init__(self, run: Run, weights: list[_Weight]):
        from torch.optim import optimizer

        self._run = run
        self.all = weights
        self._of = {id(w.parameter): w for w in weights}
        self._stepped: set[int] = set()
        self._met: list[Any] = []
        # The highest factor that a schedule has put on the plan's rates.
        self.highest = 0.0
        self._hooks = [
            optimizer.register_optimizer_step_pre_hook(lambda opt, *_: self._before_step(opt)),
            optimizer.register_optimizer_step_post_hook(lambda *_: self._clear_dropped()),
            *(w.parameter.register_hook(w.dropped.cleared) for w in weights if w.dropped is not None),
        ]

    def close(self) -> None:
        for hook in self._hooks:
            hook.remove()

    def are_finite(self) -> bool:
        return all(bool(w.parameter.isfinite().all()) for w in self.all)

    def never_stepped(self) -> list[str]:
        return [w.name for w in self.all if id(w.parameter) not in self._stepped]

    def _clear_dropped(self) -> None:
        import torch

        with torch.no_grad():
            for weight in self.all:
                if weight.dropped is not None:
                    weight.dropped.clear(weight.parameter)

    def _before_step(self, optimizer: Any) -> None:
        if not any(optimizer is known for known in self._met):
            self._met.append(optimizer)
            self._meet(optimizer)
        groups = [(g, self._of.get(id(g["params"][0]))) for g in optimizer.param_groups if g["params"]]
        self._check_rates([(g, w.role) for g, w in groups if w is not None])

    def _meet(self, optimizer: Any) -> None:
        """Looks once at an optimizer: which of the model's parameters it steps, and with which numbers."""
        name = type(optimizer).__name__
        for group in optimizer.param_groups:
            weights = [self._of[id(p)] for p in group["params"] if id(p) in self._of]
            if not weights:
                continue
            self._stepped.update(id(w.parameter) for w in weights)
            if "adam" not in name.lower():
                raise ScriptError(
                    f"the script steps with {name}, but the plan's rates are AdamW's: no rule is derived for it"
                )
            labels = sorted({w.role.label for w in weights})
            if len(labels) > 1:
                raise ScriptError(
                    f"a group of the optimizer holds parameters of several roles ({', '.join(labels)}), so they share "
                    "one rate: give the optimizer what run.apply returned, not model.parameters()"
                )
            role = weights[0].role
            if role.decay_per_step > 0 and group.get("decoupled_weight_decay") is False:
                raise ScriptError(f"{name} adds decay to the gradient; the plan's decay is that of torch.optim.AdamW")
            for key, value in self._run._group_numbers(role).items():
                if key in group and not _close(group[key], value):
                    raise ScriptError(
                        f"the optimizer's group {role.label} has {key} {group[key]}, the plan says {value}: "
                        "leave the groups of run.apply as they are"
                    )
            if self._run.step == 1:
                self._check_untouched(weights)

    def _check_untouched(self, weights: list[_Weight]) -> None:
        for w in weights:
            if not w.role.draws:
                continue
            norm = _norm(w.parameter)
            # Another device or precision changes it a little.
            if abs(norm - w.norm) > 1e-2 * w.norm:
                raise ScriptError(
                    f"{w.name} was written to between run.apply and the first step (its norm was {w.norm:.4g} and is "
                    f"{norm:.4g}): call run.apply after every initialization and loading of the script's own"
                )

    def _check_rates(self, groups: list[tuple[Any, Role]]) -> None:
        if not groups:
            return
        step = self._run.step
        factors = [float(group["lr"]) / role.learning_rate for group, role in groups]
        factor = max(factors)
        self.highest = max(self.highest, factor)

        def shown() -> str:
            return ", ".join(f"{r.label} {float(g['lr']):.4g} (plan: {r.learning_rate:.4g})" for g, r in groups)

        if factor - min(factors) > 1e-6 * factor:
            raise ScriptError(
                f"the optimizer's rates at step {step} are not in the plan's proportion: {shown()}. A scheduler has to "
                f"scale them, not set one for all: {_SCALED_RATES}"
            )
        if self._run.plan.get("schedule") is not None:
            expected = self._run.schedule_factor(step)
            if not _close(factor, expected):
                raise ScriptError(
                    f"the optimizer's rates at step {step} are {factor:.6g} of the plan's peak, its schedule says "
                    f"{expected:.6g}: {_SCALED_RATES}. Without a schedule in the sweep file it is the script's own"
                )
        elif factor > 1 + 1e-6:
            raise ScriptError(
                f"the optimizer's rates at step {step} are above the plan's, which are the peak: {shown()}"
            )


def _close(a: Any, b: Any) -> bool:
    if isinstance(b, tuple):
        return len(a) == len(b) and all(_close(x, y) for x, y in zip(a, b))
    return abs(float(a) - b) <= 1e-6 * max(abs(b), 1e-12)


def _unwrapped(model: Any) -> Any:
    """Names without what DistributedDataParallel and torch.compile put before them: masks depend on neither."""
    wrappers = {"DistributedDataParallel": "module", "DataParallel": "module", "OptimizedModule": "_orig_mod"}
    while type(model).__name__ in wrappers:
        model = getattr(model, wrappers[type(model).__name__])
    return model


def _match(model: Any, roles: Mapping[str, Role]) -> list[tuple[str, Any, Role]]:
    """One role for each parameter that is trained. @throws ScriptError that names each one with none or several"""
    found: dict[int, tuple[Any, list[str]]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if type(parameter.data).__name__ in ("DTensor", "FlatParameter"):
            raise ScriptError("the model is sharded already: call run.apply before it is")
        if parameter.requires_grad:
            found.setdefault(id(parameter), (parameter, []))[1].append(name)
    matched, problems = [], []
    for parameter, names in found.values():
        hits = [pattern for pattern in roles if any(fnmatch.fnmatchcase(name, pattern) for name in names)]
        shown = f"{' = '.join(names)} {list(parameter.shape)}"
        if len(hits) != 1:
            tied = "; a tied parameter is one" if len(names) > 1 else ""
            problems.append(f"{shown} is matched by {' and '.join(map(repr, hits)) or 'no pattern'}{tied}")
            continue
        role = roles[hits[0]]
        if role.init_std is not None and parameter.dim() < 2:
            problems.append(
                f"{shown} is matched by {hits[0]!r} as {role.name}, but gains and biases have the role vector"
            )
        matched.append((names[0], parameter, role))
    if problems:
        more = [f"… and {len(problems) - 12} more"] if len(problems) > 12 else []
        raise ScriptError("\n".join(["every parameter needs one pattern that matches it:", *problems[:12], *more]))
    return matched


# Coordinates: sizes of activations, where the plan asks for them


class _Coordinates:
    """Mean absolute outputs of named modules on inputs that stay the same, and their change since the first time."""

    def __init__(self, modules: Mapping[str, Any], forward: Callable[[], Any]):
        self._forward = forward
        self._initial: dict[tuple[str, int | None], Any] = {}
        self._modules: dict[tuple[str, int | None], Any] = {}
        for name, value in modules.items():
            if isinstance(value, (list, tuple)) or type(value).__name__ == "ModuleList":
                self._modules.update({(name, layer): module for layer, module in enumerate(value)})
            else:
                self._modules[name, None] = value

    def measure(self, model: Any) -> list[dict[str, Any]]:
        import torch

        outputs: dict[tuple[str, int | None], Any] = {}

        def keep(key: tuple[str, int | None], output: Any) -> None:
            while isinstance(output, (tuple, list, Mapping)):
                output = next(iter(output.values() if isinstance(output, Mapping) else output))
            outputs[key] = output.detach().double().cpu()

        # Measuring leaves alone what is trained: random numbers, batch statistics.
        with contextlib.ExitStack() as stack, torch.no_grad():
            stack.enter_context(torch.random.fork_rng())
            for module in model.modules() if model is not None else ():
                stack.callback(setattr, module, "training", module.training)
                module.training = False
            for key, module in self._modules.items():
                hook = module.register_forward_hook(lambda _module, _inputs, output, key=key: keep(key, output))
                stack.callback(hook.remove)
            self._forward()
        measured = []
        for key in self._modules:
            if key not in outputs:
                raise ScriptError(f"run.modules names {key[0]!r}, but the forward function given to it does not run it")
            now, first = outputs[key], self._initial.setdefault(key, outputs[key])
            size, change = float(now.abs().mean()), float((now - first).abs().mean())
            measured.append({"module": key[0], "layer": key[1], "size": _or_null(size), "change": _or_null(change)})
        return measured


# Checkpoints: directories step-<step>, with what the script saves, and musweep.json with the sums of all other files


def _random_states() -> dict[str, Any]:
    states: dict[str, Any] = {"python": random.getstate()}
    if "numpy" in sys.modules:
        states["numpy"] = sys.modules["numpy"].random.get_state()
    if "torch" in sys.modules:
        torch = sys.modules["torch"]
        states["torch"] = torch.get_rng_state()
        if torch.cuda.is_initialized():
            states["cuda"] = torch.cuda.get_rng_state_all()
    return states


def _restore_random_states(states: Mapping[str, Any]) -> None:
    random.setstate(states["python"])
    if "numpy" in states:
        import numpy

        numpy.random.set_state(states["numpy"])
    if "torch" in states:
        import torch

        torch.set_rng_state(states["torch"])
        # Where it goes on there may be fewer GPUs, or none.
        for device, state in zip(range(torch.cuda.device_count()), states.get("cuda", [])):
            torch.cuda.set_rng_state(state, device)


def _seed_anew(stream: str) -> None:
    seed = _fnv1a_64(stream) & _LOW
    random.seed(seed)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(seed)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed)


def _sums(directory: Path) -> dict[str, str]:
    sums = {}
    for file in sorted(p for p in directory.rglob("*") if p.is_file() and p.name != "musweep.json"):
        digest = hashlib.sha256()
        with file.open("rb") as content:
            while piece := content.read(1 << 20):
                digest.update(piece)
            # On disk before the rename that makes it count.
            os.fsync(content.fileno())
        sums[file.relative_to(directory).as_posix()] = digest.hexdigest()
    return sums


class _Checkpoints:
    def __init__(self, directory: str, every_seconds: float, run: str):
        self._directory = Path(directory)
        self.every_seconds = every_seconds
        self._run = run

    def _all(self) -> list[Path]:
        """Newest first."""
        return sorted(self._directory.glob("step-*"), reverse=True) if self._directory.is_dir() else []

    def newest(self) -> tuple[str | None, dict[str, Any], list[str]]:
        """The newest that is whole and of this run, what it says of the run, and a note for each one passed over."""
        notes: list[str] = []
        for path in self._all():
            try:
                said = json.loads((path / "musweep.json").read_text(encoding="utf-8"))
                if said["format"] != CHECKPOINT_FORMAT:
                    raise ValueError(f"its format is {said['format']}")
                if said["run"] != self._run:
                    raise ValueError(f"it belongs to {said['run']}")
                if said["sums"] != _sums(path):
                    raise ValueError("a file of it is damaged or missing")
                return str(path), said, notes
            except (OSError, ValueError, KeyError) as error:
                notes.append(f"Checkpoint {path.name} was passed over: {error}.")
        return None, {}, notes

    def write(self, step: int, said: Mapping[str, Any], save: Callable[[Path], None]) -> tuple[str, int]:
        """Path and bytes. Whole or not at all, whatever happens meanwhile."""
        path = self._directory / f"step-{step:09d}"
        self._directory.mkdir(parents=True, exist_ok=True)
        # What a killed process left, a while ago: that of a worker which was cut off may still be at work here.
        for old in self._directory.glob(".unfinished-*"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - old.stat().st_mtime > ABANDONED_SECONDS:
                    shutil.rmtree(old, ignore_errors=True)
        unfinished = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=self._directory))
        save(unfinished)
        about = {"format": CHECKPOINT_FORMAT, "run": self._run, "step": step, **said, "sums": _sums(unfinished)}
        with (unfinished / "musweep.json").open("w", encoding="utf-8") as file:
            json.dump(about, file)
            file.flush()
            os.fsync(file.fileno())
        shutil.rmtree(path, ignore_errors=True)
        try:
            unfinished.rename(path)
        except OSError:
            if not path.is_dir():
                raise
            # The other one has written the same step meanwhile.
            shutil.rmtree(unfinished, ignore_errors=True)
        for old in self._all()[CHECKPOINTS_KEPT:]:
            shutil.rmtree(old, ignore_errors=True)
        return str(path), sum(p.stat().st_size for p in path.rglob("*") if p.is_file())


class _State:
    """What a checkpoint holds of the script: the states of objects, and what its own `save` writes."""

    def __init__(self, objects: tuple[Any, ...], save: Any, load: Any):
        for thing in objects:
            if not (hasattr(thing, "state_dict") and hasattr(thing, "load_state_dict")):
                kind = type(thing).__name__
                raise ScriptError(f"run.checkpoint: {kind} has no state_dict and load_state_dict; use save= and load=")
        if (save is None) != (load is None) or (save is None and not objects):
            raise ScriptError("run.checkpoint takes model, optimizer and so on, or save= and load= together, or both")
        self._objects, self._save, self._load = objects, save, load

    def write(self, directory: Path, randomness: list[Any]) -> None:
        with (directory / "random.pickle").open("wb") as file:
            pickle.dump(randomness, file)
        if self._objects:
            import torch

            torch.save([thing.state_dict() for thing in self._objects], directory / "state.pt")
        if self._save is not None:
            self._save(str(directory / "script"))

    def read(self, directory: Path) -> list[Any]:
        """Every rank's random states, to be restored when training goes on."""
        if self._objects:
            import torch

            # The run's own directory: this script wrote it.
            states = torch.load(directory / "state.pt", map_location="cpu", weights_only=False)
            for thing, state in zip(self._objects, states):
                thing.load_state_dict(state)
        if self._load is not None:
            self._load(str(directory / "script"))
        with (directory / "random.pickle").open("rb") as file:
            return pickle.load(file)


# The run


class Run:
    """One run of a sweep: its settings, its numbers, and how it reports."""

    def __init__(self, command: Mapping[str, Any], channel: Any, ranks: _Ranks, another: bool):
        plan = command["plan"]
        self.id: str = command["run"]
        self.plan: dict[str, Any] = plan
        self.settings = Settings(plan["settings"])
        # Where finished weights are wanted, as safetensors; None: nowhere. The script writes them, if it likes.
        self.weights_path: str | None = command.get("weights_path")
        # d_model over the proxy's.
        self.width_multiplier: float = plan["model"]["width_multiplier"]
        # The step under way, or the last one done; from 1.
        self.step = 0
        self.resumed_from_step = 0
        self.ended = False
        self._channel, self._ranks, self._another = channel, ranks, another
        self._report_every: int = command.get("report_every_steps") or 1
        self._total: int | None = plan.get("steps")
        self._patience: int = (plan.get("divergence") or {}).get("patience_steps", PATIENCE_STEPS)
        self._measured_steps: int = (plan.get("coordinates") or {}).get("steps", -1)
        # A coordinate check is ten steps, and measures from the initial network: it starts anew.
        kept = command.get("checkpoint") if self._measured_steps < 0 else None
        self._checkpoints = _Checkpoints(kept["directory"], kept["every_seconds"], self.id) if kept else None
        self._model: Any = None
        self._weights: _Weights | None = None
        self._coordinates: _Coordinates | None = None
        self._state: _State | None = None
        self._randomness: Any = None
        self._looping = False
        self._notes: list[str] = []
        # Numbers beside the losses by name, with the step at which each was last said, and names of those that are not kept.
        self._own: dict[str, int] = {}
        self._told: set[str] = set()
        self._read: set[str] = set()
        self._tokens_per_step = self._flops_per_step = 0.0
        # What a checkpoint carries: the losses, earlier attempts' seconds, events that the next attempt emits again.
        self._loss: dict[str, Any] = {"initial": None, "last_finite": None, "above": 0, "step": 0}
        self._validation: tuple[int, float | None] | None = None
        self._seconds_before = 0.0
        self._events: list[dict[str, Any]] = []
        self._diverged: str | None = None
        self._began = self._checkpointed = time.monotonic()
        self._reported = (0, self._began)

    # What the script reads

    @property
    def seed(self) -> int:
        self._read.add("seed")
        return self.plan["seed"]

    @property
    def precision(self) -> str:
        """float32 or bfloat16."""
        self._read.add("precision")
        return self.plan["precision"]

    @property
    def embedding_multiplier(self) -> float:
        """x = embedding_multiplier · embedding(tokens)"""
        return self._multiplier("embedding_multiplier")

    @property
    def residual_multiplier(self) -> float:
        """x = x + residual_multiplier · block(norm(x))"""
        return self._multiplier("residual_multiplier")

    @property
    def logits_multiplier(self) -> float:
        """logits = logits_multiplier · unembedding(x)"""
        return self._multiplier("logits_multiplier")

    def attention_scale(self, d_head: int) -> float:
        """softmax(attention_scale · q·k)"""
        self._read.add("attention_scale")
        return d_head ** self.plan["forward"]["attention_scale_power"]

    @property
    def clip_norm(self) -> float | None:
        """Global norm that gradients are clipped to; None: they are not."""
        self._read.add("clip_norm")
        return self.plan.get("clip_norm")

    def clip(self, model: Any) -> float:
        """Clips the gradients of a model to clip_norm, if there is one. Their norm before."""
        import torch

        limit = math.inf if self.clip_norm is None else self.clip_norm
        return float(torch.nn.utils.clip_grad_norm_(model.parameters(), limit))

    def _multiplier(self, name: str) -> float:
        self._read.add(name)
        return self.plan["forward"][name]

    def without(self, *names: str) -> None:
        """Says that the model has no such thing, an MLP no attention: run.without("attention_scale")."""
        known = [*self._asked_of_the_script(), *self.settings]
        for name in names:
            if name not in known:
                raise ScriptError(f"run.without knows no {name!r}; there are {', '.join(known)}")
        self._read.update(names)

    def _asked_of_the_script(self) -> dict[str, tuple[Any, Any, str]]:
        """What a plan may ask of the script alone: its value, the value that asks nothing, how to obey."""
        forward = self.plan["forward"]
        power = f"d_head^{forward['attention_scale_power']:g}"
        return {
            "embedding_multiplier": (forward["embedding_multiplier"], 1, "x = run.embedding_multiplier * embedding(x)"),
            "attention_scale": (power, "d_head^-0.5", "softmax(run.attention_scale(d_head) * q·k)"),
            "residual_multiplier": (forward["residual_multiplier"], 1, "x = x + run.residual_multiplier * block(x)"),
            "logits_multiplier": (forward["logits_multiplier"], 1, "run.logits_multiplier * unembedding(x)"),
            "clip_norm": (self.plan.get("clip_norm"), None, "run.clip(model) before optimizer.step()"),
            "precision": (self.plan["precision"], "float32", "torch.autocast where run.precision is bfloat16"),
        }

    def _check_reads(self) -> None:
        for name, (value, neutral, how) in self._asked_of_the_script().items():
            if name in self._read:
                continue
            if value != neutral:
                raise ScriptError(
                    f"the plan's {name} is {value}, and the script never read it: {how}. "
                    f"If the model has none, say run.without({name!r})"
                )
            if neutral in (1, "d_head^-0.5"):
                self._note(f"{name} was never read. It is {value} here, but another parameterization will want {how}.")
        unread = sorted(set(self.settings) - self.settings._read - self._read - _OBEYED_BY_THE_PLAN)
        if not {"seed"} & (self._read | self.settings._read):
            unread.append("seed")
        if unread:
            self._note(f"Not read by the script so far: {', '.join(unread)}. What it never reads changes nothing.")

    # Weights and rates

    def role(
        self, name: str, *, width_multiplier: float | None = None, fan_in_axis: int = 1, init: str | None = None
    ) -> Role:
        """The plan's numbers for a role.

        width_multiplier: this matrix's own fan-in over the proxy's, where it does not grow as the model's width does
        fan_in_axis: 1 for [out, in], as torch.nn.Linear stores it; 0 for [in, out], as GPT-2's Conv1D does
        init: "normal" or "keep", where it is not what run.apply is told
        """
        roles = self.plan["roles"]
        if name not in roles:
            raise ScriptError(f"there is no role {name!r}; there are {', '.join(roles)}")
        if init not in (None, "normal", "keep"):
            raise ScriptError(f'init is "normal" or "keep", not {init!r}')
        numbers = {k: roles[name].get(k) for k in ("init_std", "learning_rate", "decay_per_step", "eps", "density")}
        label = name
        if width_multiplier is not None:
            if not roles[name].get("width"):
                raise ScriptError(f"the role {name} does not depend on width; width_multiplier is for hidden matrices")
            label = f"{name} (width multiplier {width_multiplier:g})"
            for quantity, power in roles[name]["width"].items():
                numbers[quantity] *= (width_multiplier / self.width_multiplier) ** power
        return Role(name, label, **numbers, fan_in_axis=fan_in_axis, init=init or "", own_factor=self._own_factor(name))

    def _own_factor(self, name: str) -> float:
        """What density does to a hidden matrix's initial weights: σ · m_d^power times it; σ is the embedding's."""
        hidden, embedding = self.plan["roles"].get("hidden"), self.plan["roles"].get("embedding")
        if name not in ("hidden", "residual_output") or not (hidden and embedding):
            return 1.0
        factor = hidden["init_std"] / (embedding["init_std"] * self.width_multiplier ** hidden["width"]["init_std"])
        return 1.0 if _close(factor, 1) else factor

    def apply(self, model: Any, roles: Mapping[str, str | Role], init: str = "normal") -> list[dict[str, Any]]:
        """Gives every parameter its role's initial weights and mask, in place. Parameter groups for AdamW.

        roles: patterns of parameter names (* stands for anything), each with a role's name or what run.role made
        init: "normal": the plan's initial weights; "keep": the script's own, which must already go as 1/√fan-in
        """
        if self._weights is not None:
            raise ScriptError("run.apply was called before: put several models into one torch.nn.ModuleDict")
        if init not in ("normal", "keep"):
            raise ScriptError(f'init is "normal" or "keep", not {init!r}')
        named = {pattern: self.role(role) if isinstance(role, str) else role for pattern, role in roles.items()}
        whole = {pattern: role if role.init else replace(role, init=init) for pattern, role in named.items()}
        self._model = _unwrapped(model)
        weights = [self._prepare(*matched) for matched in _match(self._model, whole)]
        self._weights = _Weights(self, weights)
        own = sorted({w.role.label for w in weights if w.role.init == "keep" and w.role.init_std is not None})
        if own:
            factor = f"{self._own_factor('hidden'):.6g}"
            self._note(f"Initial weights are the script's own for {', '.join(own)}; hidden ones times {factor}.")
        if self._channel.alone:
            _show(weights)
        groups: dict[str, dict[str, Any]] = {}
        for w in weights:
            role, rate = w.role, w.role.learning_rate
            group = {"params": [], "lr": rate, "initial_lr": rate, **self._group_numbers(role), "role": role.label}
            groups.setdefault(role.label, group)["params"].append(w.parameter)
        return list(groups.values())

    def _group_numbers(self, role: Role) -> dict[str, Any]:
        beta1, beta2 = self.plan["optimizer"]["beta1"], self.plan["optimizer"]["beta2"]
        # AdamW removes lr · weight_decay of a weight per step.
        decay = role.decay_per_step / role.learning_rate
        return {"weight_decay": decay, "eps": role.eps, "betas": (beta1, beta2)}

    def _prepare(self, name: str, parameter: Any, role: Role) -> _Weight:
        import torch

        size, seed = parameter.numel(), self.plan["seed"]
        device = parameter.device if parameter.device.type == "cuda" else torch.device("cpu")
        dropped = None
        with torch.no_grad():
            if role.init_std is not None and role.draws:
                parameter.copy_(_draw_normal(seed, name, size, role.init_std, device).view(parameter.shape))
            elif role.own_factor != 1:
                parameter.mul_(role.own_factor)
            if role.density < 1:
                inputs = parameter.shape[role.fan_in_axis] * math.prod(parameter.shape[2:])
                if inputs * role.density < 1:
                    raise ScriptError(f"{name}: {inputs} inputs times density {role.density:g} is less than one weight")
                elements = _draw_dropped(seed, name, size, role.density, self.plan["mask"], device)
                dropped = _Dropped(elements.view(parameter.shape))
                dropped.clear(parameter)
        return _Weight(name, parameter, role, dropped, _norm(parameter))

    def schedule_factor(self, step: int) -> float:
        """Of step 1, 2, …: what the plan's schedule multiplies every group's rate by."""
        schedule = self.plan.get("schedule")
        if schedule is None:
            raise ScriptError(
                "the sweep file gives no schedule: say one (training.warmup_steps, training.schedule), or use one of your own"
                " that scales each group's initial rate"
            )
        warmup, last = schedule["warmup_steps"], schedule["final_fraction"]
        if step <= warmup:
            return step / warmup
        if schedule["decay"] == "constant":
            return 1.0
        if self._total is None:
            raise ScriptError("a schedule has to know how many steps there are: give training.steps in the sweep file")
        # Without a warm-up the first step is at the peak.
        first = max(warmup, 1)
        progress = (step - first) / (self._total - first) if self._total > first else 0.0
        if schedule["decay"] == "linear":
            return 1 - (1 - last) * progress
        return last + (1 - last) * 0.5 * (1 + math.cos(math.pi * progress))

    def scheduler(self, optimizer: Any) -> Any:
        """The plan's schedule, as torch's LambdaLR: call its step() after every optimizer.step()."""
        from torch.optim.lr_scheduler import LambdaLR

        self.schedule_factor(self._total or 1)
        return LambdaLR(optimizer, lambda done: self.schedule_factor(done + 1))

    # What the script hands over

    def modules(self, modules: Mapping[str, Any], forward: Callable[[], Any]) -> None:
        """Names modules whose outputs a coordinate check measures; no work in any other run.

        modules: name to module, or to a list of modules, one per layer
        forward: runs the model on the same inputs every time
        """
        if self._measured_steps >= 0:
            self._coordinates = _Coordinates(modules, forward)

    def checkpoint(self, *objects: Any, save: Any = None, load: Any = None) -> None:
        """Says what a checkpoint holds, and goes on from one if there is one. Called when all is made, before steps().

        objects: model, optimizer, scheduler, whatever has state_dict and load_state_dict
        save, load: functions of a path, for the rest, such as a position in the data. Random states are kept anyway
        """
        if self._state is not None or self._looping:
            raise ScriptError("run.checkpoint is called once, before run.steps()")
        self._state = _State(objects, save, load)
        if self._checkpoints is None:
            return
        path, said, notes = self._ranks.share(self._checkpoints.newest() if self._ranks.rank == 0 else None)
        self._notes += notes
        if path is None:
            return
        states, ranks = self._state.read(Path(path)), self._ranks
        self._randomness = states[ranks.rank] if ranks.rank < len(states) else None
        if ranks.size > len(states):
            known = f"{len(states)} of {ranks.size} ranks"
            self._note(f"The checkpoint has random states for {known}: the others are seeded anew.")
        self.step = self.resumed_from_step = said["step"]
        self._loss, self._validation, self._seconds_before = said["loss"], said["validation"], said["seconds"]
        self._events = said["events"]
        if self._weights is not None:
            self._weights.highest = said["highest_rate"]

    def report(self, train_loss: Any, gradient_norm: Any = None, **more: Any) -> None:
        """The training loss of the step under way, and any other numbers. Every step, or every few."""
        self._check_looping()
        loss, norm = _finite(train_loss), 0.0 if gradient_norm is None else _finite(gradient_norm)
        if math.isnan(loss) or math.isnan(norm):
            self._diverged = "non-finite"
        if math.isnan(loss):
            return
        state = self._loss
        if state["initial"] is None:
            state["initial"] = loss
        state["above"] = state["above"] + self.step - state["step"] if loss > state["initial"] else 0
        state["last_finite"], state["step"] = loss, self.step
        if state["above"] >= self._patience:
            self._diverged = self._diverged or "above-initial"
        now, (step, at) = time.monotonic(), self._reported
        due = self.step in (1, self._total) or self.step % self._report_every == 0
        # What is reported now and then only becomes a curve as well.
        every, own = self._report_every, self._own
        due = due or any(self.step - own.get(name, -every) >= every for name in more if name not in self._told)
        if due or now - at >= SIGN_OF_LIFE_SECONDS:
            self._reported = (self.step, now)
            event = {"type": "step", "step": self.step, "train_loss": loss}
            event["gradient_norm"] = None if gradient_norm is None else _or_null(norm)
            event["tokens_per_second"] = (self.step - step) * self._tokens_per_step / max(now - at, 1e-6)
            self._emit({**event, **self._metrics(more)}, again=due)

    def evaluate(self, validation_loss: Any, **more: Any) -> None:
        """The loss on held-out data, now; the one after the last step is the run's result."""
        self._check_looping()
        loss = _or_null(_finite(validation_loss))
        if loss is not None and loss <= 0:
            raise ScriptError(f"validation_loss is {loss:g}: musweep compares cross-entropies, or other losses above 0")
        self._validation = (self.step, loss)
        event = {"type": "evaluation", "step": self.step, "validation_loss": loss}
        self._emit({**event, **self._metrics(more)}, again=True)

    def _check_looping(self) -> None:
        if not self._looping:
            raise ScriptError("run.report and run.evaluate are called in the loop over run.steps(), or after it")

    def _metrics(self, more: Mapping[str, Any]) -> dict[str, Any]:
        """Numbers beside the losses, as a field of their event. What is no number, or one of too many, is said once."""
        kept: dict[str, float] = {}
        for name, value in more.items():
            if not _METRIC_NAME.fullmatch(name):
                raise ScriptError(f"{name!r} is no name for a number: letters, digits, and _ . / @ % -, up to 64")
            try:
                number = _finite(value)
            except (TypeError, ValueError):
                self._note_once(f"{name} is not kept: {value!r} is no number.")
                continue
            if name not in self._own and len(self._own) == MOST_METRICS:
                self._note_once(f"{name} is not kept: {MOST_METRICS} numbers beside the losses are.")
                continue
            self._own[name] = self.step
            if math.isfinite(number):
                kept[name] = number
        return {"metrics": kept} if kept else {}

    def _note_once(self, text: str) -> None:
        name = text.partition(" ")[0]
        if name not in self._told:
            self._told.add(name)
            self._note(text)

    # Steps

    def steps(
        self, steps: int | None = None, *, tokens_per_step: float = 0, flops_per_step: float = 0
    ) -> Iterator[int]:
        """Steps 1, 2, …; a resumed run goes on where it was. One that is stopped or diverges ends the script here.

        steps: how many, where the sweep file does not say
        """
        if self._looping:
            raise ScriptError("run.steps() was called before; a run is one loop over its steps")
        if steps is not None and self._total not in (None, steps):
            raise ScriptError(f"the sweep file says {self._total} steps, run.steps({steps}) says otherwise")
        self._total = self._total or steps
        if self._total is None:
            raise ScriptError("how many steps? Give training.steps in the sweep file, or run.steps(n)")
        self._tokens_per_step, self._flops_per_step = tokens_per_step, flops_per_step
        return self._steps(self._total)

    def _steps(self, total: int) -> Iterator[int]:
        self._begin()
        while self.step < total:
            self._between_steps()
            self.step += 1
            yield self.step
            self._after_step(total)
        self._between_steps(last=True)

    def _begin(self) -> None:
        self._looping = True
        if self._checkpoints is not None and self._state is None:
            self._note("The script has no run.checkpoint: stopped, it starts anew.")
        if self._measured_steps >= 0 and self._coordinates is None:
            self._note("A coordinate check, but the script names no modules (run.modules): nothing is measured.")
        weights = self._weights.all if self._weights else []
        parameters = sum(w.parameter.numel() for w in weights)
        existing = parameters - sum(w.dropped.count() for w in weights if w.dropped is not None)
        started: dict[str, Any] = {
            "type": "started",
            "resumed_from_step": self.resumed_from_step,
            "parameters": parameters,
        }
        started.update(nonzero_parameters=existing, estimated_memory_bytes=0, notes=self._notes)
        self._emit(started)
        # A worker that was killed may not have passed them on.
        for event in self._events:
            self._channel.emit(event)
        self._began = self._checkpointed = time.monotonic()
        self._reported = (self.step, self._began)
        self._measure()
        if self._randomness is not None:
            _restore_random_states(self._randomness)
        elif self.resumed_from_step > 0:
            # Not with the script's own seed: its numbers were drawn by the steps before.
            _seed_anew(f"resumed/{self.plan['seed']}/{self._ranks.rank}/{self.step}")

    def _after_step(self, total: int) -> None:
        if self.step == self.resumed_from_step + 1:
            self._check_reads()
        missing = self._weights.never_stepped() if self._weights else []
        if missing and self.step in (self.resumed_from_step + 10, total):
            more = " …" if len(missing) > 8 else ""
            raise ScriptError(f"no optimizer steps {', '.join(missing[:8])}{more}: give it all groups of run.apply")
        if self.step <= self._measured_steps:
            self._measure()

    def _measure(self) -> None:
        if self._coordinates is not None:
            modules = self._coordinates.measure(self._model)
            self._emit({"type": "coordinates", "step": self.step, "modules": modules}, again=True)

    def _between_steps(self, last: bool = False) -> None:
        """What rank 0 decides, all ranks do."""
        decision = self._ranks.share(self._decide(last))
        if decision == "checkpoint":
            self._write_checkpoint()
        elif decision == "diverged":
            self._diverge()
            raise RunEnded
        elif decision in ("stop", "cancel"):
            path = self._write_checkpoint() if decision == "stop" else None
            self._end({"type": "stopped", "step": self.step, "checkpoint": path})
            raise RunEnded

    def _decide(self, last: bool) -> str | None:
        if self._diverged is not None:
            return "diverged"
        if last or self._channel.asked is not None:
            return None if last else self._channel.asked
        due = self._checkpoints and time.monotonic() - self._checkpointed >= self._checkpoints.every_seconds
        return "checkpoint" if due and self.step > self.resumed_from_step else None

    def _write_checkpoint(self) -> str | None:
        state, checkpoints = self._state, self._checkpoints
        if checkpoints is None or state is None or self.step == 0:
            return None
        randomness = self._ranks.gather(_random_states())
        if self._ranks.rank > 0:
            return None
        said: dict[str, Any] = {"loss": self._loss, "validation": self._validation, "seconds": self._seconds()}
        said["highest_rate"] = self._weights.highest if self._weights else 0
        said["events"] = self._events
        path, size = checkpoints.write(self.step, said, lambda directory: state.write(directory, randomness))
        self._checkpointed = time.monotonic()
        self._emit({"type": "checkpoint", "step": self.step, "path": path, "bytes": size})
        return path

    # What is said, and the end

    def _note(self, text: str) -> None:
        """For the attempt's record while that is open, and for the log."""
        if self._ranks.rank == 0:
            self._notes.append(text)
            _say(text)

    def _emit(self, event: dict[str, Any], again: bool = False) -> None:
        """again: also by attempts that go on from later checkpoints."""
        if self.ended:
            return
        event = {"type": event["type"], "run": self.id, **event}
        if again and self._checkpoints is not None:
            self._events.append(event)
        self._channel.emit(event)

    def _seconds(self) -> float:
        return self._seconds_before + time.monotonic() - self._began

    def _cost(self) -> dict[str, Any]:
        tokens, flops = round(self.step * self._tokens_per_step), float(self.step * self._flops_per_step)
        return {"tokens": tokens, "flops": flops, "seconds": self._seconds()}

    def _diverge(self) -> None:
        reason, last = self._diverged or "non-finite", self._loss["last_finite"]
        self._end({"type": "diverged", "step": self.step, "last_finite_loss": last, "reason": reason, **self._cost()})

    def _finish(self) -> None:
        """The script is through: its result, or what is missing for one."""
        if self.ended or self._ranks.rank > 0:
            return self._close()
        if self._diverged is not None:
            return self._diverge()
        loss, weights = self._loss["last_finite"], self._weights
        if self._total is None or self.step < self._total:
            total = self._total or "an unknown number"
            raise ScriptError(f"the script ended at step {self.step} of {total}: loop over run.steps() to its end")
        if loss is None:
            raise ScriptError("the script never called run.report(train_loss=…)")
        if self._validation is None or self._validation[0] != self.step:
            raise ScriptError("the script ended without run.evaluate(validation_loss=…) after the last step")
        if self._validation[1] is None or (weights and not weights.are_finite()):
            return self._diverge()
        # Under the plan's own schedule every step was looked at.
        if weights and self.plan.get("schedule") is None and weights.highest < 0.9:
            raise ScriptError(
                f"the optimizer's rates never came above {weights.highest:.3g} of the plan's, which are the peak that "
                "a schedule has to reach"
            )
        path = self.weights_path if self.weights_path and os.path.exists(self.weights_path) else None
        finished = {"type": "finished", "step": self.step, "train_loss": loss, "validation_loss": self._validation[1]}
        return self._end({**finished, **self._cost(), "weights_path": path})

    def _fail(self, error: BaseException) -> None:
        if self.ended:
            return None
        if self._diverged is not None:
            # What a script does with a loss that is not a number may well fail; the run has diverged.
            return self._diverge()
        code, retryable = "internal", True
        if isinstance(error, ScriptError):
            code, retryable = error.code, False
        elif type(error).__name__ == "OutOfMemoryError":
            code, retryable = "memory", False
        elif isinstance(error, RuntimeError) and _LOST.search(str(error)):
            code = "device-lost"
        return self._end({"type": "failed", "code": code, "message": _describe(error), "retryable": retryable})

    def _end(self, event: dict[str, Any]) -> None:
        self._close()
        self.ended = True
        self._channel.end({"type": event["type"], "run": self.id, **event}, self._another)

    def _close(self) -> None:
        if self._weights is not None:
            self._weights.close()

    def _release(self) -> None:
        """Lets go of the script's objects, whoever still holds the run."""
        self._close()
        self._model = self._weights = self._coordinates = self._state = self._randomness = None


def _show(weights: list[_Weight]) -> None:
    rows = [("parameter", "shape", "role", "init std", "learning rate", "decay per step", "density")]
    for w in weights:
        r = w.role
        std = f"{r.init_std:.4g}" if r.draws else "own"
        numbers = (std, f"{r.learning_rate:.4g}", f"{r.decay_per_step:.4g}", f"{r.density:g}")
        rows.append((w.name, "×".join(map(str, w.parameter.shape)), r.label, *numbers))
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        _say("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


# What CUDA and the driver say of a device that no process can use, through whatever raises it.
_LOST = re.compile(
    r"GPU is lost|fallen off the bus|\bXid\b|uncorrectable ECC|unspecified launch failure|device unavailable"
    r"|busy or unavailable|no CUDA-capable device",
    re.IGNORECASE,
)


def _describe(error: BaseException) -> str:
    if isinstance(error, ScriptError):
        return str(error)
    frames = reversed(traceback.extract_tb(error.__traceback__))
    own = next((f for f in frames if "site-packages" not in f.filename), None)
    where = f" ({Path(own.filename).name}, line {own.lineno})" if own else ""
    return f"{type(error).__name__}: {error}{where}"


# How a run begins and ends


def _plan_file(given: str | os.PathLike[str] | None) -> str | None:
    """A plan to run alone: start's argument, --musweep-plan FILE (taken out of sys.argv), or MUSWEEP_PLAN."""
    if given is not None:
        return os.fspath(given)
    for i, argument in enumerate(sys.argv):
        if argument.startswith("--musweep-plan="):
            del sys.argv[i]
            return argument.partition("=")[2]
        if argument == "--musweep-plan" and i + 1 < len(sys.argv):
            path = sys.argv[i + 1]
            del sys.argv[i : i + 2]
            return path
    return os.environ.get("MUSWEEP_PLAN") or None


def _open_channel(plan: str | os.PathLike[str] | None, ranks: _Ranks, single_run: bool) -> Any:
    if multiprocessing.current_process().name != "MainProcess":
        raise ScriptError(
            "a process that multiprocessing started runs the whole script again: put its body under "
            'if __name__ == "__main__":'
        )
    path = _plan_file(plan)
    if path is not None:
        return _Terminal(path) if ranks.rank == 0 else _Channel()
    if os.isatty(_take_streams()[0]):
        sys.exit(
            "musweep: no worker speaks to this script. To try it alone, give it a plan: --musweep-plan plan.json "
            "(own-model.md in musweep's docs). "
            'A worker runs it when it is started with --trainer NAME="python SCRIPT".'
        )
    if ranks.rank > 0:
        return _Channel()
    torch = sys.modules.get("torch")
    version = f"musweep.py {__version__}" + (f", torch {torch.__version__}" if torch else "")
    device = "cuda" if torch is not None and torch.cuda.is_available() else "cpu"
    ready = {"engine": Path(sys.argv[0] or "script").stem, "engine_version": version, "device": device}
    # Whether the process ends with its run.
    return _Worker({**ready, "single_run": single_run})


def _take_run(channel: Any, ranks: _Ranks, another: bool) -> Run:
    """Waits for a run whose plan can be trained; others are declined."""
    command = None
    while ranks.rank == 0 and command is None:
        command = channel.take()
        try:
            _check_plan(command.get("plan"))
        except PlanError as error:
            channel.decline(command["run"], error.code, f"The plan cannot be trained: {error}.")
            command = None
    return Run(ranks.share(command), channel, ranks, another)


def start(plan: str | os.PathLike[str] | None = None) -> Run:
    """The run that this process trains, which ends with the script. Called once, at the top of it.

    plan: a plan file to run alone; --musweep-plan FILE and MUSWEEP_PLAN do the same from outside
    """
    ranks = _Ranks()
    channel = _open_channel(plan, ranks, single_run=True)
    ranks.connect()
    run = _take_run(channel, ranks, another=False)
    process, shown = os.getpid(), sys.excepthook

    def fail(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        shown(kind, error, trace)
        # A fork of the script ends without a word.
        if os.getpid() == process:
            run._fail(error)

    def finish() -> None:
        if os.getpid() != process:
            return
        try:
            run._finish()
        except ScriptError as error:
            _say(str(error))
            run._fail(error)
            if channel.alone:
                sys.stdout.flush()
                os._exit(1)

    sys.excepthook = fail
    atexit.register(finish)
    return run


def main(train: Callable[[Run], Any], plan: str | os.PathLike[str] | None = None) -> None:
    """Calls train(run) for one run after the other, in a process that stays warm. One that fails ends itself alone."""
    ranks = _Ranks()
    channel = _open_channel(plan, ranks, single_run=False)
    ranks.connect()
    while True:
        run = _take_run(channel, ranks, another=True)
        try:
            train(run)
            run._finish()
        except RunEnded:
            pass
        except (Exception, SystemExit) as error:
            run._fail(error)
            if channel.alone or ranks.size > 1:
                raise
            traceback.print_exc()
        if channel.alone:
            return
        # Before the next is taken: two models at once may not fit, and much of what training leaves holds itself.
        run._release()
        del run
        gc.collect()


# Hugging Face


def huggingface_callback(run: Run) -> Any:
    """A callback for transformers.Trainer: its steps, losses, evaluations are the run's; a stop ends trainer.train().

    The trainer gets optimizers=(optimizer, run.scheduler(optimizer)) with AdamW on the groups of run.apply, max_steps,
    max_grad_norm=run.clip_norm or 0, and logging_steps=1; the script calls trainer.evaluate() after trainer.train().
    A stopped run starts anew.
    """
    from transformers import TrainerCallback

    class MusweepCallback(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            # It would log a loss that is not a number as 0: a run that has diverged would seem to learn.
            args.logging_nan_inf_filter = False
            self._steps = run.steps(state.max_steps)

        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            next(self._steps)

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            if logs and "loss" in logs:
                run.report(train_loss=logs["loss"], gradient_norm=logs.get("grad_norm"))

        def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **_: Any) -> None:
            if metrics and "eval_loss" in metrics and run.step > 0:
                run.evaluate(validation_loss=metrics["eval_loss"])

        def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            next(self._steps, None)

    return MusweepCallback()
