/** Which curves a verdict compares. */
import { expect, test } from "vitest";
import {
  type Axis,
  axesOf,
  type CurveCoordinates,
  groupsAlong,
} from "../../../orchestrator/analysis/groups.ts";

/** Each group as its sparsity, width and layers per member, the base first. */
function groups(axis: Axis, places: Record<string, unknown>[]) {
  const curves = places.map((place) => {
    const coordinates = { parameterization: "supar", width: 128, layers: 2, sparsity: 0, ...place };
    return { curve: JSON.stringify(coordinates), coordinates };
  });
  return groupsAlong(axis, curves).map(({ members }) =>
    members.map(({ coordinates: c }) => [c.sparsity, c.width, c.layers].join(" ")),
  );
}

const grid = (axes: Record<string, unknown[]>) =>
  Object.entries(axes).reduce<Record<string, unknown>[]>(
    (rows, [name, values]) => rows.flatMap((row) => values.map((value) => ({ ...row, [name]: value }))),
    [{}],
  );

test("what varies by itself makes groups along every axis", () => {
  const places = grid({ sparsity: [0.75, 0], width: [256, 128], layers: [2] });
  expect(groups("density", places)).toEqual([
    ["0 256 2", "0.75 256 2"],
    ["0 128 2", "0.75 128 2"],
  ]);
  expect(groups("width", places)).toEqual([
    ["0.75 128 2", "0.75 256 2"],
    ["0 128 2", "0 256 2"],
  ]);
  expect(groups("layers", places)).toEqual([]);
});

test("a width in step with sparsity is part of the density axis, and no axis of its own", () => {
  const tied = [
    { sparsity: 0, width: 768 },
    { sparsity: 0.5, width: 1088 },
    { sparsity: 0.75, width: 1536 },
  ];
  const places = ["mup", "supar"].flatMap((parameterization) =>
    tied.map((row) => ({ parameterization, ...row })),
  );
  expect(groups("density", places)).toEqual([
    ["0 768 2", "0.5 1088 2", "0.75 1536 2"],
    ["0 768 2", "0.5 1088 2", "0.75 1536 2"],
  ]);
  expect(groups("width", places)).toEqual([]);
});

test("another coordinate in step with an axis tells no groups apart, a free one does", () => {
  const deeper = grid({ sparsity: [0, 0.5], shape: [0, 1] }).map(({ sparsity, shape }) => ({
    sparsity,
    width: shape === 0 ? 128 : 256,
    layers: shape === 0 ? 2 : 4,
  }));
  expect(groups("width", deeper)).toEqual([
    ["0 128 2", "0 256 4"],
    ["0.5 128 2", "0.5 256 4"],
  ]);
  expect(groups("layers", deeper)).toEqual([]);
  const inits = grid({ init_std: [0.02, 0.1], sparsity: [0, 0.5] });
  expect(groups("density", inits)).toEqual([
    ["0 128 2", "0.5 128 2"],
    ["0 128 2", "0.5 128 2"],
  ]);
});

test("a value that each parameterization has for itself tells no groups apart", () => {
  const places = ["sp", "supar"].flatMap((parameterization) =>
    [0, 0.5].map((sparsity) => ({
      parameterization,
      sparsity,
      init_std: parameterization === "sp" ? 0.02 : 0.1,
    })),
  );
  expect(groups("density", places)).toEqual([
    ["0 128 2", "0.5 128 2"],
    ["0 128 2", "0.5 128 2"],
  ]);
});

test("a curve with nothing beside it is alone", () => {
  expect(groups("density", [{ width: 128 }, { width: 256 }])).toEqual([["0 128 2"], ["0 256 2"]]);
  expect(groups("width", [{ width: 128 }, { width: 256 }])).toEqual([["0 128 2", "0 256 2"]]);
});

test("every number that varies is an axis, after density, width and layers; what moves in step with another is not asked", () => {
  const places = grid({
    batch_size: [16, 8],
    "settings.dropout": [0, 0.1],
    activation: ["relu", "gelu"],
  }).map((place) => ({
    parameterization: "sp",
    sparsity: 0,
    width: 64,
    layers: 2,
    ...place,
    steps: 800 / Number(place.batch_size),
  }));
  expect(axesOf(places)).toEqual(["density", "width", "layers", "steps", "batch_size", "settings.dropout"]);
  // Four places (dropout, activation), from the fewest steps on; the batch moves with them.
  expect(groups("steps", places)).toHaveLength(4);
  expect(
    groupsAlong(
      "steps",
      places.map((c) => ({ curve: JSON.stringify(c), coordinates: c })),
    )[0],
  ).toMatchObject({
    tied: ["batch_size"],
    members: [{ coordinates: { steps: 50 } }, { coordinates: { steps: 100 } }],
  });
  expect(groups("batch_size", places)).toEqual([]);
  expect(groups("settings.dropout", places)).toHaveLength(4);
});

test("what only some curves have is an axis among those, and the others are alone along it", () => {
  const places = [
    ...grid({ "settings.dropout": [null], weight_decay: [0, 0.1] }),
    ...grid({ "settings.dropout": [0.5, 0], weight_decay: [0] }),
  ];
  const coordinates = places.map((place): CurveCoordinates => {
    const own = { parameterization: "supar", width: 128, layers: 2, sparsity: 0 };
    return { ...own, ...place };
  });
  expect(axesOf(coordinates).slice(3)).toEqual(["settings.dropout", "weight_decay"]);
  const along = (axis: Axis) =>
    groupsAlong(
      axis,
      coordinates.map((c) => ({ curve: JSON.stringify(c), coordinates: c })),
    ).map(({ members }) => members.map(({ coordinates: c }) => [c["settings.dropout"], c.weight_decay]));
  expect(along("settings.dropout")).toEqual([
    [
      [0, 0],
      [0.5, 0],
    ],
    [[null, 0]],
    [[null, 0.1]],
  ]);
  expect(along("weight_decay")).toEqual([
    [
      [null, 0],
      [null, 0.1],
    ],
    [[0.5, 0]],
    [[0, 0]],
  ]);
});
