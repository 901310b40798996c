/** The training curves' picture: points where the numbers say, what leaves the axis marked, names as text. */
import { describe, expect, it } from "vitest";
import { standalone } from "../../../../orchestrator/report/figures/frame.ts";
import {
  type TrainingCurve,
  trainingFigure,
} from "../../../../orchestrator/report/figures/training-figure.ts";
import { parseXml } from "./parse.ts";

const curve = (over: Partial<TrainingCurve> = {}): TrainingCurve => ({
  run: "r1",
  title: "SμPar d128",
  unit: " (nats per token)",
  steps: 100,
  points: [
    { step: 1, train_loss: 5, validation_loss: null, gradient_norm: 2 },
    { step: 50, train_loss: 3, validation_loss: 3.2, gradient_norm: 0.5 },
    { step: 100, train_loss: 2, validation_loss: 2.25, gradient_norm: 0.1 },
  ],
  resumed: [],
  diverged_at: null,
  ...over,
});

const VIEW = { metric: null, isLog: false, withStart: true, smooth: 1, from: 0, to: null };
const OPTIONS = { id: "training", width: 800, view: VIEW };
const drawn = (...curves: TrainingCurve[]) => parseXml(standalone(trainingFigure(curves, OPTIONS)!, "both"));
const seen = (view: Partial<typeof VIEW>, one = curve()) =>
  parseXml(standalone(trainingFigure([one], { ...OPTIONS, view: { ...VIEW, ...view } })!, "both"));

const lineOf = (elements: ReturnType<typeof drawn>, n = 0): [number, number][] => {
  const lines = elements.filter((e) => e.name === "path" && e.attributes.class === "line thin");
  return [...lines[n]!.attributes.d!.matchAll(/([-\d.]+),([-\d.]+)/g)].map(([, x, y]) => [
    Number(x),
    Number(y),
  ]);
};

describe("the training figure", () => {
  it("puts steps and losses on linear axes", () => {
    const [a, b, c] = lineOf(drawn(curve()));
    // Steps 1, 50, 100 and losses 5, 3, 2: distances in these proportions.
    expect((c![0] - b![0]) / (b![0] - a![0])).toBeCloseTo(50 / 49, 2);
    expect((c![1] - b![1]) / (b![1] - a![1])).toBeCloseTo(1 / 2, 2);
  });

  it("has a logarithmic axis where it is asked for, a moving mean, and an axis that begins after the start", () => {
    const losses = (points: [step: number, loss: number][]) =>
      curve({
        points: points.map(([step, train_loss]) => ({
          step,
          train_loss,
          validation_loss: null,
          gradient_norm: null,
        })),
      });
    // Halved twice: equal distances.
    const halved = losses([
      [10, 4],
      [50, 2],
      [100, 1],
    ]);
    const [a, b, c] = lineOf(seen({ isLog: true }, halved));
    expect((c![1] - b![1]) / (b![1] - a![1])).toBeCloseTo(1, 2);
    // Means over three: (4 + 2)/2, (4 + 2 + 1)/3, (2 + 1)/2 = 3, 7/3, 3/2.
    const [d, e, f] = lineOf(seen({ smooth: 3 }, halved));
    expect((f![1] - e![1]) / (e![1] - d![1])).toBeCloseTo(5 / 4, 2);
    // Step 1 of 100 is the start: what comes after it, 3 to 2, has the whole height.
    const [, from, to] = lineOf(seen({ withStart: false }));
    const [, whole, end] = lineOf(seen({}));
    expect(to![1] - from![1]).toBeGreaterThan(2 * (end![1] - whole![1]));
  });

  it("draws a script's own number instead: its values alone, none cut off, however high it rises", () => {
    const points = curve().points.map((point, i) => ({
      ...point,
      own_metrics: i === 1 ? {} : { accuracy: 0.1 + i },
    }));
    const elements = parseXml(
      standalone(
        trainingFigure([curve({ points })], {
          ...OPTIONS,
          view: { ...VIEW, withStart: false, metric: "accuracy" },
        })!,
        "both",
      ),
    );
    const line = lineOf(elements);
    expect(line).toHaveLength(2);
    // Rises, from near the bottom of the axis to near its top.
    expect(line[0]![1] - line[1]![1]).toBeGreaterThan(200);
    const texts = elements.map((e) => e.text);
    expect(texts.filter((text) => text === "accuracy")).toHaveLength(2);
    expect(texts).not.toEqual(expect.arrayContaining(["validation loss"]));
    expect(
      trainingFigure([curve({ points })], { ...OPTIONS, view: { ...VIEW, metric: "nothing" } }),
    ).toBeNull();
  });

  it("marks every evaluation with its exact value, and in words", () => {
    const marks = drawn(curve()).filter((e) => e.attributes["data-validation-loss"] !== undefined);
    expect(marks.map((e) => [e.attributes["data-step"], e.attributes["data-validation-loss"]])).toEqual([
      ["50", "3.2"],
      ["100", "2.25"],
    ]);
    expect(marks[1]!.text).toBe("SμPar d128, step 100: validation loss 2.2500");
  });

  it("lets a diverging loss leave the axis, with marks, and keeps the others readable", () => {
    const points = [
      ...curve().points.slice(0, 2),
      { ...curve().points[2]!, train_loss: 4000, validation_loss: null },
    ];
    const elements = drawn(curve({ points, diverged_at: 100 }));
    const [first, second] = lineOf(elements);
    // 5 and 3 nats stay a good part of the axis apart.
    expect(second![1] - first![1]).toBeGreaterThan(100);
    expect(elements.map((e) => e.text)).toEqual(expect.arrayContaining(["above the axis", "diverged"]));
  });

  it("shows where a later attempt went on", () => {
    const elements = drawn(curve({ resumed: [{ attempt: 2, step: 50 }] }));
    expect(elements.some((e) => e.name === "title" && e.text === "attempt 2 went on after step 50")).toBe(
      true,
    );
  });

  it("tells several runs apart by colour, marker and name, which is text whatever it holds", () => {
    const names = ["one", "two", '<script>alert("3")</script>'];
    const elements = drawn(...names.map((title, i) => curve({ run: `r${i}`, title })));
    const groups = elements.filter((e) => e.attributes["data-run"] !== undefined);
    expect(new Set(groups.map((e) => e.attributes.class)).size).toBe(3);
    const shapes = groups.map(
      (group) =>
        elements.find(
          (e) =>
            e.attributes["data-step"] &&
            e.path.length > 0 &&
            e.text.startsWith(names[groups.indexOf(group)]!),
        )!.attributes.d,
    );
    expect(new Set(shapes).size).toBe(3);
    for (const name of names) expect(elements.some((e) => e.name === "text" && e.text === name)).toBe(true);
    expect(elements.some((e) => e.name === "script")).toBe(false);
  });

  it("is nothing before the first step, and one point is a picture already", () => {
    expect(trainingFigure([curve({ points: [] })], OPTIONS)).toBeNull();
    expect(trainingFigure([], OPTIONS)).toBeNull();
    expect(lineOf(drawn(curve({ points: curve().points.slice(0, 1) }))).length).toBeGreaterThan(0);
  });
});
