/** The cells of a sweep whose trainer trains the model that ships: their plans are known to be of tensor groups. */
import type { Cell } from "../../orchestrator/sweep/expand-sweep.ts";
import { modelPlan, type Plan } from "../../schema/wire/plan.ts";

export const modelCells = (cells: Iterable<Cell>): (Cell & { plan: Plan })[] =>
  Array.from(cells, (cell) => ({ ...cell, plan: modelPlan(cell.plan) }));
