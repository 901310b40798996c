/** Events in files: what is no file of events is refused before it costs anything, and one that grows is taken as far as it went. */
import { execFileSync } from "node:child_process";
import { appendFileSync, closeSync, openSync, truncateSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { collectFile } from "../../../orchestrator/queue/collect-file.ts";
import { Attempt, freshDatabase } from "../../support/database.ts";
import { scratch } from "../../support/scratch.ts";
import { onLinux } from "../../support/tested-where.ts";

/** Enough for the file to change while the first of them are read. */
const EVENTS = 5000;

function eventsFile() {
  const file = join(scratch().directory, "events.jsonl");
  const attempt = new Attempt("r0123456789abcdef0123", 1);
  const line = () => `${JSON.stringify(attempt.claimed())}\n`;
  writeFileSync(file, Array.from({ length: EVENTS }, line).join(""));
  return { db: freshDatabase(), file, line };
}

it.runIf(onLinux("a pipe as a file of events"))("a pipe is refused, rather than waited for", async () => {
  const { db, file } = eventsFile();
  const pipe = `${file}.pipe`;
  execFileSync("mkfifo", [pipe]);
  // For one who waits for a writer.
  const writer = openSync(pipe, "r+");
  onTestFinished(() => closeSync(writer));
  await expect(collectFile(db, pipe)).rejects.toMatchObject({ code: "no-regular-file" });
});

it("a line that does not end is refused as soon as it is too long", async () => {
  const { db, file } = eventsFile();
  const large = `${file}.large`;
  const fd = openSync(large, "w");
  // Longer than any text may be; a hole on the disk.
  writeSync(fd, "x", 2 ** 30);
  closeSync(fd);
  await expect(collectFile(db, large)).rejects.toMatchObject({
    code: "events-file",
    message: `${large}:1: no event of a worker; nothing was collected`,
  });
});

it("what is appended meanwhile is left to the next time, the beginning of a line too", async () => {
  const { db, file, line } = eventsFile();
  const last = line();
  appendFileSync(file, last.slice(0, 20));
  const collecting = collectFile(db, file);
  setImmediate(() => appendFileSync(file, last.slice(20) + line()));
  expect([EVENTS, EVENTS + 2]).toContain((await collecting).events);
  expect(await collectFile(db, file)).toMatchObject({ events: EVENTS + 2 });
});

it("one that is exchanged in the middle of it is refused", async () => {
  const { db, file } = eventsFile();
  const collecting = collectFile(db, file);
  setImmediate(() => truncateSync(file, 100));
  await expect(collecting).rejects.toMatchObject({ code: "events-file" });
});
