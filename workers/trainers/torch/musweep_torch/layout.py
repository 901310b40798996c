"""How the model's tensors lie in memory: every group of tensors of all layers and replicas is one parameter, [L, R, rows, columns].

Query, key and value are one matrix side by side, and so are gate and up: one product each. Sizes that suit no product
(a vocabulary of 50,257, a feed-forward width of 5,461) are padded with zeros, which stay while a run is finite: padded
columns of gate and up give 0 and get no gradient, padded logits are left out of the softmax. Names, shapes and counts
outside of this file are the true ones.
"""

from dataclasses import dataclass

import torch

from .plan import BLOCK_GROUPS, Tensor


@dataclass(frozen=True)
class Part:
    """The columns of a parameter that belong to one group."""

    group: str
    start: int
    columns: int
    padded: int


@dataclass(frozen=True)
class Parameter:
    name: str
    layers: int
    rows: int
    padded_rows: int
    parts: tuple

    @property
    def padded_columns(self):
        return sum(part.padded for part in self.parts)

    def shape(self, replicas):
        return (self.layers, replicas, self.padded_rows, self.padded_columns)


def _up(size, multiple):
    return -(-size // multiple) * multiple


def _parameter(name, groups, layers, rows, columns, pad_rows=1, pad_columns=1):
    padded = _up(columns, pad_columns)
    parts = tuple(Part(group, i * padded, columns, padded) for i, group in enumerate(groups))
    return Parameter(name, layers, rows, _up(rows, pad_rows), parts)


def parameters_of(shape, pad):
    """Every parameter of a shape by name; the vocabulary and the feed-forward width are padded to multiples of `pad`."""
    layers, c, f = shape.layers, shape.d_model, shape.d_ffn
    parts = ["gain", "bias"] if shape.norm == "layernorm" else ["gain"]
    norms = [
        _parameter(f"{norm}.{part}", [norm], 1 if norm == "final_norm" else layers, 1, c)
        for norm in ["attention_norm", "ffn_norm", "final_norm"]
        for part in parts
    ]
    embeddings = ["embedding"] if shape.tied_embeddings else ["embedding", "unembedding"]
    parameters = [
        *(_parameter(name, [name], 1, shape.vocab_size, c, pad_rows=pad) for name in embeddings),
        *norms,
        _parameter("attention_in", ["attention_query", "attention_key", "attention_value"], layers, c, c),
        _parameter("attention_output", ["attention_output"], layers, c, c),
        _parameter("ffn_in", ["ffn_gate", "ffn_up"], layers, c, f, pad_columns=pad),
        _parameter("ffn_down", ["ffn_down"], layers, f, c, pad_rows=pad),
    ]
    return {parameter.name: parameter for parameter in parameters}


_HOME = {
    **{group: group for group in BLOCK_GROUPS},
    **{f"attention_{kind}": "attention_in" for kind in ["query", "key", "value"]},
    **{f"ffn_{kind}": "ffn_in" for kind in ["gate", "up"]},
}


def home_of(tensor: Tensor):
    """Name of the parameter that holds a tensor."""
    if tensor.kind != "matrix":
        return f"{tensor.group}.{tensor.kind}"
    return _HOME.get(tensor.group, tensor.group)


def view_of(parameters, arrays, tensor: Tensor, replica):
    """A replica's tensor within the parameters' arrays, in its true shape."""
    parameter = parameters[home_of(tensor)]
    part = next(part for part in parameter.parts if part.group == tensor.group)
    array = arrays[parameter.name][tensor.layer, replica]
    return array[: parameter.rows, part.start : part.start + part.columns].view(tensor.shape)


def zeros(parameters, replicas, device, dtype=torch.float32):
    return {p.name: torch.zeros(p.shape(replicas), dtype=dtype, device=device) for p in parameters}
