/**
 * Redis over TLS, by a real server: what makes it work, and what is said where it does not. The certificates in fixtures/tls
 * were made for these tests, with openssl, for a hundred years; the authority's key was thrown away. cert.pem names localhost.
 */
import { spawn } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { beforeEach, describe, expect, it, onTestFinished, vi } from "vitest";
import { startLocalWorker } from "../../../orchestrator/machine/local-worker.ts";
import { readWorkers } from "../../../orchestrator/queue/read-workers.ts";
import { ensureServer } from "../../../orchestrator/redis/install-server.ts";
import { checkRedis, connected, probe, withoutPassword } from "../../../orchestrator/redis/probe.ts";
import { freePort } from "../../support/musweep.ts";
import { freshRedis } from "../../support/orchestrator.ts";
import { scratch, until } from "../../support/scratch.ts";
import { workerConfig } from "../../support/worker-config.ts";

const at = (name: string): string => fileURLToPath(new URL(`./fixtures/tls/${name}`, import.meta.url));

/** A server that takes TLS on one port, for clients with a certificate, and none on the other. */
async function start(): Promise<{ tls: number; plain: number }> {
  const [tls, plain] = [await freePort(), await freePort()];
  const settings = {
    "tls-cert-file": at("cert.pem"),
    "tls-key-file": at("key.pem"),
    "tls-ca-cert-file": at("ca.pem"),
  };
  const args = Object.entries({
    ...settings,
    "tls-port": tls,
    port: plain,
    bind: "127.0.0.1 -::1",
    save: "",
    requirepass: "secret",
  });
  const child = spawn(
    (await ensureServer()).path,
    args.flatMap(([name, value]) => [`--${name}`, ...String(value).split(" ")]),
    { cwd: scratch().directory, stdio: "ignore" },
  );
  onTestFinished(async () => {
    child.kill("SIGKILL");
    await once(child, "exit");
  });
  await until(async () => expect(await probe(`redis://:secret@127.0.0.1:${plain}`)).toBe("ready"));
  return { tls, plain };
}

beforeEach(() => {
  vi.stubEnv("REDIS_PASSWORD", "secret");
  onTestFinished(() => void vi.unstubAllEnvs());
});

const trust = (): void => void vi.stubEnv("REDIS_TLS_CA", at("ca.pem"));
const identify = (): void => {
  vi.stubEnv("REDIS_TLS_CERT", at("cert.pem"));
  vi.stubEnv("REDIS_TLS_KEY", at("key.pem"));
};

const refusal = (url: string): Promise<{ code: string; message: string; remedy: string }> =>
  checkRedis(url).then(
    () => Promise.reject(new Error("it was let in")),
    (error) => error as { code: string; message: string; remedy: string },
  );

describe("a Redis over TLS", () => {
  it("is used by the orchestrator and by workers, with authority, certificate and password from the environment", async () => {
    const { tls } = await start();
    trust();
    identify();
    const url = `rediss://localhost:${tls}`;
    expect(await checkRedis(url)).toMatch(/^\d+\.\d+\.\d+$/);
    const { directory } = scratch();
    const worker = startLocalWorker(
      workerConfig(directory, url, { exit_with_stdin: true }),
      path.join(directory, "worker.log"),
    );
    onTestFinished(() => worker.kill());
    await until(async () => expect((await connected(url, readWorkers)).workers.length).toBe(1));
    await worker.stop();
  });

  it("whose authority is not known is refused, with what to set", async () => {
    const { tls } = await start();
    const { code, remedy } = await refusal(`rediss://localhost:${tls}`);
    expect([code, remedy]).toEqual(["redis-unreachable", expect.stringContaining("REDIS_TLS_CA")]);
  });

  it("that wants a certificate of its clients is told apart, with what to set", async () => {
    const { tls } = await start();
    trust();
    expect((await refusal(`rediss://localhost:${tls}`)).remedy).toContain("REDIS_TLS_CERT");
  });

  it("by another name than its certificate's is refused", async () => {
    const { tls } = await start();
    trust();
    identify();
    const { message, remedy } = await refusal(`rediss://127.0.0.1:${tls}`);
    expect([message, remedy]).toEqual([
      expect.stringContaining("altnames"),
      "Name the host as its certificate does.",
    ]);
  });

  it("and one without are told apart where the url says the wrong one", async () => {
    const { tls, plain } = await start();
    trust();
    identify();
    expect((await refusal(`rediss://localhost:${plain}`)).remedy).toContain("redis:// instead of rediss://");
    expect((await refusal(`redis://localhost:${tls}`)).remedy).toContain("rediss:// instead of redis://");
  });

  it.each(["REDIS_TLS_CA", "REDIS_TLS_CERT", "REDIS_TLS_KEY"])(
    "%s that is no file is named",
    async (variable) => {
      vi.stubEnv(variable, "/no/such/file.pem");
      const { code, message } = await refusal("rediss://localhost:1");
      expect([code, message]).toEqual(["redis-certificate", expect.stringContaining(`${variable}: ENOENT`)]);
    },
  );

  it.each(["REDIS_TLS_CA", "REDIS_TLS_CERT", "REDIS_TLS_KEY"])(
    "%s is no device without end",
    async (variable) => {
      vi.stubEnv(variable, "/dev/zero");
      const { code, message } = await refusal("rediss://localhost:1");
      expect([code, message]).toEqual(["redis-certificate", expect.stringContaining("a device")]);
    },
  );
});

