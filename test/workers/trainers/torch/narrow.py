"""The trainer on a device of little memory, for tests: python narrow.py SEQUENCES VERSIONS [arguments].

Passes of more than so many sequences run out of memory at their ends. Of a function that is compiled PyTorch keeps so
many versions; they are compiled up to where code would be generated, which takes long and is not what is tested.
"""

import functools
import runpy
import sys

import torch

from musweep_torch import program

sequences, versions = int(sys.argv[1]), int(sys.argv[2])
del sys.argv[1:3]
torch._dynamo.config.cache_size_limit = versions
torch.compile = functools.partial(torch.compile, backend="eager")
one_pass = program.Program._pass


def narrow(self, tokens):
    computed = one_pass(self, tokens)
    if tokens.shape[1] > sequences:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
    return computed


program.Program._pass = narrow
runpy.run_module("musweep_torch", run_name="__main__", alter_sys=True)
