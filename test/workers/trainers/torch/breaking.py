"""The trainer on a device that breaks, for tests: python breaking.py STEPS TIMES MESSAGE [arguments of musweep_torch].

After so many steps, of whichever runs, the next TIMES fail with that message, as they do where a device has something to say.
Each program that is made says how many are still there: they hold the device's memory. None goes by chance, at a time of Python's own.
"""

import gc
import runpy
import sys
import weakref

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


gc.disable()
there = weakref.WeakSet()
make = program.Program.__init__


def counting(self, *arguments):
    print(f"{len(there)} other programs are there", file=sys.stderr)
    there.add(self)
    make(self, *arguments)


program.Program.step = breaking
program.Program.__init__ = counting
runpy.run_module("musweep_torch", run_name="__main__", alter_sys=True)
