"""Looks inside the trainer in PyTorch for tests: what a plan starts from, and the gradients of its first batch.

Usage: inspect_plans.py, with one JSON object a line on standard input: {plans, data_directory, directory, pad}. Plans of one shape are one
cohort. For each, <directory>/<index>/{initial,masks,gradients}.safetensors; the answer is a line with the losses of the first batch.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch

from musweep_torch import safetensors_file
from musweep_torch.data import DataSource
from musweep_torch.distributed import Peers
from musweep_torch.plan import check_plan, groups_of, shape_of
from musweep_torch.program import Options, Program


def inspect(plans, data_directory, directory, pad):
    options = Options(torch.device("cpu"), pad=pad)
    program = Program(shape_of(plans[0]), len(plans), options, Peers())
    program.load(plans)
    for replica in range(len(plans)):
        program.initialize(replica)
    batches = [DataSource(plan, data_directory).training_sequences(1, 0, plan["batch_size"]) for plan in plans]
    nats, gradients = program.gradients(torch.from_numpy(np.stack(batches)))
    for replica, plan in enumerate(plans):
        masked = [t for t in program.tensors if groups_of(plan)[t.group]["density"] < 1]
        written = {
            "initial": program.weights_of(replica),
            "masks": {t.name: program.view(program.masks, t, replica).float() for t in masked},
            "gradients": {t.name: program.view(gradients, t, replica) for t in program.tensors},
        }
        for name, tensors in written.items():
            safetensors_file.write(Path(directory) / str(replica) / f"{name}.safetensors", tensors, {})
    return (nats / program.shape.tokens_per_step).tolist()


torch.set_num_threads(1)
for line in sys.stdin:
    request = json.loads(line)
    request["plans"] = [check_plan(plan, "") for plan in request["plans"]]
    print(json.dumps(inspect(**request)), flush=True)
