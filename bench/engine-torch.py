"""The same model in idiomatic PyTorch, as fast as eager or compiled PyTorch trains it on this many threads.

The argument is a JSON object {plan, threads, compile, csr}; each line on stdin, {"seconds": s}, is answered by one line on stdout. With csr, the
blocks' matrices are sparse tensors of their existing weights (torch.sparse.mm, torch.sparse.sampled_addmm). Choices, each the fastest seen or in PyTorch's favour: q, k, v and gate, up as one product each; scaled-dot-product
attention with ALiBi as its bias, or written out, whichever is faster here; fused AdamW with one group; masks as one pass over
the gradients; tokens already in memory.
"""

import json
import math
import sys
import time
import warnings

import torch
import torch.nn.functional as F

# CSR is called a beta.
warnings.filterwarnings("ignore", category=UserWarning)
request = json.loads(sys.argv[1])
plan = request["plan"]
shape = plan["shape"]
torch.set_num_threads(request["threads"])
torch.manual_seed(0)
C, L, D, FF, T = (shape[k] for k in ["d_model", "layers", "d_head", "d_ffn", "sequence_length"])
H, V, B = C // D, plan["data"]["vocab_size"], plan["batch_size"]
PER_PASS = plan["micro_batch_size"] or B
DENSITY = next(g["density"] for g in plan["groups"] if g["name"] == "ffn_up")


def parameter(*size):
    return torch.nn.Parameter(torch.randn(*size) * 0.02)


def gain():
    return torch.nn.Parameter(torch.ones(C))


def attention_bias():
    position = torch.arange(T, dtype=torch.float32)
    distance = position[:, None] - position[None, :]
    slopes = torch.tensor([2.0 ** (-8.0 * (h + 1) / H) for h in range(H)])
    return (-slopes[:, None, None] * distance).masked_fill(distance < 0, -math.inf)


class SparseProduct(torch.autograd.Function):
    """y = x·W for W of [I, O] as CSR of its transpose: values in that order, and where each stands in the CSR of W."""

    @staticmethod
    def forward(ctx, x, values, turned, straight, order):
        ctx.save_for_backward(x, values)
        ctx.patterns = turned, straight, order
        rows, columns, size = turned
        w = torch.sparse_csr_tensor(rows, columns, values, size=size)
        return torch.sparse.mm(w, x.t()).t()

    @staticmethod
    def backward(ctx, dy):
        x, values = ctx.saved_tensors
        (rows, columns, size), (rows_straight, columns_straight, size_straight), order = ctx.patterns
        w = torch.sparse_csr_tensor(rows_straight, columns_straight, values[order], size=size_straight)
        dx = torch.sparse.mm(w, dy.t()).t()
        zeros = torch.sparse_csr_tensor(rows, columns, torch.zeros_like(values), size=size)
        dw = torch.sparse.sampled_addmm(zeros, dy.t().contiguous(), x, beta=0.0).values()
        return dx, dw, None, None, None


class SparseMatrix(torch.nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        numbered = torch.zeros(inputs, outputs)
        kept = torch.randperm(inputs * outputs)[: round(DENSITY * inputs * outputs)]
        numbered.view(-1)[kept] = 1
        turned = numbered.t().to_sparse_csr()
        count = turned.values().numel()
        turned = torch.sparse_csr_tensor(
            turned.crow_indices(), turned.col_indices(), torch.arange(1, count + 1, dtype=torch.float64), size=(outputs, inputs)
        )
        straight = turned.to_dense().t().contiguous().to_sparse_csr()
        self.order = straight.values().long() - 1
        self.turned = turned.crow_indices(), turned.col_indices(), (outputs, inputs)
        self.straight = straight.crow_indices(), straight.col_indices(), (inputs, outputs)
        self.values = parameter(count)

    def __rmatmul__(self, x):
        flat = SparseProduct.apply(x.reshape(-1, x.shape[-1]), self.values, self.turned, self.straight, self.order)
        return flat.reshape(*x.shape[:-1], -1)


def matrix(inputs, outputs):
    return SparseMatrix(inputs, outputs) if request.get("csr") else parameter(inputs, outputs)


class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.attention_norm, self.ffn_norm = gain(), gain()
        self.qkv, self.output = matrix(C, 3 * C), matrix(C, C)
        self.gate_up, self.down = matrix(C, 2 * FF), matrix(FF, C)


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.final_norm = parameter(V, C), gain()
        self.blocks = torch.nn.ModuleList(Block() for _ in range(L))
        self.register_buffer("bias", attention_bias())
        self.fused = True

    def attention(self, q, k, v):
        scale = plan["forward"]["attention_scale"]
        if self.fused:
            return F.scaled_dot_product_attention(q, k, v, attn_mask=self.bias, scale=scale)
        return torch.softmax(q @ k.transpose(-1, -2) * scale + self.bias, -1) @ v

    def forward(self, inputs, targets):
        x = F.embedding(inputs, self.embedding)
        b = inputs.shape[0]
        for block in self.blocks:
            qkv = F.rms_norm(x, (C,), block.attention_norm, shape["norm_eps"]) @ block.qkv
            q, k, v = (part.view(b, T, H, D).transpose(1, 2) for part in qkv.split(C, -1))
            x = x + self.attention(q, k, v).transpose(1, 2).reshape(b, T, C) @ block.output
            gate, up = (F.rms_norm(x, (C,), block.ffn_norm, shape["norm_eps"]) @ block.gate_up).split(FF, -1)
            x = x + (F.silu(gate) * up) @ block.down
        logits = F.rms_norm(x, (C,), self.final_norm, shape["norm_eps"]) @ self.embedding.T
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


model = Model()
parameters = list(model.parameters())
optimizer = torch.optim.AdamW(parameters, lr=1e-3, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1, fused=True)
masked = [] if DENSITY == 1 or request.get("csr") else [p for b in model.blocks for p in (b.qkv, b.output, b.gate_up, b.down)]
masks = [(torch.rand_like(p) < DENSITY).float() for p in masked]
with torch.no_grad():
    for p, m in zip(masked, masks):
        p.mul_(m)
batches = [torch.randint(0, V, (B, T + 1)) for _ in range(4)]
forward = model
steps = 0


def step():
    global steps
    tokens = batches[steps % len(batches)]
    steps += 1
    optimizer.zero_grad(set_to_none=True)
    for part in tokens.split(PER_PASS):
        loss = forward(part[:, :-1], part[:, 1:]) * (len(part) / B)
        loss.backward()
    if masks:
        torch._foreach_mul_([p.grad for p in masked], masks)
    if plan["clip_norm"] is not None:
        torch.nn.utils.clip_grad_norm_(parameters, plan["clip_norm"], foreach=True)
    optimizer.step()
    return loss.item()


def run(seconds):
    start = time.perf_counter()
    cpu = time.process_time()
    first = steps
    while True:
        step()
        elapsed = time.perf_counter() - start
        if elapsed >= seconds:
            return {"tokens": (steps - first) * B * T, "seconds": elapsed, "cpu_seconds": time.process_time() - cpu}


def rate(fused):
    model.fused = fused
    step()
    result = run(request["probe_seconds"])
    return result["tokens"] / result["seconds"]


def answer(message):
    print(json.dumps(message), flush=True)


model.fused = rate(True) >= rate(False)
if request["compile"]:
    forward = torch.compile(model)
    step()
    step()
answer("ready")
for line in sys.stdin:
    answer(run(json.loads(line)["seconds"]))
