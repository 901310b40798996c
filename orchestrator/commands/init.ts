import { constants, copyFileSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import { MusweepError } from "../../schema/errors.ts";
import { packageRoot } from "../../schema/package.ts";
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
      copyFileSync(join(packageRoot(), "sweeps", "template.yaml"), path, constants.COPYFILE_EXCL);
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
