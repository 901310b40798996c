import { expect, test } from "vitest";
import type { TrainerEvent } from "../../../../schema/wire/protocol.ts";
import { EventLog } from "../../../../workers/trainers/common/event-log.ts";

const evaluation = (step: number): TrainerEvent => ({
  type: "evaluation",
  run: "r0",
  step,
  validation_loss: step / 3,
});
/** Of a deep model: longer than the pieces that others are gathered in. */
const coordinates = (step: number): TrainerEvent => ({
  type: "coordinates",
  run: "r0",
  step,
  modules: Array.from({ length: 1000 }, (_, layer) => ({
    module: "ffn",
    layer,
    size: layer / 3,
    change: null,
  })),
});

test("events come back in order, from the log and from its bytes, however long they are", () => {
  const events = Array.from({ length: 600 }, (_, i) => (i % 300 === 7 ? coordinates(i) : evaluation(i)));
  const log = new EventLog();
  for (const event of events.slice(0, 400)) log.add(event);
  const before = log.bytes();
  const copy = Buffer.concat(before);
  for (const event of events.slice(400)) log.add(event);
  expect([...log]).toEqual(events);
  expect(Buffer.concat(before)).toEqual(copy);

  const again = new EventLog(copy);
  expect([...again]).toEqual(events.slice(0, 400));
  for (const event of events.slice(400)) again.add(event);
  expect([...again]).toEqual(events);
  expect([...new EventLog()]).toEqual([]);
});

test("bytes that are no events are refused", () => {
  expect(() => new EventLog(Buffer.from('{"type":"step"}\n')).check()).toThrow();
  expect(() => new EventLog(Buffer.from(JSON.stringify(evaluation(1)))).check()).toThrow("middle of a line");
});
