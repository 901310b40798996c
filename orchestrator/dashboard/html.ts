/**
 * Mark-up of pages: html`…` escapes every value, so a name from a sweep file can never be more than a name. What the
 * report's figures and tables have written, which escapes by its own type, is embedded as it is.
 */
import { html, raw } from "hono/html";
import type { Markup } from "../report/figures/markup.ts";

export { html };

export type Html = ReturnType<typeof html>;

export const embed = (markup: Markup | readonly Markup[]): Html =>
  raw(typeof markup === "string" ? markup : markup.join(""));
