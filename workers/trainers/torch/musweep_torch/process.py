"""What a process is told when it starts: device, threads, how to compute; resolved once."""

import os
import sys

import torch

from . import compiling, distributed
from .cohort import Programs
from .program import Options
from .saying import say

# Tensor cores want dimensions of whole blocks.
PAD_ON_GPUS = 64


class Unusable(Exception):
    """What is wrong with the arguments or the environment."""


def _device(name):
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise Unusable(f"--device {name}: there is no such device; cpu, cuda or cuda:N.") from error
    if device.type not in ("cpu", "cuda"):
        raise Unusable(f"--device {name}: this trainer knows cpu and cuda.")
    if device.type == "cpu":
        return torch.device("cpu")
    index = distributed.local_rank() if device.index is None else device.index
    if index >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise Unusable(f"--device {name}: PyTorch {torch.__version__} sees {count} CUDA devices here.")
    torch.cuda.set_device(index)
    return torch.device("cuda", index)


def _threads():
    text = os.environ.get("MUSWEEP_THREADS", "")
    if text == "":
        return
    if not text.isdigit() or int(text) < 1:
        raise Unusable(f'MUSWEEP_THREADS is "{text}"; it must be a whole number from 1.')
    torch.set_num_threads(int(text))


def prepare(arguments):
    """The programs of this process, none made yet."""
    device = _device(arguments.device)
    _threads()
    # NVIDIA's containers set TORCH_ALLOW_TF32_CUBLAS_OVERRIDE, and float32 is TF32 then.
    torch.set_float32_matmul_precision("highest")
    on_gpu = device.type == "cuda"
    wanted = arguments.compile == "auto" and on_gpu
    note = compiling.note() if wanted else None
    if note is not None:
        say(note)
    compiled = arguments.compile == "on" or (wanted and note is None)
    if arguments.graphs and not on_gpu:
        raise Unusable("--graphs: CUDA graphs need a CUDA device.")
    pad = arguments.pad if arguments.pad is not None else PAD_ON_GPUS if on_gpu else 1
    notes = () if note is None else (note,)
    options = Options(device, compiled=compiled, captured=arguments.graphs, pad=pad, notes=notes)
    return Programs(options, distributed.join(device))
