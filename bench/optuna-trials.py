"""The trials of a grid through Optuna, nothing trained: ask, tell, SQLite storage. Arguments: trials, database, seconds at most.

Prints one JSON object a line: how many trials are done after how many seconds of time and of CPU; the last line is the end.
"""

import json
import sys
import time

import optuna

trials, database, limit = int(sys.argv[1]), sys.argv[2], float(sys.argv[3])
optuna.logging.set_verbosity(optuna.logging.ERROR)
seeds = trials // 200
grid = {"log2_lr": list(range(-12, -2)), "density": [0.05 * i for i in range(1, 21)], "seed": list(range(seeds))}
study = optuna.create_study(storage=f"sqlite:///{database}", sampler=optuna.samplers.GridSampler(grid, seed=1))

start, cpu = time.perf_counter(), time.process_time()


def report(done: int) -> None:
    print(json.dumps({"done": done, "seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu}), flush=True)


for done in range(trials):
    if done % 100 == 0:
        report(done)
        if time.perf_counter() - start > limit:
            break
    trial = study.ask()
    log2 = trial.suggest_categorical("log2_lr", grid["log2_lr"])
    density = trial.suggest_categorical("density", grid["density"])
    trial.suggest_categorical("seed", grid["seed"])
    study.tell(trial, 2 + 0.02 * (log2 + 7 + density) ** 2)
else:
    report(trials)
