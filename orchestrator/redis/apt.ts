/** Installing a system package without asking anybody: with apt as root, or through passwordless sudo. */
import { spawn } from "node:child_process";
import { findProgram } from "../machine/find-server.ts";

export interface Ended {
  ok: boolean;
  output: string;
}

export function run(command: readonly string[], signal?: AbortSignal): Promise<Ended> {
  const [program, ...args] = command;
  const env = {
    ...process.env,
    DEBIAN_FRONTEND: "noninteractive",
    NONINTERACTIVE: "1",
    HOMEBREW_NO_AUTO_UPDATE: "1",
  };
  return new Promise((resolve, reject) => {
    const child = spawn(program!, args, { env, stdio: ["ignore", "pipe", "pipe"], signal });
    let output = "";
    const collect = (chunk: Buffer): void => {
      output = (output + chunk.toString()).slice(-4000);
    };
    child.stdout.on("data", collect);
    child.stderr.on("data", collect);
    child.on("error", (error) =>
      signal?.aborted ? reject(signal.reason) : resolve({ ok: false, output: error.message }),
    );
    child.on("close", (code) => resolve({ ok: code === 0, output }));
  });
}

/** How to run something as root without being asked: nothing in front, `sudo -n`, or not at all. */
export async function asRoot(): Promise<readonly string[] | undefined> {
  if (process.getuid?.() === 0) return [];
  const sudo = await findProgram("sudo");
  if (sudo === undefined) return undefined;
  return (await run([sudo, "-n", "true"])).ok ? [sudo, "-n"] : undefined;
}

/** @param prefix what asRoot says */
export async function installWithApt(
  prefix: readonly string[],
  name: string,
  signal?: AbortSignal,
): Promise<Ended> {
  const apt = [...prefix, "apt-get", "-o", "DPkg::Lock::Timeout=120"];
  const install = [...apt, "install", "-y", "-q", "--no-install-recommends", name];
  const first = await run(install, signal);
  if (first.ok) return first;
  // A fresh machine has no package lists, or old ones.
  await run([...apt, "update", "-q"], signal);
  return run(install, signal);
}
