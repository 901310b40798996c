/**
 * What `npm pack` makes, installed where no clone is, and used from an empty HOME. It takes minutes, for it compiles what a
 * user's first use compiles: `npm run test:install` runs it.
 */
import { execFile, spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, it } from "vitest";
import { packageRoot, packageVersion } from "../../schema/wire/package.ts";
import { systemName } from "../../schema/wire/system-name.ts";
import { freePort, writeSweep } from "../support/musweep.ts";
import { scratch, until } from "../support/scratch.ts";

const run = promisify(execFile);
const MIB = 2 ** 20;

const isAsked = process.env.MUSWEEP_INSTALL !== undefined;
if (!isAsked)
  console.warn(
    "NOT TESTED: the package as npm installs it, which takes minutes. `npm run test:install` tests it.",
  );

it.runIf(isAsked)(
  "the tarball installs into an empty prefix and trains a sweep that its dashboard shows",
  async () => {
    const place = scratch();
    const at = (name: string): string => join(place.directory, name);
    const cache = (await run("npm", ["config", "get", "cache"])).stdout.trim();
    const { XDG_CACHE_HOME: _, ...inherited } = place.env;
    const env = {
      ...inherited,
      HOME: at("home"),
      npm_config_cache: cache,
      npm_config_update_notifier: "false",
    };
    mkdirSync(at("home"));
    const pack = ["pack", "--json", "--pack-destination", place.directory];
    const packed = JSON.parse((await run("npm", pack, { cwd: packageRoot(), env })).stdout)[0] as {
      filename: string;
      files: { path: string }[];
    };
    const paths = packed.files.map(({ path }) => path);
    expect(paths.filter((path) => /^(test|bench|workers\/trainers\/cpu\/.*\.ts)|\.so$/.test(path))).toEqual(
      [],
    );
    expect(paths.length).toBeLessThan(600);

    const options = ["--prefer-offline", "--no-audit", "--no-fund", "--loglevel=error"];
    const tarball = at(packed.filename);
    await run("npm", ["install", "--global", "--prefix", at("prefix"), ...options, tarball], { env });
    const installed = at("prefix/lib/node_modules/musweep");
    const { stdout: size } = await run("du", ["-sk", installed]);
    expect(Number.parseInt(size, 10) * 1024).toBeLessThan(250 * MIB);

    const program = at("prefix/bin/musweep");
    const user = { cwd: place.directory, env };
    expect((await run(program, ["--version"], user)).stdout.trim()).toBe(packageVersion());
    // No compiler, no trainer: said before anything is made.
    const without = run(program, ["run", writeSweep(place)], {
      ...user,
      env: { ...env, CC: at("no-compiler") },
    });
    await expect(without).rejects.toMatchObject({
      code: 3,
      stderr: expect.stringContaining("apt-get install gcc"),
    });

    const child = spawn(
      program,
      ["run", writeSweep(place, { steps: 2000 }), "--port", String(await freePort())],
      user,
    );
    let said = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      said += text;
    });
    let answer = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      answer += text;
    });
    const ended = new Promise((resolve) => child.on("close", resolve));
    const linkIn = (): string | undefined => /http:\/\/\S+\/login\?\S+/.exec(said)?.[0];
    await until(() => expect(linkIn() ?? child.exitCode, said).not.toBeNull(), 240_000);
    const link = linkIn()!;
    const login = await fetch(link, { redirect: "manual" });
    const cookie = login.headers.get("set-cookie")!.split(";")[0]!;
    const page = await fetch(new URL("/sweeps/tiny", link), { headers: { cookie } });
    expect(await page.text()).toContain("<svg");
    expect(await ended, said).toBe(0);
    expect(answer).toMatch(/^tiny: 6 grid points, 6 runs finished/);
    // What was compiled lies in the user's cache, and nothing of the package was changed.
    const compiled = `trainer-${packageVersion()}-${systemName()}-`;
    expect(readdirSync(at("home/.cache/musweep")).some((name) => name.startsWith(compiled))).toBe(true);
    expect(existsSync(join(installed, "dist/native"))).toBe(false);
  },
  600_000,
);
