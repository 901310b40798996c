-- Sweeps, their grid points, the runs behind them, and what happened to each.

CREATE TABLE sweeps (
  id           INTEGER PRIMARY KEY,
  name         TEXT    NOT NULL UNIQUE,
  file         TEXT    NOT NULL,             -- the YAML as submitted
  revision     INTEGER NOT NULL DEFAULT 1,   -- grows when the same name is submitted with another file
  data_hash    TEXT    NOT NULL,
  state        TEXT    NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'cancelled')),
  submitted_at INTEGER NOT NULL              -- Unix time, milliseconds, as every *_at
);

CREATE TABLE phases (
  id       INTEGER PRIMARY KEY,
  sweep_id INTEGER NOT NULL REFERENCES sweeps (id) ON DELETE CASCADE,
  name     TEXT    NOT NULL,
  position INTEGER NOT NULL,
  UNIQUE (sweep_id, name)
);

-- One row per distinct training, whichever sweeps and grid points ask for it. The id is the hash of the plan.
CREATE TABLE runs (
  id               TEXT    PRIMARY KEY,
  plan             TEXT    NOT NULL,         -- canonical JSON of schema/plan.ts
  capability       TEXT    NOT NULL,
  state            TEXT    NOT NULL DEFAULT 'pending'
                   CHECK (state IN ('pending', 'queued', 'running', 'finished', 'diverged', 'failed', 'cancelled')),
  ordinal          INTEGER NOT NULL,         -- order of training: that of submission
  keep_weights     INTEGER NOT NULL DEFAULT 0,
  on_queue         INTEGER NOT NULL DEFAULT 0, -- 1 while a job for it may exist in Redis
  dispatch         INTEGER NOT NULL DEFAULT 0, -- times put on the queue
  attempt          INTEGER NOT NULL DEFAULT 0, -- the only attempt that may write (fencing); 0: none yet
  step             INTEGER NOT NULL DEFAULT 0,
  steps            INTEGER NOT NULL,
  planned_flops    REAL    NOT NULL,         -- of the whole run, for progress and time left
  train_loss       REAL,
  validation_loss  REAL,
  last_finite_loss REAL,                     -- diverged runs only
  divergence       TEXT CHECK (divergence IN ('non-finite', 'above-initial')),
  tokens           INTEGER,
  flops            REAL,
  seconds          REAL,
  parameters       INTEGER,
  nonzero_parameters INTEGER,
  host             TEXT,
  engine           TEXT,                     -- name and version
  error            TEXT,
  weights_path     TEXT,
  created_at       INTEGER NOT NULL,
  updated_at       INTEGER NOT NULL
) WITHOUT ROWID;

CREATE INDEX runs_by_state ON runs (state, capability, ordinal);
CREATE INDEX runs_on_queue ON runs (id) WHERE on_queue = 1;
CREATE INDEX runs_by_ordinal ON runs (ordinal);

-- A grid point of a sweep's phase. Several may share one run: SμPar and μP at density 1 are the same training.
CREATE TABLE cells (
  id               INTEGER PRIMARY KEY,
  phase_id         INTEGER NOT NULL REFERENCES phases (id) ON DELETE CASCADE,
  run_id           TEXT    NOT NULL REFERENCES runs (id),
  position         INTEGER NOT NULL,         -- order in the expanded grid
  curve            TEXT    NOT NULL,         -- canonical JSON of every coordinate but learning rate and seed
  parameterization TEXT    NOT NULL,
  width            INTEGER NOT NULL,
  layers           INTEGER NOT NULL,
  sparsity         REAL    NOT NULL,
  learning_rate    REAL    NOT NULL,
  seed             INTEGER NOT NULL,
  coordinates      TEXT    NOT NULL,         -- canonical JSON of every axis
  UNIQUE (phase_id, curve, learning_rate, seed)
);

CREATE INDEX cells_by_run ON cells (run_id);
CREATE INDEX cells_by_position ON cells (phase_id, position);

CREATE TABLE attempts (
  run_id            TEXT    NOT NULL REFERENCES runs (id),
  attempt           INTEGER NOT NULL,
  token             TEXT    NOT NULL,
  sequence          INTEGER NOT NULL,        -- last event applied
  worker            TEXT    NOT NULL,
  host              TEXT    NOT NULL,
  engine            TEXT,
  device            TEXT,
  started_at        INTEGER NOT NULL,
  ended_at          INTEGER,
  outcome           TEXT CHECK (outcome IN ('finished', 'diverged', 'failed', 'released', 'cancelled', 'lost')),
  resumed_from_step INTEGER,
  code              TEXT,
  error             TEXT,
  notes             TEXT,                    -- JSON array of strings
  log_tail          TEXT,
  checkpoint        TEXT,
  PRIMARY KEY (run_id, attempt)
) WITHOUT ROWID;

-- Training curves, thinned by the worker to a few hundred points a run.
CREATE TABLE metrics (
  run_id            TEXT    NOT NULL REFERENCES runs (id),
  step              INTEGER NOT NULL,
  attempt           INTEGER NOT NULL,
  train_loss        REAL,
  validation_loss   REAL,
  gradient_norm     REAL,
  tokens_per_second REAL,
  PRIMARY KEY (run_id, step)
) WITHOUT ROWID;

