/** A program that is asked for its version, and never answers. */
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { runBriefly } from "../../../orchestrator/machine/run-briefly.ts";
import { scratch } from "../../support/scratch.ts";

it("is killed, though it obeys no SIGTERM", async () => {
  const place = scratch();
  const program = join(place.directory, "deaf");
  writeFileSync(program, "#!/bin/sh\ntrap '' TERM\nwhile :; do sleep 0.1; done\n");
  chmodSync(program, 0o755);
  await expect(runBriefly(program, [], { timeout: 500, cwd: place.directory })).rejects.toMatchObject({
    killed: true,
    signal: "SIGKILL",
  });
  await place.expectNoProcess();
});
