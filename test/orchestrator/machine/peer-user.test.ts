/** Whose connection it is: told by Linux for those of this machine. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { describe, expect, it, onTestFinished } from "vitest";
import { userOfPeer } from "../../../orchestrator/machine/peer-user.ts";
import { asRoot, onLinux } from "../../support/tested-where.ts";

/** The first connection that is opened, or the first from this address. */
async function accept(host: string, open: (port: number) => void, from?: string): Promise<Socket> {
  const server = createServer().listen(0, host);
  onTestFinished(() => void server.close());
  await once(server, "listening");
  const accepted = new Promise<Socket>((resolve) => {
    server.on("connection", (socket) => {
      if (from === undefined || socket.remoteAddress === from) resolve(socket);
      // Its other end has closed: so does this one.
      else socket.resume();
    });
  });
  open((server.address() as AddressInfo).port);
  const socket = await accepted;
  onTestFinished(() => void socket.destroy());
  return socket;
}

function asNobody(program: string, port: number): void {
  const child = spawn(process.execPath, ["-e", program, String(port)], {
    uid: 65_534,
    gid: 65_534,
    cwd: "/",
  });
  onTestFinished(() => void child.kill("SIGKILL"));
}

const CONNECT = "require('node:net').connect(Number(process.argv[1]), '127.0.0.1').on('error', () => {})";
/** From the port that the first was given; each of the others was closed by this end, whose row then stays for a minute. */
const CONNECT_AFTER_CLOSING = `
  const { once } = require("node:events");
  const open = (localAddress, localPort) => require("node:net").connect({
    host: "127.0.0.1", port: Number(process.argv[1]), localAddress, localPort,
  }).on("error", () => {});
  (async () => {
    let port = 0;
    for (let i = 1; i <= 40; i++) {
      const closing = open("127.0.0." + i, port);
      await once(closing, "connect");
      port = closing.localPort;
      await once(closing.resume().end(), "close");
    }
    open("127.0.0.99", port);
  })();
`;

/** Whether a row is one of a closed connection (TIME_WAIT) with the ports of this one. */
const isClosedOf =
  ({ localPort, remotePort }: Socket) =>
  (row: string): boolean => {
    const port = (end = ""): number => Number.parseInt(end.split(":")[1] ?? "", 16);
    const [, own, other, state] = row.trim().split(/\s+/);
    return state === "06" && port(own) === remotePort && port(other) === localPort;
  };

describe.runIf(onLinux("the user of a connection"))("the user of a connection", () => {
  it.each(["127.0.0.1", "::1"])("from %s is this one for this process's own", async (host) => {
    let client: Socket | undefined;
    const socket = await accept(host, (port) => {
      client = connect(port, host);
    });
    expect(userOfPeer(socket)).toBe(process.geteuid!());
    client!.destroy();
  });

  it("is this one's for an IPv4 connection to a socket of both", async () => {
    let client: Socket | undefined;
    const socket = await accept("::", (port) => {
      client = connect(port, "127.0.0.1");
    });
    expect(socket.remoteAddress).toBe("::ffff:127.0.0.1");
    expect(userOfPeer(socket)).toBe(process.geteuid!());
    client!.destroy();
  });

  // Only root can be another.
  it.runIf(asRoot("the connection of another user"))("is the other one for another's", async () => {
    const socket = await accept("127.0.0.1", (port) => asNobody(CONNECT, port));
    expect(userOfPeer(socket)).toBe(65_534);
  });

  it.runIf(asRoot("the connection of another user beside closed ones"))(
    "is the other one beside closed ones of its ports, whose rows are root's",
    async () => {
      const socket = await accept("127.0.0.1", (port) => asNobody(CONNECT_AFTER_CLOSING, port), "127.0.0.99");
      const closed = readFileSync("/proc/net/tcp", "latin1").split("\n").filter(isClosedOf(socket));
      expect(closed).not.toEqual([]);
      expect(userOfPeer(socket)).toBe(65_534);
    },
  );

  it("is nobody any more for one that its other end has closed", async () => {
    const socket = await accept("127.0.0.1", (port) => void connect(port, "127.0.0.1").end());
    const ended = once(socket.resume(), "close");
    await ended;
    expect(userOfPeer(socket)).toBeNull();
    const none = { localAddress: "127.0.0.1", localPort: 1, remoteAddress: "127.0.0.1", remotePort: 2 };
    expect(userOfPeer(none)).toBeNull();
  });

  it("is not known of a connection that is none of this machine's", () => {
    const ends = { localAddress: "192.0.2.1", localPort: 1, remoteAddress: "192.0.2.2", remotePort: 2 };
    expect(userOfPeer(ends)).toBeUndefined();
  });
});
