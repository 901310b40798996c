/** Asking before something is lost. */
import { createInterface } from "node:readline/promises";
import { MusweepError } from "../../schema/wire/errors.ts";
import { printable } from "../../schema/wire/printable.ts";

/**
 * @param what would happen, a sentence
 * @throws MusweepError (usage) where nobody can be asked, or the answer is not yes: nothing was changed
 */
export async function confirm(what: string, yes: boolean | undefined): Promise<void> {
  if (yes) return;
  if (!process.stdin.isTTY)
    throw new MusweepError("not-confirmed", what, { kind: "usage", remedy: "Add --yes to do it." });
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await terminal.question(printable(`${what}\nGo on? [y/N] `));
    if (!/^y(es)?$/i.test(answer.trim()))
      throw new MusweepError("not-confirmed", "Nothing was changed.", { kind: "usage" });
  } finally {
    terminal.close();
  }
}
