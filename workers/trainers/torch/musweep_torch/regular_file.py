"""Files that a person named: a pipe would be waited for without end, and a device has none."""

import os
import stat


def open_regular(path):
    """A regular file, to read its bytes. OSError, also for what is none."""
    # Without waiting for the writer of a pipe.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError("it is no regular file")
    return os.fdopen(descriptor, "rb")


def read_regular(path, most):
    """The bytes of a regular file. OSError, also for what is none, or larger than so many."""
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise OSError(f"it is larger than {most >> 20} MiB")
        return file.read(size)
