"""A script that starts a process of its own and ends it, then trains until it is stopped. Without PyTorch."""

import multiprocessing
import time

import musweep

child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,))
child.start()
child.terminate()
child.join()
print(f"the child ended with {child.exitcode}", flush=True)
run = musweep.start()
run.clip_norm, run.embedding_multiplier, run.residual_multiplier, run.logits_multiplier, run.attention_scale(16)
for _ in run.steps(tokens_per_step=10):
    time.sleep(0.02)
    run.report(train_loss=1.0)
