-- Sweeps, their grid points, the runs behind them, what happened to each, and what follows from their results.
-- Closed lists of words are those of schema/database/states.ts.

-- "musw": marks the file as one of musweep's. PRAGMA user_version counts the numbered files that were applied.
PRAGMA application_id = 0x6d757377;

CREATE TABLE sweeps (
  id           INTEGER PRIMARY KEY,
  name         TEXT    NOT NULL UNIQUE,
  file         TEXT    NOT NULL,             -- the YAML as submitted
  revision     INTEGER NOT NULL DEFAULT 1,   -- grows when the same name is submitted with another file
  data_hash    TEXT    NOT NULL,
  state        TEXT    NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'cancelled')),
  submitted_at INTEGER NOT NULL,             -- Unix time, milliseconds, as every *_at
  priority     REAL    NOT NULL DEFAULT 1 CHECK (priority > 0), -- share of the work beside other sweeps'
  note         TEXT,
  archived_at  INTEGER                       -- NULL: shown in lists
);
CREATE INDEX sweeps_by_time ON sweeps (submitted_at);

-- Words by which people find sweeps again.
CREATE TABLE sweep_tags (
  sweep_id INTEGER NOT NULL REFERENCES sweeps (id) ON DELETE CASCADE,
  tag      TEXT    NOT NULL,
  PRIMARY KEY (sweep_id, tag)
) WITHOUT ROWID;

CREATE TABLE phases (
  id         INTEGER PRIMARY KEY,
  sweep_id   INTEGER NOT NULL REFERENCES sweeps (id) ON DELETE CASCADE,
  name       TEXT    NOT NULL,
  position   INTEGER NOT NULL,
  -- waiting: for the phases it takes values from. stopped: cannot start, reason says why; looked at again when its sources are.
  state      TEXT    NOT NULL DEFAULT 'active' CHECK (state IN ('waiting', 'active', 'complete', 'stopped')),
  reason     TEXT,
  definition TEXT    NOT NULL,               -- canonical JSON of all that decides what it trains: sections, axes, data
  taken      TEXT    NOT NULL DEFAULT '[]',  -- JSON array: values taken from earlier phases, and how each was found
  due        INTEGER NOT NULL DEFAULT 1,     -- 1: its runs have changed since it was last asked whether it is complete
  tuned      TEXT    NOT NULL,               -- what its curves are over: learning_rate, init_std, …
  kind       TEXT    NOT NULL CHECK (kind IN ('grid', 'coordinate-check')),
  search     TEXT,                           -- JSON: what is open and what is decided; NULL: a grid, or not begun
  UNIQUE (sweep_id, name)
);

-- One row per distinct training, whichever sweeps and grid points ask for it. The id is the hash of the plan.
CREATE TABLE runs (
  id               TEXT    PRIMARY KEY,
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
  updated_at       INTEGER NOT NULL,
  need             TEXT    NOT NULL DEFAULT 'musweep', -- of whoever trains it: schema/wire/need.ts
  kept_step        INTEGER NOT NULL DEFAULT 0, -- the furthest that a checkpoint has been known to hold
  setbacks         INTEGER NOT NULL DEFAULT 0, -- attempts in a row that failed or were lost without getting further
  -- What a script reports beside its losses: the last value of each, as a JSON object; NULL: nothing.
  own_metrics      TEXT CHECK (own_metrics IS NULL OR json_valid(own_metrics))
) WITHOUT ROWID;
CREATE INDEX runs_by_state ON runs (state, need, ordinal);
CREATE INDEX runs_on_queue ON runs (id) WHERE on_queue = 1;
CREATE INDEX runs_by_ordinal ON runs (ordinal);

-- Runs that are part of the way: few, since runs are finished one by one.
CREATE INDEX runs_under_way ON runs (id) WHERE step > 0 AND state IN ('pending', 'queued', 'running');

-- Most of the bytes, in a table of their own: what reads states and losses reads little.
CREATE TABLE plans (
  run_id TEXT PRIMARY KEY REFERENCES runs (id),
  plan   TEXT NOT NULL                       -- canonical JSON of schema/wire/plan.ts
);

