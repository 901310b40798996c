/**
 * The token of a state directory's dashboard: made once, kept in a file that only its owner can read. Scripts read it there;
 * MUSWEEP_TOKEN, or a file that the user names, goes before it.
 */
import { randomBytes } from "node:crypto";
import { renameSync, rmSync, writeFileSync } from "node:fs";
import { MusweepError } from "../../schema/wire/errors.ts";
import { readRegularSync } from "../../schema/wire/regular-file.ts";
import type { StateDirectory } from "./state-directory.ts";

/** Tokens of other services have a thousand. */
const MAX_BYTES = 1 << 14;

export interface NamedToken {
  /** A file that holds one. */
  tokenFile?: string;
}

/** What the user has named, if anything. @throws MusweepError (usage) when that cannot be used */
export function namedToken({ tokenFile }: NamedToken): string | undefined {
  const { MUSWEEP_TOKEN } = process.env;
  if (tokenFile === undefined) return MUSWEEP_TOKEN || undefined;
  const token = readToken(tokenFile);
  if (token !== undefined) return token;
  throw new MusweepError("token-file", `--token-file: there is no ${tokenFile}`, { kind: "usage" });
}

/**
 * The directory's own token, for who holds its lock. Made when missing, and then it is there whole: a process that is killed in the middle
 * leaves none that is empty, which nobody could log in with.
 */
export function ownToken(state: StateDirectory): string {
  const known = readToken(state.token);
  if (known !== undefined) return known;
  const token = randomBytes(32).toString("base64url");
  const unfinished = `${state.token}.new`;
  rmSync(unfinished, { force: true });
  writeFileSync(unfinished, `${token}\n`, { flag: "wx", mode: 0o600 });
  renameSync(unfinished, state.token);
  return token;
}

/**
 * @returns undefined where there is no such file
 * @throws MusweepError (usage) for one that holds no token, or that is another user's, who then knows it
 */
export function readToken(path: string): string | undefined {
  let text: string;
  try {
    text = readRegularSync(path, MAX_BYTES, ({ uid }) => {
      const own = process.geteuid?.() ?? uid;
      if (uid !== own && uid !== 0 && own !== 0) throw unusable(path, "it belongs to another user");
    });
  } catch (error) {
    if (!(error instanceof MusweepError) || error.code === "token-file") throw error;
    if ((error.cause as NodeJS.ErrnoException | undefined)?.code === "ENOENT") return undefined;
    throw unusable(path, error.message);
  }
  const token = text.trim();
  if (!/^[\x21-\x7e]+$/.test(token)) throw unusable(path, "it holds no token, which is one word of ASCII");
  return token;
}

const unusable = (path: string, why: string): MusweepError =>
  new MusweepError("token-file", `${path} cannot be used: ${why}`, {
    kind: "usage",
    remedy: "Delete it, and musweep makes a new one; or name another with --token-file.",
  });
