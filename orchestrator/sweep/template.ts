/** The sweep file that `musweep init` writes: every section, with what one would change first. */
export const SWEEP_TEMPLATE = `# A sweep: these values are crossed, each combination is one training run.
# Every field, its unit and its default: docs/sweep-file.md. Check with: musweep validate FILE
name: my-sweep

data:
  corpus: state-of-the-union # or moby-dick; comes with musweep
  # file: my-text.txt        # instead: your own .txt, .jsonl, .ndjson or .json, each also .gz or .zst
  # tokens: train.bin        # instead: token ids, with vocab_size
  tokenizer: bytes # or gpt2
  validation_fraction: 0.05

model:
  layers: 2
  d_head: 32 # divides every width
  ffn: { ratio: 4 } # or { width: 512 }; the default ratio is 8/3
  sequence_length: 128
  # norm: layernorm          # default: rmsnorm
  # positions: none          # default: alibi
  # tied_embeddings: false   # default: true
  # mask: bernoulli          # default: exact, density × size weights in every matrix

training:
  steps: 300 # or tokens: 614400
  batch_size: 16 # sequences
  warmup_fraction: 0.1 # or warmup_steps
  schedule: linear # or cosine, constant
  final_fraction: 0.1 # of the peak, at the last step
  optimizer:
    name: adamw
    beta1: 0.9
    beta2: 0.95
    weight_decay: 0
    decay_mode: none # constant or independent, once weight_decay is above 0
  clip_norm: 1

# The proxy on which the base values were tuned: at its width and density every multiplier is 1.
base:
  width: 256
  density: 1
  init_std: 0.08665602
  alpha_input: 9.1705
  alpha_output: 1.0951835
  overrides:
    sp: { init_std: 0.02 }

# What varies. Values, lists or ranges; any hyperparameter can be an axis.
axes:
  parameterization: [sp, mup, supar]
  width: [128]
  sparsity: [0, 0.75, 0.9375]
  learning_rate: { log2: { from: -11, to: -4 } } # 2^-11, 2^-10, … 2^-4
  seed: { count: 1 } # seeds 1, 2, … for error bars
  # Varied in step instead of crossed (then without width and sparsity above):
  # together:
  #   - { width: 128, sparsity: 0 }
  #   - { width: 256, sparsity: 0.75 }
  # Drawn at random, crossed with the rest (init_std too, then without base.overrides above):
  # random:
  #   n: 20
  #   seed: 1
  #   distributions:
  #     alpha_input: { log_uniform: { from: 1, to: 16 } }
  #     beta2: { uniform: { from: 0.9, to: 0.99 } }

# When an optimum lies at the edge of its grid, up to three rates are added beyond it.
extend: { max: 3 }
# Where noise or a diverging rate leaves something open: more seeds and rates, up to so many points in all.
# refine: { budget: 120 }
# Instead of the whole grid, the runs of it that decide, and others between its rates (then without extend and refine):
# search: { until: decided, budget: 50% }
# Instead of "axes": several grids, of which a later one may take what an earlier one found.
# phases:
#   - name: proxy
#     axes: { parameterization: [supar], width: [64], learning_rate: { log2: { from: -10, to: -5 } } }
#   - name: target
#     axes: { parameterization: [supar], width: [256], learning_rate: { from: proxy, multiples: [0.5, 1, 2] } }
# Short runs that measure activations (musweep coord-check FILE): does a parameterization keep its promise?
# coordinate_check: { density: [1, 0.25, 0.0625], seeds: 3 }

# When does an optimum transfer? By what it costs elsewhere (cost), or by how far it moves (octaves).
margin: { cost: 1%, octaves: 0.5 }
criterion: cost
# noise: 0.2% # standard deviation of one run's final loss, where it is known

keep_weights: false
`;
