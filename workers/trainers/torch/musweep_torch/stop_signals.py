"""Signals by which a terminal or a scheduler stops all processes of a job at once."""

import os
import signal
import threading

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)

_forking = threading.local()


def outlive():
    """From now on: the worker, which gets them too, says when to stop, and what is under way is to be checkpointed."""
    for number in STOP_SIGNALS:
        signal.signal(number, lambda *_: None)
    # Whoever forks a process ends it by them, from its first moment on.
    os.register_at_fork(before=_hold, after_in_parent=_let_go, after_in_child=_end_by_them)


def _hold():
    _forking.mask = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)


def _let_go():
    signal.pthread_sigmask(signal.SIG_SETMASK, _forking.mask)


def _end_by_them():
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    _let_go()
