/** A state directory is its owner's alone, whatever the umask, and whatever was open in it before. */

import { execFileSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, relative } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { openDatabase } from "../../../orchestrator/database/open.ts";
import { openState } from "../../../orchestrator/machine/open-state.ts";
import { namedToken, ownToken, readToken } from "../../../orchestrator/machine/token.ts";
import { sqliteOf } from "../../support/database.ts";
import { scratch } from "../../support/scratch.ts";
import { asRoot } from "../../support/tested-where.ts";

const RUN = `r${"0".repeat(20)}`;
const HASH = "0".repeat(32);

function underUmask(umask: number): void {
  const before = process.umask(umask);
  onTestFinished(() => void process.umask(before));
}

/** Files with their directories, everything open to everybody. */
function make(root: string, ...files: string[]): void {
  for (const file of files) {
    const path = join(root, file);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, "x");
    chmodSync(path, 0o644);
    for (let at = dirname(path); at.startsWith(root); at = dirname(at)) chmodSync(at, 0o755);
  }
}

/** What others may read or enter. */
function open(root: string, at = root): string[] {
  const info = lstatSync(at);
  const inside = info.isDirectory() ? readdirSync(at).flatMap((name) => open(root, join(at, name))) : [];
  return [...((info.mode & 0o077) === 0 || info.isSymbolicLink() ? [] : [relative(root, at)]), ...inside];
}

const modeOf = (path: string): string => (statSync(path).mode & 0o777).toString(8);

describe("a state directory", () => {
  it("is made closed under any umask, and so is all that is made in it", () => {
    underUmask(0);
    const root = join(scratch().directory, "a", "state");
    const state = openState({ dir: root });
    const db = openDatabase(state.database);
    sqliteOf(db).exec("CREATE TABLE t (x)");
    ownToken(state);
    mkdirSync(join(state.data, "index"), { recursive: true });
    writeFileSync(join(state.data, "index", "x.json"), "{}");
    expect(readdirSync(root)).toEqual(
      expect.arrayContaining(["musweep.db", "musweep.db-wal", "token", "data"]),
    );
    expect(open(root)).toEqual([]);
    db.close();
  });

  it("of an older version is closed with all in it", () => {
    underUmask(0o022);
    const root = join(scratch().directory, "state");
    make(
      root,
      "musweep.db",
      "musweep.db-wal",
      "logs/worker.log",
      "redis/appendonlydir/appendonly.aof.1.incr.aof",
      `data/${HASH}/train.bin`,
      "data/sources/x.json",
      `checkpoints/${RUN}/step-1.safetensors`,
      `weights/${RUN}.safetensors`,
    );
    chmodSync(join(root, "musweep.db"), 0o666);
    openState({ dir: root });
    expect(open(root)).toEqual([]);
    expect(modeOf(join(root, `data/${HASH}/train.bin`))).toBe("600");
    expect(modeOf(join(root, "data"))).toBe("700");
    // A single file that was opened again is closed again.
    chmodSync(join(root, "musweep.db"), 0o644);
    openState({ dir: root });
    expect(open(root)).toEqual([]);
  });

  it("that holds other things as well leaves those as they are, and closes what is musweep's", () => {
    underUmask(0o022);
    const root = join(scratch().directory, "project");
    make(root, "notes.txt", "figures/a.svg", "musweep.db", `data/${HASH}/train.bin`, "data/my-corpus.txt");
    openState({ dir: root });
    expect(open(root).sort()).toEqual([
      "",
      "data",
      "data/my-corpus.txt",
      "figures",
      "figures/a.svg",
      "notes.txt",
    ]);
  });

  it("is never one that is for all users, such as /tmp", () => {
    underUmask(0o022);
    const { directory } = scratch();
    chmodSync(directory, 0o1777);
    openState({ dir: directory });
    expect(statSync(directory).mode & 0o7777).toBe(0o1777);
  });

  it("shared: the same rule, for data, checkpoints and weights", () => {
    underUmask(0o022);
    const { directory } = scratch();
    const shared = join(directory, "shared");
    make(shared, "somebodys.txt", `data/${HASH}/train.bin`, `checkpoints/${RUN}/x`, "weights/a-paper.pdf");
    openState({ dir: join(directory, "state"), shared });
    expect(open(shared).sort()).toEqual(["", "somebodys.txt", "weights", "weights/a-paper.pdf"]);
  });

  it("follows no link to what lies elsewhere, but may lie elsewhere itself", () => {
    underUmask(0o022);
    const { directory } = scratch();
    make(directory, "elsewhere/file", `disk/${HASH}/train.bin`);
    const root = join(directory, "state");
    mkdirSync(root);
    symlinkSync(join(directory, "elsewhere", "file"), join(root, "token"));
    symlinkSync(join(directory, "disk"), join(root, "data"));
    openState({ dir: root });
    expect(modeOf(join(directory, "elsewhere", "file"))).toBe("644");
    expect(open(join(directory, "disk"))).toEqual([]);
  });

  it("where a file is in the way is an error that says so", () => {
    underUmask(0o022);
    const { directory } = scratch();
    make(directory, "file");
    expect(() => openState({ dir: join(directory, "file") })).toThrow(
      expect.objectContaining({ code: "state-directory", kind: "unavailable" }),
    );
  });

  // Only root can give a file away.
  it.runIf(asRoot("a state directory of another user"))(
    "of another user is refused, and so is his token",
    () => {
      underUmask(0o022);
      const { directory } = scratch();
      const root = join(directory, "state");
      make(root, "token");
      chownSync(root, 65_534, 65_534);
      chownSync(join(root, "token"), 65_534, 65_534);
      chmodSync(directory, 0o755);
      process.seteuid!(1);
      try {
        expect(() => openState({ dir: root })).toThrow(
          expect.objectContaining({ code: "state-owner", kind: "conflict" }),
        );
        expect(() => readToken(join(root, "token"))).toThrow(/belongs to another user/);
      } finally {
        process.seteuid!(0);
      }
    },
  );
});

