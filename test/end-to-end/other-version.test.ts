/**
 * A worker of another version beside an orchestrator of this one: a copy of what is built, whose package.json says so. Both say by name
 * who does not fit whom, no attempt is made, and a worker of the right version trains the run.
 */
import { cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { packageRoot, packageVersion } from "../../schema/wire/package.ts";
import { asOwner, freePort, Musweep, sql, succeed, writeSweep } from "../support/musweep.ts";
import { type Scratch, scratch, until } from "../support/scratch.ts";

/** @returns its command line program */
function copyWithVersion(place: Scratch, version: string): string {
  const copy = join(place.directory, "other");
  mkdirSync(copy);
  const root = packageRoot();
  // Programs look for their package from where they really are.
  cpSync(join(root, "dist"), join(copy, "dist"), { recursive: true });
  const text = readFileSync(join(root, "package.json"), "utf8");
  writeFileSync(join(copy, "package.json"), JSON.stringify({ ...JSON.parse(text), version }));
  for (const name of readdirSync(root))
    if (!/^(dist|package\.json|\..*)$/.test(name)) symlinkSync(join(root, name), join(copy, name));
  return join(copy, "dist", "orchestrator", "cli.js");
}

it("is refused by name, uses up no attempt, and leaves the run to one of the right version", async () => {
  const place = scratch();
  const own = packageVersion();
  const other = `${own}-other`;
  const why = `the orchestrator is musweep ${own}, this worker ${other}: install the same`;
  const port = String(await freePort());
  const serve = new Musweep(place, ["serve", "--port", port]);
  await serve.says(/musweep is at/);
  const sweep = { sparsity: "[0.5]", rates: "[0.01]" };
  await succeed(place, "submit", writeSweep(place, sweep));

  const cli = copyWithVersion(place, other);
  const stranger = new Musweep(place, ["worker", "--slots", "1"], {}, [], cli);
  await until(() => expect(stranger.stderr).toContain(why));
  await until(async () => {
    const { stdout } = await succeed(place, "status", "--json");
    expect(JSON.parse(stdout)[0].workers).toMatchObject({
      alive: 1,
      busy: 0,
      unable: [{ what: "anything", code: "version", why, workers: 1 }],
    });
  });
  expect((await succeed(place, "status")).stdout.replace(/\s+/g, " ")).toContain(why);
  const page = await fetch(`http://127.0.0.1:${port}/workers`, { headers: asOwner(place) });
  const html = await page.text();
  expect(html).toContain(why);
  expect(html).toContain(`musweep ${other}`);
  expect(sql(place, "SELECT state FROM runs")).toEqual([{ state: "queued" }]);
  expect(sql(place, "SELECT 1 FROM attempts")).toEqual([]);

  const right = new Musweep(place, ["worker", "--slots", "1"]);
  await until(() => expect(sql(place, "SELECT state FROM runs")).toEqual([{ state: "finished" }]));
  expect(sql(place, "SELECT outcome FROM attempts")).toEqual([{ outcome: "finished" }]);
  for (const command of [stranger, right, serve])
    expect(await command.signal("SIGTERM")).toMatchObject({ code: 0 });
}, 240_000);
