/** The proof that `chaos` makes can fail: every way in which a training may differ from the undisturbed one is found, and named. */
import { expect, it } from "vitest";
import { differences } from "../../../orchestrator/chaos/chaos.ts";
import type { Accepted } from "../../../orchestrator/database/accepted.ts";
import { readAccepted } from "../../../orchestrator/database/accepted.ts";
import { Attempt, applyAll, freshDatabase, gridText, sqliteOf, submitText } from "../../support/database.ts";

/** A database in which a run was trained twice over, as attempts would leave it. */
function trained(): Map<string, Accepted> {
  const db = freshDatabase();
  submitText(db, gridText({ rates: "[0.01, 0.02]" }));
  for (const { id } of sqliteOf(db).prepare<[], { id: string }>("SELECT id FROM runs").all()) {
    const attempt = new Attempt(id, 1001);
    applyAll(db, [
      attempt.claimed(),
      attempt.started(),
      attempt.metrics(1, 5.5),
      attempt.metrics(10, 4.5, 4.4),
      attempt.coordinates(0, [{ module: "logits", layer: null, size: 1, change: 0 }]),
      attempt.finished(4),
    ]);
  }
  return readAccepted(db);
}

it("nothing where two trainings agree", () => {
  const [one, other] = [trained(), trained()];
  expect(one.size).toBe(2);
  expect([...one.values()][0]).toMatchObject({ state: "finished", results: 1, attempts: 1 });
  expect([...one.values()][0]!.curve.length).toBe(3);
  expect(differences(one, other)).toEqual([]);
});

it.each<[string, (run: Accepted) => Partial<Accepted>, RegExp]>([
  [
    "another loss, in its last bit",
    ({ validation_loss }) => ({ validation_loss: validation_loss! * (1 + 2 ** -52) }),
    /validation_loss is 4\.0+\d+, undisturbed it was 4$/,
  ],
  [
    "another end",
    () => ({ state: "failed", error: "given up", results: 0 }),
    /has 0 results \(failed: given up\)/,
  ],
  ["two results", () => ({ results: 2 }), /has 2 results/],
  [
    "a point that is missing",
    ({ curve }) => ({ curve: curve.slice(1) }),
    /1 of 3 points of its curve are missing or differ/,
  ],
  [
    "a point that differs",
    ({ curve }) => ({ curve: [...curve.slice(1), "[1,5.6,null,1]"] }),
    /1 of 3 points/,
  ],
  [
    "a point too many",
    ({ curve }) => ({ curve: [...curve, "[2,5.2,null,1]"] }),
    /its curve has 4 points, undisturbed it had 3/,
  ],
])("%s", (_what, change, message) => {
  const [expected, found] = [trained(), trained()];
  const [id, run] = [...found][0]!;
  found.set(id, { ...run, ...change(run) });
  expect(differences(expected, found).join("\n")).toMatch(message);
});

it("a run that is lost, and one that was never asked for", () => {
  const [expected, found] = [trained(), trained()];
  const [id, run] = [...found][0]!;
  found.delete(id);
  found.set("another", run);
  expect(differences(expected, found)).toEqual([`${id} is lost`, "another is no run of this sweep"]);
});
