/**
 * What a run needs of whoever trains it: a trainer, and a device. Each need has a queue of its own; a worker reads the queues of the
 * needs that it can meet, and says in its heartbeat which these are.
 *
 * A need is one word, as it stands in the database and in names of queues: "musweep", "musweep-torch@cuda", "mine@cpu". Before the @
 * is who trains: a trainer, or one engine of the trainer that ships; after it the kind of device, where not any will do.
 */
import { z } from "zod";
import { BUILT_IN_TRAINER, type Plan, trainerNameSchema } from "./plan.ts";

/** The engines of the trainer that ships, as they name themselves in results. Only the second knows GPUs and bfloat16. */
export const ENGINES = ["musweep-cpu", "musweep-torch"] as const;
export type Engine = (typeof ENGINES)[number];
const [EMBEDDED, TORCH] = ENGINES;

/** Kinds of devices; a worker's own are numbered, as PyTorch does it: cuda:0. */
export const DEVICES = ["cpu", "cuda"] as const;
export type DeviceKind = (typeof DEVICES)[number];

export const needSchema = z.string().refine(
  (text) => {
    const { who, device } = partsOf(text);
    return (
      trainerNameSchema.safeParse(who).success && (device === null || DEVICES.some((kind) => kind === device))
    );
  },
  { error: "expected a need, such as musweep or musweep-torch@cuda" },
);
export type Need = string;

/** Where the runs of a sweep, or of a phase of it, are to be trained. */
export interface Placement {
  /** Absent: any. */
  device?: DeviceKind;
  /** Absent: whichever can. */
  engine?: Engine;
}

const needOf = (who: string, device: string | null): Need => (device === null ? who : `${who}@${device}`);

function partsOf(need: Need): { who: string; device: string | null } {
  const at = need.indexOf("@");
  return at < 0 ? { who: need, device: null } : { who: need.slice(0, at), device: need.slice(at + 1) };
}

export const needsGpu = (need: Need): boolean => partsOf(need).device === "cuda";

/** @param plan its trainer and precision */
export function needOfRun(
  { trainer, precision }: Pick<Plan, "trainer" | "precision">,
  { device, engine }: Placement,
): Need {
  const who =
    trainer.name !== BUILT_IN_TRAINER
      ? trainer.name
      : (engine ?? (precision === "float32" ? BUILT_IN_TRAINER : TORCH));
  return needOf(who, device ?? null);
}

/** A trainer that a worker offers, and what on. */
export interface Offer {
  /** Of a trainer as sweeps name it. */
  name: string;
  /** Of the trainer that ships: which engine. */
  engine: Engine | null;
}

/** The needs that a trainer meets on a device, those first that fewer others meet. */
export const needsMet = ({ name, engine }: Offer, device: DeviceKind): Need[] =>
  [engine, name].flatMap((who) => (who === null ? [] : [needOf(who, device), needOf(who, null)]));

export const meets = (offer: Offer, device: DeviceKind, need: Need): boolean =>
  needsMet(offer, device).includes(need);

/** For people: "a cuda worker", "a worker with the trainer mine". */
export function describeNeed(need: Need): string {
  const { who, device } = partsOf(need);
  const worker = device === null ? "a worker" : `a ${device} worker`;
  if (who === BUILT_IN_TRAINER) return worker;
  if (who === EMBEDDED) return `${worker} with the embedded engine`;
  return who === TORCH ? `${worker} with PyTorch` : `${worker} with the trainer ${who}`;
}

/** Whether the embedded engine is to be expected, which alone trains sparse: the one in PyTorch multiplies by masks. */
export function isForEmbedded(need: Need): boolean {
  const { who, device } = partsOf(need);
  return who === EMBEDDED || (who === BUILT_IN_TRAINER && device !== "cuda");
}

/** How a trainer of somebody's own is named by --trainer, where that is known: the option's value as a shell takes it. */
export type TrainerOption = (name: string) => string | undefined;

/** The options that make a worker which meets the need. */
export function workerOptionsFor(need: Need, known: TrainerOption = () => undefined): string {
  const { who, device } = partsOf(need);
  if (isForEmbedded(need)) return "";
  if (who === BUILT_IN_TRAINER) return "--trainer torch";
  const on = device === null ? "" : ` --devices ${device === "cpu" ? "cpu" : "all"}`;
  return `--trainer ${who === TORCH ? "torch" : (known(who) ?? `${who}="COMMAND"`)}${on}`;
}

/** The command that starts a worker which meets the need. */
export const workerCommandFor = (need: Need, known?: TrainerOption): string =>
  ["musweep worker", workerOptionsFor(need, known)].filter(Boolean).join(" ");
