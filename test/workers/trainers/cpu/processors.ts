/**
 * The kinds of processor whose kernels tests look at: all that this machine has, best last; or the one that `npm run test:arm` emulates,
 * named by MUSWEEP_EMULATED, a JSON object {name, command}. Their kernels are those of the library at MUSWEEP_KERNELS, if that is given:
 * what another compiler has made of them.
 */
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, openSync, readSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import koffi from "koffi";
import { z } from "zod";
import { native } from "../../../../workers/trainers/common/native.ts";
import type { BoundTape } from "../../../../workers/trainers/cpu/tape.ts";

const { MUSWEEP_KERNELS } = process.env;
const kernels = MUSWEEP_KERNELS === undefined ? native : koffi.load(MUSWEEP_KERNELS);
const ensureThreads = kernels.func("int64_t ensure_threads(int64_t)");
const runAll = kernels.func("void run_tapes(void*, void*, int64_t, int64_t, int64_t)");
const limitProcessor = kernels.func("void limit_processor(int)");
const processor = kernels.func("int processor()");
const BEST = processor() as number;

const emulated =
  process.env.MUSWEEP_EMULATED === undefined
    ? null
    : z
        .strictObject({ name: z.string(), command: z.tuple([z.string()], z.string()) })
        .parse(JSON.parse(process.env.MUSWEEP_EMULATED));

export const PROCESSORS: readonly string[] =
  emulated === null ? ["any processor", "AVX2", "AVX-512"].slice(0, BEST + 1) : [emulated.name];
if (emulated === null && PROCESSORS.length < 3)
  console.warn(`This machine has ${PROCESSORS.at(-1)} at best; kernels beyond are not tested.`);

/** Has the kernels of this kind run. @throws Error when others would */
export function useProcessor(name: string): void {
  if (emulated !== null) return;
  limitProcessor(PROCESSORS.indexOf(name));
  if (processor() !== PROCESSORS.indexOf(name)) throw new Error(`the kernels for ${name} do not run here`);
}

/** Back to the best. */
export const useBestProcessor = (): void => limitProcessor(BEST);

/** The memory that a tape computes in: where it begins, and its size in bytes. */
interface Memory {
  readonly start: bigint;
  readonly bytes: number;
  /** Where in it addresses lie: offset in bytes, and how many words. */
  readonly table: { readonly offset: number; readonly words: number };
}

/** Runs a tape to its end, here or in the emulator. */
export function runTape(tape: BoundTape, memory: Memory, members: number): void {
  if (emulated !== null) {
    emulate(emulated.command, tape, memory, members);
    return;
  }
  if (ensureThreads(members) < members) throw new Error(`the system gives no ${members} threads`);
  runAll(BigInt64Array.of(tape.address), BigInt64Array.of(BigInt(tape.length)), 1, 1, members);
}

/** bytes of struct Call, native/tape.h */
const CALL_BYTES = 144;

let pipes: { readonly send: number; readonly receive: number } | null = null;

function emulate(
  command: readonly [string, ...string[]],
  tape: BoundTape,
  { start, bytes, table }: Memory,
  members: number,
): void {
  pipes ??= startEmulator(command);
  const header = [members, tape.length, start, bytes, table.offset, table.words].map(BigInt);
  const memory = new Uint8Array(koffi.view(start, bytes));
  const calls = new Uint8Array(koffi.view(tape.address, CALL_BYTES * tape.length));
  for (const part of [new Uint8Array(BigInt64Array.from(header).buffer), calls, memory])
    for (let done = 0; done < part.length; ) done += writeSync(pipes.send, part, done);
  for (let done = 0; done < bytes; ) {
    const count = readSync(pipes.receive, memory, done, bytes - done, null);
    if (count === 0) throw new Error("the emulator has ended; what it said is above");
    done += count;
  }
}

/** Its standard streams are named pipes, which can be written and read without giving the event loop a turn. */
function startEmulator([program, ...args]: readonly [string, ...string[]]) {
  const directory = mkdtempSync(join(tmpdir(), "musweep-emulator-"));
  try {
    const [input, output] = [join(directory, "input"), join(directory, "output")];
    const { status, stderr } = spawnSync("mkfifo", [input, output], { encoding: "utf8" });
    if (status !== 0) throw new Error(`mkfifo: ${stderr}`);
    const line = ["sh", "-c", 'input=$1 output=$2; shift 2; exec "$@" <"$input" >"$output"', "sh"] as const;
    spawn(line[0], [...line.slice(1), input, output, program, ...args], {
      stdio: ["ignore", "ignore", "inherit"],
    }).unref();
    return { send: openSync(input, "w"), receive: openSync(output, "r") };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
