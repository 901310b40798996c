"""AdamW with decoupled decay (Loshchilov, Hutter, arXiv 1711.05101) on gradients clipped by their global norm, per replica.

The moments are kept scaled, M = m/(1 − β1) and U = v/(1 − β2), as checkpoints have them. With c1 = (1 − β1)/(1 − β1^t) and
c2 = (1 − β2)/(1 − β2^t), so that m̂ = c1·M and v̂ = c2·U:
    W ← W·keep − rate·M/(√U + eps),  rate = s·lr·c1/√c2,  eps = ε/√c2,  keep = 1 − s·decay.
Every rate is a number in a tensor: one compiled program serves all steps, groups and replicas.
"""

import math

import numpy as np
import torch

from .plan import GROUPS, groups_of, schedule_factor


class Rates:
    """What the update needs of each replica's plan, step by step. In numpy, for all at once: a small model's step takes no longer."""

    def __init__(self, plans):
        self.plans = plans
        self.peaks, self.decays, self.eps = (
            np.array([[groups.get(name, {}).get(field, 0.0) for name in GROUPS] for groups in map(groups_of, plans)])
            for field in ("learning_rate", "decay_per_step", "eps")
        )
        self.betas = [(plan["optimizer"]["beta1"], plan["optimizer"]["beta2"]) for plan in plans]

    def at(self, steps):
        """Of step t of each replica: rate, what is kept of a weight, eps; float32 [3, R, groups] in the order of GROUPS."""
        factors, rates, roots = [], [], []
        for plan, (beta1, beta2), t in zip(self.plans, self.betas, steps):
            factor = schedule_factor(plan, t)
            root = math.sqrt((1 - beta2) / (1 - beta2**t))
            factors.append(factor)
            rates.append(factor * (1 - beta1) / (1 - beta1**t) / root)
            roots.append(root)
        factor, rate, root = (np.array(column)[:, None] for column in (factors, rates, roots))
        with np.errstate(over="ignore"):
            return np.stack([self.peaks * rate, 1 - factor * self.decays, self.eps / root]).astype(np.float32)


class Optimizer:
    """The update of a shape's parameters; `arrays` are dictionaries by parameter, [L, R, rows, columns]."""

    def __init__(self, parameters, device, compiled):
        # Which group each column of a parameter belongs to.
        self.columns = {
            name: torch.tensor(
                [GROUPS.index(part.group) for part in parameter.parts for _ in range(part.padded)], device=device
            )
            for name, parameter in parameters.items()
        }
        self.update = torch.compile(self._update, fullgraph=True, dynamic=False) if compiled else self._update

    @staticmethod
    def norms(gradients):
        """Global norm per replica, float64 [R]. In float64: squares of large gradients leave the range of float32."""
        squares = [torch.linalg.vector_norm(g, dim=(0, 2, 3), dtype=torch.float64).square() for g in gradients.values()]
        return torch.stack(squares).sum(0).sqrt()

    def _update(self, weights, firsts, seconds, gradients, rates, betas, clips, norms, alive):
        """
        Everything in place. rates float32 [3, R, groups]; betas float32 [2, R]; clips float64 [R], infinite for none; norms as
        above; alive bool [R], or None where every replica is.
        """
        shape = (1, -1, 1, 1)
        factor = torch.clamp(clips / norms, max=1.0).float().view(shape)
        beta1, beta2 = betas[0].view(shape), betas[1].view(shape)
        for name, weight in weights.items():
            first, second = firsts[name], seconds[name]
            rate, keep, eps = rates[:, :, self.columns[name]][:, None, :, None, :]
            gradient = gradients[name] * factor
            m = first * beta1 + gradient
            u = second * beta2 + gradient * gradient
            w = weight * keep - m / (u.sqrt() + eps) * rate
            for array, new in ((first, m), (second, u), (weight, w)):
                array.copy_(new if alive is None else torch.where(alive.view(shape), new, array))
