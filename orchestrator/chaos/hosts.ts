/**
 * Hosts on one machine: network namespaces around a switch that lies in the first of them. A host that is cut off is taken from the
 * switch: its cable stays in, and nothing that it sends arrives or comes back as an error. Needs root on Linux, and iproute2.
 */
import { execFileSync, spawnSync } from "node:child_process";

/** undefined: it can be done here; else why not, to be said aloud. */
export function whyNoHosts(): string | undefined {
  if (process.platform !== "linux") return "network namespaces are Linux's";
  if (process.getuid?.() !== 0) return "only root makes network namespaces";
  const probe = `musweep-probe-${process.pid}`;
  const { error, status } = spawnSync("ip", ["netns", "add", probe], QUIET);
  if (error) return "the program `ip` of iproute2 is missing";
  if (status !== 0) return "no network namespace can be made here";
  const bridge = spawnSync("ip", ["-n", probe, "link", "add", "switch", "type", "bridge"], QUIET);
  ip("netns", "del", probe);
  return bridge.status === 0 ? undefined : "this kernel has no network bridge";
}

export class Hosts {
  readonly #names: string[];

  /** @param count with the first, which is reached at its address by all others */
  constructor(count: number) {
    const unique = process.pid.toString(36);
    this.#names = Array.from({ length: count }, (_, i) => `musweep-${unique}-${i}`);
    try {
      this.#connect();
    } catch (error) {
      this.remove();
      throw error;
    }
  }

  #connect(): void {
    for (const name of this.#names) {
      ip("netns", "add", name);
      ip("-n", name, "link", "set", "lo", "up");
    }
    const [first, ...others] = this.#names as [string, ...string[]];
    ip("-n", first, "link", "add", "switch", "type", "bridge");
    ip("-n", first, "addr", "add", "10.77.0.1/24", "dev", "switch");
    ip("-n", first, "link", "set", "switch", "up");
    for (const [i, name] of others.entries()) {
      ip("-n", first, "link", "add", `port${i + 1}`, "type", "veth", "peer", "name", "net", "netns", name);
      ip("-n", first, "link", "set", `port${i + 1}`, "master", "switch", "up");
      ip("-n", name, "addr", "add", `10.77.0.${i + 2}/24`, "dev", "net");
      ip("-n", name, "link", "set", "net", "up");
    }
  }

  readonly address = "10.77.0.1";

  /** What a command line begins with to run on a host. */
  on = (host: number): string[] => ["ip", "netns", "exec", this.#names[host]!];
  /** @param host not the first */
  cut = (host: number): void => ip("-n", this.#names[0]!, "link", "set", `port${host}`, "nomaster");
  mend = (host: number): void => ip("-n", this.#names[0]!, "link", "set", `port${host}`, "master", "switch");

  /** With all links between them. @returns the names of those that are still there */
  remove(): string[] {
    for (const name of this.#names) spawnSync("ip", ["netns", "del", name], QUIET);
    const { stdout } = spawnSync("ip", ["netns", "list"], { encoding: "utf8" });
    const left = new Set(stdout.split("\n").map((line) => line.split(" ")[0]));
    return this.#names.filter((name) => left.has(name));
  }
}

const QUIET = { stdio: "ignore" } as const;
const ip = (...args: string[]): void => void execFileSync("ip", args, { stdio: "pipe" });
