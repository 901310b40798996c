"""Sizes of activations on the plan's evaluation sequences, for the coordinate check (docs/trainer-protocol.md, Coordinates).

A forward pass of its own, between steps, in the order of the formulas: what is trained is the same whether it is measured or not.
"""

import torch


class CoordinateMeter:
    """The first measurement is of the initial networks, from which later ones take the change."""

    def __init__(self, program):
        self.program = program
        # Activations of the initial networks, in the order in which they are measured.
        self.initial = []

    @torch.no_grad()
    def measure(self, read):
        """
        Per replica, a list of {module, layer, size, change}; not finite numbers are None.
        read(first, count): tokens of every replica, int64 [R, count, T + 1].
        """
        shape = self.program.shape
        known = iter(list(self.initial))
        sums = {}
        # One sequence at a time: scores of all layers are large, and this happens ten times a run.
        for sequence in range(shape.evaluation_sequences):
            inputs, _ = self.program.split(self.program.put(read(sequence, 1)))
            for module, layer, values, visible in self._activations(inputs):
                initial = next(known, None)
                if initial is None:
                    initial = values
                    self.initial.append(values)
                each = torch.stack([values.abs(), (values - initial).abs()])
                if visible is not None:
                    each.masked_fill_(~visible, 0)
                total = each.flatten(2).sum(-1, dtype=torch.float64)  # [2, R]
                count = (
                    values[0].numel()
                    if visible is None
                    else int(visible.sum()) * (values[0].numel() // visible.numel())
                )
                before, counted = sums.get((module, layer), (0, 0))
                sums[module, layer] = (before + total, counted + count)
        means = [(key, (total / count).tolist()) for key, (total, count) in sums.items()]

        def finite(x):
            return x if x < float("inf") else None

        return [
            [
                {"module": module, "layer": layer, "size": finite(size[r]), "change": finite(change[r])}
                for (module, layer), (size, change) in means
            ]
            for r in range(self.program.replicas)
        ]

    def _activations(self, inputs):
        """(module, layer, values [R, …], which of the last two axes' values count or None), of one sequence."""
        model, weights, multipliers = self.program.model, self.program.weights, self.program.multipliers
        x = model.embed(inputs, weights["embedding"], multipliers)
        yield "embedding", None, x, None
        causal = torch.ones(inputs.shape[1], inputs.shape[1], dtype=torch.bool, device=x.device).tril()
        for layer, block in enumerate(model.layers(weights)):
            attended, q, k = model.attend(x, block, multipliers.attention)
            yield "attention_scores", layer, (q @ k.transpose(-1, -2)).float(), causal
            yield "attention", layer, attended, None
            x = x + multipliers.residual * attended
            fed = model.feed_forward(x, block)
            yield "ffn", layer, fed, None
            x = x + multipliers.residual * fed
        h = model.norm(x, model.norm_weights(weights, "final_norm", 0))
        u = model.unembedding(weights)[:, : model.shape.vocab_size]
        yield "logits", None, model.product(h, u.transpose(1, 2)).float() * multipliers.logits, None
