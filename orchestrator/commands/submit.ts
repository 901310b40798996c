import type { Command } from "commander";
import { MusweepError } from "../../schema/errors.ts";
import type { Stored } from "../database/submit.ts";
import { loadSweep, readSweepFile, submitSweep } from "../load-sweep.ts";
import { lockHolder } from "../state.ts";
import { plural } from "../terminal/format.ts";
import { type CommonOptions, common, print, withDatabase } from "./common.ts";

interface Options extends CommonOptions {
  server?: string;
  token?: string;
}

export type Submitted = Stored & { duplicates: number };

export function addSubmit(program: Command): void {
  common(
    program
      .command("submit <file>")
      .description(
        "store a sweep; the running orchestrator of the state directory (or of --server) trains it",
      )
      .option("--server <url>", "submit to a `musweep serve` on another host")
      .option("--token <token>", "the server's token", process.env.MUSWEEP_TOKEN),
    ["musweep submit sweeps/quickstart.yaml", "musweep submit sweep.yaml --server http://queue-host:4242"],
  ).action(async (file: string, options: Options) => {
    const read = readSweepFile(file);
    if (options.server !== undefined) {
      const stored = await submitTo(options.server, options.token, read.text, file);
      print(options, stored, () => submittedText(stored));
      return;
    }
    await withDatabase(options, { readonly: false }, async (db, state) => {
      const stored = await submitSweep(db, await loadSweep(read, state));
      print(options, stored, () => {
        const idle = lockHolder(state) === undefined && toTrain(stored) > 0;
        return `${submittedText(stored)}${idle ? "\nNothing is training it yet: start `musweep serve` and `musweep worker`, or `musweep run` with the same file." : ""}`;
      });
    });
  });
}

/** What failed stays failed until it is requeued. */
const toTrain = ({ runs, done, failed }: Submitted): number => runs - done - failed;

/** "quickstart: 162 grid points, 144 runs: 144 new" and what changed since the last submission. */
export function submittedText(s: Submitted): string {
  const parts = [
    `${s.sweep}: ${plural(s.points, "grid point")}, ${plural(s.runs, "run")}`,
    `${s.done} already trained, ${toTrain(s)} to train`,
    ...(s.failed > 0
      ? [`${s.failed} failed, which \`musweep requeue ${s.sweep} --failed\` trains again`]
      : []),
    ...(s.waiting.length > 0
      ? [
          `${s.waiting.join(", ")}: starts when ${s.waiting.length > 1 ? "the phases that they wait for are" : "what it waits for is"} decided`,
        ]
      : []),
    ...(s.points > s.runs ? [`${plural(s.points - s.runs, "point")} mean the same training as another`] : []),
    ...(s.duplicates > 0 ? [`${plural(s.duplicates, "duplicate")} removed`] : []),
    ...(s.removed > 0 ? [`${plural(s.removed, "point")} of the last submission no longer in the file`] : []),
  ];
  return parts.join("; ");
}

async function submitTo(
  server: string,
  token: string | undefined,
  text: string,
  file: string,
): Promise<Submitted> {
  const url = new URL("/api/sweeps", server);
  url.searchParams.set("file", file);
  const headers: Record<string, string> = { "content-type": "application/yaml" };
  if (token !== undefined)
    headers.authorization = `Basic ${Buffer.from(`musweep:${token}`).toString("base64")}`;
  let response: Response;
  try {
    response = await fetch(url, { method: "POST", headers, body: text });
  } catch (cause) {
    throw new MusweepError("server-unreachable", `cannot reach ${server}`, {
      kind: "unavailable",
      remedy: "Is `musweep serve` running there, and reachable from here?",
      cause,
    });
  }
  if (response.status === 401) {
    throw new MusweepError("server-token", `${server} asks for a token`, {
      kind: "usage",
      remedy: "Give it with --token or MUSWEEP_TOKEN.",
    });
  }
  const body = (await response.json()) as Submitted & { code?: string; message?: string; remedy?: string };
  if (response.ok) return body;
  throw new MusweepError(body.code ?? "server", body.message ?? `${server} answered ${response.status}`, {
    kind: response.status === 422 ? "usage" : "unavailable",
    ...(body.remedy === undefined ? {} : { remedy: body.remedy }),
  });
}
