/** Who trains: every worker that has a heartbeat, what it trains at what speed, and what waits on the queues. */
import { queueName } from "../../../../schema/wire/job.ts";
import { packageVersion } from "../../../../schema/wire/package.ts";
import { runTitle } from "../../../database/read-run.ts";
import {
  busySlots,
  fleetOf,
  readWorkers,
  tokensPerSecond,
  type WorkerStatus,
  type Workers,
} from "../../../queue/read-workers.ts";
import { atOnce } from "../../../redis/in-time.ts";
import { unableText } from "../../../report/unmet-needs.ts";
import { duration, plural } from "../../../terminal/format.ts";
import { ago, dataTable, runPath } from "../../components.ts";
import { type Html, html } from "../../html.ts";
import { emptyState, page } from "../../layout.ts";
import { fragment, streamFragments } from "../../live.ts";
import type { Context, Page } from "../../page.ts";

/** Runs of one worker that are named; one with more slots than that shows how many more. */
const RUNS_SHOWN = 8;
const NAMES_SHOWN = 10;

export const workersPage: Page = {
  nav: { title: "Workers", href: "/workers" },
  mount(app, context) {
    app.get("/workers", async (c) =>
      c.html(
        page(c, {
          title: "Workers",
          section: "/workers",
          live: "/workers/live",
          body: html`<h1>Workers</h1>${fragment("workers", await content(context))}`,
        }),
      ),
    );
    app.get("/workers/live", (c) =>
      streamFragments(c, context.db, async () => ({ workers: await content(context) })),
    );
  },
};

async function content(context: Context): Promise<Html> {
  const queues = context.queues();
  const read = await atOnce(
    context.redis,
    Promise.all([
      readWorkers(context.redis),
      Promise.all(queues.map((queue) => queue.getJobCounts("waiting", "active", "delayed"))),
    ]),
  );
  if (read === null)
    return emptyState(
      "Redis does not answer",
      "Workers and queues meet there. Results that are stored already can be seen all the same; the rest waits until it is back.",
    );
  const [found, counts] = read;
  // A queue without a job that nobody serves is of runs that are long done.
  const served = new Set(
    found.workers.filter(({ lost }) => !lost).flatMap(({ needs }) => needs.map(queueName)),
  );
  const shown = queues
    .map((queue, i) => ({ queue, count: counts[i]! }))
    .filter(({ queue, count }) => served.has(queue.name) || Object.values(count).some((jobs) => jobs > 0));
  return html`${found.workers.length === 0 ? nobody() : workersContent(context, found)}
${strangers(found)}
<h2>Queues</h2>
${shown.length === 0 ? html`<p class="muted">Nothing waits, and nobody asks for work.</p>` : queueTable(shown)}`;
}

interface ShownQueue {
  queue: ReturnType<Context["queues"]>[number];
  count: Record<string, number>;
}

const queueTable = (shown: readonly ShownQueue[]): Html =>
  dataTable(
    "queues",
    "Jobs in Redis. About 2,000 wait there at most, the others in the database as pending runs.",
    [
      {
        name: "queue",
        kind: "heading",
        value: ({ queue }) => html`<a href="/queues/queue/${queue.name}">${queue.name}</a>`,
      },
      { name: "waiting", kind: "number", value: ({ count }) => count.waiting ?? 0 },
      { name: "active", kind: "number", value: ({ count }) => count.active ?? 0 },
      { name: "delayed", kind: "number", value: ({ count }) => count.delayed ?? 0 },
    ],
    shown,
  );

const nobody = (): Html =>
  emptyState(
    "No workers",
    html`Start one on this machine with <code>musweep worker</code>, or on others with <code>--redis</code>; runs wait until then.`,
  );

