/**
 * Installing a Redis server where none is: with apt as root or through passwordless sudo, or with brew. Nothing asks a
 * question. The system service that Debian's package brings is switched off again: musweep starts its own server.
 */
import { existsSync } from "node:fs";
import { MusweepError } from "../../schema/wire/errors.ts";
import { findProgram, findServer, MINIMUM_VERSION, type ServerProgram } from "../machine/find-server.ts";
import { asRoot, type Ended, installWithApt, run } from "./apt.ts";

export interface InstallOptions {
  /** Told once, before anything is installed. */
  onInstall?: ((what: string) => void) | undefined;
  signal?: AbortSignal | undefined;
}

const missing = (reason: string): MusweepError =>
  new MusweepError("redis-missing", reason, {
    kind: "unavailable",
    remedy:
      "Install one (Debian, Ubuntu: sudo apt-get install redis-server; macOS: brew install redis), " +
      "or set REDIS_URL to a Redis that is yours to use.",
  });

async function switchOffService(prefix: readonly string[]): Promise<void> {
  if (existsSync("/run/systemd/system")) {
    await run([...prefix, "systemctl", "disable", "--now", "redis-server.service"]);
  }
}

/**
 * @returns a server program that is new enough, installed now if there was none
 * @throws MusweepError (unavailable) saying what to install
 */
export async function ensureServer(options: InstallOptions = {}): Promise<ServerProgram> {
  const { onInstall, signal } = options;
  const { server, tooOld } = await findServer();
  if (server !== undefined) return server;
  if (tooOld !== undefined) {
    throw missing(
      `${tooOld.path} is version ${tooOld.version}; musweep needs Redis ${MINIMUM_VERSION} or newer`,
    );
  }
  const nothing = "No redis-server or valkey-server on this machine";
  let ended: Ended | undefined;
  const root = (await findProgram("apt-get")) === undefined ? undefined : await asRoot();
  if (root !== undefined) {
    onInstall?.("redis-server with apt-get");
    ended = await installWithApt(root, "redis-server", signal);
    if (ended.ok) await switchOffService(root);
  } else {
    const brew = await findProgram("brew");
    if (brew === undefined) throw missing(`${nothing}, and no way to install one without asking`);
    onInstall?.("redis with brew");
    ended = await run([brew, "install", "redis"], signal);
  }
  const installed = (await findServer()).server;
  if (installed !== undefined) return installed;
  const tail = ended.output.trim().split("\n").slice(-3).join("\n");
  throw missing(`${nothing}, and installing one did not work:\n${tail}`);
}
