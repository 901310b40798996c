/** Data that a command writes: as it is into a pipe, without what a terminal would obey where it is one. From source, in a terminal of script(1). */
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { scratch } from "../../support/scratch.ts";
import { onLinux, withProgram } from "../../support/tested-where.ts";

const CLI = fileURLToPath(new URL("../../../orchestrator/cli.ts", import.meta.url));
const TSX = import.meta.resolve("tsx");
const ESCAPE = "\u001b";
const WORD = `a${ESCAPE}[2Jb`;

it.runIf(onLinux("data in a terminal") && withProgram("data in a terminal", "/usr/bin/script"))(
  "export and suggest write what a terminal would obey into a pipe only",
  () => {
    const { directory, env } = scratch();
    const run = (program: string, ...args: string[]): string =>
      execFileSync(program, args, {
        cwd: directory,
        env,
        encoding: "utf8",
        stdio: ["ignore", "pipe", "pipe"],
      });
    const words = ["--import", TSX, CLI];
    const piped = (...args: string[]) => run(process.execPath, ...words, ...args);
    const inTerminal = (...args: string[]) =>
      run("/usr/bin/script", "-qec", [process.execPath, ...words, ...args].join(" "), "/dev/null");

    const rows = [0.1, 0.2, 0.4].flatMap((rate) => [WORD, "c"].map((word) => `${rate},${3 - rate},${word}`));
    writeFileSync(join(directory, "results.csv"), `lr,loss,word\n${rows.join("\n")}\n`);
    piped("import", "results.csv", "--name", "told", "--column", "settings.word=word");
    for (const command of [
      ["export", "told"],
      ["suggest", "told", "--csv"],
      ["suggest", "told", "--yaml"],
    ]) {
      const [pipe, terminal] = [piped(...command), inTerminal(...command)];
      expect(terminal, command.join(" ")).not.toContain(ESCAPE);
      expect(terminal.replaceAll("\r\n", "\n")).toBe(
        pipe.replaceAll("\r\n", "\n").replaceAll(ESCAPE, "\\u001b"),
      );
    }
    expect(piped("export", "told")).toContain(WORD);
  },
);
