/** What a plan makes of every tensor group, as text: the table of `musweep plan FILE --resolved` and of `recommend`. */
import type { ResolvedPlan, ResolvedRow } from "../parameterization/describe-plan.ts";
import { short } from "../terminal/format.ts";
import { type Column, textTable } from "../terminal/table.ts";

const number = (title: string, value: (row: ResolvedRow) => string): Column<ResolvedRow> => ({
  title,
  align: "right",
  value,
});

const COLUMNS: Column<ResolvedRow>[] = [
  { title: "tensor group", value: (r) => r.group },
  { title: "fan-in × fan-out", value: (r) => r.shape ?? "" },
  number("density", (r) => short(r.density)),
  number("WPN", (r) => (r.weights_per_neuron === null ? "–" : short(r.weights_per_neuron))),
  number("init std", (r) =>
    r.init_std === null ? (r.shape === null ? "own" : "gain 1") : short(r.init_std),
  ),
  number("peak LR", (r) => short(r.learning_rate)),
  number("log2", (r) => r.log2_learning_rate.toFixed(2)),
  number("LR ×", (r) => short(r.multiplier)),
  { ...number("decay/step", (r) => short(r.decay_per_step)), ifAny: true },
  number("ε", (r) => short(r.eps)),
];

export function resolvedPlanText({ rows, forward }: ResolvedPlan): string {
  const multipliers = forward
    .filter(({ name, value }) => name !== "blocks ×" || value !== 1)
    .map(({ name, value }) => `${name} ${short(value)}`);
  const isScripts = rows.every(({ shape }) => shape === null);
  const [, shape, , weights] = COLUMNS;
  const columns = isScripts
    ? COLUMNS.filter((column) => column !== shape && column !== weights).with(0, {
        title: "role",
        value: (r) => r.group,
      })
    : COLUMNS;
  return [textTable(columns, rows), "", multipliers.join("   ")].join("\n");
}
