"""Holds what record.ts wrote against the PyTorch reference, and against mistaken references that must not agree.

Usage: compare.py DIRECTORY. Exit code 1 when anything differs; the last line counts.
"""

import json
import math
import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

import draws
from mutations import MUTATIONS
from reference import Reference, group_of, tensor_shapes

# Largest differences allowed. Gradients and weights: ‖a − b‖/‖b‖ per tensor, for weights over the distance they have moved;
# where ‖b‖ is 0 the other has to be exactly 0. Losses in nats per token.
# Ten times what float32 rounding was seen to come to, or more; "evaluation" is that of the same weights on both sides.
LIMITS = {"gradient": 1e-5, "loss": 1e-4, "norm": 1e-3, "weights": 5e-3, "validation": 1e-4, "evaluation": 1e-5}


@dataclass
class Case:
    """One recorded case: the plan, what the embedded trainer started from and saw, what it computed."""

    directory: Path
    name: str
    plan: dict
    numbers: dict
    initial: dict
    masks: dict
    gradients: dict
    final: dict
    batches: list
    validation: tuple

    def reference(self, kind=Reference, dtype=torch.float64):
        return kind(self.plan, self.initial, self.masks, dtype)


def read_case(directory):
    numbers = json.loads((directory / "case.json").read_text())
    plan = numbers["plan"]
    length, batch, steps = plan["shape"]["sequence_length"], plan["batch_size"], plan["steps"]
    tokens = torch.from_numpy(np.fromfile(directory / "tokens.bin", dtype="<i4").astype(np.int64))
    cut = steps * 2 * batch * length
    training = tokens[:cut].reshape(steps, 2, batch, length)
    validation = tokens[cut:].reshape(2, plan["evaluation"]["sequences"], length)
    tensors = {name: load_file(directory / f"{name}.safetensors") for name in ["initial", "masks", "gradients", "final"]}
    batches = [(x, y) for x, y in training]
    return Case(directory, numbers["name"], plan, numbers, **tensors, batches=batches, validation=tuple(validation))


def distance(value, expected, scale):
    """‖value − expected‖ over ‖scale‖; exactly 0 is asked for where the scale is 0."""
    error, size = (value.double() - expected.double()).norm().item(), scale.double().norm().item()
    if size == 0:
        return 0.0 if error == 0 else math.inf
    return error / size


def worst(errors):
    """The largest, with its name; a NaN counts as largest."""
    return max(errors.items(), key=lambda entry: math.inf if math.isnan(entry[1]) else entry[1])


def by_tensor(expected, measure):
    return worst({name: measure(name) for name in expected})


@dataclass
class Trained:
    """What a run comes to, whoever computes it."""

    gradients: dict
    losses: list
    norms: list
    final: dict
    validation: float
    evaluations: dict


def train(case, kind=Reference, dtype=torch.float64):
    run = case.reference(kind, dtype)
    _, gradients = run.gradients(*case.batches[0])
    every = case.plan["evaluation"]["every_steps"]
    losses, norms, evaluations = [], [], {}
    for t, batch in enumerate(case.batches, start=1):
        loss, norm = run.step(t, *batch)
        losses.append(loss)
        norms.append(norm)
        if every is not None and t % every == 0:
            evaluations[t] = run.evaluate(*case.validation)
    final = {name: weight.detach() for name, weight in run.weights.items()}
    validation = run.evaluate(*case.validation)
    return Trained(gradients, losses, norms, final, validation, evaluations)


def differences(case, actual, expected):
    """Every kind of difference of two trainings, each with where it is largest."""
    steps = range(len(expected.losses))
    start = case.initial
    return {
        "gradient": by_tensor(
            expected.gradients,
            lambda n: distance(actual.gradients[n], expected.gradients[n], expected.gradients[n]),
        ),
        "loss": worst({f"step {i + 1}": abs(actual.losses[i] - expected.losses[i]) for i in steps}),
        "norm": worst({f"step {i + 1}": abs(actual.norms[i] / expected.norms[i] - 1) for i in steps}),
        "weights": by_tensor(
            expected.final,
            lambda n: distance(actual.final[n], expected.final[n], expected.final[n].double() - start[n].double()),
        ),
        "validation": ("end", abs(actual.validation - expected.validation)),
    }


def beyond(found):
    return [kind for kind, (_, error) in found.items() if not error <= LIMITS[kind]]


def of_engine(case):
    n = case.numbers
    return Trained(case.gradients, n["losses"], n["gradient_norms"], case.final, n["validation_loss"], {})


