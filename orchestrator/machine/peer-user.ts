/**
 * Which user of this machine opened a connection to this process. Linux tells, in its tables of TCP sockets; elsewhere, and for
 * a connection from another machine, it is not known.
 */
import { readFileSync } from "node:fs";
import type { Socket } from "node:net";

/** @returns a user id, or undefined */
export function userOfPeer({
  localPort,
  remotePort,
}: Pick<Socket, "localPort" | "remotePort">): number | undefined {
  for (const table of ["/proc/net/tcp", "/proc/net/tcp6"]) {
    let rows: string[];
    try {
      rows = readFileSync(table, "latin1").split("\n");
    } catch {
      return undefined;
    }
    for (const row of rows) {
      // "0: 0100007F:D431 0100007F:1092 01 …:… …:… … UID …": seen from the other end, its own port comes first.
      const [, own, other, , , , , uid] = row.trim().split(/\s+/);
      if (portOf(own) === remotePort && portOf(other) === localPort) return Number(uid);
    }
  }
  return undefined;
}

const portOf = (address: string | undefined): number => Number.parseInt(address?.split(":")[1] ?? "", 16);
