/** A dashboard on a real socket, over a real orchestrator, and requests as their bytes are. */
import { connect, type Socket } from "node:net";
import { pino } from "pino";
import { onTestFinished } from "vitest";
import {
  type Dashboard,
  type DashboardOptions,
  serveDashboard,
} from "../../orchestrator/dashboard/listen.ts";
import { type StateDirectory, stateDirectory } from "../../orchestrator/machine/state-directory.ts";
import { type Service, startService } from "../../orchestrator/queue/service.ts";
import { scratch } from "./scratch.ts";

export interface Running {
  dashboard: Dashboard;
  service: Service;
  state: StateDirectory;
  port: number;
  token: string;
  /** Lines of its log. */
  logged: Record<string, unknown>[];
}

type AtEnd = (close: () => Promise<void>) => void;

export async function startDashboard(
  options: Partial<DashboardOptions> = {},
  atEnd: AtEnd = onTestFinished,
): Promise<Running> {
  const state = stateDirectory({ dir: scratch(atEnd).directory });
  const logged: Record<string, unknown>[] = [];
  const log = pino({ base: null }, { write: (line) => void logged.push(JSON.parse(line)) });
  const service = await startService(state, { redisUrl: undefined, log });
  atEnd(() => service.close());
  const token = "the-token-of-these-tests-that-nobody-guesses";
  const dashboard = await serveDashboard(
    service,
    state,
    { host: "127.0.0.1", port: 0 },
    { token, ownerOnly: true, log, ...options },
  );
  atEnd(() => dashboard.close());
  return { dashboard, service, state, port: Number(new URL(dashboard.url).port), token, logged };
}

export interface Answer {
  /** null: it was none, and the connection is closed. */
  status: number | null;
  text: string;
}

/** Sends bytes, and collects what comes back until the server closes the connection. */
export class Connection {
  readonly socket: Socket;
  received = "";
  readonly closed: Promise<Answer>;

  constructor(port: number, bytes: string | Uint8Array = "") {
    this.socket = connect(port, "127.0.0.1");
    this.socket.setEncoding("latin1").on("data", (text: string) => {
      this.received += text;
    });
    // Reset by a server that has had enough.
    this.socket.on("error", () => undefined);
    this.closed = new Promise((resolve) => {
      this.socket.on("close", () =>
        resolve({
          status:
            Number(
              /^(?:HTTP\/1\.1 100 Continue\r\n\r\n)?HTTP\/1\.1 (\d{3})/.exec(this.received)?.[1] ??
                Number.NaN,
            ) || null,
          text: this.received,
        }),
      );
    });
    if (bytes.length > 0) this.socket.write(bytes);
  }
}
