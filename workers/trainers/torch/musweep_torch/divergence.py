"""When a run counts as diverged, and the loss history that decides it (workers/trainers/common/divergence.ts). The history is kept
under the names that checkpoints have.
"""

import math

INITIAL = {"initial": None, "lastFinite": None, "stepsAbove": 0}


def observe(history, loss, norm, patience_steps):
    """The history after a step, and "non-finite", "above-initial" or None. A gradient norm that is not finite has just made the
    weights so."""
    if not math.isfinite(loss):
        return history, "non-finite"
    initial = loss if history["initial"] is None else history["initial"]
    above = history["stepsAbove"] + 1 if loss > initial else 0
    after = {"initial": initial, "lastFinite": loss, "stepsAbove": above}
    if not math.isfinite(norm):
        return after, "non-finite"
    return after, "above-initial" if above >= patience_steps else None


def finite_or_none(x):
    """For JSON, which has no NaN and no infinity."""
    return x if math.isfinite(x) else None