-- A grid point of a sweep's phase. Several may share one run: SμPar and μP at density 1 are the same training.
CREATE TABLE cells (
  id               INTEGER PRIMARY KEY,
  phase_id         INTEGER NOT NULL REFERENCES phases (id) ON DELETE CASCADE,
  run_id           TEXT    NOT NULL REFERENCES runs (id),
  position         INTEGER NOT NULL,         -- order in the expanded grid
  curve            TEXT    NOT NULL,         -- canonical JSON of every coordinate but seed and what the phase tunes
  parameterization TEXT    NOT NULL,
  width            INTEGER NOT NULL,
  layers           INTEGER NOT NULL,
  sparsity         REAL    NOT NULL,
  learning_rate    REAL    NOT NULL,
  seed             INTEGER NOT NULL,
  coordinates      TEXT    NOT NULL,         -- canonical JSON of every axis
  reason           TEXT    NOT NULL,         -- why it is there: 'grid', or what added it: 'extend: …', 'refine: …'
  tuned_value      REAL    NOT NULL,         -- of what the phase tunes: its learning rate, unless the phase says otherwise
  UNIQUE (phase_id, curve, tuned_value, seed)
);
CREATE INDEX cells_by_run ON cells (run_id);
CREATE INDEX cells_by_position ON cells (phase_id, position);
CREATE INDEX cells_added ON cells (phase_id, reason) WHERE reason <> 'grid';

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
  -- What it ended with: the run's own columns hold the last attempt's, these stay when the run is trained again.
  step              INTEGER,
  train_loss        REAL,
  validation_loss   REAL,
  seconds           REAL,
  PRIMARY KEY (run_id, attempt)
) WITHOUT ROWID;

-- What is being worked on, and what ended lately.
CREATE INDEX attempts_by_end ON attempts (ended_at);

-- Training curves, thinned by the worker to a few hundred points a run.
CREATE TABLE metrics (
  run_id            TEXT    NOT NULL REFERENCES runs (id),
  step              INTEGER NOT NULL,
  attempt           INTEGER NOT NULL,
  train_loss        REAL,
  validation_loss   REAL,
  gradient_norm     REAL,
  tokens_per_second REAL,
  -- What a script reports beside its losses: a JSON object of numbers by name; NULL: nothing.
  own_metrics       TEXT CHECK (own_metrics IS NULL OR json_valid(own_metrics)),
  PRIMARY KEY (run_id, step)
) WITHOUT ROWID;

-- Coordinate checks: how large activations are in short runs.
CREATE TABLE activation_sizes (
  run_id  TEXT    NOT NULL REFERENCES runs (id),
  step    INTEGER NOT NULL,                -- updates so far; 0: the initial network
  module  TEXT    NOT NULL,
  layer   INTEGER NOT NULL,                -- from 0; -1 for what a model has once
  attempt INTEGER NOT NULL,
  size    REAL,                            -- mean absolute activation; NULL when not finite
  change  REAL,                            -- mean absolute difference from the initial network's
  PRIMARY KEY (run_id, step, module, layer)
) WITHOUT ROWID;

-- The fitted optimum of each curve. This and what follows is kept current by whatever changes a result, in its transaction.
CREATE TABLE curve_optima (
  phase_id            INTEGER NOT NULL REFERENCES phases (id) ON DELETE CASCADE,
  curve               TEXT    NOT NULL,
  parameterization    TEXT    NOT NULL,
  width               INTEGER NOT NULL,
  layers              INTEGER NOT NULL,
  sparsity            REAL    NOT NULL,
  position            INTEGER NOT NULL,
  flag                TEXT    NOT NULL,
  log2_tuned          REAL,                  -- log2 of what the phase tunes
  log2_tuned_low      REAL,
  log2_tuned_high     REAL,
  log2_tuned_low_90   REAL,
  log2_tuned_high_90  REAL,
  loss                REAL,
  loss_low            REAL,
  loss_high           REAL,
  valley_low          REAL,
  valley_high         REAL,
  stability_edge      REAL,
  places              TEXT    NOT NULL,      -- JSON: the two places of an ambiguous curve, log2 with their 95% intervals
  grid_log2_tuned     REAL,                  -- best of the grid, and the mean loss there
  grid_loss           REAL,
  points              INTEGER NOT NULL,      -- values tried with a finite loss
  seeds               INTEGER NOT NULL,
  missing             INTEGER NOT NULL,
  per_cent_above_best REAL,                  -- its loss beside the lowest of the same model's under any parameterization
  open                INTEGER NOT NULL,      -- its runs still to be trained
  basis               TEXT    NOT NULL,      -- hash of all that the fit was made of
  residual_ss         REAL    NOT NULL,      -- its share of the phase's pooled noise
  residual_df         INTEGER NOT NULL,
  others_sd           REAL,                  -- noise of the other curves that it was fitted with
  others_df           INTEGER,
  PRIMARY KEY (phase_id, curve)
) WITHOUT ROWID;

