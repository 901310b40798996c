/** Tokenized data sets for workers that see no disk of ours: each file by the set's hash, from any byte on. */
import { type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { DATA_FILES, DATA_HASH } from "../../../../schema/wire/data.ts";
import type { Page } from "../../page.ts";

const NAMES = new Set(Object.values(DATA_FILES));

export const dataPage: Page = {
  mount(app, { state }) {
    app.get("/api/data/:hash/:file", async (c) => {
      const { hash, file } = c.req.param();
      // Both become part of a path.
      const isName = DATA_HASH.test(hash) && NAMES.has(file);
      const handle = isName ? await openIfThere(join(state.data, hash, file)) : undefined;
      if (handle === undefined)
        return c.json(
          { code: "data-missing", message: `there is no ${file} of a data set ${hash} here` },
          404,
        );
      const { size } = await handle.stat();
      const from = Number(/^bytes=(\d+)-$/.exec(c.req.header("range") ?? "")?.[1] ?? 0);
      if (from > size) {
        await handle.close();
        return c.body(null, 416, { "content-range": `bytes */${size}` });
      }
      const headers = {
        "content-type": "application/octet-stream",
        "content-length": String(size - from),
        ...(from > 0 ? { "content-range": `bytes ${from}-${size - 1}/${size}` } : {}),
      };
      // Hono answers HEAD as GET and drops the body: nobody would close the file.
      if (c.req.method === "HEAD") {
        await handle.close();
        return c.body(null, from > 0 ? 206 : 200, headers);
      }
      const bytes = Readable.toWeb(handle.createReadStream({ start: from }));
      return c.body(bytes as ReadableStream, from > 0 ? 206 : 200, headers);
    });
  },
};

async function openIfThere(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
