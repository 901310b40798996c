/** When a loop that fails goes on, and when it is broken: what may pass is tried again, what waiting does not mend is not. */
import { MusweepError } from "../../schema/wire/errors.ts";
import { diskError } from "../database/disk-error.ts";
import { redisError, refusesPassword } from "../redis/health.ts";

/** Failures in a row; Redis being away is none, calls wait for it; nor is one whose password was changed, and may be put right. */
const MAX_FAILURES = 5;

export class Failing {
  readonly #database: string;
  #inARow = 0;
  #tell: (error: Error) => void = () => undefined;
  /** Resolves with the last error, in words for people where its cause is known. */
  readonly tooOften = new Promise<Error>((resolve) => {
    this.#tell = resolve;
  });

  /** @param database path of its file, for messages */
  constructor(database: string) {
    this.#database = database;
  }

  again(error: unknown): void {
    if (refusesPassword(error)) return;
    const known =
      error instanceof MusweepError ? error : (redisError(error) ?? diskError(error, this.#database));
    this.#inARow++;
    // Who holds the database lets go of it, most often.
    if ((known !== null && known.code !== "database-busy") || this.#inARow >= MAX_FAILURES)
      this.#tell(known ?? (error instanceof Error ? error : new Error(String(error))));
  }

  stopped(): void {
    this.#inARow = 0;
  }
}
