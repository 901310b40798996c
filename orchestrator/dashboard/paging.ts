/**
 * Lists that the database pages by key: a page begins after the last row of the one before, so the hundredth costs what the
 * first does, and rows that arrive in between shift nothing.
 */
import type { Context as Request } from "hono";
import { type Html, html } from "./html.ts";

/** Values of the columns that order the list, the last of which tells any two rows apart. */
export type Key = readonly (string | number | null)[];

export interface Slice<Row> {
  rows: Row[];
  /** Cursors; null where the list ends. */
  previous: string | null;
  next: string | null;
}

/**
 * One page of a list, as the request's `after` or `before` asks.
 * @param fetch up to `limit` rows behind `from` (null: from the end) in the list's order, or against it when `backward`
 */
export function readSlice<Row>(
  c: Request,
  size: number,
  keyOf: (row: Row) => Key,
  fetch: (from: Key | null, backward: boolean, limit: number) => Row[],
): Slice<Row> {
  const before = decode(c.req.query("before"));
  const after = before === null ? decode(c.req.query("after")) : null;
  const found = fetch(before ?? after, before !== null, size + 1);
  const more = found.length > size;
  const rows = found.slice(0, size);
  if (before !== null) rows.reverse();
  const cursor = (row: Row | undefined): string | null => (row === undefined ? null : encode(keyOf(row)));
  return {
    rows,
    previous: (before !== null ? more : after !== null) ? cursor(rows[0]) : null,
    next: (before !== null ? true : more) ? cursor(rows.at(-1)) : null,
  };
}

const encode = (key: Key): string => Buffer.from(JSON.stringify(key)).toString("base64url");

/** A cursor that is not one of ours is as good as none. */
function decode(cursor: string | undefined): Key | null {
  if (cursor === undefined) return null;
  try {
    const key: unknown = JSON.parse(Buffer.from(cursor, "base64url").toString());
    return Array.isArray(key) && key.every((v) => v === null || ["string", "number"].includes(typeof v))
      ? (key as Key)
      : null;
  } catch {
    return null;
  }
}

/** Links to the neighbouring pages, every other part of the address kept, `at` behind it; nothing when there is one page only. */
export function pager(c: Request, slice: Slice<unknown>, what: string, at = ""): Html | "" {
  if (slice.previous === null && slice.next === null) return "";
  const link = (name: "before" | "after", cursor: string | null, title: string): Html => {
    if (cursor === null) return html`<span class="muted">${title}</span>`;
    const url = new URL(c.req.url);
    for (const other of ["before", "after"]) url.searchParams.delete(other);
    url.searchParams.set(name, cursor);
    return html`<a href="${url.pathname}${url.search}${at}" rel="${name === "after" ? "next" : "prev"}">${title}</a>`;
  };
  return html`<nav class="pager" aria-label="Pages of ${what}">${link("before", slice.previous, "← Previous")} ${link("after", slice.next, "Next →")}</nav>`;
}
