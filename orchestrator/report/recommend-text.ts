/** A recommendation as text, and as PyTorch parameter groups to paste. */

import {
  isScriptPlan,
  type Plan,
  type PlanGroup,
  type PlanRole,
  ROLES,
  type ScriptPlan,
} from "../../schema/wire/plan.ts";
import { inYaml } from "../sweep/habits.ts";
import { gridAt } from "../sweep/taken-axes.ts";
import { amount, quantity } from "../terminal/format.ts";
import type { Recommendation } from "./recommend.ts";
import { resolvedPlanText } from "./resolved-plan-text.ts";

const number = (value: number): string => String(Number(value.toPrecision(5)));

export function recommendationText(r: Recommendation): string {
  const { source, target, optimum } = r;
  const layers = target.layers === source.layers ? "" : `, ${target.layers} layers`;
  return [
    `${r.title}, width ${target.width}, sparsity ${target.sparsity}${layers}${
      r.parameters === null
        ? ""
        : `: ${quantity(r.parameters)} parameters, ${quantity(r.nonzero_parameters!)} non-zero`
    }`,
    "",
    `Base learning rate ${number(r.learning_rate)} = 2^${optimum.log2_tuned!.toFixed(2)}, 95% interval ${number(r.learning_rate_low)} to ${number(r.learning_rate_high)}`,
    `(the optimum at ${sourceWords(r)} of sweep ${r.sweep}; every rate below scales with it)`,
    "",
    resolvedPlanText(r.resolved),
    "",
    ...(r.relative
      ? [
          `Init std and the multipliers are times your own at width ${source.width} and sparsity ${source.sparsity}; decay and ε stay your own. Imported results say none of them.`,
          "",
        ]
      : []),
    ...takenLines(r),
    ...r.verdicts.map((sentence) => `The sweep: ${sentence}`),
    ...r.cautions.map((note) => `Caution: ${note}.`),
    "",
    ...validationLines(r),
    ...(pytorchSnippet(r) === null ? [] : ["", pytorchSnippet(r)]),
  ].join("\n");
}

const shown = (value: unknown): string => (typeof value === "number" ? number(value) : String(value));

/** "width 64, sparsity 0, batch_size 128": with the number of layers where the target has another one. */
const sourceWords = ({ source: { width, layers, sparsity, other }, target }: Recommendation): string =>
  Object.entries({
    width,
    sparsity,
    ...(layers === 0 || layers === target.layers ? {} : { layers }),
    ...other,
  })
    .map(([name, value]) => `${name} ${shown(value)}`)
    .join(", ");

/** Nothing is carried over in silence. */
function takenLines({ taken, sweep }: Recommendation): string[] {
  if (taken.length === 0) return [];
  const one = ({ name, value, option }: Recommendation["taken"][number]): string =>
    `${name} ${shown(value)}${option === null ? "" : ` (${option})`}`;
  const lists = [
    taken.filter(({ option }) => option !== null),
    taken.filter(({ option }) => option === null),
  ];
  const said = lists.filter((list) => list.length > 0).map((list) => list.map(one).join(", "));
  return [`As in sweep ${sweep}, where no option says otherwise: ${said.join("; and ")}.`, ""];
}

function validationLines(r: Recommendation): string[] {
  const { target, asked } = r;
  const notes = [
    ...(r.base_ffn_width === null ? [] : [`, with ffn_width: ${r.base_ffn_width} under base`]),
    ...(asked.vocab_size === undefined ? [] : [`, on data with a vocabulary of ${asked.vocab_size}`]),
  ];
  const axes = gridAt({
    parameterization: [r.parameterization],
    width: [target.width],
    sparsity: [target.sparsity],
    // Imported results need not say how many there were.
    layers: target.layers === 0 ? null : [target.layers],
    ...ownAxes(r),
    learning_rate: r.validation.map((rate) => Number(number(rate))),
  });
  const each = r.flops === null ? "" : `, ${amount(r.flops, "FLOPs")} each`;
  return [
    `Before you rely on it, ${r.validation.length} runs at the target's size${each}: base learning rates ${r.validation.map(number).join(", ")}.`,
    `${number(r.learning_rate)} lowest: the rate has transferred. Another one lowest: take that; an outer one: go on to its side.`,
    `In a sweep file: axes: ${inYaml(axes).replace(/^\{(.*)\}$/, "{ $1 }")}${notes.join("")}`,
  ];
}

/** What the curve had that is carried over, and what was said of the target: without either, those runs would be of another model. */
function ownAxes({ source, asked }: Recommendation): Record<string, unknown[]> {
  const { tokens, ...other } = source.other;
  const { vocab_size: _, ...own } = asked;
  const all = { ...other, ...(tokens === undefined || "steps" in own ? {} : { tokens }), ...own };
  return Object.fromEntries(Object.entries(all).map(([name, value]) => [name, [value]]));
}

/** Null where numbers are times others: those cannot be pasted. */
export function pytorchSnippet(r: Recommendation): string | null {
  if (r.relative) return null;
  const { plan } = r;
  const text = isScriptPlan(plan) ? rolesProgram(r, plan) : modelProgram(r, plan);
  return `${text}\n`;
}

