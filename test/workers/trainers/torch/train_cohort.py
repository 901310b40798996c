"""Trains runs as one cohort, for tests: one JSON object on standard input, events as JSON lines on standard output.

{commands, asked}: `run` commands of the trainer protocol; and what is asked of one of them once it has said a step, or null:
{type: "stop" or "cancel", run, step}.
"""

import argparse
import json
import sys

from musweep_torch import process
from musweep_torch.protocol import check_command
from musweep_torch.runs import train

given = json.loads(sys.stdin.read())
requests = [request for command in given["commands"] for request in check_command(command)]
asked = given["asked"]
steps = {}


def emit(event):
    if event["type"] == "step":
        steps[event["run"]] = event["step"]
    print(json.dumps(event), flush=True)


def interruption(run):
    if asked is None or asked["run"] != run or steps.get(run, 0) < asked["step"]:
        return None
    return asked["type"]


arguments = argparse.Namespace(device="cpu", compile="off", graphs=False, pad=None)
train(requests, process.prepare(arguments), emit, interruption)
