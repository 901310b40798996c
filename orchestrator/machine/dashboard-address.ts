/**
 * Where the dashboard of a state directory listens, kept beside its token for commands that send that by themselves: on any other
 * port another user may listen. It holds only as long as an orchestrator holds the directory.
 */
import { rmSync, writeFileSync } from "node:fs";
import { readRegularSync } from "../../schema/wire/regular-file.ts";
import { openToOthers } from "./open-to-others.ts";
import type { StateDirectory } from "./state-directory.ts";

type Place = Pick<StateDirectory, "dashboard">;

const MOST_BYTES = 1000;

/** Without names, which may lead elsewhere for whoever reads it. */
export function writeAddress(place: Place, host: string, port: number): void {
  forgetAddress(place);
  const url = `http://${host.includes(":") ? `[${host}]` : host}:${port}`;
  writeFileSync(place.dashboard, `${url}\n`, { flag: "wx", mode: 0o600 });
}

export const forgetAddress = ({ dashboard }: Place): void => rmSync(dashboard, { force: true });

/** @returns undefined where there is none, or none that this user has written */
export function readAddress({ dashboard }: Place): URL | undefined {
  let isOwn = false;
  try {
    const text = readRegularSync(dashboard, MOST_BYTES, (stats) => {
      isOwn = openToOthers(stats) === undefined;
    });
    return isOwn ? new URL(text.trim()) : undefined;
  } catch {
    return undefined;
  }
}