-- A cell of an axis beside the axis's base.
CREATE TABLE curve_transfer (
  phase_id            INTEGER NOT NULL REFERENCES phases (id) ON DELETE CASCADE,
  axis                TEXT    NOT NULL CHECK (axis <> ''),
  curve               TEXT    NOT NULL,
  base                TEXT    NOT NULL,      -- the base's curve
  drift               REAL,
  drift_low           REAL,
  drift_high          REAL,
  drift_low_90        REAL,
  drift_high_90       REAL,
  drift_verdict       TEXT    NOT NULL CHECK (drift_verdict IN ('transfers', 'drifts', 'inconclusive')),
  regret_state        TEXT    NOT NULL CHECK (regret_state IN ('known', 'diverges', 'outside', 'unknown')),
  regret_nats         REAL,
  regret_nats_low     REAL,
  regret_nats_high    REAL,
  regret_per_cent     REAL,
  regret_per_cent_low REAL,
  regret_per_cent_high REAL,
  regret_per_cent_low_90 REAL,
  regret_per_cent_high_90 REAL,
  cost_verdict        TEXT    NOT NULL CHECK (cost_verdict IN ('costs at most', 'costs at least', 'open')),
  verdict             TEXT    NOT NULL       -- by the criterion that decides
                      CHECK (verdict IN ('transfers', 'drifts', 'costs', 'inconclusive')),
  PRIMARY KEY (phase_id, axis, curve)
) WITHOUT ROWID;

-- All cells of an axis together, under one parameterization at one place.
CREATE TABLE verdicts (
  phase_id         INTEGER NOT NULL REFERENCES phases (id) ON DELETE CASCADE,
  axis             TEXT    NOT NULL CHECK (axis <> ''),
  base             TEXT    NOT NULL,
  parameterization TEXT    NOT NULL,
  place            TEXT    NOT NULL,         -- JSON: the coordinates that its cells share
  criterion        TEXT    NOT NULL CHECK (criterion IN ('cost', 'octaves')), -- what decides
  margin_octaves   REAL    NOT NULL,
  margin_cost      REAL    NOT NULL,         -- per cent of loss
  pooling          TEXT    NOT NULL CHECK (pooling IN ('loose', 'medium', 'none')),
  verdict          TEXT    NOT NULL CHECK (verdict IN ('transfers', 'drifts', 'costs', 'inconclusive')),
  drift_verdict    TEXT    NOT NULL CHECK (drift_verdict IN ('transfers', 'drifts', 'inconclusive')),
  cost_verdict     TEXT    NOT NULL CHECK (cost_verdict IN ('costs at most', 'costs at least', 'open')),
  within           REAL,                     -- octaves
  costs_at_most    REAL,                     -- per cent
  costs_at_least   REAL,
  more_seeds       INTEGER,
  open             INTEGER NOT NULL,
  sentence         TEXT    NOT NULL,
  exponent         REAL,                     -- octaves of the optimum per octave of the axis
  exponent_low     REAL,
  exponent_high    REAL,
  exponent_theory  TEXT    NOT NULL,         -- JSON: what theories say it is
  PRIMARY KEY (phase_id, axis, base)
) WITHOUT ROWID;

CREATE TABLE phase_exponents (
  phase_id         INTEGER NOT NULL REFERENCES phases (id) ON DELETE CASCADE,
  parameterization TEXT    NOT NULL,
  place            TEXT    NOT NULL,         -- JSON: the coordinates that its curves share
  intercept        REAL,
  intercept_low    REAL,
  intercept_high   REAL,
  width            REAL,
  width_low        REAL,
  width_high       REAL,
  width_theory     REAL,
  density          REAL,
  density_low      REAL,
  density_high     REAL,
  density_theory   REAL,
  used             INTEGER NOT NULL,
  left_out         INTEGER NOT NULL,
  PRIMARY KEY (phase_id, parameterization, place)
) WITHOUT ROWID;