-- The fitted optimum of each curve, kept current by the process that applies results.
CREATE TABLE curve_optima (
  phase_id         INTEGER NOT NULL REFERENCES phases (id) ON DELETE CASCADE,
  curve            TEXT    NOT NULL,
  parameterization TEXT    NOT NULL,
  width            INTEGER NOT NULL,
  layers           INTEGER NOT NULL,
  sparsity         REAL    NOT NULL,
  position         INTEGER NOT NULL,
  flag             TEXT    NOT NULL,
  log2_lr          REAL,
  log2_lr_low      REAL,
  log2_lr_high     REAL,
  log2_lr_low_90   REAL,
  log2_lr_high_90  REAL,
  loss             REAL,
  loss_low         REAL,
  loss_high        REAL,
  valley_low       REAL,
  valley_high      REAL,
  stability_edge   REAL,
  grid_log2_lr     REAL,                     -- best learning rate of the grid, and the mean loss there
  grid_loss        REAL,
  points           INTEGER NOT NULL,         -- learning rates with a finite loss
  seeds            INTEGER NOT NULL,
  missing          INTEGER NOT NULL,
  PRIMARY KEY (phase_id, curve)
) WITHOUT ROWID;

-- Single values: how far the event stream has been applied, measured speeds.
CREATE TABLE settings (
  key   TEXT PRIMARY KEY,
  value TEXT NOT NULL
) WITHOUT ROWID;

-- Views with stable names, documented in docs/sql.md.

CREATE VIEW run_results AS
SELECT
  s.name                 AS sweep,
  p.name                 AS phase,
  c.parameterization     AS parameterization,
  c.width                AS width,
  c.layers               AS layers,
  c.sparsity             AS sparsity,
  1.0 - c.sparsity       AS density,
  c.learning_rate        AS learning_rate,
  log2(c.learning_rate)  AS log2_lr,
  c.seed                 AS seed,
  r.state                AS outcome,
  r.validation_loss      AS val_loss,
  r.train_loss           AS train_loss,
  r.last_finite_loss     AS last_finite_loss,
  r.step                 AS step,
  r.tokens               AS tokens,
  r.flops                AS flops,
  r.seconds              AS seconds,
  r.host                 AS host,
  r.engine               AS engine,
  (SELECT count(*) FROM attempts a WHERE a.run_id = r.id) AS attempts,
  r.parameters           AS parameters,
  r.nonzero_parameters   AS nonzero_parameters,
  r.error                AS error,
  r.id                   AS run,
  c.curve                AS curve,
  c.coordinates          AS coordinates
FROM cells c
JOIN phases p ON p.id = c.phase_id
JOIN sweeps s ON s.id = p.sweep_id
JOIN runs r ON r.id = c.run_id;

CREATE VIEW curves AS
SELECT
  s.name                 AS sweep,
  p.name                 AS phase,
  c.parameterization     AS parameterization,
  c.width                AS width,
  c.layers               AS layers,
  c.sparsity             AS sparsity,
  c.learning_rate        AS learning_rate,
  log2(c.learning_rate)  AS log2_lr,
  count(*)               AS seeds,
  sum(r.state = 'finished') AS finished,
  sum(r.state = 'diverged') AS diverged,
  avg(CASE WHEN r.state = 'finished' THEN r.validation_loss END) AS mean_loss,
  min(CASE WHEN r.state = 'finished' THEN r.validation_loss END) AS min_loss,
  max(CASE WHEN r.state = 'finished' THEN r.validation_loss END) AS max_loss,
  CASE WHEN sum(r.state = 'finished') > 1 THEN
    sqrt(max(0.0, (sum(CASE WHEN r.state = 'finished' THEN r.validation_loss * r.validation_loss END)
      - sum(CASE WHEN r.state = 'finished' THEN r.validation_loss END)
        * avg(CASE WHEN r.state = 'finished' THEN r.validation_loss END))
      / (sum(r.state = 'finished') - 1)))
  END                    AS sd_loss,
  c.curve                AS curve
FROM cells c
JOIN phases p ON p.id = c.phase_id
JOIN sweeps s ON s.id = p.sweep_id
JOIN runs r ON r.id = c.run_id
GROUP BY c.phase_id, c.curve, c.learning_rate;

CREATE VIEW optima AS
SELECT
  s.name             AS sweep,
  p.name             AS phase,
  o.parameterization AS parameterization,
  o.width            AS width,
  o.layers           AS layers,
  o.sparsity         AS sparsity,
  1.0 - o.sparsity   AS density,
  o.flag             AS flag,
  o.log2_lr          AS log2_lr,
  o.log2_lr_low      AS log2_lr_low,
  o.log2_lr_high     AS log2_lr_high,
  o.log2_lr_low_90   AS log2_lr_low_90,
  o.log2_lr_high_90  AS log2_lr_high_90,
  o.loss             AS loss,
  o.loss_low         AS loss_low,
  o.loss_high        AS loss_high,
  o.valley_low       AS valley_low,
  o.valley_high      AS valley_high,
  o.stability_edge   AS stability_edge,
  o.grid_log2_lr     AS grid_log2_lr,
  o.grid_loss        AS grid_loss,
  o.points           AS points,
  o.seeds            AS seeds,
  o.missing          AS missing,
  o.curve            AS curve
FROM curve_optima o
JOIN phases p ON p.id = o.phase_id
JOIN sweeps s ON s.id = p.sweep_id;

CREATE VIEW missing AS
SELECT
  s.name                AS sweep,
  p.name                AS phase,
  c.parameterization    AS parameterization,
  c.width               AS width,
  c.layers              AS layers,
  c.sparsity            AS sparsity,
  c.learning_rate       AS learning_rate,
  log2(c.learning_rate) AS log2_lr,
  c.seed                AS seed,
  r.state               AS state,
  r.error               AS error,
  r.id                  AS run
FROM cells c
JOIN phases p ON p.id = c.phase_id
JOIN sweeps s ON s.id = p.sweep_id
JOIN runs r ON r.id = c.run_id
WHERE r.state NOT IN ('finished', 'diverged');
