"""A warm trainer whose `mode` says what becomes of a run. Without PyTorch."""

import sys
import time
from pathlib import Path

import musweep

DEVICE_ERRORS = {
    "lose the device": "CUDA-capable device(s) is/are busy or unavailable",
    "misuse the device": "device-side assert triggered",
}


def train(run):
    run.clip_norm, run.embedding_multiplier, run.residual_multiplier, run.logits_multiplier, run.attention_scale(16)
    mode = run.settings.get("mode", "learn")
    loaded = []
    if mode != "no checkpoint":
        run.checkpoint(save=lambda path: Path(path).write_text(str(run.step)), load=loaded.append)
    for step in run.steps(tokens_per_step=10):
        loss = 2 - step / 100
        if mode == "not a number" and step == 4:
            loss = float("nan")
        if mode == "not a number, and fails of it" and step == 4:
            run.report(train_loss=float("inf"))
            raise ValueError("probability tensor contains nan")
        if mode == "infinite gradient" and step == 3:
            run.report(train_loss=loss, gradient_norm=float("inf"))
            continue
        if mode == "above" and step > 5:
            loss = 5
        if mode == "fail" and step == 2:
            raise RuntimeError("out of luck")
        if mode in DEVICE_ERRORS and step == 2:
            raise RuntimeError(f"CUDA error: {DEVICE_ERRORS[mode]}")
        if mode == "exit" and step == 2:
            sys.exit(3)
        if mode == "break" and step == 2:
            break
        if mode == "endless":
            time.sleep(0.02)
        if mode != "silent":
            run.report(train_loss=loss)
    if mode == "no evaluation":
        return
    run.evaluate(validation_loss=float("nan") if mode == "no validation loss" else 0 if mode == "accuracy" else 1.5)


musweep.main(train)
