/** What compiled code is for, in the names of what a cache holds: hosts that share a home may differ in their C library. */
import { readFileSync } from "node:fs";

/** "linux-x64-glibc2.36", "linux-arm64-musl", "darwin-arm64" */
export function systemName(): string {
  const { platform, arch } = process;
  if (platform !== "linux") return `${platform}-${arch}`;
  const version = lddVersion() ?? reportedVersion();
  return `${platform}-${arch}-${version === undefined ? "musl" : `glibc${version}`}`;
}

/** In no time; Node's report takes 20 ms. */
function lddVersion(): string | undefined {
  try {
    return /\bldd \(.*\) (\d+\.\d+)/.exec(readFileSync("/usr/bin/ldd", "utf8"))?.[1];
  } catch {
    return undefined;
  }
}

function reportedVersion(): string | undefined {
  const report = process.report as NodeJS.ProcessReport & { excludeNetwork: boolean };
  // Else it asks for the names of all hosts that this process is connected to.
  report.excludeNetwork = true;
  return (report.getReport() as { header: { glibcVersionRuntime?: string } }).header.glibcVersionRuntime;
}
