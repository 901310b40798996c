"""A script with children: forks that fail or end, a pool, and, where `spawn` says so, a process that runs it again."""

import multiprocessing
import os

import musweep

run = musweep.start()
run.without("clip_norm", "attention_scale", "embedding_multiplier", "residual_multiplier", "logits_multiplier")
if run.settings.spawn:
    child = multiprocessing.get_context("spawn").Process(target=print, args=("never printed",))
    child.start()
    child.join()
    print(f"the spawned child ended with {child.exitcode}")
for ends in (os.abort, lambda: 1 / 0, lambda: None):
    pid = os.fork()
    if pid == 0:
        ends()
        raise SystemExit(0)
    os.waitpid(pid, 0)
with multiprocessing.get_context("fork").Pool(2) as pool:
    for step in run.steps():
        run.report(train_loss=pool.apply(pow, (2, -step)))
run.evaluate(validation_loss=1.0)
