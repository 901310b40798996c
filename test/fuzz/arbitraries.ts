/** Values, changes and damages that the fuzz tests share. */
import fc from "fast-check";

/** Numbers that programs stumble over. */
export const oddNumber = fc.oneof(
  fc.constantFrom(
    0,
    -0,
    -1,
    1,
    2,
    0.5,
    1e-320,
    5e-324,
    1e300,
    1.7976931348623157e308,
    2 ** 31,
    2 ** 53,
    -(2 ** 53),
  ),
  fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY),
  fc.double(),
  fc.integer(),
  fc.integer({ min: 0, max: 300 }),
);

export const oddText = fc.oneof(
  fc.constantFrom(
    "",
    " ",
    "\0",
    "\u001b[2J",
    "__proto__",
    "constructor",
    "toString",
    "null",
    "1e3",
    "..",
    "=1+1",
    "\ud800",
    "é",
    "ﬁ",
    "🐋",
  ),
  fc.string({ unit: "binary", maxLength: 20 }),
  fc.string({ unit: "grapheme", maxLength: 20 }),
  fc.constantFrom(10, 1000, 10_000).map((length) => "x".repeat(length)),
);

/** Any value of JSON, of a size to look at; numbers that JSON has not become null where it is written. */
export const oddValue: fc.Arbitrary<unknown> = fc.letrec((self) => ({
  value: fc.oneof(
    { maxDepth: 3, depthSize: "small" },
    oddNumber,
    oddText,
    fc.boolean(),
    fc.constant(null),
    fc.array(self("value"), { maxLength: 4 }),
    fc.dictionary(oddText, self("value"), { maxKeys: 4 }),
  ),
})).value;

type Path = readonly (string | number)[];

/** Every place in a value, the root left out. */
function placesIn(value: unknown, path: Path = []): Path[] {
  if (typeof value !== "object" || value === null) return [];
  const entries = Array.isArray(value) ? [...value.entries()] : Object.entries(value);
  return entries.flatMap(([key, inner]) => [[...path, key], ...placesIn(inner, [...path, key])]);
}

/** What may be done at a place: another value, none, the same again under a strange name, or the value in a list. */
const change = fc.record({
  at: fc.nat(),
  what: fc.constantFrom("replace", "remove", "rename", "wrap", "add"),
  value: oddValue,
  name: oddText,
});

/** A sound value with some of its places changed. */
export const changed = (sound: fc.Arbitrary<unknown>, most = 4): fc.Arbitrary<unknown> =>
  fc.tuple(sound, fc.array(change, { minLength: 1, maxLength: most })).map(([value, changes]) => {
    const copy = structuredClone(value);
    for (const one of changes) apply(copy, one);
    return copy;
  });

function apply(
  root: unknown,
  { at, what, value, name }: { at: number; what: string; value: unknown; name: string },
): void {
  const places = placesIn(root);
  const path = places[at % Math.max(1, places.length)];
  if (path === undefined) return;
  const holder = path
    .slice(0, -1)
    .reduce<unknown>((inner, key) => (inner as Record<string, unknown>)[key], root);
  const last = path.at(-1)!;
  const own = holder as Record<string | number, unknown>;
  if (what === "replace") own[last] = value;
  else if (what === "wrap") own[last] = [own[last]];
  else if (what === "add") Array.isArray(holder) ? holder.push(value) : Object.assign(own, { [name]: value });
  else if (Array.isArray(holder)) holder.splice(Number(last), 1);
  else {
    if (what === "rename") Object.assign(own, { [name]: own[last] });
    delete own[last];
  }
}

/** A text with pieces taken out, doubled, exchanged or put in. */
export const damaged = (sound: fc.Arbitrary<string>, pieces: readonly string[]): fc.Arbitrary<string> =>
  fc
    .tuple(
      sound,
      fc.array(
        fc.record({
          at: fc.double({ min: 0, max: 1, noNaN: true }),
          length: fc.nat(30),
          piece: fc.constantFrom(...pieces),
        }),
        { minLength: 1, maxLength: 5 },
      ),
    )
    .map(([text, cuts]) =>
      cuts.reduce((now, { at, length, piece }) => {
        const from = Math.floor(at * now.length);
        return now.slice(0, from) + piece + now.slice(from + length);
      }, text),
    );
