"""`npm run bench:gpu`: what a GPU makes of the trainer in PyTorch, in one go of a few minutes. Prints tables, and stores all numbers with
device and versions in a file, again after every part, so that a lease that ends takes nothing along.

Counting. FLOPs of a token are those of docs/trainer-protocol.md's `flops`: 6 per weight of every product, the unembedding among them, and
12·T·C per layer for attention, no discount for its causal half; padding is not counted. Utilization is that over the dense bf16 peak of the
data sheet. The roofline of a step is the time below which no program can come with the speeds that were measured here: every product takes
its arithmetic at the speed of a large product or its traffic at the speed of a large copy, whichever is longer, attention likewise (the
causal half alone), and the update reads four float32 per weight and writes three. What fusing could avoid altogether (norms, activations,
residuals, the loss) is free there.
"""

import argparse
import functools
import gc
import json
import math
import os
import platform
import sys
import time
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "workers" / "trainers" / "torch"))

import torch

from musweep_torch import memory
from musweep_torch.attention import DenseAttention, FlexAttention
from musweep_torch.captured import WARM_UP_STEPS, CapturedStep
from musweep_torch.distributed import Peers
from musweep_torch.plan import check_plan, flops_per_token, parameter_count, shape_of
from musweep_torch.program import Options, Program

# Dense bf16 FLOP/s of data sheets.
PEAKS = {"H100": 989.4e12, "H200": 989.4e12, "A100": 312e12, "L40S": 362e12, "B200": 2250e12}
GPU_PAD = 64


# What is measured.


def plan_of(width, layers, d_head, d_ffn, vocabulary, length, batch, precision="bfloat16", seed=1, micro=None):
    """A plan of these sizes. Its other numbers are ordinary ones; they change no speed."""

    def group(name, fan_in, fan_out, norm=False):
        return {
            "name": name,
            "fan_in": fan_in,
            "fan_out": fan_out,
            "init_std": None if norm else 0.02,
            "learning_rate": 1e-3,
            "decay_per_step": 0.0 if norm else 1e-4,
            "eps": 1e-8,
            "density": 1,
        }

    hidden = [(f"attention_{kind}", width, width) for kind in ("query", "key", "value", "output")]
    hidden += [("ffn_gate", width, d_ffn), ("ffn_up", width, d_ffn), ("ffn_down", d_ffn, width)]
    norms = ["attention_norm", "ffn_norm", "final_norm"]
    plan = {
        "version": 2,
        "trainer": {"name": "musweep", "revision": "1"},
        "precision": precision,
        "seed": seed,
        "data": {"hash": "0" * 16, "vocab_size": vocabulary},
        "shape": {
            "layers": layers,
            "d_model": width,
            "d_head": d_head,
            "d_ffn": d_ffn,
            "sequence_length": length,
            "norm": "rmsnorm",
            "norm_eps": 1e-5,
            "positions": "alibi",
            "tied_embeddings": True,
        },
        "forward": {
            "embedding_multiplier": 1,
            "residual_multiplier": 1,
            "attention_scale": 1 / d_head,
            "logits_multiplier": 1,
        },
        "groups": [
            group("embedding", vocabulary, width),
            *(group(name, fan_in, fan_out) for name, fan_in, fan_out in hidden),
            *(group(name, 1, width, norm=True) for name in norms),
        ],
        "mask": "exact",
        "optimizer": {"name": "adamw", "beta1": 0.9, "beta2": 0.95},
        "clip_norm": 1,
        "schedule": {"warmup_steps": 10, "decay": "constant", "final_fraction": 1},
        "steps": 1000,
        "batch_size": batch,
        "micro_batch_size": micro,
        "evaluation": {"every_steps": None, "sequences": 1},
        "divergence": {"patience_steps": 1000},
    }
    return check_plan(plan, "plan")


