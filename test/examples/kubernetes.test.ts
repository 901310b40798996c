/** examples/kubernetes agrees with the program: what its containers are started with, share, and are given time for. */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { parseAllDocuments } from "yaml";
import { z } from "zod";
import { ROOT } from "../../scripts/setup.mjs";
import { musweep } from "../support/musweep.ts";
import { scratch } from "../support/scratch.ts";

const file = join(ROOT, "examples", "kubernetes", "musweep.yaml");
const container = z.object({
  name: z.string(),
  command: z.array(z.string()).optional(),
  args: z.array(z.string()),
  env: z.array(z.object({ name: z.string() })),
  volumeMounts: z.array(z.object({ name: z.string(), mountPath: z.string() })),
});
const template = z.object({
  spec: z.object({
    terminationGracePeriodSeconds: z.number().optional(),
    containers: z.tuple([container]),
    volumes: z.array(
      z.object({ name: z.string(), persistentVolumeClaim: z.object({ claimName: z.string() }).optional() }),
    ),
  }),
});
const resources = parseAllDocuments(readFileSync(file, "utf8")).map((document) =>
  z
    .object({
      kind: z.string(),
      metadata: z.object({ name: z.string() }),
      spec: z.object({ template: template.optional() }).loose(),
    })
    .parse(document.toJS()),
);
const podOf = (name: string) =>
  resources.find((r) => r.metadata.name === name && r.spec.template)!.spec.template!.spec;

it.each([
  ["musweep-serve", ["REDIS_PASSWORD", "MUSWEEP_TOKEN"]],
  ["musweep-workers", ["REDIS_PASSWORD"]],
])(
  "%s is started with options that the command has, and the secrets that it reads",
  async (name, secrets) => {
    const [{ args, env }] = podOf(name).containers;
    const [command, ...options] = args;
    const { stdout } = await musweep(scratch(), command!, "--help");
    expect(options.length).toBeGreaterThan(3);
    for (const option of options) expect(stdout).toContain(option.split("=")[0]);
    expect(env.map((variable) => variable.name)).toEqual(secrets);
  },
);

it("all that is claimed is declared, serve and workers share one volume, and no other", () => {
  const claims = resources.filter((r) => r.kind === "PersistentVolumeClaim").map((r) => r.metadata.name);
  const used = ["musweep-redis", "musweep-serve", "musweep-workers"].map((name) =>
    podOf(name).volumes.flatMap((volume) => volume.persistentVolumeClaim?.claimName ?? []),
  );
  expect([...new Set(used.flat())].sort()).toEqual(claims.sort());
  expect(used[1]!.filter((claim) => used[2]!.includes(claim))).toEqual(["musweep-shared"]);
  for (const name of ["musweep-serve", "musweep-workers"]) {
    const { containers, volumes } = podOf(name);
    const mounted = new Map(containers[0].volumeMounts.map((mount) => [mount.name, mount.mountPath]));
    expect([...mounted.keys()].sort()).toEqual(volumes.map((volume) => volume.name).sort());
    expect(containers[0].args).toContain(`--shared=${mounted.get("shared")}`);
  }
});

it("a worker has more time to end than it takes", () => {
  const { terminationGracePeriodSeconds: given, containers } = podOf("musweep-workers");
  const grace = containers[0].args.find((arg) => arg.startsWith("--grace="))!.split("=")[1];
  expect(given).toBeGreaterThan(Number(grace));
});

/** The worker's very command, with a musweep that runs until it is told to end, or ends by itself. */
async function worker(musweep: string, signal?: NodeJS.Signals) {
  const { directory } = scratch();
  writeFileSync(join(directory, "musweep"), `#!/bin/sh\n${musweep}\n`, { mode: 0o755 });
  const [{ command, args }] = podOf("musweep-workers").containers;
  const [program, ...rest] = [...command!, ...args] as [string, ...string[]];
  const child = spawn(program, rest, {
    env: { PATH: `${directory}:${process.env.PATH}` },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [said] = await once(child.stdout, "data");
  if (signal !== undefined) child.kill(signal);
  const [code] = await once(child, "close");
  return { code, said: String(said) };
}

it("a worker that is told to end has failed for Kubernetes, which replaces it; one that ended by itself has not", async () => {
  const [{ args }] = podOf("musweep-workers").containers;
  const runs = `trap 'exit 0' TERM; echo "$@"; while :; do sleep 0.1; done`;
  expect(await worker(runs, "SIGTERM")).toEqual({ code: 75, said: `${args.join(" ")}\n` });
  expect(await worker('echo "$@"')).toMatchObject({ code: 0 });
  expect(await worker('echo "$@"; exit 3')).toMatchObject({ code: 3 });
});

/** PyPI's kubernetes-validate holds Kubernetes' own schemas. */
const validator = process.env.KUBERNETES_VALIDATE;
if (validator === undefined)
  console.warn(
    "NOT TESTED: examples/kubernetes against Kubernetes' schemas (KUBERNETES_VALIDATE names no kubernetes-validate)",
  );

it.runIf(validator !== undefined)("Kubernetes' own schemas know every field of it", () => {
  expect(
    execFileSync(validator!, ["--strict", file], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] }),
  ).toBeDefined();
});
