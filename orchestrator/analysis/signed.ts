/** "+0.3", "-1.0"; never "-0.0" */
export function signed(value: number, digits: number): string {
  const written = value.toFixed(digits);
  return Number(written) < 0 ? written : `+${written.replace("-", "")}`;
}