type Numbers = Pick<PlanGroup, "init_std" | "learning_rate" | "decay_per_step" | "density" | "eps">;

/** AdamW's weight_decay such that lr × weight_decay is the plan's decay per step. */
const groupLine = (name: string, g: Numbers): string =>
  `    ${JSON.stringify(name)}: dict(lr=${number(g.learning_rate)}, weight_decay=${number(g.decay_per_step / g.learning_rate)}, eps=${number(g.eps)}, init_std=${g.init_std === null ? "None" : number(g.init_std)}, density=${g.density}),`;

const heading = ({ title, target, sweep }: Recommendation): string =>
  `# ${title} at width ${target.width}, sparsity ${target.sparsity}: what sweep ${sweep} says. lr is the schedule's peak.`;

/** AdamW takes no whole numbers for its β. */
const pythonFloat = (value: number): string => number(value).replace(/^\d+$/, "$&.0");

/** Masks, initial weights and AdamW's groups, for whatever model's parameters the patterns name. */
const configure = (betas: readonly number[]): string => `
def configure(model):
    """Draws masks and initial weights, and returns the optimizer. Every parameter needs a pattern, the first that fits."""
    groups = {name: [] for name in GROUPS}
    for name, parameter in model.named_parameters():
        group = next((group for pattern, group in PATTERNS.items() if fnmatch(name, pattern)), None)
        if group is None:
            raise ValueError(f"{name} fits no pattern in PATTERNS")
        g = GROUPS[group]
        if g["init_std"] is not None and parameter.ndim < 2:
            raise ValueError(f"{name} is a gain or a bias, and {group} is for matrices: put a pattern before the one that fits it")
        with torch.no_grad():
            if g["init_std"] is not None:
                parameter.normal_(0, g["init_std"])
            if g["density"] < 1:  # exactly that share of the weights exists, and no other gets a gradient
                size, device = parameter.numel(), parameter.device
                kept = torch.randperm(size, device=device)[: round(g["density"] * size)]
                mask = torch.zeros(size, device=device).index_fill_(0, kept, 1).view_as(parameter)
                parameter.mul_(mask)
                parameter.register_hook(lambda gradient, mask=mask: gradient * mask.to(gradient.device))
        groups[group].append(parameter)
    return torch.optim.AdamW(
        [dict(params=p, **{key: GROUPS[name][key] for key in ("lr", "weight_decay", "eps")}) for name, p in groups.items() if p],
        betas=(${betas.map(pythonFloat).join(", ")}),
    )
`;

