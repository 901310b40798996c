-- For a hundred thousand runs: plans, most of the bytes, in a table of their own, so that what reads states and losses reads
-- little; and counts of every sweep, kept current by the database itself, so that no page counts runs.

-- Canonical JSON of schema/plan.ts.
CREATE TABLE plans (
  run_id TEXT PRIMARY KEY REFERENCES runs (id),
  plan   TEXT NOT NULL
);
INSERT INTO plans (run_id, plan) SELECT id, plan FROM runs;
ALTER TABLE runs DROP COLUMN plan;

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
  state         TEXT    NOT NULL,            -- of the runs
  runs          INTEGER NOT NULL,
  points        INTEGER NOT NULL,
  planned_flops REAL    NOT NULL,
  changed_at    INTEGER NOT NULL,            -- when a run last came into this state
  PRIMARY KEY (sweep_id, state)
) WITHOUT ROWID;

INSERT INTO sweep_runs (sweep_id, run_id, points)
SELECT p.sweep_id, c.run_id, count(*) FROM cells c JOIN phases p ON p.id = c.phase_id GROUP BY p.sweep_id, c.run_id;

INSERT INTO sweep_counts (sweep_id, state, runs, points, planned_flops, changed_at)
SELECT w.sweep_id, r.state, count(*), sum(w.points), sum(r.planned_flops), max(r.updated_at)
FROM sweep_runs w JOIN runs r ON r.id = w.run_id GROUP BY w.sweep_id, r.state;

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

-- Runs that are part of the way: few, since runs are finished one by one.
CREATE INDEX runs_under_way ON runs (id) WHERE step > 0 AND state IN ('pending', 'queued', 'running');
-- What is being worked on, and what ended lately.
CREATE INDEX attempts_by_end ON attempts (ended_at);
CREATE INDEX sweeps_by_time ON sweeps (submitted_at);
