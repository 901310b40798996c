"""Plans: their shape, and what follows from one without drawing a number: tensors, counts, cost, schedule. See schema/wire/plan.ts,
model.ts and cost.ts, and docs/trainer-protocol.md."""

import math
from dataclasses import dataclass

from . import checks
from .failure import Failure
from .philox import rounded

positive = checks.number(above=0)
fraction = checks.number(least=0, most=1)
count = checks.whole(least=1)

GROUPS = (
    "embedding",
    "attention_norm",
    "attention_query",
    "attention_key",
    "attention_value",
    "attention_output",
    "ffn_norm",
    "ffn_gate",
    "ffn_up",
    "ffn_down",
    "final_norm",
    "unembedding",
)
BLOCK_GROUPS = GROUPS[1:10]
NORM_GROUPS = ("attention_norm", "ffn_norm", "final_norm")

_name = r"[a-z0-9][a-z0-9._-]{0,63}"
_revision = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"

check_run_id = checks.text(r"r[0-9a-f]{20}", "a run's id: r and 20 hexadecimal digits")

check_plan = checks.record(
    {
        "version": checks.one_of(2),
        "trainer": checks.record({"name": checks.text(_name), "revision": checks.text(_revision)}),
        "precision": checks.one_of("float32", "bfloat16"),
        "seed": checks.whole(least=0, most=0xFFFFFFFF),
        "data": checks.record({"hash": checks.text(r"[0-9a-f]{16,64}", "a data set's hash"), "vocab_size": count}),
        "shape": checks.record(
            {
                "layers": count,
                "d_model": count,
                "d_head": count,
                "d_ffn": count,
                "sequence_length": count,
                "norm": checks.one_of("rmsnorm", "layernorm"),
                "norm_eps": positive,
                "positions": checks.one_of("alibi", "none"),
                "tied_embeddings": checks.flag,
            }
        ),
        "forward": checks.record(
            {
                "embedding_multiplier": positive,
                "residual_multiplier": positive,
                "attention_scale": positive,
                "logits_multiplier": positive,
            }
        ),
        "groups": checks.items(
            checks.record(
                {
                    "name": checks.one_of(*GROUPS),
                    "fan_in": count,
                    "fan_out": count,
                    "init_std": checks.nullable(checks.number(least=0)),
                    "learning_rate": positive,
                    "decay_per_step": checks.number(least=0),
                    "eps": positive,
                    "density": checks.number(above=0, most=1),
                }
            )
        ),
        "mask": checks.one_of("exact", "bernoulli"),
        "optimizer": checks.record(
            {
                "name": checks.one_of("adamw"),
                "beta1": checks.number(least=0, below=1),
                "beta2": checks.number(least=0, below=1),
            }
        ),
        "clip_norm": checks.nullable(positive),
        "schedule": checks.record(
            {
                "warmup_steps": checks.whole(least=0),
                "decay": checks.one_of("linear", "cosine", "constant"),
                "final_fraction": fraction,
            }
        ),
        "steps": count,
        "batch_size": count,
        "micro_batch_size": checks.nullable(count),
        "evaluation": checks.record({"every_steps": checks.nullable(count), "sequences": count}),
        "divergence": checks.record({"patience_steps": count}),
    },
    optional={"coordinates": checks.record({"steps": count})},
)


@dataclass(frozen=True)
class Shape:
    """What decides which program trains a plan. Plans of one shape can be trained at once, whatever else they say: seed, init,
    rates, decay, ε, density, masks, multipliers, optimizer and schedule are numbers that the program is given."""

    layers: int
    d_model: int
    d_head: int
    d_ffn: int
    sequence_length: int
    norm: str
    norm_eps: float
    positions: str
    tied_embeddings: bool
    vocab_size: int
    batch_size: int
    micro_batch_size: int | None
    evaluation_sequences: int
    precision: str

    @property
    def heads(self):
        return self.d_model // self.d_head

    @property
    def tokens_per_step(self):
        return self.batch_size * self.sequence_length


def shape_of(plan):
    return Shape(
        **plan["shape"],
        vocab_size=plan["data"]["vocab_size"],
        batch_size=plan["batch_size"],
        micro_batch_size=plan["micro_batch_size"],
        evaluation_sequences=plan["evaluation"]["sequences"],
        precision=plan["precision"],
    )


@dataclass(frozen=True)
class Tensor:
    """A tensor of the model. Matrices are [fan_in, fan_out] and used as x·W, embeddings [V, C], gains and biases [C]."""

    name: str
    group: str
    kind: str
    layer: int
    shape: tuple

    @property
    def size(self):
        return math.prod(self.shape)


