"""`python -m musweep_torch`: speaks the trainer protocol; with --jobs, trains plans from a file; with --probe, says what this Python
has. Nothing that may be missing is imported before it is known to be there.
"""

import argparse
import sys

from . import probe
from .saying import say

EXIT_USAGE = 2
EXIT_UNAVAILABLE = 3


def parse(arguments):
    parser = argparse.ArgumentParser(prog="python -m musweep_torch", description="musweep's trainer in PyTorch")
    parser.add_argument("--probe", action="store_true", help="print what this Python has, as JSON")
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:1; default: a GPU if there is one")
    parser.add_argument("--compile", choices=["auto", "on", "off"], default="auto", help="default: on a GPU")
    parser.add_argument("--graphs", action="store_true", help="run each step as one CUDA graph")
    parser.add_argument(
        "--pad", type=int, help="multiple that odd sizes are padded to; default: 64 on a GPU, 1 elsewhere"
    )
    files = parser.add_argument_group("where no queue can be reached (gpu.md in musweep's docs)")
    files.add_argument("--jobs", metavar="FILE", help="plans to train, one job a line, as `musweep jobs` writes them")
    files.add_argument("--data", metavar="DIR", help="directory of tokenized data sets")
    files.add_argument(
        "--events", metavar="FILE", help="what happened, one event a line; a file that exists is continued"
    )
    files.add_argument("--checkpoints", metavar="DIR", help="directory of checkpoints; default: none are written")
    files.add_argument("--checkpoint-seconds", type=float, default=60.0, help="time between checkpoints; default: 60")
    files.add_argument("--weights", metavar="DIR", help="directory of finished weights, for jobs that keep them")
    files.add_argument(
        "--cohort", type=int, help="most runs of one shape trained at once; default: as fit and pay, which is measured once a shape"
    )
    options = parser.parse_args(arguments)
    if options.jobs is not None and (options.data is None or options.events is None):
        parser.error("--jobs needs --data and --events")
    if options.jobs is None and options.events is not None:
        parser.error("--events needs --jobs")
    for name in ("pad", "cohort"):
        if getattr(options, name) is not None and getattr(options, name) < 1:
            parser.error(f"--{name} must be at least 1")
    return options


def main():
    options = parse(sys.argv[1:])
    if options.probe:
        return probe.main()
    problem = probe.examine()["problem"]
    if problem is not None:
        say(f"{problem} Install it with: {sys.executable} -m pip install torch numpy")
        return EXIT_UNAVAILABLE
    from . import jobs, process, protocol

    try:
        programs = process.prepare(options)
    except process.Unusable as error:
        say(error)
        return EXIT_USAGE
    return jobs.work(options, programs) if options.jobs is not None else protocol.serve(programs)


sys.exit(main())