-- Slopes of a complete coordinate check, and the verdicts on them.
CREATE TABLE coordinate_fits (
  phase_id         INTEGER NOT NULL REFERENCES phases (id) ON DELETE CASCADE,
  position         INTEGER NOT NULL,       -- order in the report
  parameterization TEXT    NOT NULL,
  axis             TEXT    NOT NULL CHECK (axis IN ('width', 'density', 'layers')),
  at               TEXT    NOT NULL,       -- canonical JSON of the coordinates that stay
  claimed          INTEGER NOT NULL,       -- 1: flat by the parameterization's rules
  module           TEXT    NOT NULL,
  layer            INTEGER,
  quantity         TEXT    NOT NULL CHECK (quantity IN ('size', 'change')),
  step             INTEGER,                -- NULL: the mean over the steps after the initial network
  slope            REAL,
  slope_low        REAL,
  slope_high       REAL,
  allowed_low      REAL    NOT NULL,
  allowed_high     REAL    NOT NULL,
  verdict          TEXT CHECK (verdict IN ('flat', 'not flat', 'inconclusive')), -- NULL: not judged
  points           INTEGER NOT NULL,
  seeds            INTEGER NOT NULL,
  PRIMARY KEY (phase_id, position)
) WITHOUT ROWID;

-- Single values: how far the event stream has been applied, measured speeds.
CREATE TABLE settings (
  key   TEXT PRIMARY KEY,
  value TEXT NOT NULL
) WITHOUT ROWID;

-- Counts of every sweep, kept current by the database itself, so that no page counts runs.

-- The distinct runs behind a sweep's grid points, and how many points each stands for.
CREATE TABLE sweep_runs (
  sweep_id INTEGER NOT NULL REFERENCES sweeps (id) ON DELETE CASCADE,
  run_id   TEXT    NOT NULL REFERENCES runs (id),
  points   INTEGER NOT NULL,
  PRIMARY KEY (sweep_id, run_id)
) WITHOUT ROWID;
CREATE INDEX sweep_runs_by_run ON sweep_runs (run_id);

CREATE TABLE sweep_counts (
  sweep_id      INTEGER NOT NULL REFERENCES sweeps (id) ON DELETE CASCADE,
  state         TEXT    NOT NULL             -- of the runs
                CHECK (state IN ('pending', 'queued', 'running', 'finished', 'diverged', 'failed', 'cancelled')),
  runs          INTEGER NOT NULL,
  points        INTEGER NOT NULL,
  planned_flops REAL    NOT NULL,
  changed_at    INTEGER NOT NULL,            -- when a run last came into this state
  PRIMARY KEY (sweep_id, state)
) WITHOUT ROWID;

CREATE TRIGGER cells_added AFTER INSERT ON cells BEGIN
  INSERT INTO sweep_runs (sweep_id, run_id, points)
  SELECT sweep_id, NEW.run_id, 1 FROM phases WHERE id = NEW.phase_id
  ON CONFLICT (sweep_id, run_id) DO UPDATE SET points = points + 1;
END;

CREATE TRIGGER cells_removed AFTER DELETE ON cells BEGIN
  UPDATE sweep_runs SET points = points - 1
  WHERE run_id = OLD.run_id AND sweep_id = (SELECT sweep_id FROM phases WHERE id = OLD.phase_id);
  DELETE FROM sweep_runs WHERE run_id = OLD.run_id AND points = 0;
END;

CREATE TRIGGER cells_changed AFTER UPDATE OF run_id ON cells WHEN NEW.run_id <> OLD.run_id BEGIN
  UPDATE sweep_runs SET points = points - 1
  WHERE run_id = OLD.run_id AND sweep_id = (SELECT sweep_id FROM phases WHERE id = OLD.phase_id);
  DELETE FROM sweep_runs WHERE run_id = OLD.run_id AND points = 0;
  INSERT INTO sweep_runs (sweep_id, run_id, points)
  SELECT sweep_id, NEW.run_id, 1 FROM phases WHERE id = NEW.phase_id
  ON CONFLICT (sweep_id, run_id) DO UPDATE SET points = points + 1;
