import type { Value } from "../database/query.ts";

/** A value of a query as a table shows it: numbers with seven significant digits. */
export const shown = (value: Value): string =>
  value === null
    ? ""
    : typeof value === "number" && !Number.isInteger(value)
      ? String(Number(value.toPrecision(7)))
      : String(value);
