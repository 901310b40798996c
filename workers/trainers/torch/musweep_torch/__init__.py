"""The trainer in PyTorch: executes musweep's plans on GPUs and CPUs, one run or many of one shape at once.

A separate process that speaks the trainer protocol (docs/trainer-protocol.md), or trains plans from a file where no queue can be
reached. It obeys a plan's numbers and knows no parameterization. Model, masks, initial weights, data, schedule and optimizer are
those of the embedded engine; every random number is drawn from the same streams.

Sizes in comments: R replicas (runs trained at once; 1 for a single run), B sequences, T tokens of each, N = B·T, C d_model,
H heads, D d_head, F d_ffn, V vocabulary, L layers.
"""

ENGINE = "musweep-torch"
# Of this package's arithmetic: a new one where a run's numbers change by more than rounding.
ENGINE_VERSION = "1"
MINIMUM_TORCH = (2, 6)