END;

CREATE TRIGGER sweep_runs_added AFTER INSERT ON sweep_runs BEGIN
  INSERT INTO sweep_counts (sweep_id, state, runs, points, planned_flops, changed_at)
  SELECT NEW.sweep_id, state, 1, NEW.points, planned_flops, updated_at FROM runs WHERE id = NEW.run_id
  ON CONFLICT (sweep_id, state) DO UPDATE SET
    runs = runs + 1, points = points + excluded.points, planned_flops = planned_flops + excluded.planned_flops,
    changed_at = max(changed_at, excluded.changed_at);
END;

CREATE TRIGGER sweep_runs_changed AFTER UPDATE OF points ON sweep_runs BEGIN
  UPDATE sweep_counts SET points = points + NEW.points - OLD.points
  WHERE sweep_id = NEW.sweep_id AND state = (SELECT state FROM runs WHERE id = NEW.run_id);
END;

-- What is none is exactly 0 again, however its sum was rounded on the way.
CREATE TRIGGER sweep_runs_removed AFTER DELETE ON sweep_runs BEGIN
  UPDATE sweep_counts SET
    runs = runs - 1, points = points - OLD.points,
    planned_flops = CASE runs WHEN 1 THEN 0 ELSE planned_flops - (SELECT planned_flops FROM runs WHERE id = OLD.run_id) END
  WHERE sweep_id = OLD.sweep_id AND state = (SELECT state FROM runs WHERE id = OLD.run_id);
END;

CREATE TRIGGER runs_changed AFTER UPDATE OF state ON runs WHEN NEW.state <> OLD.state BEGIN
  UPDATE sweep_counts SET
    runs = runs - 1,
    points = points - (SELECT points FROM sweep_runs w WHERE w.sweep_id = sweep_counts.sweep_id AND w.run_id = NEW.id),
    planned_flops = CASE runs WHEN 1 THEN 0 ELSE planned_flops - NEW.planned_flops END
  WHERE state = OLD.state AND sweep_id IN (SELECT sweep_id FROM sweep_runs WHERE run_id = NEW.id);
  INSERT INTO sweep_counts (sweep_id, state, runs, points, planned_flops, changed_at)
  SELECT sweep_id, NEW.state, 1, points, NEW.planned_flops, NEW.updated_at FROM sweep_runs WHERE run_id = NEW.id
  ON CONFLICT (sweep_id, state) DO UPDATE SET
    runs = runs + 1, points = points + excluded.points, planned_flops = planned_flops + excluded.planned_flops,
    changed_at = max(changed_at, excluded.changed_at);
END;

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
  c.coordinates          AS coordinates,
  r.own_metrics          AS own_metrics,
  c.reason               AS reason
FROM cells c
JOIN phases p ON p.id = c.phase_id
JOIN sweeps s ON s.id = p.sweep_id
JOIN runs r ON r.id = c.run_id;

-- A row per value of what a curve is over: the runs of a coordinate check are on no curve.
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
  c.curve                AS curve,
  p.tuned                AS tuned,
  log2(c.tuned_value)    AS log2_tuned
FROM cells c
JOIN phases p ON p.id = c.phase_id
JOIN sweeps s ON s.id = p.sweep_id
JOIN runs r ON r.id = c.run_id
WHERE p.kind = 'grid'
GROUP BY c.phase_id, c.curve, c.tuned_value;

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
  CASE p.tuned WHEN 'learning_rate' THEN o.log2_tuned END         AS log2_lr,
  CASE p.tuned WHEN 'learning_rate' THEN o.log2_tuned_low END     AS log2_lr_low,
  CASE p.tuned WHEN 'learning_rate' THEN o.log2_tuned_high END    AS log2_lr_high,
  CASE p.tuned WHEN 'learning_rate' THEN o.log2_tuned_low_90 END  AS log2_lr_low_90,
  CASE p.tuned WHEN 'learning_rate' THEN o.log2_tuned_high_90 END AS log2_lr_high_90,
  o.loss             AS loss,
  o.loss_low         AS loss_low,
  o.loss_high        AS loss_high,
  o.valley_low       AS valley_low,
  o.valley_high      AS valley_high,
  o.stability_edge   AS stability_edge,
  o.places           AS places,
  CASE p.tuned WHEN 'learning_rate' THEN o.grid_log2_tuned END    AS grid_log2_lr,
  o.grid_loss        AS grid_loss,
  o.points           AS points,
  o.seeds            AS seeds,
  o.missing          AS missing,
  o.curve            AS curve,
  p.tuned            AS tuned,
  o.log2_tuned          AS log2_tuned,
  o.log2_tuned_low      AS log2_tuned_low,
  o.log2_tuned_high     AS log2_tuned_high,
  o.log2_tuned_low_90   AS log2_tuned_low_90,
  o.log2_tuned_high_90  AS log2_tuned_high_90,
  o.grid_log2_tuned     AS grid_log2_tuned
