-- Phases that start when an earlier one is decided, and grids that add their own points.

-- waiting: on the phases it takes values from. stopped: cannot start, reason says why; looked at again when its sources are.
ALTER TABLE phases ADD COLUMN state TEXT NOT NULL DEFAULT 'active'
  CHECK (state IN ('waiting', 'active', 'complete', 'stopped'));
ALTER TABLE phases ADD COLUMN reason TEXT;
-- Canonical JSON of everything that decides what the phase trains: its sections, its axes, the data.
ALTER TABLE phases ADD COLUMN definition TEXT NOT NULL DEFAULT '{}';
-- JSON array: each value that was taken from an earlier phase when this one started, and how it was found.
ALTER TABLE phases ADD COLUMN taken TEXT NOT NULL DEFAULT '[]';
-- 1: something about its runs has changed since it was last asked whether it is complete, or can start.
ALTER TABLE phases ADD COLUMN due INTEGER NOT NULL DEFAULT 1;

-- Why the point is there: 'grid', or what added it: 'extend: …', 'refine: …'.
ALTER TABLE cells ADD COLUMN reason TEXT NOT NULL DEFAULT 'grid';
CREATE INDEX cells_added ON cells (phase_id, reason) WHERE reason <> 'grid';

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
  c.reason               AS reason
FROM cells c
JOIN phases p ON p.id = c.phase_id
JOIN sweeps s ON s.id = p.sweep_id
JOIN runs r ON r.id = c.run_id;
