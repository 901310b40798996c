import { writeFileSync } from "node:fs";
import type { Command } from "commander";
import { MusweepError } from "../../schema/errors.ts";
import { SWEEP_TEMPLATE } from "../sweep/template.ts";
import { type CommonOptions, common, print } from "./common.ts";

export function addInit(program: Command): void {
  common(
    program
      .command("init [file]")
      .description("write a commented sweep file to start from (default: sweep.yaml); never overwrites"),
    ["musweep init", "musweep init sweeps/mine.yaml"],
  ).action((file: string | undefined, options: CommonOptions) => {
    const path = file ?? "sweep.yaml";
    try {
      writeFileSync(path, SWEEP_TEMPLATE, { flag: "wx" });
    } catch (cause) {
      const exists = (cause as NodeJS.ErrnoException).code === "EEXIST";
      throw new MusweepError(
        "init-file",
        exists ? `${path} exists already` : `cannot write ${path}: ${(cause as Error).message}`,
        {
          kind: "usage",
          remedy: "Name another file: musweep init FILE.",
          cause,
        },
      );
    }
    print(
      options,
      { file: path },
      () => `Wrote ${path}. Next: musweep plan ${path}, then musweep run ${path}`,
    );
  });
}
