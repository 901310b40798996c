"""What this Python has for training: `python -m musweep_torch --probe` prints it as one line of JSON. Runs with whatever is there:
nothing is imported here that may be missing, and any Python 3 can read it.
"""

import json
import platform
import sys

from . import ENGINE, ENGINE_VERSION, MINIMUM_TORCH

MINIMUM_PYTHON = (3, 10)


def _dotted(version):
    return ".".join(map(str, version))


def examine():
    """
    {python, torch, devices, uncompiled, problem}: problem says in one sentence what is missing or too old, uncompiled
    why runs on its GPUs are not compiled; null when all is well.
    """
    found = {
        "engine": ENGINE,
        "engine_version": ENGINE_VERSION,
        "python": platform.python_version(),
        "torch": None,
        "devices": [],
        "uncompiled": None,
        "problem": None,
    }
    if sys.version_info[:2] < MINIMUM_PYTHON:
        found["problem"] = "Python {} is too old: {} or newer.".format(found["python"], _dotted(MINIMUM_PYTHON))
        return found
    for name in ("numpy", "torch"):
        try:
            __import__(name)
        except Exception as error:  # A broken installation raises anything.
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            found["problem"] = "{} cannot be imported: {}.".format(name, reason.rstrip("."))
            return found
    import torch

    found["torch"] = torch.__version__
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < MINIMUM_TORCH:
        found["problem"] = "torch {} is too old: {} or newer.".format(torch.__version__, _dotted(MINIMUM_TORCH))
        return found
    found["devices"] = [
        {
            "device": "cuda:{}".format(i),
            "name": torch.cuda.get_device_name(i),
            "memory_bytes": torch.cuda.get_device_properties(i).total_memory,
        }
        for i in range(torch.cuda.device_count())
    ]
    if found["devices"]:
        from . import compiling

        found["uncompiled"] = compiling.note()
    return found


def main():
    print(json.dumps(examine()))
