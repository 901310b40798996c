import type { Command } from "commander";
import { EXIT_CODES } from "../../schema/wire/errors.ts";
import { stateDirectory } from "../machine/state-directory.ts";
import { textTable } from "../terminal/table.ts";
import { type CommonOptions, common, print, withRedis } from "./common.ts";
import { examine } from "./doctor-checks.ts";

export function addDoctor(program: Command): void {
  withRedis(
    common(
      program
        .command("doctor")
        .description("what is installed, reachable, or too old, and what to do about it"),
      ["musweep doctor"],
    ),
  ).action(async (options: CommonOptions & { redis?: string }) => {
    const rows = await examine(stateDirectory(options), options.redis);
    print(options, rows, () =>
      textTable(
        [
          { title: "", value: (r) => r.status },
          { title: "what", value: (r) => r.name },
          { title: "found", value: (r) => r.found },
          { title: "needed", value: (r) => r.needed },
          { title: "remedy", value: (r) => r.remedy ?? "" },
        ],
        rows,
      ),
    );
    if (rows.some((r) => r.status === "fail")) process.exitCode = EXIT_CODES.unavailable;
  });
}
