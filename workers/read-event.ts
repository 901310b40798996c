/** A line that a trainer wrote: an event, one that this worker does not know, or what is wrong with it. Never an exception. */
import { TRAINER_EVENTS, type TrainerEvent, trainerEventSchema } from "../schema/wire/protocol.ts";

const SHOWN_CHARACTERS = 120;
const TYPE_CHARACTERS = 60;

type ReadEvent =
  | { event: TrainerEvent }
  /** Its type. */
  | { unknown: string }
  /** To follow "line 7 of its output is". text: it is no JSON at all. */
  | { mistake: string; text?: true };

const cut = (text: string, characters: number): string =>
  text.length > characters ? `${text.slice(0, characters)}…` : text;

export function readEvent(line: string): ReadEvent {
  const shown = JSON.stringify(cut(line, SHOWN_CHARACTERS));
  let json: unknown;
  try {
    json = JSON.parse(line);
  } catch {
    return { mistake: `not JSON: ${shown}`, text: true };
  }
  const parsed = trainerEventSchema.safeParse(json);
  if (parsed.success) return { event: parsed.data };
  const type = typeOf(json);
  if (type !== undefined && !TRAINER_EVENTS.has(type)) return { unknown: cut(type, TYPE_CHARACTERS) };
  const issue = parsed.error.issues[0]!;
  const where = issue.path.length > 0 ? `${issue.path.join(".")}: ` : "";
  return { mistake: `no known event (${cut(`${where}${issue.message}`, SHOWN_CHARACTERS)}): ${shown}` };
}

function typeOf(json: unknown): string | undefined {
  if (typeof json !== "object" || json === null || !("type" in json)) return undefined;
  return typeof json.type === "string" ? json.type : undefined;
}