/** A whole program, with the model that was tuned, so that it runs as it is; its patterns are what another model changes. */
function modelProgram(r: Recommendation, plan: Plan): string {
  const { shape, forward, optimizer, schedule, clip_norm } = plan;
  const bias = shape.norm === "layernorm";
  const norm = bias
    ? `nn.LayerNorm(WIDTH, eps=${number(shape.norm_eps)})`
    : `nn.RMSNorm(WIDTH, eps=${number(shape.norm_eps)})`;
  const decay = {
    linear: `1 - (1 - ${number(schedule.final_fraction)}) * done`,
    cosine: `${number(schedule.final_fraction)} + (1 - ${number(schedule.final_fraction)}) * (1 + math.cos(math.pi * done)) / 2`,
    constant: "1.0",
  }[schedule.decay];
  return `${heading(r)}
# Needs PyTorch 2.4 or newer. A model of your own: keep GROUPS and configure, change PATTERNS, and multiply as marked.
import math
from fnmatch import fnmatch

import torch
import torch.nn.functional as F
from torch import nn

VOCABULARY, WIDTH, LAYERS, D_HEAD, FFN = ${plan.data.vocab_size}, ${shape.d_model}, ${shape.layers}, ${shape.d_head}, ${shape.d_ffn}
STEPS, WARMUP, BATCH, LENGTH = ${plan.steps}, ${schedule.warmup_steps}, ${plan.batch_size}, ${shape.sequence_length}
GROUPS = {
${plan.groups.map((g) => groupLine(g.name, g)).join("\n")}
}
PATTERNS = {
    "embedding.*": "embedding",
    "blocks.*.attention_norm.*": "attention_norm",
    "blocks.*.query.*": "attention_query",
    "blocks.*.key.*": "attention_key",
    "blocks.*.value.*": "attention_value",
    "blocks.*.output.*": "attention_output",
    "blocks.*.ffn_norm.*": "ffn_norm",
    "blocks.*.gate.*": "ffn_gate",
    "blocks.*.up.*": "ffn_up",
    "blocks.*.down.*": "ffn_down",
    "final_norm.*": "final_norm",
    "unembedding.*": "unembedding",
}


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention_norm, self.ffn_norm = ${norm}, ${norm}
        for name in ("query", "key", "value", "output"):
            setattr(self, name, nn.Linear(WIDTH, WIDTH, bias=False))
        self.gate, self.up = nn.Linear(WIDTH, FFN, bias=False), nn.Linear(WIDTH, FFN, bias=False)
        self.down = nn.Linear(FFN, WIDTH, bias=False)

    def forward(self, x, bias):
        h = self.attention_norm(x)
        q, k, v = (
            part(h).unflatten(-1, (-1, D_HEAD)).transpose(1, 2) for part in (self.query, self.key, self.value)
        )
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=${number(forward.attention_scale)})  # scale
        x = x + ${number(forward.residual_multiplier)} * self.output(mixed.transpose(1, 2).flatten(2))  # residual multiplier
        h = self.ffn_norm(x)
        return x + ${number(forward.residual_multiplier)} * self.down(F.silu(self.gate(h)) * self.up(h))  # residual multiplier


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.final_norm = ${norm}
        self.unembedding = nn.Linear(WIDTH, VOCABULARY, bias=False)${
          shape.tied_embeddings ? "\n        self.unembedding.weight = self.embedding.weight" : ""
        }

    def forward(self, tokens):  # [batch, length] to logits
        length = tokens.shape[1]
        back = torch.arange(length)[:, None] - torch.arange(length)
        bias = ${shape.positions === "alibi" ? "-slopes(WIDTH // D_HEAD)[:, None, None] * back" : "torch.zeros(length, length)"}
        bias = bias.masked_fill(back < 0, -math.inf).to(tokens.device)
        x = ${number(forward.embedding_multiplier)} * self.embedding(tokens)  # embedding multiplier
        for block in self.blocks:
            x = block(x, bias)
        return ${number(forward.logits_multiplier)} * self.unembedding(self.final_norm(x))  # logits multiplier

${
  shape.positions === "alibi"
    ? `
def slopes(heads):
    """ALiBi's (arXiv 2108.12409)."""
    power = 1 << (heads.bit_length() - 1)
    first = [2.0 ** (-8.0 * (i + 1) / power) for i in range(power)]
    return torch.tensor(first + [2.0 ** (-8.0 * (i + 1) / (2 * power)) for i in range(0, 2 * (heads - power), 2)])

`
    : ""
}${configure([optimizer.beta1, optimizer.beta2])}

def factor(step):
    """Of every peak rate, and so of the decay: step 0 is the first, STEPS - 1 the last."""
    if step < WARMUP:
        return (step + 1) / WARMUP
    start = max(WARMUP, 1)
    done = (step + 1 - start) / max(1, STEPS - start)
    return ${decay}


if __name__ == "__main__":
    torch.manual_seed(1)
    model = Model()
    optimizer = configure(model)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    for step in range(2):  # yours: range(STEPS), over your data
        tokens = torch.randint(VOCABULARY, (min(BATCH, 2), min(LENGTH, 32) + 1))
        loss = F.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
${clip_norm === null ? "" : `        nn.utils.clip_grad_norm_(model.parameters(), ${number(clip_norm)})\n`}        optimizer.step()
        schedule.step()
        print(f"step {step + 1}: loss {loss.item():.3f}")`;
}

/** For a script's own model: groups and what to call; which parameter has which role, the script says (docs/own-model.md). */
function rolesProgram(r: Recommendation, { roles, forward, optimizer, model }: ScriptPlan): string {
  return `${heading(r)}
# Forward: embedding output × ${number(forward.embedding_multiplier)}, blocks × ${number(forward.residual_multiplier)}, attention scores × d_head ** ${number(forward.attention_scale_power)}, logits × ${number(forward.logits_multiplier)}.
from fnmatch import fnmatch

import torch

${otherFanIns(roles.hidden, model.width_multiplier)}GROUPS = {
${ROLES.map((name) => groupLine(name, roles[name])).join("\n")}
}
PATTERNS = {  # of your model's parameters, for instance; the first that fits counts
    "*final_norm.*": "final_vector",
    "*ln_f.*": "final_vector",
    "*.bias": "vector",
    "*norm*.weight": "vector",
    "*ln_*.weight": "vector",
    "embed.*": "embedding",
    "head.*": "unembedding",
    "*.o_proj.weight": "residual_output",
    "*.down_proj.weight": "residual_output",
    "*.c_proj.weight": "residual_output",
    "*.weight": "hidden",
}

${configure([optimizer.beta1, optimizer.beta2])}`;
}

/** What a fan-in changes that does not grow as the model's width does; nothing where the rules do not look at it. */
function otherFanIns({ width, decay_per_step }: PlanRole, multiplier: number): string {
  if (width === undefined) return "";
  const powers = {
    init_std: width.init_std,
    lr: width.learning_rate,
    weight_decay: decay_per_step === 0 ? 0 : width.decay_per_step - width.learning_rate,
  };
  const changes = Object.entries(powers)
    .filter(([, power]) => power !== 0)
    .map(([name, power]) => `${name} * (k / ${number(multiplier)}) ** ${number(power)}`);
  return changes.length === 0
    ? ""
    : `# Hidden and residual_output are for a fan-in that has grown as the width has, ${number(multiplier)} times the base's.
# Of one that has grown k times, in a group of its own: ${changes.join(", ")}.
`;
}
