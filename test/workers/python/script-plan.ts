/** Plans of scripts: roles instead of tensor groups. The numbers follow table 1 of arXiv 2405.15743, written out anew here. */

interface ScriptPlanOptions {
  parameterization?: "sp" | "mup" | "supar";
  width?: number;
  baseWidth?: number;
  density?: number;
  layers?: number;
  learningRate?: number;
  initStd?: number;
  /** λ times the base learning rate, whatever the role's own. */
  weightDecay?: number;
  alphaInput?: number;
  alphaOutput?: number;
  steps?: number | null;
  seed?: number;
  schedule?: { warmup_steps: number; decay: string; final_fraction: number } | null;
  settings?: Record<string, unknown>;
  /** Everything else of the plan, as it is. */
  plan?: Record<string, unknown>;
}

export function scriptPlan(options: ScriptPlanOptions = {}) {
  const { parameterization = "supar", width = 64, baseWidth = 32, density = 1, layers = 2 } = options;
  const {
    learningRate = 2 ** -7,
    initStd = 0.1,
    weightDecay = 0,
    alphaInput = 2,
    alphaOutput = 0.5,
  } = options;
  const { steps = 20, seed = 1, settings = {} } = options;
  const { schedule = { warmup_steps: 2, decay: "linear", final_fraction: 0.1 } } = options;
  const scaled = parameterization !== "sp";
  const widthMultiplier = width / baseWidth;
  const m = (scaled ? widthMultiplier : 1) * (parameterization === "supar" ? density : 1);
  const role = (std: number | null, rate: number, decay = weightDecay * learningRate) => ({
    init_std: std,
    learning_rate: rate,
    decay_per_step: decay,
    eps: 1e-8,
    density: 1,
  });
  const hidden = {
    ...role(initStd / Math.sqrt(m), learningRate / m),
    density,
    width: { init_std: scaled ? -0.5 : 0, learning_rate: scaled ? -1 : 0, decay_per_step: 0 },
  };
  return {
    version: 2,
    trainer: { name: "mine", revision: "1" },
    precision: "float32",
    seed,
    data_version: null,
    settings: {
      width,
      layers,
      seed,
      learning_rate: learningRate,
      ...(steps === null ? {} : { steps }),
      ...settings,
    },
    model: {
      width,
      layers,
      density,
      width_multiplier: widthMultiplier,
      density_multiplier: density,
      layers_multiplier: 1,
    },
    roles: {
      embedding: role(initStd, learningRate),
      hidden,
      residual_output: { ...hidden, init_std: initStd / Math.sqrt(2 * layers * m) },
      unembedding: role(initStd, learningRate),
      vector: role(null, learningRate, 0),
      final_vector: role(null, learningRate, 0),
    },
    forward: {
      embedding_multiplier: scaled ? alphaInput : 1,
      residual_multiplier: 1,
      logits_multiplier: scaled ? alphaOutput / widthMultiplier : 1,
      attention_scale_power: scaled ? -1 : -0.5,
    },
    mask: "exact",
    optimizer: { name: "adamw", beta1: 0.9, beta2: 0.95 },
    clip_norm: 1,
    schedule,
    steps,
    ...options.plan,
  };
}

export type ScriptPlan = ReturnType<typeof scriptPlan>;
