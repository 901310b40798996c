/** Data sets that a worker fetches from `serve`: the dashboard's own route, behind a connection that breaks, lies, or asks for a token. */
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { DATA_FILES } from "../../schema/wire/data.ts";
import { DataSets } from "../../workers/data-sets.ts";
import { openApp } from "../orchestrator/dashboard/start-app.ts";
import { silent } from "../support/orchestrator.ts";
import { scratch } from "../support/scratch.ts";
import { writeData } from "./trainers/support.ts";

type Meddle = (response: ServerResponse, bytes: Buffer, request: IncomingMessage) => void;
const send: Meddle = (response, bytes) => void response.end(bytes);

/** A server of a data set, and the worker's side of it. @param meddle with what the dashboard answers */
async function serving(meddle: Meddle = send, token = "one-token") {
  const { app, state } = openApp("one-token");
  const hash = writeData(state.data);
  const asked: string[] = [];
  const server = createServer(async (request, response) => {
    asked.push(`${request.url!.split("/").at(-1)} ${request.headers.range ?? "all"}`);
    const answer = await app.request(request.url!, { headers: request.headers as Record<string, string> });
    response.writeHead(answer.status, Object.fromEntries(answer.headers));
    meddle(response, Buffer.from(await answer.arrayBuffer()), request);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const data_directory = join(scratch().directory, "data");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const config = { data_directory, data_server: { url, token } };
  const stop = new AbortController();
  const sets = new DataSets(config, silent, stop.signal);
  const isSame = () =>
    Object.values(DATA_FILES).every((name) =>
      readFileSync(join(data_directory, hash, name)).equals(readFileSync(join(state.data, hash, name))),
    );
  return { hash, sets, asked, data_directory, isSame, state, stop };
}

it("are fetched once for all slots, and are those of the server", async () => {
  const { hash, sets, asked, data_directory, isSame } = await serving();
  await Promise.all([sets.ensure(hash), sets.ensure(hash), sets.ensure(hash)]);
  expect(isSame()).toBe(true);
  expect(readdirSync(data_directory)).toEqual([hash]);
  expect(asked).toEqual(["meta.json all", "train.bin all", "validation.bin all"]);
  await sets.ensure(hash);
  expect(asked.length).toBe(3);
});

it("are gone on with where the connection broke", async () => {
  let broken = 0;
  const PIECE = 1000;
  const breaking: Meddle = (response, bytes, { url }) => {
    if (!url!.endsWith("train.bin") || bytes.length <= PIECE || broken >= 3)
      return send(response, bytes, {} as never);
    broken++;
    response.write(bytes.subarray(0, PIECE), () => setTimeout(() => response.destroy(), 50));
  };
  const { hash, sets, asked, isSame } = await serving(breaking);
  await sets.ensure(hash);
  expect(broken).toBe(3);
  expect(isSame()).toBe(true);
  // What had arrived is not asked for again; how much that is, the connection decides.
  const from = asked.flatMap((what) => /^train\.bin (?:bytes=(\d+)-|all)$/.exec(what) ?? []);
  const offsets = from.filter((_, i) => i % 2 === 1).map((start) => Number(start ?? 0));
  expect(offsets.length).toBe(4);
  expect(offsets[0]).toBe(0);
  expect(offsets).toEqual(offsets.toSorted((a, b) => a - b));
  expect(offsets.at(-1)).toBeGreaterThan(0);
});

it("whose bytes are not what their name says are not believed, and leave nothing", async () => {
  const lying: Meddle = (response, bytes, { url }) => {
    if (url!.endsWith("train.bin")) bytes[7]! ^= 1;
    response.end(bytes);
  };
  const { hash, sets, data_directory } = await serving(lying);
  await expect(sets.ensure(hash)).rejects.toMatchObject({
    code: "data-mismatch",
    message: expect.stringMatching(/sent as data set \w+ has the hash \w+/),
  });
  expect(readdirSync(data_directory)).toEqual([]);
});

it("are not there, or ask for another token: data-missing, with the server's word", async () => {
  const { hash, sets } = await serving(send, "another-token");
  await expect(sets.ensure(hash)).rejects.toMatchObject({
    code: "data-missing",
    message: expect.stringContaining("401"),
  });
  const { sets: others } = await serving();
  await expect(others.ensure("0".repeat(32))).rejects.toMatchObject({
    code: "data-missing",
    message: expect.stringContaining("404"),
  });
});

it("are not asked for by names that lead elsewhere, nor where there is no server", async () => {
  const { asked, sets, state, data_directory } = await serving();
  mkdirSync(join(state.root, "secret"));
  for (const hash of ["../secret", "..%2fsecret", "", "/etc"]) await sets.ensure(hash);
  expect(asked).toEqual([]);
  const without = new DataSets({ data_directory, data_server: null }, silent, new AbortController().signal);
  await without.ensure("0".repeat(32));
  expect(existsSync(data_directory)).toBe(false);
});

it("that this host cannot keep cost no run an attempt: data-missing, with the reason", async () => {
  const { hash, sets, data_directory } = await serving();
  writeFileSync(data_directory, "no directory");
  await expect(sets.ensure(hash)).rejects.toMatchObject({
    code: "data-missing",
    message: expect.stringMatching(/cannot be kept here: E(EXIST|NOTDIR)/),
  });
});

it("that another worker of the directory has fetched meanwhile are that one's", async () => {
  const { hash, sets, data_directory, state, isSame } = await serving((response, bytes, { url }) => {
    if (url!.endsWith("validation.bin"))
      cpSync(join(state.data, hash), join(data_directory, hash), { recursive: true });
    response.end(bytes);
  });
  await sets.ensure(hash);
  expect(isSame()).toBe(true);
  expect(readdirSync(data_directory)).toEqual([hash]);
});
