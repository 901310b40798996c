import { existsSync } from "node:fs";

/** For runIf: a test that cannot run here says so, and why. */
const said = (holds: boolean, what: string, why: string): boolean => {
  if (!holds) console.warn(`SKIPPED: ${what}, because ${why}.`);
  return holds;
};

export const onLinux = (what: string): boolean =>
  said(process.platform === "linux", what, "this system is not Linux");

/** @param path of a program that the test starts */
export const withProgram = (what: string, path: string): boolean =>
  said(existsSync(path), what, `${path} is not there`);

export const asRoot = (what: string): boolean =>
  said(process.getuid?.() === 0, what, "only root can act as another user");
