/** For runIf: a test that cannot run here says so, and why. */
const said = (holds: boolean, what: string, why: string): boolean => {
  if (!holds) console.warn(`SKIPPED: ${what}, because ${why}.`);
  return holds;
};

export const onLinux = (what: string): boolean =>
  said(process.platform === "linux", what, "this system is not Linux");

export const asRoot = (what: string): boolean =>
  said(process.getuid?.() === 0, what, "only root can act as another user");
