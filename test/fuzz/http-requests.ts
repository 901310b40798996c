/** Requests that nobody would make, to every route of the dashboard, in parts; http.fuzz.ts makes bytes of them. */
import fc from "fast-check";
import { gridText } from "../support/database.ts";

export interface Sent {
  method: string;
  path: string;
  query: string;
  headers: [name: string, value: string][];
  body: { type: string; bytes: Uint8Array };
}

/** What is known of the database, so that some requests find something. */
export const known = { run: `r${"0".repeat(20)}`, sweep: "grid" };

const oddText = fc.oneof(
  fc.string({ maxLength: 30 }),
  fc.string({ unit: "binary", maxLength: 30 }),
  fc.constantFrom(
    "",
    "..",
    "%",
    "%00",
    "%E0%A4%A",
    "%25E0%25A4",
    "../../etc/passwd",
    "__proto__",
    "constructor",
    "1e309",
    "-1",
    "NaN",
    "\0",
    "<script>",
    "'; DROP TABLE runs;--",
    "a".repeat(5000),
    "☃",
    "\ud800",
  ),
);

/** Halves of a character have no encoding. */
const encoded = oddText.map((text) => encodeURIComponent(text.replace(/\p{Surrogate}/gu, "")));
const segment = fc.oneof(
  {
    weight: 9,
    arbitrary: fc.constantFrom("RUN", "RUN", "SWEEP", "SWEEP", "musweep-for-musweep", "report.json"),
  },
  { weight: 2, arbitrary: encoded },
  {
    weight: 1,
    arbitrary: fc
      .string({ unit: "grapheme-ascii", maxLength: 10 })
      .map((text) => text.replace(/[\s?#]/g, "")),
  },
);

/** X stands for a segment. All that there are but the one that would leave no sweep to ask for. */
export const ROUTES = [
  "/",
  "/live",
  "/healthz",
  "/login",
  "/logout",
  "/metrics",
  "/workers",
  "/workers/live",
  "/sql",
  "/sql/csv",
  "/submit",
  "/submit/edit",
  "/sweeps",
  "/sweeps/X",
  "/sweeps/X/live",
  "/sweeps/X/requeue",
  "/sweeps/X/cancel",
  "/sweeps/X/archive",
  "/sweeps/X/note",
  "/sweeps/X/tags",
  "/sweeps/X/files/X",
  "/runs/X",
  "/runs/X/live",
  "/compare",
  "/compare/live",
  "/compare/sweeps",
  "/assets/X/X",
  "/assets/X/figures.css",
  "/api/sweeps",
  "/api/sweeps/X",
  "/api/sweeps/X/report",
  "/api/data/X/X",
  "/queues",
  "/queues/",
  "/queues/X",
  "/queues/queue/X",
  "/queues/queue/X/X",
  "/queues/static/X",
  "/queues/api/queues",
  "/queues/api/redis/stats",
  "/queues/api/queues/X/X",
  "/queues/api/queues/X/X/logs",
  "/queues/api/queues/X/X/flow",
  "/queues/api/queues/X/pause",
  "/queues/api/queues/X/metrics",
  "/queues/api/job-schedulers",
  "/X",
  "/X/X",
];
const path = fc
  .tuple(fc.constantFrom(...ROUTES), fc.array(segment, { minLength: 3, maxLength: 3 }))
  .map(([route, segments]) => {
    let i = 0;
    return route.replaceAll("X", () =>
      segments[i++]!.replace("RUN", known.run).replace("SWEEP", known.sweep),
    );
  });

const query = fc
  .array(
    fc.tuple(
      fc.oneof(
        fc.constantFrom(
          "page",
          "jobsPerPage",
          "activeQueue",
          "status",
          "depth",
          "maxChildren",
          "run",
          "map",
          "phase",
          "parameterization",
          "sparsity",
          "width",
          "outcome",
          "after",
          "before",
          "next",
          "ticket",
          "series",
          "have",
          "query",
          "from",
          "sweep",
          "file",
          "notice",
        ),
        encoded,
      ),
      fc.oneof(
        encoded,
        fc.constantFrom("1", "0.5", "musweep-for-musweep", "state", "failed", "RUN", "SWEEP"),
      ),
    ),
    { maxLength: 4 },
  )
  .map((pairs) =>
    pairs
      .map(([name, value]) => `${name}=${value.replace("RUN", known.run).replace("SWEEP", known.sweep)}`)
      .join("&"),
  );

/** What may stand in a header without ending it. */
const headerText = fc.oneof(
  { weight: 20, arbitrary: fc.string({ unit: "grapheme-ascii", maxLength: 60 }) },
  {
    weight: 1,
    arbitrary: fc.string({ unit: "binary-ascii", maxLength: 20 }).map((text) => text.replace(/[\r\n]/g, "")),
  },
);
const TYPES = [
  "application/x-www-form-urlencoded",
  "multipart/form-data; boundary=b",
  "multipart/form-data",
  'multipart/form-data; boundary="',
  "application/yaml",
  "application/json",
  "text/plain",
  "text/html; charset=utf-16",
  "",
];
const header = fc.oneof(
  fc.tuple(fc.constant("content-type"), fc.constantFrom(...TYPES)),
  fc.tuple(
    fc.constant("authorization"),
    fc.oneof(headerText, fc.constantFrom("Bearer", "Bearer x", "Basic", "Basic !!!", "Basic bXVzd2VlcDp4")),
  ),
  fc.tuple(
    fc.constant("cookie"),
    fc.oneof(
      headerText,
      fc.constantFrom("musweep_session_00000000=9e15.x", "a=%E0%A4%A; =; ;;", "__proto__=1"),
    ),
  ),
  fc.tuple(
    fc.constantFrom("origin", "sec-fetch-site", "referer"),
    fc.oneof(headerText, fc.constantFrom("null", "same-origin", "cross-site", "http://127.0.0.1")),
  ),
  fc.tuple(
    fc.constantFrom(
      "accept",
      "accept-encoding",
      "range",
      "if-none-match",
      "if-modified-since",
      "x-forwarded-for",
      "upgrade",
      "expect",
      "te",
    ),
    fc.oneof(
      headerText,
      fc.constantFrom("*/*", "text/html", "gzip", "bytes=0-1", "bytes=9-1", "websocket", "100-continue"),
    ),
  ),
  fc.tuple(fc.stringMatching(/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,20}$/), headerText),
);

/** Sound bodies, as what they are sent. */
const SOUND: [type: string, text: string][] = [
  ["application/yaml", gridText({ rates: "[0.01]" })],
  [
    "application/x-www-form-urlencoded",
    new URLSearchParams({
      text: gridText(),
      query: "SELECT 1",
      token: "x",
      which: "failed",
      next: "/",
    }).toString(),
  ],
  [
    "multipart/form-data; boundary=b",
    '--b\r\ncontent-disposition: form-data; name="text"\r\n\r\nname: x\r\n--b\r\ncontent-disposition: form-data; name="upload"; filename="a.yaml"\r\n\r\nname: y\r\n--b--\r\n',
  ],
  ["application/json", '{"name": "x", "data": [1, 2]}'],
];

/** With some of it gone or replaced. No digits are added: a large number is a large grid. */
const cuts = fc.array(
  fc.tuple(
    fc.nat(400),
    fc.nat(40),
    fc.string({ maxLength: 5 }).map((text) => text.replace(/\d/g, "")),
  ),
  { maxLength: 3 },
);
const garbled = fc.tuple(fc.constantFrom(...SOUND), cuts).map(([[type, text], cuts]) => ({
  type,
  bytes: Buffer.from(
    cuts.reduce((all, [at, length, other]) => all.slice(0, at) + other + all.slice(at + length), text),
  ),
}));
const body = fc.oneof(
  { weight: 6, arbitrary: garbled },
  {
    weight: 2,
    arbitrary: fc.record({ type: fc.constantFrom(...TYPES), bytes: fc.uint8Array({ maxLength: 300 }) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constantFrom(...TYPES),
      bytes: fc.constant(Buffer.alloc(1_200_000, "a=b&")),
    }),
  },
);

const METHODS = ["HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY", "PROPFIND"];
const anything = fc.record({
  method: fc.oneof(
    { weight: 20, arbitrary: fc.constantFrom("GET", "GET", "POST") },
    { weight: 6, arbitrary: fc.constantFrom(...METHODS) },
    { weight: 1, arbitrary: fc.constantFrom("get", "", "G E T", "\0") },
  ),
  path,
  query,
  headers: fc.array(header, { maxLength: 5 }),
  body,
});
/** What takes a body. */
const posted = fc.record({
  method: fc.constant("POST"),
  path: fc.oneof(
    { weight: 20, arbitrary: fc.constantFrom("/login", "/submit", "/submit/edit", "/sweeps", "/api/sweeps") },
    // Each query that can be read starts a process.
    { weight: 1, arbitrary: fc.constantFrom("/sql", "/sql/csv") },
  ),
  query,
  headers: fc.array(header, { maxLength: 2 }),
  body,
});
export const request: fc.Arbitrary<Sent> = fc.oneof(
  { weight: 3, arbitrary: anything },
  { weight: 1, arbitrary: posted },
);

/** Three in four of them are the owner's, and most of those a browser's own: what lies behind the door is reached. */
export const visitor = fc.constantFrom("stranger", "script", "page", "page");
/** One in fifty lies about its length, or uses an encoding as nobody does. */
export const framing = fc.oneof(
  { weight: 24, arbitrary: fc.constant("honest") },
  { weight: 24, arbitrary: fc.constant("chunked") },
  { weight: 1, arbitrary: fc.constantFrom("short", "long", "both", "broken-chunk") },
);
