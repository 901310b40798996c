/**
 * Parts of a page that follow the database: a stream of server-sent events, each the new mark-up of one part whose content
 * has changed. The browser's side is in assets/client.js.
 *
 * Nothing is computed while nothing is written. What is costly to compute is computed less often: the stream rests ten times
 * as long as the last look took.
 */
import { createHash } from "node:crypto";
import type { Context as Request } from "hono";
import { streamSSE } from "hono/streaming";
import type { Database } from "../database/open.ts";
import { type Html, html } from "./html.ts";

/** The live parts of a page, by their ids. */
export type Fragments = Record<string, Html>;

const REST_MS = 1000;
const REST_FACTOR = 10;
/** Times go on even when nothing is written; and a connection that is silent for long is cut by some proxies. */
const BEAT_MS = 15_000;

/** A live part in its page. It carries a hash, by which the stream knows what the browser has already. */
export async function fragment(id: string, content: Html): Promise<Html> {
  return html`<div id="${id}" data-hash="${hashOf(String(await content))}">${content}</div>`;
}

const hashOf = (text: string): string => createHash("sha256").update(text).digest("base64url").slice(0, 12);

/** A number that changes with every write to the database, by this process or by another. */
function changeCounter({ sqlite }: Database): () => string {
  const own = sqlite.prepare<[], { n: number }>("SELECT total_changes() AS n");
  return () => `${own.get()!.n}.${sqlite.pragma("data_version", { simple: true }) as number}`;
}

/** Answers with the stream, until the browser goes away. @param render the parts as they are now */
export function streamFragments(
  c: Request,
  db: Database,
  render: () => Fragments | Promise<Fragments>,
): Response {
  const known = new Map(
    (c.req.query("have") ?? "").split(",").map((pair) => pair.split(":") as [string, string]),
  );
  const counter = changeCounter(db);
  // Proxies that buffer would hold events back.
  c.header("x-accel-buffering", "no");
  return streamSSE(c, async (stream) => {
    let seen = "";
    let beat = 0;
    const rest = restUntil(stream);
    while (!stream.aborted && !stream.closed && db.sqlite.open) {
      const start = performance.now();
      const change = counter();
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
      await rest(Math.max(REST_MS, REST_FACTOR * (performance.now() - start)));
    }
  });
}

/** A sleep that ends when the browser goes away. */
function restUntil(stream: { onAbort(listener: () => void): void }): (ms: number) => Promise<void> {
  let wake: () => void = () => undefined;
  stream.onAbort(() => wake());
  return (ms) =>
    new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
}
