/** The processes of this machine as a tree, by `ps`: which of them a musweep under chaos consists of. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

export interface Process {
  pid: number;
  parent: number;
  command: string;
}

export function allProcesses(): Process[] {
  return execFileSync("ps", ["-A", "-ww", "-o", "pid=,ppid=,command="], {
    encoding: "utf8",
    maxBuffer: 1 << 26,
  })
    .split("\n")
    .flatMap((line) => {
      const [, pid, parent, command] = /^\s*(\d+)\s+(\d+)\s+(.*)$/.exec(line) ?? [];
      return command === undefined ? [] : [{ pid: Number(pid), parent: Number(parent), command }];
    });
}

/** A process's children, and theirs. */
export function descendants(pid: number, all = allProcesses()): Process[] {
  const children = all.filter(({ parent }) => parent === pid);
  return children.flatMap((child) => [child, ...descendants(child.pid, all)]);
}

/** @returns whether there was such a process */
export function signal(pid: number, name: NodeJS.Signals): boolean {
  try {
    process.kill(pid, name);
    return true;
  } catch {
    return false;
  }
}

/** Processor time of a process, in clock ticks; undefined where the system does not say. */
export function ticksOf(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return Number(fields[11]) + Number(fields[12]);
  } catch {
    return undefined;
  }
}
