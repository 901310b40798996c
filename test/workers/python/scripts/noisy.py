"""A script that prints, warns, starts programs, and reads its input: none of it may reach the protocol."""

import os
import subprocess
import sys
import warnings

import musweep

print("before musweep starts", flush=True)
run = musweep.start()
print("Epoch 1/10: loss 3.21")
print(f"width {run.settings.width}, seed {run.seed}")
sys.stdout.write("half a line, ")
warnings.warn("something is deprecated", stacklevel=1)
os.write(1, b"past Python's own buffer\n")
subprocess.run(["sh", "-c", "echo a program says hello; cat; echo and its input was empty"], check=True)
subprocess.run([sys.executable, "-c", "print('another Python')"], check=True)
# What is no trainer keeps its output, even where it imports musweep.
captured = subprocess.run([sys.executable, "-c", "import musweep; print('mine')"], check=True, capture_output=True)
print(f"captured {captured.stdout}")
try:
    input("a question? ")
except EOFError:
    print("nobody answers")
run.clip_norm, run.embedding_multiplier, run.residual_multiplier, run.logits_multiplier, run.attention_scale(16)
for step in run.steps(tokens_per_step=64, flops_per_step=1000):
    print('{"type": "step", "run": "somebody else"}')
    run.report(train_loss=3 / step, gradient_norm=0.5, accuracy=step / 20, phase="warm", broken=float("nan"))
    if step % 8 == 0:
        run.evaluate(validation_loss=2 / step, accuracy=0.25)
run.evaluate(validation_loss=0.125, accuracy=0.5)
print("the last word")