FROM curve_optima o
JOIN phases p ON p.id = o.phase_id
JOIN sweeps s ON s.id = p.sweep_id;

CREATE VIEW transfer AS
SELECT
  s.name               AS sweep,
  p.name               AS phase,
  o.parameterization   AS parameterization,
  t.axis               AS axis,
  CASE t.axis WHEN 'density' THEN 1.0 - b.sparsity ELSE json_extract(t.base, '$."' || t.axis || '"') END  AS base_value,
  CASE t.axis WHEN 'density' THEN 1.0 - o.sparsity ELSE json_extract(t.curve, '$."' || t.axis || '"') END AS value,
  o.width              AS width,
  o.layers             AS layers,
  o.sparsity           AS sparsity,
  1.0 - o.sparsity     AS density,
  b.width              AS base_width,
  b.layers             AS base_layers,
  b.sparsity           AS base_sparsity,
  t.drift              AS drift,
  t.drift_low          AS drift_low,
  t.drift_high         AS drift_high,
  t.drift_low_90       AS drift_low_90,
  t.drift_high_90      AS drift_high_90,
  t.drift_verdict      AS drift_verdict,
  t.regret_state       AS regret_state,
  t.regret_nats        AS regret_nats,
  t.regret_nats_low    AS regret_nats_low,
  t.regret_nats_high   AS regret_nats_high,
  t.regret_per_cent    AS regret_per_cent,
  t.regret_per_cent_low AS regret_per_cent_low,
  t.regret_per_cent_high AS regret_per_cent_high,
  t.regret_per_cent_low_90 AS regret_per_cent_low_90,
  t.regret_per_cent_high_90 AS regret_per_cent_high_90,
  t.cost_verdict       AS cost_verdict,
  t.verdict            AS verdict,
  v.verdict            AS axis_verdict,
  v.drift_verdict      AS axis_drift_verdict,
  v.cost_verdict       AS axis_cost_verdict,
  v.criterion          AS criterion,
  v.margin_octaves     AS margin_octaves,
  v.margin_cost        AS margin_cost,
  v.pooling            AS pooling,
  v.within             AS within,
  v.costs_at_most      AS costs_at_most,
  v.costs_at_least     AS costs_at_least,
  v.more_seeds         AS more_seeds,
  v.open               AS still_to_train,
  v.sentence           AS sentence,
  v.exponent           AS exponent,
  v.exponent_low       AS exponent_low,
  v.exponent_high      AS exponent_high,
  v.exponent_theory    AS exponent_theory,
  v.place              AS place,
  p.tuned              AS tuned,
  t.curve              AS curve,
  t.base               AS base_curve
FROM curve_transfer t
JOIN verdicts v ON v.phase_id = t.phase_id AND v.axis = t.axis AND v.base = t.base
JOIN curve_optima o ON o.phase_id = t.phase_id AND o.curve = t.curve
JOIN curve_optima b ON b.phase_id = t.phase_id AND b.curve = t.base
JOIN phases p ON p.id = t.phase_id
JOIN sweeps s ON s.id = p.sweep_id;

