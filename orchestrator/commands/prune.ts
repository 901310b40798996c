import type { Command } from "commander";
import { MusweepError } from "../../schema/wire/errors.ts";
import { amount, plural } from "../terminal/format.ts";
import { textTable } from "../terminal/table.ts";
import { findLeftovers, type Leftover, removeLeftovers } from "../upkeep/leftovers.ts";
import { type CommonOptions, common, print, withDatabase } from "./common.ts";
import { confirm } from "./confirm.ts";

interface Options extends CommonOptions {
  olderThan: number;
  dryRun?: boolean;
  yes?: boolean;
}

const DAY_MS = 86_400_000;
/** Of what is found, shown in a terminal; --json has all. */
const SHOWN = 30;

export function addPrune(program: Command): void {
  common(
    program
      .command("prune")
      .description(
        "remove what nobody needs: runs that no sweep has, checkpoints of ended runs, weights of runs that are gone, unused data sets",
      )
      .option("--older-than <days>", "only what nothing has happened to for so long", parseDays, 7)
      .option("--dry-run", "only list it")
      .option("--yes", "do not ask"),
    [
      "musweep prune --dry-run",
      "musweep prune --older-than 30 --yes",
      "musweep prune --older-than 0 --dry-run --json",
    ],
  ).action(async (options: Options) => {
    const which = {
      before: Date.now() - options.olderThan * DAY_MS,
      shared: options.shared !== undefined,
    };
    await withDatabase(options, { readonly: options.dryRun ?? false, mustExist: true }, async (db, state) => {
      const found = findLeftovers(db, state, which);
      const isDry = options.dryRun ?? false;
      if (!isDry && found.length > 0)
        await confirm(`${listed(found)}\n${total(found)} would be removed.`, options.yes);
      const removed = isDry ? [] : removeLeftovers(db, stillThere(found, findLeftovers(db, state, which)));
      print(options, { found, removed: removed.length }, () => {
        if (found.length === 0) return "Nothing to remove.";
        return isDry ? `${listed(found)}\n${total(found)} could be removed.` : `${total(removed)} removed.`;
      });
    });
  });
}

/** The question may have stood for a while: what has come into use since stays. */
function stillThere(found: readonly Leftover[], now: readonly Leftover[]): Leftover[] {
  const there = new Set(now.map(({ what }) => what));
  return found.filter(({ what }) => there.has(what));
}

function parseDays(text: string): number {
  const days = Number(text);
  if (text.trim() !== "" && Number.isFinite(days) && days >= 0) return days;
  throw new MusweepError("bad-option", `--older-than wants a number of days, not "${text}"`, {
    kind: "usage",
  });
}

function total(leftovers: readonly Leftover[]): string {
  const kinds = [...new Set(leftovers.map(({ kind }) => kind))];
  const counts = kinds.map((kind) => {
    const n = leftovers.filter((l) => l.kind === kind).length;
    return kind === "checkpoints" || kind === "weights" ? `${kind} of ${plural(n, "run")}` : plural(n, kind);
  });
  const bytes = leftovers.reduce((sum, l) => sum + l.bytes, 0);
  return `${counts.join(", ")}, ${amount(bytes, "B")} of files`;
}

const listed = (leftovers: readonly Leftover[]): string => {
  const rest = leftovers.length - SHOWN;
  const table = textTable<Leftover>(
    [
      { title: "kind", value: (l) => l.kind },
      { title: "size", align: "right", value: (l) => (l.kind === "run" ? "" : amount(l.bytes, "B")) },
      { title: "why", value: (l) => l.why },
      { title: "what", value: (l) => l.what },
    ],
    leftovers.slice(0, SHOWN),
  );
  return rest > 0 ? `${table}\n… and ${rest} more (--json lists all)` : table;
};
