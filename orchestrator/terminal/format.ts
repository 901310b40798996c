/** Numbers and names as people read them. */

/** "3 min 20 s", "2 h 05 min", "12 s" */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return "?";
  const s = Math.round(seconds);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${String(s % 60).padStart(2, "0")} s`;
  const hours = Math.floor(s / 3600);
  if (hours < 72) return `${hours} h ${String(Math.floor((s % 3600) / 60)).padStart(2, "0")} min`;
  return `${(hours / 24).toFixed(1)} days`;
}

/** "1.62 M", "38.0 M", "4.2 T": three significant digits. */
export function quantity(value: number): string {
  const units = ["", " k", " M", " G", " T", " P", " E"];
  let scaled = value;
  let unit = 0;
  while (Math.abs(scaled) >= 999.5 && unit < units.length - 1) {
    scaled /= 1000;
    unit++;
  }
  return `${Number(scaled.toPrecision(3))}${units[unit]}`;
}

/** "1.62 MFLOPs", "0 B": the same with its unit. */
export function amount(value: number, unit: string): string {
  const text = quantity(value);
  return text.includes(" ") ? `${text}${unit}` : `${text} ${unit}`;
}

/** A fixed number of digits with a real minus sign's width kept ASCII, or "–" for nothing. */
export const fixed = (value: number | null | undefined, digits: number): string =>
  value === null || value === undefined ? "–" : value.toFixed(digits);

export const plural = (n: number, noun: string): string => `${n} ${noun}${n === 1 ? "" : "s"}`;

/** Of a coordinate that is null: nothing is clipped, or it follows from others. */
export const NONE = "none";

/** Significant digits of what is shown in short. */
export const SHORT_DIGITS = 4;
/** No padding zeros. */
export const short = (value: number): string => String(Number(value.toPrecision(SHORT_DIGITS)));
