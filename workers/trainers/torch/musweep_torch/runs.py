"""Trains a list of runs of one shape and gives every way in which that can end its event."""

import re
import sys
import traceback
from dataclasses import dataclass

import torch

from .cohort import Cohort
from .failure import Failure, of_disk
from .memory import OutOfMemory, is_out_of_memory
from .saying import say

ENDED = ("finished", "diverged", "stopped", "failed")


def described(options, peers):
    """The device as results record it: "cpu, torch 2.13.0", "2 × cuda, NVIDIA H100 80GB HBM3, torch 2.11.0"."""
    device = options.device
    names = [str(device) if peers.world == 1 else f"{peers.world} × {device.type}"]
    if device.type == "cuda":
        names.append(torch.cuda.get_device_name(device))
    return ", ".join([*names, f"torch {torch.__version__}"])


# How errors of CUDA's begin: of PyTorch's own kernels, of the driver, of those that are compiled.
OF_CUDA = ("CUDA error", "CUDA driver error", "Triton Error [CUDA]")
# What CUDA and the driver say of a device that no process can use. Other errors of CUDA are of what it was told to do.
LOST = re.compile(
    r"GPU is lost|fallen off the bus|\bXid\b|uncorrectable ECC|unspecified launch failure|device unavailable|busy or unavailable"
    r"|no CUDA-capable device",
    re.IGNORECASE,
)


def ends_process(error):
    """After an error of CUDA's, whatever it is, nothing works on that device any more in this process."""
    if isinstance(error, OutOfMemory) or is_out_of_memory(error):
        return False
    return isinstance(error, getattr(torch, "AcceleratorError", ())) or any(said in str(error) for said in OF_CUDA)


def device_is_lost(error):
    """Nor in another one."""
    return isinstance(error, RuntimeError) and LOST.search(str(error)) is not None


def failure_of(error, options):
    """What the `failed` events say: code, message, whether trying again can help."""
    error = of_disk(error) or error
    if isinstance(error, Failure):
        return error.code, str(error), error.retryable
    if isinstance(error, OutOfMemory) or is_out_of_memory(error):
        where = "CUDA" if options.device.type == "cuda" else "This host"
        message = (
            f"{where} is out of memory, with as few sequences a pass as there can be: {str(error).splitlines()[0]}"
        )
        return "memory", f"{message} Give the run a larger device, or set a smaller micro_batch_size.", False
    say("".join(traceback.format_exception(error)).rstrip())
    message = str(error).splitlines()[0] if str(error) else type(error).__name__
    if device_is_lost(error):
        return "device-lost", f"The device {options.device} does not answer any more: {message}", True
    return "internal", message, True


@dataclass(frozen=True)
class Shortage:
    """Memory did not suffice for all runs at once: the requests that have no end, and what was said."""

    left: list
    reason: str


def train(requests, programs, emit, interruption, splits_memory=False):
    """
    Every run to its last event. On rank 0, emit(event) and interruption(run) as in Cohort.
    splits_memory: when memory does not suffice for several at once, those that have not ended do not fail: the Shortage is returned.
    """
    ended = set()

    def noting(event):
        if event["type"] in ENDED:
            ended.add(event["run"])
        emit(event)

    cohort = Cohort(requests, programs, noting, interruption)
    try:
        cohort.train()
    except Exception as error:
        cohort.leave()
        programs.forget()
        programs.usable = not ends_process(error)
        if programs.peers.world > 1:
            # The other ranks wait for this one: torchrun ends them when it has ended.
            if programs.peers.leads:
                _fail(requests, ended, failure_of(error, programs.options), emit)
            else:
                traceback.print_exc()
            sys.exit(1)
        failure = failure_of(error, programs.options)
        if splits_memory and len(requests) > 1 and failure[0] == "memory":
            return Shortage([request for request in requests if request.run not in ended], str(error))
        _fail(requests, ended, failure, emit)
    return None


def follow(programs):
    """What ranks other than 0 do: train what it trains, until there is no more."""
    while (requests := programs.peers.share(None)) is not None:
        train(requests, programs, lambda event: None, lambda run: None)
    programs.peers.close()


def _fail(requests, ended, failure, emit):
    code, message, retryable = failure
    for request in requests:
        if request.run not in ended:
            emit({"type": "failed", "run": request.run, "code": code, "message": message, "retryable": retryable})
