/** Version numbers of servers compare by number, not by text. */
import { expect, it } from "vitest";
import { findServer, isAtLeast, MINIMUM_VERSION } from "../../../orchestrator/machine/find-server.ts";

it.each([
  ["6.2.0", "6.2.0", true],
  ["6.2.14", "6.2.9", true],
  ["10.0.0", "6.2.0", true],
  ["7.0.15", "6.2.0", true],
  ["6.0.16", "6.2.0", false],
  ["5.9.99", "6.2.0", false],
])("%s is at least %s: %s", (a, b, expected) => {
  expect(isAtLeast(a, b)).toBe(expected);
});

it("the server found on this machine is new enough", async () => {
  const { server, tooOld } = await findServer();
  expect(tooOld).toBeUndefined();
  expect(isAtLeast(server!.version, MINIMUM_VERSION)).toBe(true);
});
