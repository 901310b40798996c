/** What stops a program of this machine in order: a terminal that closes and what schedulers send, too. */
import { expect, it } from "vitest";
import { freePort, Musweep, writeSweep } from "../support/musweep.ts";
import { scratch } from "../support/scratch.ts";

it.each(["SIGUSR1", "SIGUSR2", "SIGHUP"] as const)(
  "%s stops serve as SIGTERM does",
  async (signal) => {
    const place = scratch();
    const serve = new Musweep(place, ["serve", "--port", String(await freePort())]);
    await serve.says(/musweep is at/);
    const ended = await serve.signal(signal);
    expect(ended).toMatchObject({ code: 0, stderr: expect.stringContaining("Stopping") });
    expect(ended.stderr).not.toContain("Debugger");
  },
  60_000,
);

it("SIGUSR1 stops run as SIGTERM does: in order, and it says how to go on", async () => {
  const place = scratch();
  const run = new Musweep(place, ["run", writeSweep(place, { steps: 1_000_000 }), "--slots", "1"]);
  await run.says(/training/);
  const ended = await run.signal("SIGUSR1");
  expect(ended).toMatchObject({ code: 130, stderr: expect.stringContaining("Resume with") });
  expect(ended.stderr).not.toContain("Debugger");
});
