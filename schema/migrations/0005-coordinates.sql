-- Coordinate checks: how large activations are in short runs, and how that changes with width, density and depth.

ALTER TABLE phases ADD COLUMN kind TEXT NOT NULL DEFAULT 'grid' CHECK (kind IN ('grid', 'coordinate-check'));

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

-- Slopes of a complete check, and the verdicts on them.
CREATE TABLE coordinate_fits (
  phase_id         INTEGER NOT NULL REFERENCES phases (id) ON DELETE CASCADE,
  position         INTEGER NOT NULL,       -- order in the report
  parameterization TEXT    NOT NULL,
  axis             TEXT    NOT NULL,       -- width, density, layers
  at               TEXT    NOT NULL,       -- canonical JSON of the coordinates that stay
  claimed          INTEGER NOT NULL,       -- 1: flat by the parameterization's rules
  module           TEXT    NOT NULL,
  layer            INTEGER,
  quantity         TEXT    NOT NULL,       -- size, change
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

-- A row per value of what a curve is over: the runs of a coordinate check are on no curve.
DROP VIEW curves;
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
