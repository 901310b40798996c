/** Numbers and names as the figures and tables write them. */
import { HYPERPARAMETER_NAMES, rowOf } from "../../../schema/sweep/hyperparameters.ts";

const labelOf = (name: string): string =>
  HYPERPARAMETER_NAMES.filter((known) => known === name).map((known) => rowOf(known).label)[0] ?? name;

/** "3/4", "63/64" where the density is a power of two, as in the paper; else up to five decimals. */
export function sparsityLabel(sparsity: number): string {
  if (sparsity === 0) return "0";
  const inverse = 1 / (1 - sparsity);
  const power = Math.log2(inverse);
  if (Math.abs(power - Math.round(power)) < 1e-9 && power <= 12) {
    const n = Math.round(inverse);
    return `${n - 1}/${n}`;
  }
  return String(Number(sparsity.toFixed(5)));
}

/** A true minus sign, as wide as the digits. */
export const decimal = (value: number, digits: number): string =>
  value
    .toFixed(digits)
    .replace(/^-(?=0(\.0*)?$)/, "")
    .replace("-", "−");

export const signedDecimal = (value: number, digits: number): string => {
  const written = decimal(value, digits);
  return written.startsWith("−") || Number(written) === 0 ? written : `+${written}`;
};

/** "init_std 0.0866", "width 256", "LR 0.0055": short enough to stand beside a panel's title. */
export const coordinateLabel = (name: string, value: unknown): string =>
  `${labelOf(name)} ${typeof value === "number" ? String(Number(value.toPrecision(4))) : String(value ?? "–")}`;

/** ", width 256"; nothing where imported results do not say it. */
export const widthWords = (width: number): string => (width > 0 ? `, width ${width}` : "");

/** What losses are in, in brackets: of the model that ships it is known; of somebody's own, and of what was trained elsewhere, it is not. */
export const lossUnit = ({ isKnown }: { isKnown: boolean }): string => (isKnown ? " (nats per token)" : "");