describe("a token", () => {
  it("is made once, long, and kept closed", () => {
    underUmask(0);
    const state = openState({ dir: scratch().directory });
    const token = ownToken(state);
    expect(token).toMatch(/^[\w-]{43}$/);
    expect(modeOf(state.token)).toBe("600");
    expect([ownToken(state), readToken(state.token)]).toEqual([token, token]);
  });

  it("is made anew where a process was killed in the middle of it", () => {
    underUmask(0);
    const state = openState({ dir: scratch().directory });
    const unfinished = `${state.token}.new`;
    writeFileSync(unfinished, "");
    expect(ownToken(state)).toMatch(/^[\w-]{43}$/);
    expect([modeOf(state.token), existsSync(unfinished)]).toEqual(["600", false]);
  });

  it.each<[what: string, make: (at: string) => void, says: RegExp]>([
    ["a pipe", (at) => void execFileSync("mkfifo", [at]), /a pipe/],
    ["a device without end", (at) => symlinkSync("/dev/zero", at), /a device/],
    ["a directory", (at) => mkdirSync(at), /a directory/],
    ["a large file", (at) => writeFileSync(at, "a".repeat(1 << 20)), /larger than/],
  ])("is not read from %s", (_, make, says) => {
    underUmask(0o077);
    const state = openState({ dir: scratch().directory });
    make(state.token);
    const refused = expect.objectContaining({
      code: "token-file",
      kind: "usage",
      message: expect.stringMatching(says),
    });
    expect(() => ownToken(state)).toThrow(refused);
    expect(() => namedToken({ tokenFile: state.token })).toThrow(refused);
  });

  it("of a file that holds none is an error that says what to do", () => {
    underUmask(0o077);
    const state = openState({ dir: scratch().directory });
    expect(readToken(state.token)).toBeUndefined();
    for (const text of ["", "\n", "two words", "Schlüssel"]) {
      writeFileSync(state.token, text);
      expect(() => ownToken(state)).toThrow(expect.objectContaining({ code: "token-file", kind: "usage" }));
    }
  });
});
