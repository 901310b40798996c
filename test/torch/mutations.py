"""The reference with one mistake each. The comparison has to notice every one of them, or it proves nothing.

Each mistake names the cases it can show in; the first of them is used.
"""

import copy
import math

import torch
import torch.nn.functional as F

from reference import Reference


def always(_plan):
    return True


def masked(plan):
    return any(group["density"] < 1 for group in plan["groups"]) and plan["groups"][2]["init_std"] > 0


def alibi(heads):
    return lambda plan: (
        plan["shape"]["positions"] == "alibi" and plan["shape"]["d_model"] // plan["shape"]["d_head"] in heads
    )


def tied(value):
    return lambda plan: plan["shape"]["tied_embeddings"] is value


def clips(plan):
    return plan["clip_norm"] is not None and plan["clip_norm"] < 1


def decays(plan):
    return plan["groups"][0]["decay_per_step"] > 0 and not masked(plan)


def norms_decay(plan):
    return plan["groups"][1]["decay_per_step"] > 0


def normed_by(kind):
    return lambda plan: plan["shape"]["norm"] == kind


def large_eps(kind):
    return lambda plan: plan["groups"][0]["eps"] > 1e-4 and plan["shape"]["norm"] == kind


def scheduled(kind):
    return lambda plan: plan["schedule"]["decay"] == kind and 1 < plan["schedule"]["warmup_steps"] < plan["steps"]


def edited(edit):
    """The reference of a plan with a wrong entry."""

    class Edited(Reference):
        def __init__(self, plan, *rest):
            plan = copy.deepcopy(plan)
            edit(plan)
            super().__init__(plan, *rest)

    return Edited


def setting(section, key, value):
    def edit(plan):
        plan[section][key] = value(plan[section][key]) if callable(value) else value

    return edited(edit)


class UnevenSlopes(Reference):
    def slopes(self, heads):
        return [2 ** (-8 * (i + 1) / heads) for i in range(heads)]


class LooksAhead(Reference):
    def bias(self, heads, length):
        return torch.cat([super().bias(heads, length + 1)[:, 1:, 1:-1], torch.zeros(heads, length, 1)], dim=2).to(
            self.dtype
        )


class GradientNotMasked(Reference):
    def weight(self, name):
        return self.weights[name]


class TiedOnceOnly(Reference):
    def unembedding(self):
        return super().unembedding().detach()


class GateAndUpSwapped(Reference):
    def feed_forward(self, x, prefix):
        gate, up = x @ self.weight(f"{prefix}ffn_up"), x @ self.weight(f"{prefix}ffn_gate")
        return (F.silu(gate) * up) @ self.weight(f"{prefix}ffn_down")


class TanhGelu(Reference):
    def feed_forward(self, x, prefix):
        gate, up = x @ self.weight(f"{prefix}ffn_gate"), x @ self.weight(f"{prefix}ffn_up")
        return (F.gelu(gate, approximate="tanh") * up) @ self.weight(f"{prefix}ffn_down")


class SampleVariance(Reference):
    def norm(self, x, name):
        centred = x - x.mean(-1, keepdim=True)
        scaled = centred / torch.sqrt(x.var(-1, keepdim=True, correction=1) + self.plan["shape"]["norm_eps"])
        return scaled * self.weight(f"{name}.gain") + self.weight(f"{name}.bias")


class EpsilonOutsideTheRoot(Reference):
    def norm(self, x, name):
        return x / (x.square().mean(-1, keepdim=True).sqrt() + self.plan["shape"]["norm_eps"]) * self.weight(f"{name}.gain")


class StepLate(Reference):
    def __init__(self, *rest):
        super().__init__(*rest)
        self.factors = [0.0, *self.factors[:-1]]


class StepEarly(Reference):
    def __init__(self, *rest):
        super().__init__(*rest)
        self.factors = [*self.factors[1:], self.factors[-1]]


class CoupledDecay(Reference):
    """λ·W in the gradient: Adam's own decay, not AdamW's."""

    def make_optimizer(self):
        optimizer = super().make_optimizer()
        for entry in optimizer.param_groups:
            entry["decoupled_weight_decay"] = False
        return optimizer


class DecayOffSchedule(Reference):
    def update(self, t, gradients):
        super().update(t, gradients)
        for entry in self.optimizer.param_groups:
            decay = entry["group"]["decay_per_step"] * (1 - self.factors[t - 1])
            entry["params"][0].data.mul_(1 - decay)


class NormsDoNotDecay(Reference):
    def make_optimizer(self):
        for group in self.plan["groups"]:
            if group["init_std"] is None:
                group["decay_per_step"] = 0.0
        return super().make_optimizer()


class ClippedByTensor(Reference):
    def clip_factor(self, norm):
        return 1.0

    def update(self, t, gradients):
        super().update(t, {name: g * Reference.clip_factor(self, g.norm().item()) for name, g in gradients.items()})


