"""Whether torch.compile works here for a GPU: triton compiles C that starts its kernels, with the system's compiler."""

import importlib.util
import os
import platform
import shutil
import sysconfig
from pathlib import Path

import torch


def note():
    """In one sentence what it lacks; None where it works."""
    import torch._dynamo

    named = os.environ.get("CC")
    compilers = ["gcc", "clang"] if named is None else [named]
    headers = _headers()
    needed = {
        f"torch.compile in torch {torch.__version__} for Python {platform.python_version()}": (
            torch._dynamo.is_dynamo_supported()
        ),
        "triton": importlib.util.find_spec("triton") is not None,
        f"C compiler ({' or '.join(compilers)})": any(map(shutil.which, compilers)),
        f"Python.h in {headers}": (headers / "Python.h").exists(),
    }
    missing = [f"no {what}" for what, there in needed.items() if not there]
    return f"Trained uncompiled, which is slower: there is {' and '.join(missing)}." if missing else None


def _headers():
    scheme = sysconfig.get_default_scheme()
    # Debian's own scheme is for what is installed by hand; its headers lie where others have them.
    return Path(sysconfig.get_paths("posix_prefix" if scheme == "posix_local" else scheme)["include"])
