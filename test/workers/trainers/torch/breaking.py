"""The trainer on a device that breaks, for tests: python breaking.py STEPS TIMES MESSAGE [arguments of musweep_torch].

After so many steps, of whichever runs, the next TIMES fail with that message, as they do where a device has something to say.
"""

import runpy
import sys

from musweep_torch import program

steps, times, message = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
del sys.argv[1:4]
step = program.Program.step


def breaking(*arguments):
    global steps, times
    steps -= 1
    if steps < 0 and times > 0:
        times -= 1
        raise RuntimeError(message)
    return step(*arguments)


program.Program.step = breaking
runpy.run_module("musweep_torch", run_name="__main__", alter_sys=True)