class Tally:
    """Counts, and prints why something failed."""

    def __init__(self):
        self.passed = self.failed = 0

    def count(self, ok, complaint):
        self.passed += ok
        self.failed += not ok
        if not ok:
            print(f"  FAILED: {complaint}")


def compare_case(directory):
    """Differences of one case, those of PyTorch's own float32, and what the kept weights are held against."""
    case = read_case(directory)
    expected = train(case)
    found = differences(case, of_engine(case), expected)
    single = differences(case, train(case, dtype=torch.float32), expected)
    # The same weights in both: no difference of trainings comes in.
    model = Reference(case.plan, case.final, case.masks)
    same = abs(model.evaluate(*case.validation) - case.numbers["validation_loss"])
    found["evaluation"] = ("same weights", max(same, abs(case.numbers["first_loss"] - expected.losses[0])))
    zeros = sum(not g.any() for g in expected.gradients.values())
    return found, single, zeros, expected.evaluations | {case.plan["steps"]: expected.validation}


def compare_cases(cases, pool, tally):
    print("Embedded trainer against PyTorch in float64; in parentheses PyTorch in float32 against the same\n")
    titles = [f"{title:>18}" for title in ["gradient", "loss", "norm", "weights"]]
    print(*titles, f"{'valid.':>8} {'eval.':>8}  case · tensor of the worst gradient")
    largest, evaluations, zeros = {}, [], 0
    for case, result in zip(cases, pool.map(compare_case, [case.directory for case in cases])):
        found, single, zero, wanted = result
        evaluations.append(wanted)
        zeros += zero
        columns = [f"{found[k][1]:8.1e} ({single[k][1]:7.1e})" for k in ["gradient", "loss", "norm", "weights"]]
        ends = f"{found['validation'][1]:8.1e} {found['evaluation'][1]:8.1e}"
        print(*columns, f"{ends}  {case.name} · {found['gradient'][0]}", flush=True)
        for kind, (_, error) in found.items():
            largest[kind] = max(largest.get(kind, 0), error)
        wrong = beyond(found)
        tally.count(not wrong, f"{case.name}: " + ", ".join(f"{k} {found[k][1]:.2e} at {found[k][0]}" for k in wrong))
        if case.masks:
            absent = [(name, mask == 0) for name, mask in case.masks.items()]
            stray = [n for n, gone in absent if case.gradients[n][gone].any() or case.final[n][gone].any()]
            tally.count(not stray, f"{case.name}: masked entries are not 0 in {', '.join(stray)}")
    tally.count(zeros > 0, "no case has a gradient that is exactly 0")
    print("\nLargest difference and its limit: ", end="")
    print(", ".join(f"{kind} {error:.1e} ≤ {LIMITS[kind]:.0e}" for kind, error in largest.items()), end="")
    print(f"; {zeros} gradients exactly 0 on both sides")
    return evaluations


def compare_kept_weights(cases, evaluations, tally):
    print("\nRuns of a trainer process; its kept weights, loaded by PyTorch, have the validation loss it reported\n")
    kept = [entry for entry in zip(cases, evaluations) if (entry[0].directory / "events.json").exists()]
    for case, wanted in kept:
        events = json.loads((case.directory / "events.json").read_text())
        last = events[-1]
        if last["type"] != "finished":
            tally.count(False, f"{case.name}: the run ended with {last}")
            continue
        weights = load_file(last["weights_path"])
        reached = Reference(case.plan, weights, {}).evaluate(*case.validation)
        same = abs(reached - last["validation_loss"])
        bits = weights.keys() == case.final.keys() and all(torch.equal(w, case.final[n]) for n, w in weights.items())
        losses = [e["train_loss"] for e in events if e["type"] == "step"] == case.numbers["losses"]
        told = {e["step"]: e["validation_loss"] for e in events if e["type"] == "evaluation"}
        midway = max(abs(told.get(t, math.inf) - loss) for t, loss in wanted.items())
        print(
            f"  reported {last['validation_loss']:.6f}, PyTorch {reached:.6f}, difference {same:.1e};"
            f" evaluations on the way {midway:.1e}; weights {'the same bits' if bits else 'OTHER BITS'}  {case.name}"
        )
        ok = same <= LIMITS["evaluation"] and midway <= LIMITS["validation"] and bits and losses
        ok = ok and told.keys() == wanted.keys()
        tally.count(ok, f"{case.name}: kept weights, losses or evaluations of the trainer process")
    tally.count(len(kept) > 0, "no run of a trainer process was recorded")


