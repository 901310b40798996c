/**
 * Which user of this machine opened a connection to this process. Linux tells, in its tables of TCP sockets; elsewhere, and for
 * a connection from another machine, it is not known.
 */
import { readFileSync } from "node:fs";
import { isIPv4, type Socket } from "node:net";

type Ends = Pick<Socket, "localAddress" | "localPort" | "remoteAddress" | "remotePort">;

/** A socket of a connection that is closed is no user's: its row has the id of root, whoever had opened it. */
const ESTABLISHED = "01";
const LOOPBACK = /^::1$|^::ffff:7f/;

/** @returns a user id; null: nobody's any more, since it is of this machine and closed; undefined: it cannot be told */
export function userOfPeer({
  localAddress,
  localPort,
  remoteAddress,
  remotePort,
}: Ends): number | null | undefined {
  // What has no addresses is closed.
  if (localAddress === undefined || remoteAddress === undefined) return null;
  const [here, there] = [canonical(localAddress), canonical(remoteAddress)];
  for (const table of ["/proc/net/tcp", "/proc/net/tcp6"]) {
    let rows: string[];
    try {
      rows = readFileSync(table, "latin1").split("\n");
    } catch {
      return undefined;
    }
    for (const row of rows) {
      // "0: 0100007F:D431 0100007F:1092 01 …:… …:… … UID …": seen from the other end, its own port comes first.
      const [, own, other, state, , , , uid] = row.trim().split(/\s+/);
      if (state !== ESTABLISHED || portOf(own) !== remotePort || portOf(other) !== localPort) continue;
      if (addressOf(own) === there && addressOf(other) === here) return Number(uid);
    }
  }
  return LOOPBACK.test(there) ? null : undefined;
}

const portOf = (end = ""): number => Number.parseInt(end.split(":")[1] ?? "", 16);

/** Of an end as the tables have it: words of 32 bits, the last byte of each first. */
function addressOf(end = ""): string {
  const groups = (end.split(":")[0]!.match(/.{8}/g) ?? []).flatMap((word) => {
    const [d, c, b, a] = word.match(/../g)!;
    return [`${a}${b}`, `${c}${d}`];
  });
  return canonical(groups.length === 2 ? `::ffff:${groups.join(":")}` : groups.join(":"));
}

/** One text for one address, as IPv6, without its zone. */
const canonical = (address: string): string =>
  new URL(`http://[${isIPv4(address) ? `::ffff:${address}` : address.split("%")[0]}]`).hostname.slice(1, -1);
