/** What differs between plans: the numbers that are not the same in all of them, tensor groups with the same numbers together. */
import type { Plan } from "../../schema/plan.ts";

type Leaf = string | number | boolean | null;

export interface PlanDifference {
  /** Such as "learning_rate" or "shape.d_model". */
  name: string;
  /** The tensor groups whose number it is; empty where it is the whole model's. */
  groups: string[];
  /** One per plan; undefined where a plan has no such number. */
  values: (Leaf | undefined)[];
}

export function comparePlans(plans: readonly Plan[]): PlanDifference[] {
  const whole = plans.map(({ groups: _, ...rest }) => leaves(rest));
  const differences: PlanDifference[] = differing(whole).map(({ name, values }) => ({
    name,
    groups: [],
    values,
  }));
  const groupNames = new Set<string>(plans.flatMap((plan) => plan.groups.map((g) => g.name)));
  const together = new Map<string, PlanDifference>();
  for (const group of groupNames) {
    const numbers = plans.map((plan) => {
      const { name: _, ...rest } = plan.groups.find((g) => g.name === group) ?? { name: group };
      return leaves(rest);
    });
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