it.each([
  ["no PEM file", { REDIS_TLS_CERT: "cert", REDIS_TLS_KEY: "other" }],
  ["the key of another certificate", { REDIS_TLS_CERT: "ours", REDIS_TLS_KEY: "stranger" }],
  ["a key with a passphrase", { REDIS_TLS_CERT: "ours", REDIS_TLS_KEY: "encrypted" }],
])(
  "what is wrong with certificates here is said with the variables that name them: %s",
  async (_what, variables) => {
    const { directory } = scratch();
    const key = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
    const pem = { type: "pkcs8", format: "pem" } as const;
    const files: Record<string, string> = {
      other: "no PEM",
      cert: "no PEM",
      stranger: String(key.export(pem)),
      encrypted: String(key.export({ ...pem, cipher: "aes-256-cbc", passphrase: "secret" })),
      ours: readFileSync(at("cert.pem"), "utf8"),
    };
    for (const [variable, name] of Object.entries(variables)) {
      writeFileSync(path.join(directory, name), files[name]!);
      vi.stubEnv(variable, path.join(directory, name));
    }
    expect(await refusal("rediss://127.0.0.1:1")).toMatchObject({
      code: "redis-unreachable",
      remedy: expect.stringContaining("REDIS_TLS_KEY"),
    });
  },
);

it.each([
  ["no scripts", ["+@all", "-@scripting", "~*", "&*"], "eval"],
  ["no channels", ["+@all", "~*", "resetchannels"], "channel"],
  ["no keys of the queues", ["+@all", "~musweep:*", "&*"], "key"],
])(
  "a user whose rights do not suffice is refused with what is missing: %s",
  async (_what, rules, missing) => {
    const { url, redis } = await freshRedis();
    const port = await freePort();
    await redis.config("SET", "port", port);
    await redis.acl("SETUSER", "narrow", "on", ">secret", ...rules);
    expect(url).not.toBe("");
    expect(await refusal(`redis://narrow:secret@127.0.0.1:${port}`)).toMatchObject({
      code: "redis-permissions",
      message: expect.stringContaining(missing),
      remedy: expect.stringContaining("~bull:*"),
    });
  },
);

it("one that takes no writes without its replicas is refused, with its setting", async () => {
  const { url, redis } = await freshRedis();
  await redis.config("SET", "min-replicas-to-write", 1);
  expect(await refusal(url)).toMatchObject({
    code: "redis-replicas",
    remedy: expect.stringContaining("min-replicas-to-write"),
  });
});

it("a cluster is refused: the keys have to be in one place", async () => {
  const { directory } = scratch();
  const port = await freePort();
  const settings = [
    "--port",
    `${port}`,
    "--cluster-enabled",
    "yes",
    "--cluster-port",
    `${await freePort()}`,
    "--save",
    "",
  ];
  const child = spawn((await ensureServer()).path, settings, { cwd: directory, stdio: "ignore" });
  onTestFinished(async () => {
    child.kill("SIGKILL");
    await once(child, "exit");
  });
  vi.stubEnv("REDIS_PASSWORD", "");
  await until(async () => expect(await probe(`redis://127.0.0.1:${port}`)).toBe("ready"));
  expect(await refusal(`redis://127.0.0.1:${port}`)).toMatchObject({ code: "redis-cluster" });
});

it("a user in the url has the password of the environment", async () => {
  const { plain } = await start();
  expect(await checkRedis(`redis://default@127.0.0.1:${plain}`)).toMatch(/^\d/);
});

it("a server that takes a connection and says nothing is not waited for without a limit", async () => {
  const silent = createServer(() => undefined).listen(0, "127.0.0.1");
  onTestFinished(() => void silent.close());
  await once(silent, "listening");
  const address = silent.address();
  const port = typeof address === "object" ? address?.port : 0;
  expect((await refusal(`redis://127.0.0.1:${port}`)).message).toContain("timed out");
});

it.each([
  ["redis://:pa#ss@host:6379", "redis://:***@host:6379"],
  ["redis://:p@ss/w@host:6379", "redis://:***@host:6379"],
  ["redis://me:pass@host:6379?x=1", "redis://me:***@host:6379?…"],
  ["redis://token@host", "redis://***@host"],
  ["redis://host:6379?password=pass", "redis://host:6379?…"],
  ["redis://host:6379/2", "redis://host:6379/2"],
  ["/path/to/redis.sock", "/path/to/redis.sock"],
])("%s is shown as %s", (url, shown) => {
  expect(withoutPassword(url)).toBe(shown);
});

it("a password that should have been percent-encoded is refused without being said", async () => {
  for (const url of [
    "redis://:hush#now@127.0.0.1:1",
    "redis://:hush/now@127.0.0.1:1",
    "redis://:hush?now@127.0.0.1:1",
  ]) {
    const { code, message, remedy } = await refusal(url);
    expect([code, remedy]).toEqual(["redis-url", expect.stringContaining("%23")]);
    expect(message).not.toMatch(/hush|now/);
  }
});