class NormOfAllGradients(Reference):
    """The norm to clip by taken before the masks."""

    def gradients(self, inputs, targets):
        loss, gradients = super().gradients(inputs, targets)
        masks, self.masks = self.masks, {}
        _, whole = super().gradients(inputs, targets)
        self.masks = masks
        square = sum(g.square().sum().item() for g in whole.values())
        self.whole_norm = math.sqrt(square)
        return loss, gradients

    def clip_factor(self, _norm):
        return super().clip_factor(self.whole_norm)


class OwnAdam(Reference):
    """AdamW by hand, with a wrong `direction`."""

    def make_optimizer(self):
        return {name: (torch.zeros_like(w), torch.zeros_like(w)) for name, w in self.weights.items()}

    def update(self, t, gradients):
        beta1, beta2 = self.plan["optimizer"]["beta1"], self.plan["optimizer"]["beta2"]
        for name, weight in self.weights.items():
            group = next(g for g in self.plan["groups"] if g["name"] in name.split("."))
            first, second = self.optimizer[name]
            first.mul_(beta1).add_((1 - beta1) * gradients[name])
            second.mul_(beta2).add_((1 - beta2) * gradients[name].square())
            s = self.factors[t - 1]
            step = s * group["learning_rate"] * self.direction(first, second, 1 - beta1**t, 1 - beta2**t, group["eps"])
            weight.data.mul_(1 - s * group["decay_per_step"]).sub_(step)


class NoBiasCorrection(OwnAdam):
    def direction(self, first, second, _c1, _c2, eps):
        return first / (second.sqrt() + eps)


class AdamEpsilonInsideTheRoot(OwnAdam):
    def direction(self, first, second, c1, c2, eps):
        return first / c1 / (second / c2 + eps).sqrt()


class AdamEpsilonUncorrected(OwnAdam):
    """ε added to √v, and the bias corrected after it."""

    def direction(self, first, second, c1, c2, eps):
        return first / c1 / (second.sqrt() + eps) * math.sqrt(c2)


def one_rate(plan):
    for group in plan["groups"]:
        group["learning_rate"] = plan["groups"][0]["learning_rate"]


def one_eps(plan):
    for group in plan["groups"]:
        group["eps"] = plan["groups"][0]["eps"]


def no_decay(plan):
    for group in plan["groups"]:
        group["decay_per_step"] = 0.0


# Mistake, the cases it shows in, the mistaken reference.
MUTATIONS = [
    ("no ALiBi", alibi([4]), setting("shape", "positions", "none")),
    ("ALiBi slopes 2^(−8i/H) for 3 heads", alibi([3]), UnevenSlopes),
    ("the next token is seen", always, LooksAhead),
    ("1/√d_head for 1/d_head", always, setting("forward", "attention_scale", math.sqrt)),
    ("no embedding multiplier", always, setting("forward", "embedding_multiplier", 1.0)),
    ("no logits multiplier", always, setting("forward", "logits_multiplier", 1.0)),
    ("gate and up swapped", always, GateAndUpSwapped),
    ("GELU for SiLU", always, TanhGelu),
    ("layernorm: sample variance", normed_by("layernorm"), SampleVariance),
    ("rmsnorm: ε outside the root", large_eps("rmsnorm"), EpsilonOutsideTheRoot),
    ("layernorm: no ε", large_eps("layernorm"), setting("shape", "norm_eps", 1e-12)),
    ("tied: one of two gradients", tied(True), TiedOnceOnly),
    ("mask not applied to gradients", masked, GradientNotMasked),
    ("no clip", clips, edited(lambda plan: plan.update(clip_norm=None))),
    ("clip by tensor", clips, ClippedByTensor),
    ("clip by the unmasked norm", lambda plan: masked(plan) and clips(plan), NormOfAllGradients),
    ("schedule one step late", scheduled("linear"), StepLate),
    ("schedule one step early, linear", scheduled("linear"), StepEarly),
    ("schedule one step early, cosine", scheduled("cosine"), StepEarly),
    ("cosine for linear", scheduled("linear"), setting("schedule", "decay", "cosine")),
    ("falls to 0, not to final_fraction", scheduled("linear"), setting("schedule", "final_fraction", 0.0)),
    ("one learning rate for all groups", always, edited(one_rate)),
    ("one ε for all groups", lambda plan: plan["groups"][0]["eps"] == 3e-4, edited(one_eps)),
    (
        "no residual multiplier",
        lambda plan: plan["forward"]["residual_multiplier"] != 1,
        setting("forward", "residual_multiplier", 1.0),
    ),
    ("no decay", decays, edited(no_decay)),
    ("decay in the gradient", decays, CoupledDecay),
    ("decay off the schedule", decays, DecayOffSchedule),
    ("norms do not decay", norms_decay, NormsDoNotDecay),
    ("Adam: no bias correction", always, NoBiasCorrection),
    ("Adam: ε inside the root", large_eps("layernorm"), AdamEpsilonInsideTheRoot),
    ("Adam: ε before the correction", large_eps("rmsnorm"), AdamEpsilonUncorrected),
    ("β1 and β2 swapped", always, edited(lambda p: p["optimizer"].update(beta1=0.95, beta2=0.9))),
]
