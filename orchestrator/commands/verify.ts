import type { Command } from "commander";
import { EXIT_CODES } from "../../schema/wire/errors.ts";
import { plural } from "../terminal/format.ts";
import { verifyState } from "../upkeep/verify.ts";
import { type CommonOptions, common, print, withDatabase } from "./common.ts";

export function addVerify(program: Command): void {
  common(
    program
      .command("verify")
      .description(
        "check a state directory: the database and what holds between its tables, prepared data by its hashes, files beside it",
      )
      .option(
        "--repair",
        "mend what loses nothing: counts and fits anew, needless checkpoints removed, damaged data sets too (they are prepared again), and what the private Redis cannot read",
      ),
    ["musweep verify", "musweep verify --repair", "musweep verify --json | jq '.findings[].check'"],
  ).action(async (options: CommonOptions & { repair?: boolean }) => {
    const repair = options.repair ?? false;
    const shared = options.shared !== undefined;
    await withDatabase(options, { readonly: !repair, mustExist: true }, async (db, state) => {
      const { findings } = await verifyState(db, state, { repair, shared });
      const left = findings.filter(({ repaired }) => !repaired);
      print(options, { findings, ok: left.length === 0 }, () => {
        if (findings.length === 0) return `${state.root} is sound.`;
        const lines = findings.map(
          ({ check, message, repaired, repairable }) =>
            `${repaired ? "repaired" : repairable ? "repairable" : "wrong"}  ${check}: ${message}`,
        );
        const mend = left.some(({ repairable }) => repairable)
          ? ["`musweep verify --repair` mends what is repairable."]
          : [];
        const restore = left.some(({ repairable }) => !repairable)
          ? [
              "What is wrong cannot be mended here: a backup (`musweep backup`) in its place, or another --dir, can.",
            ]
          : [];
        return [...lines, `${plural(left.length, "finding")} left.`, ...mend, ...restore].join("\n");
      });
      process.exitCode = left.length === 0 ? EXIT_CODES.ok : EXIT_CODES.incomplete;
    });
  });
}
