/**
 * The error every part of musweep throws on purpose: a constant code, a message for a person, and the exit code that a
 * command ends with. Anything else that reaches the top is a bug and ends with exit code 70.
 */
export const EXIT_CODES = {
  ok: 0,
  /** The sweep ended, but some of its runs failed or are missing. */
  incomplete: 1,
  /** Bad input: an argument, what is wrong with the file that it names or that there is none, an unknown name. Nothing was changed. */
  usage: 2,
  /** Something that the input needs is not there: Redis, a trainer's program, a data file, a server, a state directory. */
  unavailable: 3,
  /** Another musweep process holds the state directory, or the state is newer than this program. */
  conflict: 4,
  /** A bug in musweep. */
  internal: 70,
  /** Stopped by Ctrl-C or SIGTERM; what was done is kept. */
  interrupted: 130,
} as const;

export type ErrorKind = Exclude<keyof typeof EXIT_CODES, "ok" | "internal">;

export class MusweepError extends Error {
  override readonly name = "MusweepError";
  /** Stable, for scripts: "sweep-file", "redis-unreachable", … */
  readonly code: string;
  readonly kind: ErrorKind;
  /** What the reader can do about it, one sentence. */
  readonly remedy: string | undefined;

  constructor(code: string, message: string, options: { kind: ErrorKind; remedy?: string; cause?: unknown }) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.code = code;
    this.kind = options.kind;
    this.remedy = options.remedy;
  }

  get exitCode(): number {
    return EXIT_CODES[this.kind];
  }
}
