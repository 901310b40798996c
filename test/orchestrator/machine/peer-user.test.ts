/** Whose connection it is: told by Linux for those of this machine. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { describe, expect, it, onTestFinished } from "vitest";
import { userOfPeer } from "../../../orchestrator/machine/peer-user.ts";
import { asRoot, onLinux } from "../../support/tested-where.ts";

async function accept(host: string, open: (port: number) => void): Promise<Socket> {
  const server = createServer().listen(0, host);
  onTestFinished(() => void server.close());
  await once(server, "listening");
  open((server.address() as AddressInfo).port);
  const [socket] = (await once(server, "connection")) as [Socket];
  onTestFinished(() => void socket.destroy());
  return socket;
}

describe.runIf(onLinux("the user of a connection"))("the user of a connection", () => {
  it.each(["127.0.0.1", "::1"])("from %s is this one for this process's own", async (host) => {
    let client: Socket | undefined;
    const socket = await accept(host, (port) => {
      client = connect(port, host);
    });
    expect(userOfPeer(socket)).toBe(process.geteuid!());
    client!.destroy();
  });

  // Only root can be another.
  it.runIf(asRoot("the connection of another user"))("is the other one for another's", async () => {
    const program = "require('node:net').connect(Number(process.argv[1]), '127.0.0.1').on('error', () => {})";
    const socket = await accept("127.0.0.1", (port) => {
      const child = spawn(process.execPath, ["-e", program, String(port)], {
        uid: 65_534,
        gid: 65_534,
        cwd: "/",
      });
      onTestFinished(() => void child.kill("SIGKILL"));
    });
    expect(userOfPeer(socket)).toBe(65_534);
  });

  it("is not known of a connection that is none of this machine's", () => {
    expect(userOfPeer({ localPort: 1, remotePort: 2 } as Socket)).toBeUndefined();
  });
});