CREATE VIEW exponents AS
SELECT
  s.name             AS sweep,
  p.name             AS phase,
  e.parameterization AS parameterization,
  e.intercept        AS intercept,
  e.intercept_low    AS intercept_low,
  e.intercept_high   AS intercept_high,
  e.width            AS width,
  e.width_low        AS width_low,
  e.width_high       AS width_high,
  e.width_theory     AS width_theory,
  e.density          AS density,
  e.density_low      AS density_low,
  e.density_high     AS density_high,
  e.density_theory   AS density_theory,
  e.used             AS used,
  e.left_out         AS left_out,
  e.place            AS place,
  p.tuned            AS tuned
FROM phase_exponents e
JOIN phases p ON p.id = e.phase_id
JOIN sweeps s ON s.id = p.sweep_id;

-- Without a bracketed optimum the best loss of the grid is a bound from above: loss and loss_low are NULL then.
CREATE VIEW level AS
SELECT
  s.name             AS sweep,
  p.name             AS phase,
  o.parameterization AS parameterization,
  o.width            AS width,
  o.layers           AS layers,
  o.sparsity         AS sparsity,
  1.0 - o.sparsity   AS density,
  o.loss             AS loss,
  o.loss_low         AS loss_low,
  CASE WHEN o.loss IS NULL THEN o.grid_loss ELSE o.loss_high END AS loss_high,
  o.per_cent_above_best AS per_cent_above_best,
  o.curve            AS curve
FROM curve_optima o
JOIN phases p ON p.id = o.phase_id
JOIN sweeps s ON s.id = p.sweep_id
WHERE o.per_cent_above_best IS NOT NULL;

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

CREATE VIEW coordinates AS
SELECT
  s.name             AS sweep,
  p.name             AS phase,
  c.parameterization AS parameterization,
  c.width            AS width,
  c.layers           AS layers,
  c.sparsity         AS sparsity,
  1.0 - c.sparsity   AS density,
  c.learning_rate    AS learning_rate,
  c.seed             AS seed,
  a.step             AS step,
  a.module           AS module,
  nullif(a.layer, -1) AS layer,
  a.size             AS size,
  a.change           AS change,
  a.run_id           AS run,
  c.coordinates      AS coordinates
FROM activation_sizes a
JOIN cells c ON c.run_id = a.run_id
JOIN phases p ON p.id = c.phase_id
JOIN sweeps s ON s.id = p.sweep_id;

CREATE VIEW coordinate_slopes AS
SELECT
  s.name             AS sweep,
  p.name             AS phase,
  f.parameterization AS parameterization,
  f.axis             AS axis,
  f.at               AS at,
  f.claimed          AS claimed,
  f.module           AS module,
  f.layer            AS layer,
  f.quantity         AS quantity,
  f.step             AS step,
  f.slope            AS slope,
  f.slope_low        AS slope_low,
  f.slope_high       AS slope_high,
  f.allowed_low      AS allowed_low,
  f.allowed_high     AS allowed_high,
  f.verdict          AS verdict,
  f.points           AS points,
  f.seeds            AS seeds
FROM coordinate_fits f
JOIN phases p ON p.id = f.phase_id
JOIN sweeps s ON s.id = p.sweep_id;

CREATE VIEW tags AS
SELECT s.name AS sweep, t.tag AS tag FROM sweep_tags t JOIN sweeps s ON s.id = t.sweep_id;

-- Whatever was measured along runs, a row a number: losses, what ships beside them, and scripts' own.
CREATE VIEW measurements AS
SELECT
  s.name                AS sweep,
  p.name                AS phase,
  c.parameterization    AS parameterization,
  c.width               AS width,
  c.layers              AS layers,
  c.sparsity            AS sparsity,
  1.0 - c.sparsity      AS density,
  c.learning_rate       AS learning_rate,
  log2(c.learning_rate) AS log2_lr,
  c.seed                AS seed,
  m.step                AS step,
  j.key                 AS metric,
  j.value               AS value,
  m.run_id              AS run,
  c.coordinates         AS coordinates
FROM metrics m
JOIN cells c ON c.run_id = m.run_id
JOIN phases p ON p.id = c.phase_id
JOIN sweeps s ON s.id = p.sweep_id
JOIN json_each(json_patch(
  json_object(
    'train_loss', m.train_loss,
    'validation_loss', m.validation_loss,
    'gradient_norm', m.gradient_norm,
    'tokens_per_second', m.tokens_per_second
  ),
  coalesce(m.own_metrics, '{}')
)) j
WHERE j.value IS NOT NULL;
