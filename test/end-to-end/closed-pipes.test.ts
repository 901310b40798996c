/** Output into `head`, and onto a full disk: whoever has read enough ends nothing. */

import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { expect, it, vi } from "vitest";
import { CLI, freePort, Musweep, sql, succeed, writeSweep } from "../support/musweep.ts";
import { type Scratch, scratch, until } from "../support/scratch.ts";
import { onLinux } from "../support/tested-where.ts";

// Many commands each, on machines that may be busy.
vi.setConfig({ testTimeout: 180_000 });

const run = promisify(execFile);

/** What a shell says of a pipeline whose first command is musweep: its exit code, and all that reached the terminal. */
async function shell(place: Scratch, command: string): Promise<{ code: number; out: string; err: string }> {
  const script = `set -o pipefail; musweep() { "${process.execPath}" "${CLI}" "$@"; }\n${command}\necho "code $?"`;
  const { stdout, stderr } = await run("bash", ["-c", script], { cwd: place.directory, env: place.env });
  const [, out, code] = /^([\s\S]*)code (\d+)\n$/.exec(stdout)!;
  return { code: Number(code), out: out!, err: stderr };
}

it("a reader that has read enough ends a command quietly, and no sweep", async () => {
  const place = scratch();
  const file = writeSweep(place, { sparsity: "[0]" });
  // Progress goes to standard error: closed in the middle of the sweep, whose answer is then printed into a closed pipe too.
  const ended = await shell(place, `musweep run ${file} 2>&1 | head -1`);
  expect(ended).toMatchObject({ code: 0, err: "" });
  expect(ended.out.trimEnd().split("\n")).toHaveLength(1);
  expect(sql(place, "SELECT state, count(*) AS n FROM runs GROUP BY 1")).toEqual([
    { state: "finished", n: 3 },
  ]);
});

it("and prints no stack, exit code as without it", async () => {
  const place = scratch();
  await succeed(place, "submit", writeSweep(place, { sparsity: "[0]" }));
  // More than a pipe holds.
  const many =
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000) SELECT i FROM n";
  for (const command of [
    `musweep sql '${many}' | head -1`,
    `musweep sql '${many}' --csv | head -1`,
    "musweep report tiny --json | head -1",
    "musweep --help | head -1",
    "musweep report nothing --json | head -0",
  ]) {
    const { code, err } = await shell(place, command);
    expect({ command, code: command.includes("nothing") ? code - 2 : code, err }).toEqual({
      command,
      code: 0,
      err: "",
    });
  }
});

it("`serve` and `worker` go on when nobody reads their log any more", async () => {
  const place = scratch();
  const serve = new Musweep(place, ["serve", "--port", `${await freePort()}`]);
  await serve.says(/musweep is at/);
  const worker = new Musweep(place, ["worker", "--slots", "1"]);
  await worker.says(/worker ready/);
  for (const { child } of [serve, worker]) {
    child.stdout!.destroy();
    child.stderr!.destroy();
  }
  await succeed(place, "submit", writeSweep(place, { sparsity: "[0]" }));
  await until(() =>
    expect(sql(place, "SELECT state, count(*) AS n FROM runs GROUP BY 1")).toEqual([
      { state: "finished", n: 3 },
    ]),
  );
  expect([serve.child.exitCode, worker.child.exitCode]).toEqual([null, null]);
  expect((await worker.signal("SIGTERM")).code).toBe(0);
  expect((await serve.signal("SIGTERM")).code).toBe(0);
});

it.runIf(onLinux("a full disk behind standard output"))(
  "a full disk behind standard output is said in one sentence, exit code 3",
  async () => {
    const place = scratch();
    await succeed(place, "submit", writeSweep(place));
    const ended = await shell(place, "musweep status > /dev/full");
    expect(ended).toEqual({ code: 3, out: "", err: "no space is left for standard output\n" });
  },
);
