/** What differs between plans: the numbers that are not the same in all of them, tensor groups with the same numbers together. */
import { isScriptPlan, type RunPlan } from "../../schema/wire/plan.ts";

type Leaf = string | number | boolean | null;

export interface PlanDifference {
  /** Such as "learning_rate" or "shape.d_model". */
  name: string;
  /** The tensor groups whose number it is; empty where it is the whole model's. */
  groups: string[];
  /** One per plan; undefined where a plan has no such number. */
  values: (Leaf | undefined)[];
}

/** Tensor groups, or a script's roles, by name; and the rest of the plan. */
function partsOf(plan: RunPlan): { groups: Record<string, object>; rest: object } {
  if (isScriptPlan(plan)) {
    const { roles, ...rest } = plan;
    return { groups: roles, rest };
  }
  const { groups, ...rest } = plan;
  return { groups: Object.fromEntries(groups.map(({ name, ...numbers }) => [name, numbers])), rest };
}

/** Names of the tensor groups, or of a script's roles. */
export const groupNames = (plan: RunPlan): string[] => Object.keys(partsOf(plan).groups);

export function comparePlans(plans: readonly RunPlan[]): PlanDifference[] {
  const parts = plans.map(partsOf);
  const whole = parts.map(({ rest }) => leaves(rest));
  const differences: PlanDifference[] = differing(whole).map(({ name, values }) => ({
    name,
    groups: [],
    values,
  }));
  const names = new Set<string>(parts.flatMap(({ groups }) => Object.keys(groups)));
  const together = new Map<string, PlanDifference>();
  for (const group of names) {
    const numbers = parts.map(({ groups }) => leaves(groups[group] ?? {}));
    for (const { name, values } of differing(numbers)) {
      const key = JSON.stringify([name, values]);
      const known = together.get(key);
      if (known) known.groups.push(group);
      else together.set(key, { name, groups: [group], values });
    }
  }
  // One quantity's rows stand together, whatever group they were met in.
  const ofGroups = [...together.values()].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  return [...differences, ...ofGroups];
}

function differing(each: readonly Map<string, Leaf>[]): { name: string; values: (Leaf | undefined)[] }[] {
  const names = new Set(each.flatMap((leavesOf) => [...leavesOf.keys()]));
  return [...names]
    .map((name) => ({ name, values: each.map((leavesOf) => leavesOf.get(name)) }))
    .filter(({ values }) => values.some((value) => value !== values[0]));
}

/** Every leaf under its path. */
function leaves(value: object): Map<string, Leaf> {
  const found = new Map<string, Leaf>();
  const walk = (path: string, at: unknown): void => {
    if (at !== null && typeof at === "object")
      for (const [key, inner] of Object.entries(at)) walk(path === "" ? key : `${path}.${key}`, inner);
    else found.set(path, at as Leaf);
  };
  walk("", value);
  return found;
}