/** Told, not believed: what cannot be read in the place of a heartbeat. */
function strangers({ unreadable, more }: Workers): Html | "" {
  if (unreadable.length === 0 && !more) return "";
  const named = unreadable.slice(0, NAMES_SHOWN).join(", ");
  return html`${
    unreadable.length === 0
      ? ""
      : html`<p class="problem breaks">${plural(unreadable.length, "heartbeat")} cannot be read: ${named}${unreadable.length > NAMES_SHOWN ? ", …" : ""}. A worker of another version, or something else that writes to this Redis.</p>`
  }${more ? html`<p class="problem">There are more names of workers in Redis than are looked at here.</p>` : ""}`;
}

function workersContent(context: Context, found: Workers): Html {
  const { workers } = found;
  const { alive, lost, slots, busy } = fleetOf(found);
  const speed = workers.reduce((sum, worker) => sum + tokensPerSecond(worker), 0);
  return html`<p class="lead">${plural(alive, "worker")}, ${busy} of ${plural(slots, "slot")} busy, ${perSecond(speed)} tokens/s</p>
${
  lost === 0
    ? ""
    : html`<p>A worker that is lost was killed or cannot reach Redis. Its runs go to other workers; it leaves this list after an hour.</p>`
}
${unableContent(found)}
${dataTable(
  "worker-list",
  "Every worker says every 2 s that it is there.",
  [
    { name: "worker", kind: "heading", value: (w) => w.worker },
    { name: "host", kind: "words", value: (w) => html`${w.host}<div class="muted">process ${w.pid}</div>` },
    { name: "state", kind: "words", value: stateOf },
    { name: "takes runs for", kind: "words", value: (w) => w.needs.join(", ") },
    { name: "slots busy", kind: "number", value: (w) => `${w.lost ? 0 : busySlots(w)} of ${w.slots}` },
    { name: "training", kind: "words", value: (w) => runsOf(context, w) },
    { name: "tokens/s", kind: "number", value: (w) => perSecond(tokensPerSecond(w)) },
    { name: "last heartbeat", kind: "number", value: (w) => `${duration(w.age_seconds)} ago` },
    { name: "started", kind: "words", value: (w) => ago(w.started_at) },
    { name: "engine", kind: "words", value: engineOf },
  ],
  workers,
)}`;
}

/** What nobody would see otherwise: runs that wait although slots are free. */
function unableContent(found: Workers): Html | "" {
  const { unable } = fleetOf(found);
  if (unable.length === 0) return "";
  return html`<ul class="plain">${unable.map(
    (inability) => html`<li class="problem breaks">${unableText(inability)}</li>`,
  )}</ul>`;
}

const perSecond = (speed: number): string => Math.round(speed).toLocaleString("en-US");

const stateOf = ({ lost, running, unable }: WorkerStatus): Html =>
  lost
    ? html`<span class="badge failed"><span aria-hidden="true">!</span> lost</span>`
    : unable.some(({ what }) => what === "anything")
      ? html`<span class="badge failed"><span aria-hidden="true">!</span> cannot train</span>`
      : running.length > 0
        ? html`<span class="badge running"><span aria-hidden="true">▸</span> training</span>`
        : html`<span class="badge queued"><span aria-hidden="true">·</span> idle</span>`;

function runsOf({ db }: Context, { running, lost }: WorkerStatus): Html {
  if (lost || running.length === 0) return html``;
  const more = running.length - RUNS_SHOWN;
  return html`<ul class="plain">${running
    .slice(0, RUNS_SHOWN)
    .map(
      ({ run, step, steps }) =>
        html`<li><a href="${runPath(run)}">${runTitle(db, run)}</a> <span class="muted">${step.toLocaleString("en-US")} of ${steps.toLocaleString("en-US")}</span></li>`,
    )}${more > 0 ? html`<li class="muted">and ${more} more</li>` : ""}</ul>`;
}

/** Another version than the orchestrator's is worth a look: they may not understand each other. */
const engineOf = ({ engine, version }: WorkerStatus): Html =>
  html`${engine}${version === packageVersion() ? "" : html`<div class="problem">musweep ${version}</div>`}`;
