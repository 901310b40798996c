/**
 * Applies one worker event to the database: the only place where a run's state follows from what a worker said.
 *
 * Delivery is at least once and may come from a worker that has lost its run, so every event must carry the run's current
 * attempt number, that attempt's token, and a sequence number not seen before (attempts.ts, run-states.ts).
 */
import type { RunState } from "../../schema/database/states.ts";
import type { WorkerEvent, WorkerEventBody } from "../../schema/wire/events.ts";
import {
  addAttempt,
  endAttempt,
  loseAttempts,
  setCheckpoint,
  startAttempt,
  takeEvent,
  whyNotTaken,
} from "./attempts.ts";
import type { Database } from "./connection.ts";
import { addPoint, addSize } from "./measurements.ts";
import {
  claimRun,
  divergeRun,
  failRun,
  finishRun,
  keepStep,
  reachStep,
  releaseRun,
  startRun,
} from "./run-states.ts";

export type Applied =
  | "applied"
  /** Seen before. */
  | "duplicate"
  /** From an attempt that no longer holds the run, or for a run that already has its result. */
  | "fenced"
  /** No worker of ours could say it of this run: a step that its plan does not have, another run's files, an attempt never made. */
  | "refused"
  /** No such run in this database. */
  | "unknown";

/** The events that end an attempt; a run that was cancelled under its worker takes no others from it. */
export const ENDS = new Set<WorkerEventBody["type"]>(["finished", "diverged", "failed", "released"]);

/** What may come before "started": an attempt may end without having begun. */
const EARLY = new Set<WorkerEventBody["type"]>(["started", "failed", "released"]);

/** Call inside a transaction. */
export function applyEvent(db: Database, event: WorkerEvent): Applied {
  const { body } = event;
  if (!namesOwnFiles(event)) return "refused";
  const { type } = body;
  const isTaken =
    type === "claimed"
      ? claim(db, event)
      : takeEvent(db, { ...event, ends: ENDS.has(type), early: EARLY.has(type), step: lastStep(body) });
  if (!isTaken) return whyNotTaken(db, event);
  if (body.type !== "claimed") applyBody(db, event, body);
  return "applied";
}

/** The last step that an event speaks of. */
function lastStep(body: WorkerEventBody): number {
  switch (body.type) {
    case "started":
      return body.resumed_from_step;
    case "metrics":
      return Math.max(0, ...body.points.map((point) => point.step));
    case "claimed":
    case "failed":
      return 0;
    default:
      return body.step;
  }
}

/** Checkpoints and weights lie on the worker's host, under the run's own name: these paths are shown, and given to people to open. */
function namesOwnFiles({ run, body }: WorkerEvent): boolean {
  const isOwn = (path: string | null): boolean =>
    path === null || path.split(/[/\\]/).some((p) => p.startsWith(run));
  switch (body.type) {
    case "checkpoint":
      return isOwn(body.path);
    case "finished":
      return isOwn(body.weights_path);
    case "released":
      return isOwn(body.checkpoint);
    default:
      return true;
  }
}

function claim(db: Database, event: WorkerEvent): boolean {
  if (!claimRun(db, event)) return false;
  const { run, at, attempt } = event;
  loseAttempts(db, { run, at, before: attempt, error: "its worker was lost; attempt taken over" });
  addAttempt(db, event);
  return true;
}

function applyBody(
  db: Database,
  event: WorkerEvent,
  body: Exclude<WorkerEventBody, { type: "claimed" }>,
): void {
  const { run, attempt, at } = event;
  const ended = { run, attempt, at };
  switch (body.type) {
    case "started": {
      const started = { ...body, engine: `${body.engine} ${body.engine_version}` };
      startAttempt(db, { run, attempt, ...started });
      startRun(db, event, started);
      keepStep(db, event, body.resumed_from_step);
      return;
    }
    case "metrics":
      for (const point of body.points) addPoint(db, run, attempt, point);
      reachStep(db, event, body.points.at(-1)?.step ?? 0);
      return;
    case "coordinates":
      for (const size of body.modules) addSize(db, { run, attempt, step: body.step }, size);
      return;
    case "checkpoint":
      setCheckpoint(db, { run, attempt, path: body.path });
      keepStep(db, event, body.step);
      return;
    case "finished":
      finishRun(db, event, body);
      endAttempt(db, { ...ended, outcome: body.type, log_tail: body.log_tail, result: body });
      return;
    case "diverged":
      divergeRun(db, event, body);
      endAttempt(db, { ...ended, outcome: body.type, log_tail: body.log_tail, result: body });
      return;
    case "failed": {
      const { type: outcome, code, message, log_tail } = body;
      failRun(db, event, body);
      endAttempt(db, { ...ended, outcome, code, error: message, log_tail });
      return;
    }
    case "released": {
      const outcome = body.reason === "cancelled" ? "cancelled" : "released";
      if (body.checkpoint !== null) keepStep(db, event, body.step);
      releaseRun(db, event, body);
      const { code, message, log_tail } = body.inability ?? {};
      endAttempt(db, { ...ended, outcome, checkpoint: body.checkpoint, code, error: message, log_tail });
      return;
    }
  }
}

/** What a run becomes when an event that ends an attempt at it counts. */
export interface Outcome {
  state: RunState;
  validation_loss: number | null;
}

/** What the runs become whose attempts these events end, if all of them count. */
export function foresee(events: readonly WorkerEvent[]): Map<string, Outcome> {
  return new Map(
    events.flatMap(({ run, body }): [string, Outcome][] => {
      switch (body.type) {
        case "finished":
          return [[run, { state: body.type, validation_loss: body.validation_loss }]];
        case "diverged":
          return [[run, { state: body.type, validation_loss: null }]];
        case "failed":
          return [[run, { state: body.final ? "failed" : "pending", validation_loss: null }]];
        case "released":
          return [
            [run, { state: body.reason === "cancelled" ? "cancelled" : "pending", validation_loss: null }],
          ];
        default:
          return [];
      }
    }),
  );
}
