/** What a request may bring with it: how much, and what becomes of it when it is not what it says. */
import type { MiddlewareHandler, Context as Request } from "hono";
import { bodyLimit } from "hono/body-limit";
import { HTTPException } from "hono/http-exception";

/** Sweep files and queries are small; anything larger is a mistake. */
const MAX_BYTES = 1 << 20;

/** Before anything of it is read, where it says how long it is; where it does not, when it gets too long. */
export const limitBodies: MiddlewareHandler = bodyLimit({
  maxSize: MAX_BYTES,
  onError: () => {
    throw new HTTPException(413, {
      message:
        "A sweep file, or a query, is at most 1 MB. Name large data by its path in the sweep file's data section.",
    });
  },
});

type Form = Awaited<ReturnType<Request["req"]["parseBody"]>>;

/** @throws HTTPException (400) for one that is cut short or garbled */
export async function readForm(c: Request): Promise<Form> {
  try {
    return await c.req.parseBody();
  } catch (cause) {
    throw new HTTPException(400, { message: "The form that was sent cannot be read.", cause });
  }
}

/** @throws HTTPException (400) for one that is cut short */
export async function readText(c: Request): Promise<string> {
  try {
    return await c.req.text();
  } catch (cause) {
    throw new HTTPException(400, { message: "What was sent cannot be read.", cause });
  }
}
