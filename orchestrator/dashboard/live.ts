/**
 * Parts of a page that follow the database: a stream of server-sent events, each the new mark-up of one part whose content
 * has changed. The browser's side is in assets/client.js.
 *
 * Nothing is computed while nothing is written. What is costly to compute is computed less often: a stream rests ten times as
 * long as its last look took, times the number of streams, so that all of them together take a tenth of the process's time.
 */
import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { Context as Request } from "hono";
import { streamSSE } from "hono/streaming";
import type { Logger } from "pino";
import { MusweepError } from "../../schema/wire/errors.ts";
import { changeMark } from "../database/changes.ts";
import type { Database } from "../database/open.ts";
import { type Html, html } from "./html.ts";

/** The live parts of a page, by their ids. */
export type Fragments = Record<string, Html>;

/** At once, of all visitors. A page that has none shows how things were, and tries again. */
const MAX_STREAMS = 100;

declare module "hono" {
  interface ContextVariableMap {
    log: Logger;
    /** Streams of this app that are open. */
    streams: { open: number };
  }
}

const REST_MS = 1000;
const REST_FACTOR = 10;
/** Times go on even when nothing is written; and a connection that is silent for long is cut by some proxies. */
const BEAT_MS = 15_000;

/** A live part in its page. It carries a hash, by which the stream knows what the browser has already. */
export async function fragment(id: string, content: Html): Promise<Html> {
  return html`<div id="${id}" data-hash="${hashOf(String(await content))}">${content}</div>`;
}

const hashOf = (text: string): string => createHash("sha256").update(text).digest("base64url").slice(0, 12);

/**
 * Answers with the stream, until the browser goes away.
 * @param render the parts as they are now
 * @throws MusweepError (unavailable) when there are many already
 */
export function streamFragments(
  c: Request,
  db: Database,
  render: () => Fragments | Promise<Fragments>,
): Response {
  // Hono answers HEAD as GET and drops the body: nobody could end the stream.
  if (c.req.method === "HEAD") return c.body(null, 200, { "content-type": "text/event-stream" });
  const streams = c.get("streams");
  if (streams.open >= MAX_STREAMS)
    throw new MusweepError("too-many-streams", `${MAX_STREAMS} pages are followed already`, {
      kind: "unavailable",
      remedy: "Close some of them, or reload this one to see how things are.",
    });
  const known = new Map(
    (c.req.query("have") ?? "").split(",").map((pair) => pair.split(":") as [string, string]),
  );
  // Proxies that buffer would hold events back.
  c.header("x-accel-buffering", "no");
  streams.open++;
  return streamSSE(c, async (stream) => {
    let seen = "";
    let beat = 0;
    const rest = restUntil(stream);
    try {
      while (!stream.aborted && !stream.closed && db.isOpen) {
        const start = performance.now();
        const change = changeMark(db);
        if (change !== seen || start - beat >= BEAT_MS) {
          seen = change;
          beat = start;
          const fragments = await render();
          for (const [id, content] of Object.entries(fragments)) {
            const text = String(await content);
            const hash = hashOf(text);
            if (known.get(id) === hash) continue;
            known.set(id, hash);
            await stream.writeSSE({ event: "fragment", data: JSON.stringify({ id, hash, html: text }) });
          }
          await stream.writeSSE({ event: "beat", data: "" });
        }
        await rest(Math.max(REST_MS, REST_FACTOR * streams.open * (performance.now() - start)));
      }
    } catch (err) {
      // Not for the browser to read, which tries again. What is no longer there is no bug; nor is the end of everything.
      if (!(err instanceof MusweepError) && db.isOpen)
        c.get("log").error({ path: c.req.path, err }, "a stream failed: a bug in musweep");
    } finally {
      streams.open--;
    }
  });
}

/** A sleep that ends when the browser goes away, and none when it has gone. */
function restUntil(stream: { onAbort(listener: () => void): void }): (ms: number) => Promise<void> {
  const gone = new AbortController();
  stream.onAbort(() => gone.abort());
  return (ms) => sleep(ms, undefined, { signal: gone.signal }).catch(() => undefined);
}
