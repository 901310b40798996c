/**
 * Runs people's queries beside the server: each in a process of its own that is ended when it takes too long, needs too much
 * memory, or nobody waits for it any more. The server's own thread only passes rows on.
 */
import { MusweepError } from "../../schema/wire/errors.ts";
import { type LimitedProcess, startLimited } from "../machine/limited-process.ts";
import { type PlainValue, type QueryRequest, queryLineSchema } from "./query-messages.ts";

/** At once; more would only take turns on the cores that train. */
const QUERIES_AT_ONCE = 2;
const MEMORY_BYTES = 512 * 2 ** 20;

export interface RunningQuery {
  columns: string[];
  /** Ends with whether the request's caps cut it short. @throws MusweepError, also in the middle */
  rows: AsyncGenerator<PlainValue[], "complete" | "capped">;
  /** Of the query so far, in seconds. */
  elapsed(): number;
}

export interface QueryRunner {
  /**
   * Resolves once the query's columns are known.
   * @throws MusweepError: a mistake in the query, too slow, too large, too many at once
   */
  run(
    request: Omit<QueryRequest, "database">,
    limits: { seconds: number; signal?: AbortSignal },
  ): Promise<RunningQuery>;
  /** Ends what is running. */
  close(): void;
}

export function createQueryRunner(database: string): QueryRunner {
  const running = new Set<() => void>();
  return {
    async run(request, { seconds, signal }) {
      if (running.size >= QUERIES_AT_ONCE)
        throw new MusweepError("sql-busy", `${QUERIES_AT_ONCE} queries are running already`, {
          kind: "unavailable",
          remedy: "Try again in a moment, or use `musweep sql` on the machine itself.",
        });
      const child = startProcess({ ...request, database }, seconds);
      running.add(child.stop);
      void child.ended.then(() => running.delete(child.stop));
      if (signal?.aborted) child.stop();
      signal?.addEventListener("abort", child.stop);
      void child.ended.then(() => signal?.removeEventListener("abort", child.stop));
      try {
        const first = await child.next();
        if (typeof first !== "object" || !("columns" in first)) throw new Error("a query has columns first");
        return { columns: first.columns, rows: rowsOf(child), elapsed: child.elapsed };
      } catch (error) {
        child.stop();
        throw error;
      }
    },
    close() {
      for (const stop of running) stop();
    },
  };
}

async function* rowsOf(child: QueryProcess): AsyncGenerator<PlainValue[], "complete" | "capped"> {
  try {
    while (true) {
      const line = await child.next();
      if (Array.isArray(line)) yield line;
      else if ("end" in line) return line.end;
    }
  } finally {
    child.stop();
  }
}

type QueryLine = Exclude<ReturnType<typeof queryLineSchema.parse>, { error: unknown }>;

interface QueryProcess extends Pick<LimitedProcess, "stop" | "ended" | "elapsed"> {
  /** @throws MusweepError when the query, or its process, has failed */
  next(): Promise<QueryLine>;
}

function startProcess(request: QueryRequest, seconds: number): QueryProcess {
  const child = startLimited("../sql/query-program", JSON.stringify(request), {
    seconds,
    memoryBytes: MEMORY_BYTES,
    tooSlow: () => tooSlow(seconds),
    tooLarge,
    broken: stopped,
  });
  return {
    ...child,
    async next() {
      const parsed = queryLineSchema.parse(await child.next());
      if (!Array.isArray(parsed) && "error" in parsed) {
        const { code, message, kind, remedy } = parsed.error;
        throw new MusweepError(code, message, { kind, ...(remedy === undefined ? {} : { remedy }) });
      }
      return parsed;
    },
  };
}

const tooSlow = (seconds: number): MusweepError =>
  new MusweepError("sql-time", `the query was interrupted after ${seconds} s`, {
    kind: "usage",
    remedy: "Ask for less, such as one sweep or one run; `musweep sql` has no time limit.",
  });

const tooLarge = (): MusweepError =>
  new MusweepError(
    "sql-memory",
    `the query was interrupted: it needed more than ${MEMORY_BYTES / 2 ** 20} MiB`,
    {
      kind: "usage",
      remedy: "Ask for less at a time; `musweep sql` has no memory limit.",
    },
  );

const stopped = (complaint: string): MusweepError =>
  new MusweepError("sql-stopped", `the query's process ended early${complaint ? `: ${complaint}` : ""}`, {
    kind: "unavailable",
    remedy: "Run it again, or with `musweep sql`.",
  });