def groups_of(plan):
    return {group["name"]: group for group in plan["groups"]}


def _matrix_shape(plan, group):
    c, f = plan["shape"]["d_model"], plan["shape"]["d_ffn"]
    if group in ("embedding", "unembedding"):
        return (plan["data"]["vocab_size"], c)
    return {"ffn_gate": (c, f), "ffn_up": (c, f), "ffn_down": (f, c)}.get(group, (c, c))


def tensors_of(plan):
    """Every tensor of the model, in canonical order. Failure "unsupported" when groups and shapes do not describe one model."""
    shape, groups = plan["shape"], groups_of(plan)
    unsupported = lambda message: Failure("unsupported", message)
    if shape["d_model"] % shape["d_head"] != 0:
        raise unsupported(f"d_model {shape['d_model']} is not a multiple of d_head {shape['d_head']}.")
    micro, batch = plan["micro_batch_size"], plan["batch_size"]
    if micro is not None and batch % micro != 0:
        raise unsupported(f"micro_batch_size {micro} does not divide batch_size {batch}.")
    if len(groups) != len(plan["groups"]):
        raise unsupported("The plan names a tensor group twice.")

    def of_group(name, layer, prefix=""):
        group = groups.get(name)
        if group is None:
            raise unsupported(f"The plan has no tensor group {name}.")
        if name in NORM_GROUPS:
            if group["density"] != 1:
                raise unsupported(f"Tensor group {name} has a density below 1; a norm cannot.")
            kinds = ["gain", "bias"] if shape["norm"] == "layernorm" else ["gain"]
            return [Tensor(f"{prefix}{name}.{kind}", name, kind, layer, (shape["d_model"],)) for kind in kinds]
        rows, columns = _matrix_shape(plan, name)
        if group["fan_in"] * group["fan_out"] != rows * columns:
            raise unsupported(
                f"Tensor group {name} is {group['fan_in']} × {group['fan_out']} in the plan; the model's shape makes it"
                f" {rows} × {columns}."
            )
        if group["init_std"] is None:
            raise unsupported(f"Tensor group {name} has no init_std.")
        return [Tensor(prefix + name, name, "matrix", layer, (rows, columns))]

    tensors = of_group("embedding", 0)
    for layer in range(shape["layers"]):
        for name in BLOCK_GROUPS:
            tensors += of_group(name, layer, f"blocks.{layer}.")
    tensors += of_group("final_norm", 0)
    if not shape["tied_embeddings"]:
        tensors += of_group("unembedding", 0)
    unknown = set(groups) - {tensor.group for tensor in tensors}
    if unknown:
        raise unsupported(f"The model has no tensor group {', '.join(sorted(unknown))}.")
    return tensors


def parameter_count(plan):
    return sum(tensor.size for tensor in tensors_of(plan))


def kept_count(density, size):
    """Weights that an exact mask keeps."""
    return rounded(density * size)


def token_count(plan, steps=None):
    return (plan["steps"] if steps is None else steps) * shape_of(plan).tokens_per_step


def flops_per_token(plan):
    """Forward and backward, as a dense model: 6 per weight of every product (the unembedding is one, tied or not) and 12·T·C per
    layer for attention scores and values (Kaplan et al., arXiv 2001.08361, table 1; no discount for the causal half)."""
    shape = plan["shape"]
    matrices = [t for t in tensors_of(plan) if t.kind == "matrix" and t.group != "embedding"]
    products = sum(t.size for t in matrices)
    if shape["tied_embeddings"]:
        products += plan["data"]["vocab_size"] * shape["d_model"]
    return 6 * products + 12 * shape["layers"] * shape["sequence_length"] * shape["d_model"]


def schedule_factor(plan, t):
    """What multiplies every learning rate and decay of step t = 1 … steps."""
    warmup, last = plan["schedule"]["warmup_steps"], plan["schedule"]["final_fraction"]
    if t <= warmup:
        return t / warmup
    if plan["schedule"]["decay"] == "constant":
        return 1.0
    # Without a warm-up the first step, not step 0, is at the peak.
    start = max(warmup, 1)
    progress = (t - start) / (plan["steps"] - start) if plan["steps"] > start else 0.0
    if plan["schedule"]["decay"] == "linear":
        return 1 - (1 - last) * progress
    return last + (1 - last) * 0.5 * (1 + math.cos(math.pi * progress))
