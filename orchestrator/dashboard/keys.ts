/**
 * What opens the door: the token, and links that log in once. What a terminal shows, and what a browser is started with, must
 * not hold the token itself, because logs are kept and every user of a machine can read another's command lines.
 */
import { randomBytes } from "node:crypto";

export interface Keys {
  token: string;
  /**
   * Whether it is known to this user alone. Then cookies count from this user's own programs only, where that can be told: a
   * browser sends them to every server of a host, on a shared machine to those of other users as well.
   */
  ownerOnly: boolean;
  tickets: Tickets;
}

const KEPT_MS = 3_600_000;
/** Unused ones; beyond, the oldest is worth nothing any more. */
const KEPT = 100;

export class Tickets {
  /** By ticket, until when it is good; oldest first. */
  readonly #good = new Map<string, number>();

  issue(): string {
    const [oldest] = this.#good.keys();
    if (this.#good.size >= KEPT && oldest !== undefined) this.#good.delete(oldest);
    const ticket = randomBytes(24).toString("base64url");
    this.#good.set(ticket, Date.now() + KEPT_MS);
    return ticket;
  }

  isGood(ticket: string): boolean {
    return (this.#good.get(ticket) ?? 0) > Date.now();
  }

  /** Whether it was good; from now on it is not. */
  use(ticket: string): boolean {
    const isGood = this.isGood(ticket);
    this.#good.delete(ticket);
    return isGood;
  }
}
