"""The program of one shape: R replicas' numbers in memory, and what advances them. Knows nothing of protocols, checkpoints or clocks.

Made once per shape and used again for the next runs of it: whatever was compiled or captured stays.
"""

import math
import sys
from dataclasses import dataclass

import torch

from . import layout, memory, philox
from .captured import CapturedStep
from .failure import Failure
from .loss import Head
from .model import Model, Multipliers
from .optimizer import Optimizer, Rates
from .plan import GROUPS, groups_of, tensors_of


@dataclass(frozen=True)
class Options:
    """How a process trains, whatever the plan."""

    device: torch.device
    compiled: bool = False
    # A whole step as one CUDA graph: for steps so short that starting their kernels is what takes the time.
    captured: bool = False
    # Sizes that may be padded are, to multiples of this.
    pad: int = 1
    # For the record of every run.
    notes: tuple = ()


class Program:
    def __init__(self, shape, replicas, options, peers):
        self.shape, self.replicas, self.options, self.peers = shape, replicas, options, peers
        self.device = options.device
        if shape.batch_size % peers.world != 0:
            message = f"A batch of {shape.batch_size} sequences cannot be shared by {peers.world} processes evenly."
            raise Failure("unsupported", message)
        self.share = shape.batch_size // peers.world
        self.sequences = memory.sequences_per_pass(shape, replicas, self.share, options.pad, self.device)
        self.parameters = layout.parameters_of(shape, options.pad)

        self.weights, self.firsts, self.seconds = (
            layout.zeros(self.parameters.values(), replicas, self.device) for _ in range(3)
        )
        # Of the parameters that any replica masks; True where a weight exists.
        self.masks = {}
        for weight in self.weights.values():
            weight.requires_grad_()
        self.model = Model(shape, self.device, options.compiled)
        self.head = Head(self.model, options.compiled)
        self.optimizer = Optimizer(self.parameters, self.device, options.compiled)
        self.captured = CapturedStep(self) if options.captured and peers.world == 1 else None
        self.multipliers = Multipliers(*torch.ones(4, replicas, 1, 1, device=self.device))
        self.betas = torch.zeros(2, replicas, device=self.device)
        self.clips = torch.zeros(replicas, dtype=torch.float64, device=self.device)
        # For the records of the runs that come next.
        self.notes = []

    # What the replicas are.

    @torch.no_grad()
    def load(self, plans):
        """Takes the numbers of these plans, one per replica, and draws their masks. Weights and moments are 0 then."""
        self.plans, self.rates = plans, Rates(plans)
        # Padding too: it is 0 as long as a run is finite, and what comes next writes only what the model has.
        for arrays in (self.weights, self.firsts, self.seconds):
            for array in arrays.values():
                array.zero_()
        # Written in place: a captured step reads them where they are.
        for name, array in self.multipliers.by_name().items():
            array.copy_(torch.tensor([plan["forward"][name] for plan in plans]).view(-1, 1, 1))
        for name, array in zip(("beta1", "beta2"), self.betas):
            array.copy_(torch.tensor([plan["optimizer"][name] for plan in plans]))
        clips = [math.inf if plan["clip_norm"] is None else plan["clip_norm"] for plan in plans]
        self.clips.copy_(torch.tensor(clips, dtype=torch.float64))
        self.tensors = tensors_of(plans[0])
        self._allocate_masks(plans)
        for replica, plan in enumerate(plans):
            groups = groups_of(plan)
            for tensor in self.tensors:
                density = groups[tensor.group]["density"]
                if density < 1:
                    drawn = philox.mask(plan["seed"], tensor.name, tensor.size, density, plan["mask"], self.device)
                    self.view(self.masks, tensor, replica).copy_(drawn.view(tensor.shape))

    def _allocate_masks(self, plans):
        masked = {g["name"] for plan in plans for g in plan["groups"] if g["density"] < 1}
        missing = [
            parameter
            for name, parameter in self.parameters.items()
            if name not in self.masks and any(part.group in masked for part in parameter.parts)
        ]
        if missing and self.captured is not None:
            self.captured.forget()
        self.masks |= layout.zeros(missing, self.replicas, self.device, torch.bool)
        for array in self.masks.values():
            array.fill_(True)

    @torch.no_grad()
    def initialize(self, replica):
        """Weights to their initial draw; moments are 0 since `load`."""
        plan = self.plans[replica]
        groups = groups_of(plan)
        for tensor in self.tensors:
            weight = self.view(self.weights, tensor, replica)
            if tensor.kind == "matrix":
                drawn = torch.empty(tensor.size, device=self.device)
                stream = philox.Stream(plan["seed"], f"init/{tensor.name}")
                stream.fill_normal(drawn, groups[tensor.group]["init_std"])
                weight.copy_(drawn.view(tensor.shape))
                if groups[tensor.group]["density"] < 1:
                    weight.mul_(self.view(self.masks, tensor, replica))
            else:
                weight.fill_(1.0 if tensor.kind == "gain" else 0.0)

    def view(self, arrays, tensor, replica):
        return layout.view_of(self.parameters, arrays, tensor, replica)

    def existing_parameters(self, replica):
        """Parameters that exist under the masks."""
        groups = groups_of(self.plans[replica])

        def existing(tensor):
            masked = groups[tensor.group]["density"] < 1
            return int(self.view(self.masks, tensor, replica).sum()) if masked else tensor.size

        return sum(map(existing, self.tensors))

    def weights_are_finite(self, replica):
        return all(bool(self.view(self.weights, t, replica).isfinite().all()) for t in self.tensors)

    def state(self, replica):
        """Everything that the next step depends on besides plan and step number: name → tensor, in true shapes."""
        kinds = [("", self.weights), ("moments/first/", self.firsts), ("moments/second/", self.seconds)]
        return {
            prefix + t.name: self.view(arrays, t, replica).detach() for prefix, arrays in kinds for t in self.tensors
        }

    def weights_of(self, replica):
        return {t.name: self.view(self.weights, t, replica).detach() for t in self.tensors}

    # What advances them.

    def gradients(self, tokens, dropped=lambda: False):
        """
        All passes of a batch: tokens [R, B, T + 1] of this rank. Sum of nats per replica over all ranks, float64 [R]; and the masked
        gradients of the batch's mean loss by parameter. None when `dropped`, asked between passes, says so.
        """
        nats, gradients = None, None
        for piece in tokens.split(self.sequences, dim=1):
            if gradients is not None and dropped():
                return None
            piece_nats, piece_gradients = self._pass(piece)
            if gradients is None:
                nats, gradients = piece_nats, piece_gradients
            else:
                nats = nats + piece_nats
                for name, gradient in piece_gradients.items():
                    gradients[name] += gradient
        self.peers.add_up([nats, *gradients.values()])
        for name, mask in self.masks.items():
            gradients[name] *= mask
        return nats, gradients

    def _pass(self, tokens):
        inputs, targets = self.split(tokens)
        tied = self.shape.tied_embeddings
        reached = {name: w for name, w in self.weights.items() if name != "unembedding"}
        h = self.model.trunk(inputs, reached, self.multipliers)
        with torch.no_grad():
            u = self.model.unembedding(self.weights)
            share = 1 / self.shape.tokens_per_step
            nats, dh, du = self.head.gradients(h.detach(), u, targets, self.multipliers.logits, share)
        gradients = dict(zip(reached, torch.autograd.grad(h, list(reached.values()), dh)))
        if tied:
            gradients["embedding"][0] += du
        else:
            gradients["unembedding"] = du[None]
        return nats, gradients

    def split(self, tokens):
        """[R, b, T + 1] to inputs and targets, [R, b·T] each."""
        return tokens[:, :, :-1].flatten(1), tokens[:, :, 1:].flatten(1)

    def advance(self, tokens, rates, alive, dropped=lambda: False):
        """
        One update, on the device: tokens [R, B, T + 1], rates float32 [3, R, groups], alive bool [R] or None for all.
        Mean losses before it and gradient norms before clipping, float64 [2, R]; None when dropped.
        """
        computed = self._retried(lambda: self.gradients(tokens, dropped))
        if computed is None:
            return None
        nats, gradients = computed
        try:
            norms = self._update(gradients, rates, alive)
        except Exception as error:
            if memory.is_out_of_memory(error):
                raise memory.OutOfMemory(str(error).splitlines()[0]) from error
            raise
        return torch.stack([nats / self.shape.tokens_per_step, norms])

    @torch.no_grad()
    def _update(self, gradients, rates, alive):
        """In place, so never to be tried twice. The gradient norms before clipping, float64 [R]."""
        norms = self.optimizer.norms(gradients)
        self.optimizer.update(
            self.weights, self.firsts, self.seconds, gradients, rates, self.betas, self.clips, norms, alive
        )
        return norms

    def step(self, tokens, steps, alive, dropped=lambda: False):
        """
        One update of every replica that is alive.
        tokens: int64 [R, B, T + 1] of this rank, on the host; steps: the number t of each replica's step; dropped: asked between
        passes, true leaves the step undone.
        Losses and norms, float64 [2, R] on the device: they may not be there yet, and the next step may write over them. None when
        dropped.
        """
        inputs = [self.put(tokens), self.put(torch.from_numpy(self.rates.at(steps)))]
        # What is compiled or captured is always told who is alive: else it would be made anew when the first run ends.
        told = self.options.compiled or self.captured is not None or not all(alive)
        alive = self.put(torch.tensor(alive)) if told else None
        if self.captured is not None:
            return self.captured(*inputs, alive)
        return self.advance(*inputs, alive, dropped)

    def put(self, tensor):
        if self.device.type == "cpu":
            return tensor
        return tensor.pin_memory().to(self.device, non_blocking=True)

    def _retried(self, work):
        """Runs it; when memory runs out, again with fewer sequences a pass."""
        emptied = False
        while True:
            try:
                return work()
            except Exception as error:
                if not memory.is_out_of_memory(error):
                    raise
                # Only then does the error let go of what it was working on.
                reason = str(error).splitlines()[0]
                by_allocator = isinstance(error, torch.OutOfMemoryError)
            # Others than the allocator do not ask it first for what it keeps. Ranks would have to agree on it.
            if self.device.type == "cuda" and not by_allocator and not emptied and self.peers.world == 1:
                torch.cuda.empty_cache()
                emptied = True
            else:
                self._take_smaller_passes(reason)

    def _take_smaller_passes(self, reason):
        smaller = next((d for d in memory.divisors(self.share) if 2 * d <= self.sequences), None)
        # Ranks cannot change it one by one.
        if self.shape.micro_batch_size is not None or self.peers.world > 1 or smaller is None:
            raise memory.OutOfMemory(reason)
        self.notes.append(f"Out of memory with {self.sequences} sequences a pass; on with {smaller}.")
        print(self.notes[-1], file=sys.stderr)
        self.sequences = smaller
        if self.options.compiled:
            # PyTorch keeps only so many versions of a function, and each number of sequences is one.
            torch._dynamo.reset()
        if self.captured is not None:
            self.captured.forget()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def try_out(self):
        """
        Compiles, and finds out whether a step fits, on tokens that say nothing; weights and moments are as they were.
        """
        tokens = torch.zeros(self.replicas, self.share, self.shape.sequence_length + 1, dtype=torch.int64)
        rates = torch.zeros(3, self.replicas, len(GROUPS))
        nobody = torch.zeros(self.replicas, dtype=torch.bool)

        def step():
            _, gradients = self.gradients(self.put(tokens))
            self._update(gradients, self.put(rates), self.put(nobody))

        self._retried(step)
        self.evaluate(lambda _, count: tokens[:, :1].repeat(1, count, 1))

    def evaluate(self, read):
        """
        Mean nats per token over the evaluation sequences, float64 [R] on the host.
        read(first, count): tokens of every replica, int64 [R, count, T + 1].
        """
        return self._retried(lambda: self._evaluate(read))

    @torch.no_grad()
    def _evaluate(self, read):
        length, all_sequences = self.shape.sequence_length, self.shape.evaluation_sequences
        count = min(self.sequences, all_sequences)
        total = torch.zeros(self.replicas, dtype=torch.float64, device=self.device)
        for start in range(self.peers.rank * count, all_sequences, self.peers.world * count):
            # The last pass is as long as the others, and begins with what others have: a shorter one would be compiled anew.
            first = min(start, all_sequences - count)
            inputs, targets = self.split(self.put(read(first, count)))
            h = self.model.trunk(inputs, self.weights, self.multipliers)
            u = self.model.unembedding(self.weights)
            nats = self.head.nats(h, u, targets, self.multipliers.logits)
            total += nats[:, (start - first) * length :].sum(-1, dtype=torch.float64)
        self.peers.add_up([total])
        return (total / (all_sequences * length)).cpu()
