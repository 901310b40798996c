-- What several optima say together: drift, verdict, regret, exponents, level. And curves over another quantity than the
-- learning rate (`tune`). Fits are made again from the results when this has run.

DROP VIEW run_results;
DROP VIEW curves;
DROP VIEW optima;
DROP VIEW missing;
DROP TABLE curve_optima;

-- As before, with tuned_value: a curve may be one of initial standard deviations at a fixed learning rate.
CREATE TABLE cells_with_tuned (
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
  reason           TEXT    NOT NULL DEFAULT 'grid', -- or what added it: 'extend: …', 'refine: …'
  tuned_value      REAL    NOT NULL,         -- of what the phase tunes: its learning rate, unless the phase says otherwise
  UNIQUE (phase_id, curve, tuned_value, seed)
);
INSERT INTO cells_with_tuned
SELECT id, phase_id, run_id, position, curve, parameterization, width, layers, sparsity, learning_rate, seed, coordinates,
  reason, learning_rate
FROM cells;
DROP TABLE cells;
ALTER TABLE cells_with_tuned RENAME TO cells;
CREATE INDEX cells_by_run ON cells (run_id);
CREATE INDEX cells_by_position ON cells (phase_id, position);
CREATE INDEX cells_added ON cells (phase_id, reason) WHERE reason <> 'grid';

ALTER TABLE phases ADD COLUMN tuned TEXT NOT NULL DEFAULT 'learning_rate';

-- The fitted optimum of each curve. All of what follows is kept current by whatever changes a result, in its transaction.
CREATE TABLE curve_optima (
  phase_id            INTEGER NOT NULL REFERENCES phases (id) ON DELETE CASCADE,
  curve               TEXT    NOT NULL,
  parameterization    TEXT    NOT NULL,
  width               INTEGER NOT NULL,
  layers              INTEGER NOT NULL,
  sparsity            REAL    NOT NULL,
  position            INTEGER NOT NULL,
  flag                TEXT    NOT NULL,
  log2_lr             REAL,                  -- log2 of what the phase tunes, in all columns of this name
  log2_lr_low         REAL,
  log2_lr_high        REAL,
  log2_lr_low_90      REAL,
  log2_lr_high_90     REAL,
  loss                REAL,
  loss_low            REAL,
  loss_high           REAL,
  valley_low          REAL,
  valley_high         REAL,
  stability_edge      REAL,
  grid_log2_lr        REAL,                  -- best of the grid, and the mean loss there
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
  axis                TEXT    NOT NULL CHECK (axis IN ('density', 'width', 'layers')),
  curve               TEXT    NOT NULL,
  base                TEXT    NOT NULL,      -- the base's curve
  drift               REAL,
  drift_low           REAL,
  drift_high          REAL,
  drift_low_90        REAL,
  drift_high_90       REAL,
  verdict             TEXT    NOT NULL,
  regret_state        TEXT    NOT NULL,
  regret_nats         REAL,
  regret_nats_low     REAL,
  regret_nats_high    REAL,
  regret_per_cent     REAL,
  regret_per_cent_low REAL,
  regret_per_cent_high REAL,
  PRIMARY KEY (phase_id, axis, curve)
) WITHOUT ROWID;

-- All cells of an axis together, under one parameterization at one place.
CREATE TABLE verdicts (
  phase_id         INTEGER NOT NULL REFERENCES phases (id) ON DELETE CASCADE,
  axis             TEXT    NOT NULL,
  base             TEXT    NOT NULL,
  parameterization TEXT    NOT NULL,
  place            TEXT    NOT NULL,         -- JSON: the coordinates that its cells share
  verdict          TEXT    NOT NULL CHECK (verdict IN ('transfers', 'drifts', 'inconclusive')),
  margin           REAL    NOT NULL,
  within           REAL,
  more_seeds       INTEGER,
  open             INTEGER NOT NULL,
  sentence         TEXT    NOT NULL,
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
  c.reason               AS reason
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
  c.curve                AS curve,
  p.tuned                AS tuned,
  log2(c.tuned_value)    AS log2_tuned
FROM cells c
JOIN phases p ON p.id = c.phase_id
JOIN sweeps s ON s.id = p.sweep_id
JOIN runs r ON r.id = c.run_id
GROUP BY c.phase_id, c.curve, c.tuned_value;

-- The columns with lr in their name are those of learning-rate curves; the same numbers of any curve are in log2_tuned.
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
  CASE p.tuned WHEN 'learning_rate' THEN o.log2_lr END         AS log2_lr,
  CASE p.tuned WHEN 'learning_rate' THEN o.log2_lr_low END     AS log2_lr_low,
  CASE p.tuned WHEN 'learning_rate' THEN o.log2_lr_high END    AS log2_lr_high,
  CASE p.tuned WHEN 'learning_rate' THEN o.log2_lr_low_90 END  AS log2_lr_low_90,
  CASE p.tuned WHEN 'learning_rate' THEN o.log2_lr_high_90 END AS log2_lr_high_90,
  o.loss             AS loss,
  o.loss_low         AS loss_low,
  o.loss_high        AS loss_high,
  o.valley_low       AS valley_low,
  o.valley_high      AS valley_high,
  o.stability_edge   AS stability_edge,
  CASE p.tuned WHEN 'learning_rate' THEN o.grid_log2_lr END    AS grid_log2_lr,
  o.grid_loss        AS grid_loss,
  o.points           AS points,
  o.seeds            AS seeds,
  o.missing          AS missing,
  o.curve            AS curve,
  p.tuned            AS tuned,
  o.log2_lr          AS log2_tuned,
  o.log2_lr_low      AS log2_tuned_low,
  o.log2_lr_high     AS log2_tuned_high,
  o.log2_lr_low_90   AS log2_tuned_low_90,
  o.log2_lr_high_90  AS log2_tuned_high_90,
  o.grid_log2_lr     AS grid_log2_tuned
FROM curve_optima o
JOIN phases p ON p.id = o.phase_id
JOIN sweeps s ON s.id = p.sweep_id;

CREATE VIEW transfer AS
SELECT
  s.name               AS sweep,
  p.name               AS phase,
  o.parameterization   AS parameterization,
  t.axis               AS axis,
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
  t.verdict            AS verdict,
  t.regret_state       AS regret_state,
  t.regret_nats        AS regret_nats,
  t.regret_nats_low    AS regret_nats_low,
  t.regret_nats_high   AS regret_nats_high,
  t.regret_per_cent    AS regret_per_cent,
  t.regret_per_cent_low AS regret_per_cent_low,
  t.regret_per_cent_high AS regret_per_cent_high,
  v.verdict            AS axis_verdict,
  v.margin             AS margin,
  v.within             AS within,
  v.more_seeds         AS more_seeds,
  v.open               AS still_to_train,
  v.sentence           AS sentence,
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
