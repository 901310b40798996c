"""Why a run cannot go on, with the code that its `failed` event carries (docs/trainer-protocol.md)."""

import errno

# What the system says of a disk that takes no more: no space, no quota, read-only, broken, a file too large for a limit.
_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG}


def of_disk(error):
    """What an OSError says of the disk; None when it says nothing of it. Another attempt may find room."""
    if not isinstance(error, OSError) or error.errno not in _DISK:
        return None
    where = f" {error.filename}" if error.filename else ""
    return Failure("disk", f"The disk cannot be written{where}: {error.strerror}.", retryable=True)


class Failure(Exception):
    def __init__(self, code, message, retryable=False):
        super().__init__(message)
        self.code = code
        self.retryable = retryable
