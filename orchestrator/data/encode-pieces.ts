/**
 * Pieces of text to their tokens, in order: in this thread, or, where there is much to do, in a thread for every processor. Little is
 * held at once, whatever the source.
 */
import { availableParallelism } from "node:os";
import { setImmediate } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import type { Tokenizer } from "./spec.ts";
import { loadTokenizer, type Piece, type TextEncoding } from "./tokenizers.ts";

export interface Encoder {
  encoding: TextEncoding;
  encode(pieces: readonly Piece[]): Promise<Uint16Array[]>;
  /** Calls of `encode` that go on at the same time. */
  atOnce: number;
  close(): Promise<unknown>;
}

/** To a thread, and back. */
export interface PiecesToEncode {
  pieces: readonly Piece[];
}
export interface EncodedPieces {
  tokens?: Uint16Array[];
  error?: unknown;
}

/** Below this, starting threads, each with a table of merges of its own, takes longer than it saves. */
const THREADS_FROM_BYTES = 16 << 20;
const MOST_THREADS = 16;
/** Characters or bytes that are encoded together: a message to a thread, or the time between two looks at what else is to be done. */
const BATCH_LENGTH = 1 << 18;

/** @param bytes of the source, as they lie on disk */
export async function openEncoder(tokenizer: Tokenizer, bytes: number): Promise<Encoder> {
  const encoding = await loadTokenizer(tokenizer);
  if (encoding.isSlow && bytes >= THREADS_FROM_BYTES)
    return inThreads(encoding, Math.min(MOST_THREADS, availableParallelism()));
  return {
    encoding,
    encode: async (pieces) => {
      await setImmediate();
      return pieces.map(encoding.encode);
    },
    atOnce: 1,
    close: async () => undefined,
  };
}

function inThreads(encoding: TextEncoding, count: number): Encoder {
  const threads = Array.from({ length: count }, startThread);
  return {
    encoding,
    encode: (pieces) => threads.reduce((a, b) => (b.waiting() < a.waiting() ? b : a)).encode(pieces),
    atOnce: 2 * count,
    close: () => Promise.all(threads.map((thread) => thread.close())),
  };
}

/** From source (through tsx, which a thread has to ask for by itself) and from dist/ alike. */
function startProgram(): Worker {
  if (!import.meta.url.endsWith(".ts")) return new Worker(new URL("./encode-thread.js", import.meta.url));
  const program = JSON.stringify(new URL("./encode-thread.ts", import.meta.url).href);
  return new Worker(
    `import("tsx/esm/api").then(({ register }) => { register(); return import(${program}); });`,
    { eval: true },
  );
}

function startThread() {
  const worker = startProgram();
  /** In the order in which it answers. */
  const asked: { resolve(tokens: Uint16Array[]): void; reject(error: unknown): void }[] = [];
  worker.on("message", ({ tokens, error }: EncodedPieces) => {
    const question = asked.shift()!;
    if (tokens === undefined) question.reject(error);
    else question.resolve(tokens);
  });
  worker.on("error", (error) => {
    for (const { reject } of asked.splice(0)) reject(error);
  });
  return {
    waiting: () => asked.length,
    encode: (pieces: readonly Piece[]) =>
      new Promise<Uint16Array[]>((resolve, reject) => {
        asked.push({ resolve, reject });
        worker.postMessage({ pieces } satisfies PiecesToEncode);
      }),
    close: () => worker.terminate(),
  };
}

/** Each with the tokens of its piece, in their order. */
export async function* encodeInOrder<Item extends { piece: Piece }>(
  items: AsyncIterable<Item>,
  encoder: Encoder,
): AsyncGenerator<{ item: Item; tokens: Uint16Array }> {
  const begun: { batch: Item[]; encoded: Promise<Uint16Array[]> }[] = [];
  const begin = (batch: Item[]): void => {
    const encoded = encoder.encode(batch.map(({ piece }) => piece));
    // Whoever waits for it is told; where nobody does any more, nobody cares.
    encoded.catch(() => undefined);
    begun.push({ batch, encoded });
  };
  async function* take(atMost: number): AsyncGenerator<{ item: Item; tokens: Uint16Array }> {
    while (begun.length > atMost) {
      const { batch, encoded } = begun.shift()!;
      const tokens = await encoded;
      for (const [i, item] of batch.entries()) yield { item, tokens: tokens[i]! };
    }
  }
  let batch: Item[] = [];
  let length = 0;
  for await (const item of items) {
    batch.push(item);
    length += item.piece.length;
    if (length < BATCH_LENGTH) continue;
    begin(batch);
    [batch, length] = [[], 0];
    yield* take(encoder.atOnce - 1);
  }
  begin(batch);
  yield* take(0);
}
