/** Monotone cubic interpolation (Fritsch & Butland 1984): no overshoot between points, exact at them. */

/** @param points at least two, by rising x; x within their range */
export function monotoneCubic(points: readonly { x: number; y: number }[], x: number): number {
  const last = points.length - 1;
  const width = (i: number) => points[i + 1]!.x - points[i]!.x;
  const slope = (i: number) => (points[i + 1]!.y - points[i]!.y) / width(i);
  /** Weighted harmonic mean of the neighbouring slopes; zero where they change sign; one-sided at the ends. */
  const tangent = (i: number): number => {
    if (i === 0) return slope(0);
    if (i === last) return slope(last - 1);
    const [left, right] = [slope(i - 1), slope(i)];
    if (left * right <= 0) return 0;
    const [a, b] = [2 * width(i) + width(i - 1), width(i) + 2 * width(i - 1)];
    return (a + b) / (a / left + b / right);
  };
  const i = segmentOf(points, x);
  const h = width(i);
  const t = (x - points[i]!.x) / h;
  return (
    points[i]!.y * (1 + 2 * t) * (1 - t) ** 2 +
    points[i + 1]!.y * t * t * (3 - 2 * t) +
    h * (tangent(i) * t * (1 - t) ** 2 + tangent(i + 1) * t * t * (t - 1))
  );
}

/** Index of the point at or below x, never the last one. */
export function segmentOf(points: readonly { x: number }[], x: number): number {
  const above = points.findIndex((p, i) => i > 0 && p.x >= x);
  return (above === -1 ? points.length - 1 : above) - 1;
}