def compare_draws(cases, data, tally):
    """Initial weights, masks and tokens, drawn anew from the recipe."""
    tally.count(draws.known_answers_hold(), "Philox4x32-10 misses its published vectors")
    weights = exact = masks = sequences = 0
    for case in cases:
        plan, wrong = case.plan, []
        shapes = tensor_shapes(plan)
        if {n: tuple(w.shape) for n, w in case.initial.items()} != shapes:
            wrong.append("names or shapes")
        if set(case.masks) != {n for n in shapes if group_of(plan, n)["density"] < 1}:
            wrong.append("which tensors are masked")
        for name, shape in shapes.items():
            group, size = group_of(plan, name), math.prod(shape)
            if group["init_std"] is None:
                drawn = np.full(size, 1.0 if name.endswith(".gain") else 0.0, dtype=np.float32)
            else:
                drawn = draws.normal(plan["seed"], name, size, group["init_std"])
            if group["density"] < 1:
                mask = draws.mask(plan["seed"], name, size, group["density"], plan["mask"])
                masks += size
                if not np.array_equal(mask, case.masks[name].numpy().ravel()):
                    wrong.append(f"mask of {name}")
                drawn = drawn * mask
            written = case.initial[name].numpy().ravel()
            weights += size
            exact += int((drawn == written).sum())
            if not (np.abs(drawn - written) <= np.spacing(np.abs(drawn))).all():
                wrong.append(f"weights of {name}")
        meta = json.loads((data / plan["data"]["hash"] / "meta.json").read_text())
        width = {"uint16": "<u2", "uint32": "<u4"}[meta["dtype"]]
        train_split, validation_split = (
            np.fromfile(data / plan["data"]["hash"] / f"{split}.bin", dtype=width) for split in ["train", "validation"]
        )
        length = plan["shape"]["sequence_length"]
        inputs, targets = draws.sequences(train_split, draws.training_offsets(plan, len(train_split)), length)
        for t, (x, y) in enumerate(case.batches):
            sequences += len(x)
            if not (np.array_equal(x, inputs[t]) and np.array_equal(y, targets[t])):
                wrong.append(f"batch of step {t + 1}")
        offsets = draws.validation_offsets(plan, len(validation_split))
        held_out = draws.sequences(validation_split, offsets, length)
        if not all(np.array_equal(a, b) for a, b in zip(case.validation, held_out)):
            wrong.append("validation sequences")
        tally.count(not wrong, f"{case.name}: another draw: {', '.join(wrong)}")
    print(
        f"\nDrawn anew from docs/trainer-protocol.md alone: {weights} initial weights ({exact} bit-equal, the others within"
        f" 1 unit in the last place), {masks} mask entries, {sequences} training sequences"
    )


def compare_mutation(index, directory):
    case = read_case(directory)
    return differences(case, of_engine(case), train(case, MUTATIONS[index][2]))


def compare_mutations(cases, pool, tally):
    print("\nReferences with a mistake: the comparison must fail (times the limit)\n")
    shown_in = [next((c for c in cases if applies(c.plan)), None) for _, applies, _ in MUTATIONS]
    for (name, _, _), case in zip(MUTATIONS, shown_in):
        if case is None:
            tally.count(False, f"{name}: no case to show it in")
    pairs = [(i, case) for i, case in enumerate(shown_in) if case is not None]
    results = pool.map(compare_mutation, [i for i, _ in pairs], [case.directory for _, case in pairs])
    for (i, case), found in zip(pairs, results):
        name, noticed = MUTATIONS[i][0], beyond(found)
        shown = ", ".join(f"{k} {found[k][1] / LIMITS[k]:.0f}×" for k in noticed) or "NOT NOTICED"
        print(f"  {name:36} {shown}  [{case.name}]", flush=True)
        tally.count(bool(noticed), f"{name}: not noticed in {case.name}")


def main(directory):
    one_thread()
    cases = [read_case(path) for path in sorted((directory / "cases").iterdir())]
    tally = Tally()
    with ProcessPoolExecutor(min(os.cpu_count() or 1, 8), multiprocessing.get_context("spawn"), one_thread) as pool:
        evaluations = compare_cases(cases, pool, tally)
        compare_kept_weights(cases, evaluations, tally)
        compare_draws(cases, directory / "data", tally)
        compare_mutations(cases, pool, tally)
    print(f"\n{tally.passed} passed, {tally.failed} failed")
    return 1 if tally.failed else 0


def one_thread():
    """The models are small and the cases many: a process each is faster than threads within."""
    torch.set_num_threads(1)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