def sizes(tiny):
    """Of the paper's models (arXiv 2405.15743, table 4 and appendix E), or small ones that try the script."""
    if tiny:
        small = {"width": 16, "layers": 2, "d_head": 8, "d_ffn": 43, "vocabulary": 97, "length": 32}
        return {
            "target": {**small, "batch": 4},
            "proxy": {**small, "batch": 4},
            "cohorts": [(replicas, small | {"batch": batch}) for batch in (2, 4) for replicas in (1, 2)],
            "product": 64,
            "copy": 1 << 16,
        }
    proxy = {"width": 256, "layers": 24, "d_head": 64, "d_ffn": 1024, "vocabulary": 50257}
    at = {2048: 512, 8192: 1024, 65536: 2048}
    # What matters most first: there may not be time for all.
    order = [(r, n) for n in at for r in (1, 8)] + [(r, n) for r in (16, 4, 2) for n in at]
    return {
        "target": {
            "width": 2048,
            "layers": 10,
            "d_head": 64,
            "d_ffn": 5461,
            "vocabulary": 50257,
            "length": 2048,
            "batch": 504,
        },
        "proxy": {**proxy, "length": 2048, "batch": 256},
        "cohorts": [(r, {**proxy, "length": at[n], "batch": n // at[n]}) for r, n in order],
        "product": 8192,
        "copy": 1 << 28,
    }


class Clock:
    """Time of the device's work, and how much of the budget is left."""

    def __init__(self, device, seconds):
        self.device, self.end = device, time.monotonic() + seconds
        self.longest = 0.0

    @property
    def left(self):
        return self.end - time.monotonic()

    def attempt(self, work):
        """What went wrong, out of memory say, in place of a result: the parts that follow are measured all the same. Nothing begins
        that would end too late if it took as long as the longest before it."""
        if self.left < self.longest:
            return {"error": "not measured: out of time"}
        began = time.monotonic()
        try:
            return work()
        except Exception as error:
            traceback.print_exc()
            return {"error": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"}
        finally:
            self.longest = max(self.longest, time.monotonic() - began)
            gc.collect()
            if self.device.type == "cuda":
                torch.cuda.empty_cache()

    def wait(self):
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def per_call(self, work, seconds=1.0, most=50):
        """Mean seconds of a call, after one that is not counted."""
        work()
        self.wait()
        start, calls = time.perf_counter(), 0
        while calls == 0 or (calls < most and time.perf_counter() - start < seconds):
            work()
            calls += 1
            if self.device.type == "cuda" and calls % 4 == 0:
                self.wait()
        self.wait()
        return (time.perf_counter() - start) / calls


class Training:
    """Replicas of a plan that are trained on tokens of no meaning."""

    def __init__(self, size, replicas, mode, options, clock, micro=None):
        plans = [plan_of(**size, seed=1 + i, micro=micro) for i in range(replicas)]
        self.plan, self.shape = plans[0], shape_of(plans[0])
        self.replicas, self.clock = replicas, clock
        if mode != "eager":
            torch._dynamo.reset()
        started = time.perf_counter()
        self.program = Program(
            self.shape,
            replicas,
            Options(clock.device, compiled=mode != "eager", pad=options.pad),
            Peers(),
        )
        self.program.load(plans)
        for replica in range(replicas):
            self.program.initialize(replica)
        generator = torch.Generator().manual_seed(1)
        batch = (replicas, self.shape.batch_size, self.shape.sequence_length + 1)
        self.tokens = torch.randint(0, self.shape.vocab_size, batch, generator=generator)
        clock.wait()
        self.seconds_to_draw = time.perf_counter() - started
        self.warm_up(1)

    def warm_up(self, steps):
        started = time.perf_counter()
        for _ in range(steps):
            self.step()
        self.clock.wait()
        self.seconds_to_first_step = time.perf_counter() - started

    def capture(self):
        """From now on as CUDA graphs; a step is captured after some by themselves."""
        self.program.captured = CapturedStep(self.program)
        self.warm_up(WARM_UP_STEPS + 1)

    def step(self):
        self.program.step(self.tokens, [5] * self.replicas, [True] * self.replicas)

    def measure(self, seconds):
        if self.clock.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.clock.device)
        step = self.clock.per_call(self.step, seconds)
        peak = torch.cuda.max_memory_allocated(self.clock.device) if self.clock.device.type == "cuda" else None
        options = self.program.options
        estimate = memory.estimate(self.shape, self.replicas, self.program.sequences, options.pad, options.device)
        return {
            "tokens_per_step_and_replica": self.shape.tokens_per_step,
            "sequences_per_pass": self.program.sequences,
            "seconds_per_step": step,
            "tokens_per_second": self.replicas * self.shape.tokens_per_step / step,
            "seconds_to_draw": self.seconds_to_draw,
            "seconds_to_first_step": self.seconds_to_first_step,
            "peak_bytes": peak,
            "estimated_bytes": estimate,
            "notes": self.program.notes,
        }


# The parts.


def environment(device):
    found = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "triton": None,
        "device": str(device),
        "name": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "peak_flops": None,
    }
    try:
        import triton

        found["triton"] = triton.__version__
    except ImportError:
        pass
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        found["name"], found["memory_bytes"] = properties.name, properties.total_memory
        found["cuda"], found["capability"] = torch.version.cuda, [properties.major, properties.minor]
        found["peak_flops"] = next((peak for name, peak in PEAKS.items() if name in properties.name), None)
    return found


def compared(device, options):
    """Whether the device computes what a CPU does: masks and draws, losses of ten steps in float32, attention with its gradients."""
    size = {"width": 64, "layers": 2, "d_head": 16, "d_ffn": 171, "vocabulary": 997, "length": 128, "batch": 8}
    plan = plan_of(**size, precision="float32", micro=4)
    for group in plan["groups"]:
        if group["name"].startswith(("attention_", "ffn_")) and group["init_std"] is not None:
            group["density"] = 0.25
    tokens = torch.randint(0, 997, (1, 8, 129), generator=torch.Generator().manual_seed(2))
    results = {}
    variants = [("cpu", torch.device("cpu"), False), ("eager", device, False)]
    if device.type == "cuda":
        variants.append(("compiled", device, True))
    for name, where, compiled in variants:
        program = Program(shape_of(plan), 1, Options(where, compiled=compiled, pad=options.pad), Peers())
        program.load([plan])
        program.initialize(0)
        weights = {n: w.cpu().clone() for n, w in program.weights_of(0).items()}
        losses = [program.step(tokens, [t], [True])[0, 0].item() for t in range(1, 11)]
        results[name] = (weights, losses)
    (expected, losses), found = results["cpu"], {}
    for name, (weights, reached) in results.items():
        zeros_differ = sum(int(((weights[n] == 0) != (w == 0)).sum()) for n, w in expected.items())
        found[name] = {
            "masked_weights_that_differ": zeros_differ,
            "largest_difference_of_initial_weights": max(
                (weights[n] - w).abs().max().item() for n, w in expected.items()
            ),
            "largest_difference_of_losses": max(abs(a - b) for a, b in zip(reached, losses)),
        }
    if device.type == "cuda":
        found["flex_attention"] = flex_against_dense(device)
    return found


def flex_against_dense(device):
    """Largest relative difference of outputs and gradients, in float32 and in bfloat16 against the dense bias in float32."""
    plan = plan_of(width=512, layers=1, d_head=64, d_ffn=8, vocabulary=8, length=1024, batch=1)
    dense = DenseAttention(shape_of(plan), device)
    flex = torch.compile(FlexAttention(shape_of(plan), device), fullgraph=True, dynamic=False)
    torch.manual_seed(3)
    inputs = [torch.randn(2, 8, 1024, 64, device=device) * 0.3 for _ in range(4)]

    def run(attention, dtype):
        q, k, v = (x.to(dtype).requires_grad_() for x in inputs[:3])
        out = attention(q, k, v)
        return [x.float() for x in (out, *torch.autograd.grad(out, (q, k, v), inputs[3].to(dtype)))]

    expected = run(dense, torch.float32)

    def worst(dtype):
        return max(((a - b).norm() / b.norm()).item() for a, b in zip(run(flex, dtype), expected))

    return {"float32": worst(torch.float32), "bfloat16": worst(torch.bfloat16)}


def speeds(clock, size):
    """Of a large product in bf16, FLOP/s, and of a large copy, bytes/s read and written."""
    n = size["product"]
    a, b = (torch.randn(n, n, device=clock.device).to(torch.bfloat16) for _ in range(2))
    product = clock.per_call(lambda: a @ b)
    source = torch.empty(size["copy"], device=clock.device)
    target = torch.empty_like(source)
    copy = clock.per_call(lambda: target.copy_(source))
    return {"product_flops": 2 * n**3 / product, "copy_bytes": 2 * 4 * size["copy"] / copy}


def roofline_seconds(plan, measured):
    """The time below which no step of this plan can be, as the head of this file says."""
    shape = plan["shape"]
    n, c, f, v = (
        plan["batch_size"] * shape["sequence_length"],
        shape["d_model"],
        shape["d_ffn"],
        plan["data"]["vocab_size"],
    )

    def product(m, k, o):
        return max(2 * m * k * o / measured["product_flops"], 2 * (m * k + k * o + m * o) / measured["copy_bytes"])

    def forward_and_backward(k, o):
        return product(n, k, o) + product(n, o, k) + product(k, n, o)

    layer = forward_and_backward(c, 3 * c) + forward_and_backward(c, c)
    layer += forward_and_backward(c, 2 * f) + forward_and_backward(f, c)
    attention = 12 * n * shape["sequence_length"] * c / 2
    layer += max(attention / measured["product_flops"], 2 * 8 * n * c / measured["copy_bytes"])
    update = 28 * parameter_count(plan) / measured["copy_bytes"]
    return shape["layers"] * layer + forward_and_backward(c, v) + update


def model(size, mode, options, clock, measured, peak, seconds):
    training = Training(size, 1, mode, options, clock)
    found = training.measure(seconds)
    flops = flops_per_token(training.plan) * found["tokens_per_second"]
    return {
        "parameters": parameter_count(training.plan),
        "mode": mode,
        **found,
        "flops_per_token": flops_per_token(training.plan),
        "flops": flops,
        "utilization": flops / peak if peak else None,
        "share_of_roofline": (
            None if "error" in measured else roofline_seconds(training.plan, measured) / found["seconds_per_step"]
        ),
    }


def cohorts(cases, modes, options, clock, keep, seconds):
    """Runs of the proxy at once, against one by one. Graphs are captured of what is compiled, which is most of the time."""
    rows = []

    def add(replicas, size, mode, work):
        found = clock.attempt(work)
        tokens = size["batch"] * size["length"]
        rows.append({"replicas": replicas, "tokens_per_step": tokens, "mode": mode, **found})
        keep(rows)

    for replicas, size in cases:
        trainings = {}

        def measure(mode):
            if mode == "graphs":
                training = trainings.get("compiled")
                if training is None:
                    raise RuntimeError("nothing was compiled that could be captured")
                training.capture()
            else:
                trainings.clear()
                training = trainings[mode] = Training(size, replicas, mode, options, clock)
            return training.measure(seconds)

        for mode in modes:
            add(replicas, size, mode, functools.partial(measure, mode))
    return rows


# What is said of it.


def number(value, form):
    return "" if value is None or (isinstance(value, float) and math.isnan(value)) else format(value, form)


def table(titles, rows):
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def told(result):
    env = result["environment"]
    peak = number(env["peak_flops"] and env["peak_flops"] / 1e12, ".0f")
    parts = [
        f"{env['name']}, {env['device']}; torch {env['torch']}, triton {env['triton']}, Python {env['python']}; dense bf16 peak {peak} TFLOP/s"
    ]
    parts.append(f"against a CPU: {json.dumps(result.get('compared'))}")
    parts.append(f"measured: {json.dumps(result.get('speeds'))}")
    rows = []
    for name in ("target", "proxy"):
        found = result.get(name, {})
        if "error" in found or not found:
            rows.append([name, found.get("error", "not measured"), *[""] * 7])
            continue
        rows.append(
            [
                name,
                f"{found['parameters'] / 1e6:.1f}M",
                f"{found['tokens_per_second']:,.0f}",
                number(found["utilization"] and 100 * found["utilization"], ".1f"),
                number(found["share_of_roofline"] and 100 * found["share_of_roofline"], ".0f"),
                number(found["peak_bytes"] and found["peak_bytes"] / 2**30, ".1f"),
                number(found["estimated_bytes"] / 2**30, ".1f"),
                number(found["seconds_to_first_step"], ".1f"),
                str(found["sequences_per_pass"]),
            ]
        )
    titles = [
        "model",
        "parameters",
        "tokens/s",
        "% of peak",
        "% of roofline",
        "peak GiB",
        "estimated GiB",
        "s to first step",
        "a pass",
    ]
    parts.append(table(titles, rows))
    parts.append(cohort_table(result.get("cohorts", [])))
    return "\n\n".join(parts)


def cohort_table(rows):
    singles = {(r["tokens_per_step"], r["mode"]): r for r in rows if r["replicas"] == 1}
    lines = []
    for row in rows:
        start = [str(row["tokens_per_step"]), str(row["replicas"]), row["mode"]]
        if "error" in row:
            lines.append([*start, row["error"], "", "", ""])
            continue
        against = [
            singles.get((row["tokens_per_step"], mode), {}).get("tokens_per_second") for mode in ("eager", row["mode"])
        ]
        gains = [number(single and row["tokens_per_second"] / single, ".2f") for single in against]
        peak = number(row["peak_bytes"] and row["peak_bytes"] / 2**30, ".1f")
        lines.append([*start, f"{row['tokens_per_second']:,.0f}", *gains, peak])
    titles = ["tokens a step", "runs at once", "how", "tokens/s", "× one, eager", "× one, so", "peak GiB"]
    return table(titles, lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="default: bench/results/gpu-<device>.json")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seconds", type=float, default=345, help="no part begins that would end after this, as far as the longest so far tells; default: 345")
    parser.add_argument("--tiny", action="store_true", help="models of no size, to try the script")
    options = parser.parse_args()
    device = torch.device(options.device)
    if device.type == "cpu" and not options.tiny:
        sys.exit("There is no GPU here. --tiny tries the script on the CPU.")
    if device.type == "cuda":
        device = torch.device("cuda", device.index or 0)
        torch.cuda.set_device(device)
    # As the trainer has it.
    torch.set_float32_matmul_precision("highest")
    options.pad = GPU_PAD if device.type == "cuda" else 8
    clock, size = Clock(device, options.seconds), sizes(options.tiny)
    result = {"counting": " ".join(__doc__.split("Counting. ")[1].split()), "environment": environment(device)}
    name = "-".join(result["environment"]["name"].lower().split()) or device.type
    out = options.out or ROOT / "bench" / "results" / f"gpu-{name}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()

    def keep(part, found):
        result[part] = found
        result["seconds"] = time.monotonic() - started
        # Whole at every moment: whoever fetches it may come in the middle.
        written = out.with_suffix(".part")
        written.write_text(json.dumps(result, indent=1) + "\n")
        written.replace(out)
        print(f"{result['seconds']:6.0f} s  {part}", file=sys.stderr, flush=True)

    best = "eager" if options.tiny else "compiled"
    modes = ("eager",) if options.tiny else ("eager", "compiled", "graphs")
    seconds = 0.02 if options.tiny else 1.0
    peak = result["environment"]["peak_flops"]
    keep("compared", clock.attempt(lambda: compared(device, options)))
    keep("speeds", clock.attempt(lambda: speeds(clock, size)))
    measured = result["speeds"]
    for part, how_long in (("target", 20 * seconds), ("proxy", 5 * seconds)):
        keep(part, clock.attempt(lambda: model(size[part], best, options, clock, measured, peak, how_long)))
    keep("cohorts", cohorts(size["cohorts"], modes, options, clock, lambda rows: keep("cohorts", rows), seconds))
    print(told(result))
    print(f"\nstored in {out}", file=sys.stderr)


if __name__ == "__main__":
    main()
