/**
 * Data sets that this host lacks, fetched from `serve` by their hash: a file at a time, from where an earlier try ended, and believed only
 * when their bytes have that hash. What is half fetched lies beside the data sets, and is gone on with.
 */
import { createHash, randomUUID } from "node:crypto";
import {
  createReadStream,
  createWriteStream,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { setTimeout as sleep } from "node:timers/promises";
import type { Logger } from "pino";
import { DATA_FILES, DATA_HASH, type DataMeta, dataMetaSchema } from "../schema/wire/data.ts";
import type { WorkerConfig } from "../schema/wire/worker.ts";
import { TrainerFailure } from "./trainer-failure.ts";

/** Connections that break are made anew so often in a row without a byte more. */
const TRIES = 5;
const RETRY_MS = 1000;
const ABANDONED_MS = 60_000;

type Config = Pick<WorkerConfig, "data_directory" | "data_server">;

export class DataSets {
  readonly #config: Config;
  readonly #log: Logger;
  readonly #signal: AbortSignal;
  /** By hash: several slots wait for one fetch. */
  readonly #fetching = new Map<string, Promise<void>>();

  constructor(config: Config, log: Logger, signal: AbortSignal) {
    this.#config = config;
    this.#log = log;
    this.#signal = signal;
  }

  /**
   * Resolves when the data set is here, or where there is nobody to fetch it from: then the trainer says that it is missing.
   * @throws TrainerFailure data-missing where it cannot be had, data-mismatch where what was sent is something else
   */
  async ensure(hash: string): Promise<void> {
    const { data_server, data_directory } = this.#config;
    if (data_server === null || !DATA_HASH.test(hash) || existsSync(join(data_directory, hash))) return;
    const fetching = this.#fetching.get(hash) ?? this.#fetch(hash, data_server);
    this.#fetching.set(hash, fetching);
    try {
      await fetching;
    } catch (error) {
      if (error instanceof TrainerFailure) throw error;
      // The disk, most often: it says something of this host, and costs the run nothing.
      throw new TrainerFailure(
        "data-missing",
        `data set ${hash} cannot be kept here: ${(error as Error).message}`,
        false,
      );
    } finally {
      this.#fetching.delete(hash);
    }
  }

  async #fetch(hash: string, server: { url: string; token: string | null }): Promise<void> {
    const { data_directory } = this.#config;
    const partial = takeUp(data_directory, hash);
    this.#log.info({ hash }, `fetching data set ${hash} from ${server.url}`);
    // Small, and the others' sizes follow from it: never gone on with.
    rmSync(join(partial, DATA_FILES.meta), { force: true });
    try {
      for (const name of [DATA_FILES.meta, DATA_FILES.train, DATA_FILES.validation])
        await this.#fetchFile(join(partial, name), `${server.url}/api/data/${hash}/${name}`, server.token);
    } catch (error) {
      leave(partial, data_directory, hash);
      throw error;
    }
    const found = await hashOf(partial);
    if (found !== hash) {
      rmSync(partial, { recursive: true, force: true });
      throw new TrainerFailure(
        "data-mismatch",
        `what ${server.url} sent as data set ${hash} has the hash ${found}; it is fetched again later`,
        false,
      );
    }
    try {
      renameSync(partial, join(data_directory, hash));
    } catch (error) {
      // Another worker of this directory was faster.
      if (!existsSync(join(data_directory, hash))) throw error;
      rmSync(partial, { recursive: true, force: true });
    }
    this.#log.info({ hash }, `data set ${hash} is here, and its bytes have that hash`);
  }

  async #fetchFile(path: string, url: string, token: string | null): Promise<void> {
    for (let tries = 1; ; tries++) {
      const before = sizeOf(path);
      try {
        const headers = {
          ...(token === null ? {} : { authorization: `Bearer ${token}` }),
          ...(before > 0 ? { range: `bytes=${before}-` } : {}),
        };
        const response = await fetch(url, { headers, signal: this.#signal });
        if (!response.ok || response.body === null)
          throw new TrainerFailure(
            "data-missing",
            `${url} answered ${response.status} ${response.statusText}`,
            false,
          );
        const goesOn = response.status === 206;
        const file = createWriteStream(path, { flags: goesOn ? "a" : "w" });
        await pipeline(Readable.fromWeb(response.body as never), file);
        return;
      } catch (error) {
        if (error instanceof TrainerFailure) throw error;
        if (this.#signal.aborted) throw new TrainerFailure("data-missing", "the worker stops", true);
        if (sizeOf(path) > before) tries = 0;
        const { message, cause } = error as Error;
        const why = cause instanceof Error ? cause.message : message;
        if (tries >= TRIES)
          throw new TrainerFailure("data-missing", `${url} cannot be fetched: ${why}`, false);
        this.#log.warn(`fetching ${url} broke off (${why}): it goes on from byte ${sizeOf(path)}`);
        await sleep(RETRY_MS * tries, undefined, { signal: this.#signal }).catch(() => undefined);
      }
    }
  }
}

/** What nobody is fetching at the moment has this name; what somebody is has its own beside it. */
const partialName = (hash: string): string => `.${hash}.fetching`;

/** @returns a directory of this fetch's own: what an earlier one has left, or a new one */
function takeUp(directory: string, hash: string): string {
  mkdirSync(directory, { recursive: true });
  const own = join(directory, `${partialName(hash)}-${randomUUID().slice(0, 8)}`);
  const left = readdirSync(directory).filter((name) => name.startsWith(partialName(hash)));
  for (const name of left.filter(
    (found) => found === partialName(hash) || isAbandoned(join(directory, found)),
  )) {
    try {
      renameSync(join(directory, name), own);
      return own;
    } catch {
      // Another worker of this directory has taken it.
    }
  }
  mkdirSync(own);
  return own;
}

/** Of a worker that was killed: nothing has come for a while. */
function isAbandoned(partial: string): boolean {
  const times = Object.values(DATA_FILES).map(
    (name) => statSync(join(partial, name), { throwIfNoEntry: false })?.mtimeMs ?? 0,
  );
  return Date.now() - Math.max(...times) > ABANDONED_MS;
}

/** For the next fetch to go on with. */
function leave(partial: string, directory: string, hash: string): void {
  try {
    renameSync(partial, join(directory, partialName(hash)));
  } catch {
    // There is another one already.
    rmSync(partial, { recursive: true, force: true });
  }
}

const sizeOf = (path: string): number => statSync(path, { throwIfNoEntry: false })?.size ?? 0;

/** As schema/wire/data.ts says; "none" where the description is none. */
async function hashOf(directory: string): Promise<string> {
  let meta: DataMeta;
  try {
    meta = dataMetaSchema.parse(JSON.parse(readFileSync(join(directory, DATA_FILES.meta), "utf8")));
  } catch {
    return "none";
  }
  const hash = createHash("sha256").update(`${meta.tokenizer}\n${meta.vocab_size}`);
  for (const name of [DATA_FILES.train, DATA_FILES.validation]) {
    const path = join(directory, name);
    hash.update(`\n${sizeOf(path)}\n`);
    for await (const bytes of createReadStream(path)) hash.update(bytes as Buffer);
  }
  return hash.digest("hex").slice(0, meta.hash.length);
}
