/** Which files a sweep may name that comes over HTTP: asked as a submitter asks, over the real cache and real files. */
import { existsSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { prepareData } from "../../../orchestrator/data/prepare.ts";
import { prepareRemoteData } from "../../../orchestrator/submission/remote-data.ts";
import { dataSchema } from "../../../schema/sweep/sweep.ts";
import { gridText } from "../../support/database.ts";
import { scratch } from "../../support/scratch.ts";
import { openApp } from "../dashboard/start-app.ts";

const TEXT = "All happy families are alike; each unhappy family is unhappy in its own way.\n".repeat(200);

/** root/open.txt, root/folder/deep.txt, and beside the root secret.txt. */
function files() {
  const { directory } = scratch();
  const root = join(directory, "root");
  mkdirSync(join(root, "folder"), { recursive: true });
  for (const name of ["root/open.txt", "root/folder/deep.txt", "secret.txt"])
    writeFileSync(join(directory, name), `${name}\n${TEXT}`);
  const app = (dataRoot?: string) => openApp(undefined, undefined, undefined, dataRoot);
  return { directory, root, secret: join(directory, "secret.txt"), app };
}

async function submit({ app }: ReturnType<typeof openApp>, data: string) {
  const body = gridText({ rates: "[0.01]" }).replace("{ corpus: moby-dick }", data);
  const response = await app.request("/api/sweeps", {
    method: "POST",
    body,
    headers: { "content-type": "application/yaml" },
  });
  const answer = (await response.json()) as { code?: string; message?: string; remedy?: string };
  return { status: response.status, ...answer };
}

const file = (path: string): string => `{ file: ${JSON.stringify(path)}, tokenizer: bytes }`;

const refused = { status: 422, code: "data-not-allowed", remedy: expect.stringContaining("--data-root DIR") };

describe("without --data-root", () => {
  it("a shipped corpus may be named", async () => {
    expect(await submit(files().app(), "{ corpus: moby-dick }")).toMatchObject({ status: 201 });
  });

  it("no file may, whether or not it exists, and nothing of it is kept", async () => {
    const { directory, secret, root, app } = files();
    const asked = app();
    const messages = new Set<string>();
    symlinkSync("/dev/zero", join(directory, "endless.txt"));
    for (const path of [
      secret,
      join(root, "open.txt"),
      join(directory, "missing.txt"),
      join(directory, "endless.txt"),
      "open.txt",
      "secret.txt/x.txt",
      "/etc/passwd.txt",
    ]) {
      const { message, ...rest } = await submit(asked, file(path));
      expect([path, rest]).toEqual([path, refused]);
      messages.add(message!.replace(path, "PATH"));
    }
    expect(messages.size).toBe(1);
    expect(existsSync(join(asked.state.data, "index"))).toBe(false);
    expect(asked.logged).toEqual([]);
  });

  it("a relative path is said to be looked up nowhere", async () => {
    const { remedy } = await submit(files().app(), file("open.txt"));
    expect(remedy).toMatch(/has no --data-root: it looks up no relative path, neither beside your file nor /);
  });

  it("a file may that was prepared on the server, and as it was then", async () => {
    const { secret, app } = files();
    const asked = app();
    const spec = dataSchema.parse({ file: secret, tokenizer: "bytes" });
    await prepareData(spec, { cacheDirectory: asked.state.data });
    expect(await submit(asked, file(secret))).toMatchObject({ status: 201 });
    // Not with other settings, and not what it has become.
    expect(await submit(asked, file(secret).replace("bytes", "gpt2"))).toMatchObject(refused);
    writeFileSync(secret, `changed\n${TEXT}`);
    expect(await submit(asked, file(secret))).toMatchObject(refused);
  });
});

describe("with --data-root", () => {
  it("files in it may be named, by paths relative to it too", async () => {
    const { root, app } = files();
    const asked = app(root);
    for (const path of [
      "open.txt",
      "./folder/deep.txt",
      "folder/../open.txt",
      join(root, "folder", "deep.txt"),
    ])
      expect([path, await submit(asked, file(path))]).toEqual([
        path,
        expect.objectContaining({ status: 201 }),
      ]);
    const missing = await submit(asked, file("folder/missing.txt"));
    expect(missing).toMatchObject({ status: 503, code: "data-missing" });
    expect(missing.remedy).toContain(
      `relative paths are looked up in the server's --data-root (${root}), not beside your file`,
    );
  });

  it("no path leads out of it, by dots or by links, and none says what exists outside", async () => {
    const { directory, root, secret, app } = files();
    symlinkSync(secret, join(root, "link.txt"));
    symlinkSync(directory, join(root, "up"));
    symlinkSync(join(directory, "missing.txt"), join(root, "nowhere.txt"));
    symlinkSync("loop.txt", join(root, "loop.txt"));
    const asked = app(root);
    for (const path of [
      secret,
      "../secret.txt",
      "folder/../../secret.txt",
      `${root}-beside/x.txt`,
      "link.txt",
      "up/secret.txt",
      "up/missing.txt",
      "nowhere.txt",
      "loop.txt",
      "open.txt/x.txt",
      `${"x/".repeat(3000)}x.txt`,
    ])
      expect([path, await submit(asked, file(path))]).toEqual([path, expect.objectContaining(refused)]);
    const tokens = (validation: string) =>
      `{ tokens: t.bin, vocab_size: 256, validation_tokens: ${validation} }`;
    writeFileSync(join(root, "t.bin"), Buffer.alloc(4000));
    expect(await submit(asked, tokens("../secret.bin"))).toMatchObject(refused);
  });

  it("no pattern leads out of it, by dots or by links, and none says what exists outside", async () => {
    const { directory, root, secret, app } = files();
    symlinkSync(secret, join(root, "link.txt"));
    symlinkSync(directory, join(root, "up"));
    symlinkSync(join(directory, "missing.txt"), join(root, "nowhere.txt"));
    const asked = app(root);
    const matching = (pattern: string) => submit(asked, `{ files: "${pattern}", tokenizer: bytes }`);
    for (const pattern of [
      "../*.txt",
      "{..,.}/*.txt",
      "*/../../*.txt",
      // In YAML two of them are one.
      "\\\\.\\\\./secret*",
      "up",
      // The same words whether or not there is something.
      "up/secret*.txt",
      "up/missing*.txt",
      "\\\\up/missing*.txt",
      "link.txt",
      "nowhere.txt",
      join(root, "up", "secret*.txt"),
      join(root, "up", "missing*.txt"),
      join(root, "\\\\up", "secret*.txt"),
      join(root, "\\\\up", "missing*.txt"),
      join(root, "up/"),
      join(root, "*", "..", "..", "secret.txt"),
      join(directory, "*.txt"),
    ])
      expect([pattern, await matching(pattern)]).toEqual([pattern, expect.objectContaining(refused)]);
    // Links match nothing.
    expect(await matching("{link.txt,up/*.txt}")).toMatchObject({ code: "data-missing" });
    expect(await matching("{open,folder/deep}.txt")).toMatchObject({ status: 201 });
    for (const pattern of [".", "**/*.txt", join(root, "{open,folder/deep}.txt"), `${root}/`])
      expect([pattern, await matching(pattern)]).toEqual([pattern, expect.objectContaining({ status: 201 })]);
  });

  it("a link that is exchanged after it was looked at leads out of it no more than another", async () => {
    const { directory, root, secret } = files();
    const cacheDirectory = join(directory, "cache");
    /** The signal is asked between the look at a path and its opening. */
    const exchanging = (how: () => void): AbortSignal =>
      Object.assign(new AbortController().signal, { throwIfAborted: how });
    const prepare = (data: object, signal: AbortSignal) =>
      prepareRemoteData(dataSchema.parse({ ...data, tokenizer: "bytes" }), root, { cacheDirectory, signal });
    const target = join(root, "open.txt");
    const toSecret = exchanging(() => {
      rmSync(target);
      symlinkSync(secret, target);
    });
    for (const data of [{ file: "open.txt" }, { files: "*.txt" }]) {
      rmSync(target);
      writeFileSync(target, TEXT);
      await expect(prepare(data, toSecret)).rejects.toMatchObject({ code: "data-not-allowed" });
    }
    const folder = join(root, "folder");
    const toOutside = exchanging(() => {
      rmSync(folder, { recursive: true });
      symlinkSync(directory, folder);
    });
    writeFileSync(join(directory, "deep.txt"), TEXT);
    await expect(prepare({ file: "folder/deep.txt" }, toOutside)).rejects.toMatchObject({
      code: "data-not-allowed",
    });
    expect(existsSync(join(cacheDirectory, "index"))).toBe(false);
  });

  it("itself may be reached by a link, and may be missing without any harm", async () => {
    const { directory, root, app } = files();
    symlinkSync(root, join(directory, "alias"));
    expect(await submit(app(join(directory, "alias")), file("open.txt"))).toMatchObject({ status: 201 });
    expect(await submit(app(join(directory, "no-such")), file("open.txt"))).toMatchObject(refused);
  });
});
