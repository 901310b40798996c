"""Files that a person named: a pipe would be waited for without end, and a device has none."""

import os
import stat


def read_regular(path, most):
    """The bytes of a regular file. OSError, also for what is none, or larger than so many."""
    # Without waiting for the writer of a pipe.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError("it is no regular file")
        if status.st_size > most:
            raise OSError(f"it is larger than {most >> 20} MiB")
        return file.read(status.st_size)
