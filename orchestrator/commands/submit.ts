import type { Command } from "commander";
import { MusweepError } from "../../schema/wire/errors.ts";
import { lockHolder } from "../database/state-lock.ts";
import type { Stored } from "../database/submit.ts";
import { readAddress } from "../machine/dashboard-address.ts";
import { stateDirectory } from "../machine/state-directory.ts";
import { type NamedToken, namedToken, readToken } from "../machine/token.ts";
import { loadSweep, submitSweep } from "../submission/load-sweep.ts";
import { plural } from "../terminal/format.ts";
import {
  type CommonOptions,
  common,
  print,
  sayGone,
  sayWarnings,
  withDatabase,
  withToken,
} from "./common.ts";
import { givenSweepFile } from "./given-file.ts";

interface Options extends CommonOptions, NamedToken {
  server?: string;
}

export type Submitted = Stored & { duplicates: number };

export function addSubmit(program: Command): void {
  withToken(
    common(
      program
        .command("submit <file>")
        .description(
          "store a sweep; the running orchestrator of the state directory (or of --server) trains it",
        )
        .option("--server <url>", "submit to a `musweep serve` on another host"),
      [
        "musweep submit sweep.yaml",
        "MUSWEEP_TOKEN=… musweep submit sweep.yaml --server http://queue-host:4242",
      ],
    ),
  ).action(async (file: string, options: Options) => {
    const read = givenSweepFile(file, options);
    sayWarnings(read);
    if (options.server !== undefined) {
      const server = serverUrl(options.server);
      const stored = await submitTo(accessTo(server, options), read.text, file);
      print(options, { ...stored, warnings: read.warnings }, () => submittedText(stored));
      return;
    }
    await withDatabase(options, { readonly: false }, async (db, state) => {
      const stored = await submitSweep(db, await loadSweep(read, state, { onGone: sayGone, verify: true }));
      print(options, { ...stored, warnings: read.warnings }, () => {
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
    ...(s.done > 0 ? [`trained so far by ${s.engines.map(({ engine }) => engine).join(", ")}`] : []),
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

/** @throws MusweepError bad-option */
export function serverUrl(text: string): URL {
  if (URL.canParse(text) && /^https?:$/.test(new URL(text).protocol)) return new URL(text);
  throw new MusweepError("bad-option", `--server wants a URL such as http://queue-host:4242, not "${text}"`, {
    kind: "usage",
  });
}

interface Access {
  server: URL;
  token: string | undefined;
}

/** The state directory's own token is told to nobody but its own orchestrator: where that listens, as long as it runs. */
function accessTo(server: URL, options: Options): Access {
  const named = namedToken(options);
  if (named !== undefined) return { server, token: named };
  const state = stateDirectory(options);
  const own = lockHolder(state) === undefined ? undefined : readAddress(state);
  const isOwn =
    own !== undefined && [own.origin, new URL(`http://localhost:${own.port}`).origin].includes(server.origin);
  // The name may lead to another address, where somebody else may listen.
  return isOwn ? { server: own, token: readToken(state.token) } : { server, token: undefined };
}

async function submitTo({ server, token }: Access, text: string, file: string): Promise<Submitted> {
  const url = new URL("/api/sweeps", server);
  url.searchParams.set("file", file);
  const headers: Record<string, string> = { "content-type": "application/yaml" };
  if (token !== undefined)
    headers.authorization = `Basic ${Buffer.from(`musweep:${token}`).toString("base64")}`;
  let response: Response;
  try {
    response = await fetch(url, { method: "POST", headers, body: text });
  } catch (cause) {
    throw new MusweepError("server-unreachable", `cannot reach ${server.origin}`, {
      kind: "unavailable",
      remedy: "Is `musweep serve` running there, and reachable from here?",
      cause,
    });
  }
  if (response.status === 401) {
    throw new MusweepError(
      "server-token",
      `${server.origin} asks for ${token === undefined ? "a" : "another"} token`,
      {
        kind: "usage",
        remedy:
          "Set MUSWEEP_TOKEN, or name a file that holds it with --token-file; a server on this machine has it in the file token of its --dir.",
      },
    );
  }
  type Body = Submitted & { code?: string; message?: string; remedy?: string };
  // Something else may answer there.
  const body = (await response.json().catch(() => ({}))) as Partial<Body>;
  if (response.ok && body.sweep !== undefined) return body as Body;
  throw new MusweepError(
    body.code ?? "server",
    body.message ?? `${server.origin} answered ${response.status}`,
    {
      kind: response.status === 422 ? "usage" : "unavailable",
      ...(body.remedy === undefined ? {} : { remedy: body.remedy }),
    },
  );
}
