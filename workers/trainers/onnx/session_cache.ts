/** Compiled graphs by content, so that runs of one shape compile once. */
import { createHash } from "node:crypto";
import { encodeModel } from "./encode.ts";
import type { GraphBuilder } from "./graph.ts";
import { Session } from "./runtime.ts";

/** Memory that sessions may keep between runs. */
const IDLE_BYTES = 128 * 2 ** 20;
/** Of a session besides its tensors: the compiled graph. */
const SESSION_BYTES = 4 * 2 ** 20;

export class SessionCache {
  /** In order of last use. */
  readonly #sessions = new Map<string, { session: Session; bytes: number }>();
  /** That may compute at once. */
  readonly threads: number;

  constructor(threads: number) {
    this.threads = threads;
  }

  /**
   * The session of a graph; valid until the next `trim` or `clear`.
   * @param lanes how many of its bindings may run at once
   */
  get(builder: GraphBuilder, lanes = 1): Session {
    const graph = builder.finish();
    const model = encodeModel(graph);
    // Every run computes on the thread that starts it; what is left of the threads, the lanes share.
    const threads = Math.max(1, this.threads - lanes + 1);
    const key = `${threads} ${createHash("sha256").update(model).digest("hex")}`;
    const entry = this.#sessions.get(key) ?? {
      session: new Session(graph, model, threads),
      bytes: SESSION_BYTES + builder.peakBytes(),
    };
    this.#sessions.delete(key);
    this.#sessions.set(key, entry);
    return entry.session;
  }

  /** Releases the longest unused sessions until the memory of the others fits the limit. No binding may be left. */
  trim(limit = IDLE_BYTES): void {
    let total = [...this.#sessions.values()].reduce((sum, s) => sum + s.bytes, 0);
    for (const [key, { session, bytes }] of this.#sessions) {
      if (total <= limit) return;
      total -= bytes;
      this.#sessions.delete(key);
      session.release();
    }
  }

  clear(): void {
    this.trim(-1);
  }
}
