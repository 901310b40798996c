-- What operators say of a sweep: its share of the workers, a note, tags, and that it is put away.

ALTER TABLE sweeps ADD COLUMN priority REAL NOT NULL DEFAULT 1 CHECK (priority > 0);  -- share of the work beside other sweeps'
ALTER TABLE sweeps ADD COLUMN note TEXT;
ALTER TABLE sweeps ADD COLUMN archived_at INTEGER;                                    -- NULL: shown in lists

-- Words by which people find sweeps again.
CREATE TABLE sweep_tags (
  sweep_id INTEGER NOT NULL REFERENCES sweeps (id) ON DELETE CASCADE,
  tag      TEXT    NOT NULL,
  PRIMARY KEY (sweep_id, tag)
) WITHOUT ROWID;

CREATE VIEW tags AS
SELECT s.name AS sweep, t.tag AS tag FROM sweep_tags t JOIN sweeps s ON s.id = t.sweep_id;

-- What a run needs of whoever trains it, in place of a kind of machine that nothing could ask for: schema/wire/need.ts.
DROP INDEX runs_by_state;
ALTER TABLE runs ADD COLUMN need TEXT NOT NULL DEFAULT 'musweep';
UPDATE runs SET need = CASE
    WHEN json_extract(plan, '$.trainer.name') <> 'musweep' THEN json_extract(plan, '$.trainer.name')
    WHEN json_extract(plan, '$.precision') = 'bfloat16' THEN 'musweep-torch'
    ELSE 'musweep'
  END
FROM plans WHERE run_id = id;
ALTER TABLE runs DROP COLUMN capability;
CREATE INDEX runs_by_state ON runs (state, need, ordinal);

-- Two criteria of every verdict, cost and octaves; the two places of an ambiguous curve; columns named by what they hold. Fits and
-- verdicts are made again by whatever opens the file (orchestrator/database/optima.ts), so their tables begin empty.

DROP VIEW optima;
DROP VIEW transfer;
DROP VIEW level;
DROP TABLE curve_optima;
DROP TABLE curve_transfer;
DROP TABLE verdicts;

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

-- Whether attempts at a run make progress: one that does is never given up, whatever becomes of its workers.

ALTER TABLE runs ADD COLUMN kept_step INTEGER NOT NULL DEFAULT 0; -- the furthest that a checkpoint has been known to hold
ALTER TABLE runs ADD COLUMN setbacks  INTEGER NOT NULL DEFAULT 0; -- attempts in a row that failed or were lost without getting further

-- What a script reports beside its losses: the last value of each, as a JSON object; NULL: nothing.
ALTER TABLE runs ADD COLUMN own_metrics TEXT CHECK (own_metrics IS NULL OR json_valid(own_metrics));

DROP VIEW run_results;
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


-- Where a phase is a search: what is open and what is decided, as JSON; NULL: it is a grid, or has not begun.
ALTER TABLE phases ADD COLUMN search TEXT;

-- Curves of what scripts report beside their losses: at a step, a JSON object of numbers by name; NULL: nothing.

ALTER TABLE metrics ADD COLUMN own_metrics TEXT CHECK (own_metrics IS NULL OR json_valid(own_metrics));

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
