/**
 * A pass over the model as a tape: a plain list of calls of the compiled kernels (native/), in the order in which they run. What the
 * calls hand to each other lies in one arena, laid out when the tape is finished: memory of what is no longer needed is used
 * again, so the arena's size is exactly what the pass takes.
 *
 * Sizes have one alphabet in this folder: B sequences per pass, T tokens per sequence, N = B·T, C d_model, H heads,
 * D d_head, F d_ffn, V vocabulary, L layers.
 */

import koffi from "koffi";
import { MusweepError } from "../../../schema/wire/errors.ts";
import { native } from "../common/native.ts";

const kernelName = native.func("str kernel_name(int)");
const ensureThreads = native.func("int64_t ensure_threads(int64_t)");
const runAll = native.func("void run_tapes(void*, void*, int64_t, int64_t, int64_t)");

/** The kernels' places in the table of native/kernels.h. */
const places = new Map<string, number>();
for (let place = 0; ; place++) {
  const name = kernelName(place) as string | null;
  if (name === null) break;
  places.set(name, place);
}

/** Of a tape's crew. */
export const MOST_THREADS = Number(native.func("int64_t most_threads()")());

/** What decides in which order numbers are rounded here: "AVX-512, gcc 12". */
export const kernelsHere = native.func("str kernels_here()") as () => string;

/** Numbers that kernels read and write: in the arena, or the caller's under a name. */
export interface Value {
  readonly shape: readonly number[];
  readonly name: string | null;
}

export const sizeOf = (shape: readonly number[]): number => shape.reduce((product, d) => product * d, 1);

interface Call {
  readonly kernel: number;
  readonly at: readonly (Value | null)[];
  readonly sizes: readonly number[];
  readonly scalars: readonly number[];
}

/** struct Call of native/tape.h: kernel, addresses, sizes, scalars. */
const MOST = { addresses: 10, sizes: 12, scalars: 2 };
export const CALL_BYTES = 8 + 8 * MOST.addresses + 4 * MOST.sizes + 4 * MOST.scalars;

/** int32_t */
const LARGEST_SIZE = 2 ** 31 - 1;

const LINE_BYTES = 64;
/** As between the pieces of a region. */
const GAP_LINES = 17;

/** A finished tape: calls, and where in an arena their values lie. */
export interface Program {
  readonly calls: readonly Call[];
  readonly arenaBytes: number;
  /** Bytes of the caller's memory that it needs, by name. */
  readonly outside: ReadonlyMap<string, number>;
  /** How many values its calls name, in the arena and outside. */
  readonly values: number;
  /** Of a value of the arena: bytes from the arena's beginning. */
  placeOf(value: Value): number;
}

export class Tape {
  /** Threads that will share each call: some kernels need room for each. */
  readonly members: number;
  readonly #calls: Call[] = [];
  readonly #pinned = new Set<Value>();

  constructor(members: number) {
    this.members = members;
  }

  /** Memory of the caller's: weights, sums of gradients, tokens. */
  outside(name: string, shape: readonly number[]): Value {
    return { shape, name };
  }

  /** New numbers in the arena, from the first call that names them to the last. */
  value(shape: readonly number[]): Value {
    return { shape, name: null };
  }

  /** Keeps a value to the end of the tape, where it can be read. */
  pin(value: Value): Value {
    this.#pinned.add(value);
    return value;
  }

  call(
    kernel: string,
    at: readonly (Value | null)[],
    sizes: readonly number[],
    scalars: readonly number[] = [],
  ): void {
    const place = places.get(kernel);
    if (place === undefined) throw new Error(`there is no kernel ${kernel}`);
    const largest = Math.max(0, ...sizes);
    if (largest > LARGEST_SIZE)
      throw new MusweepError(
        "unsupported",
        `A pass computes ${largest} numbers in one go; this engine counts to ${LARGEST_SIZE}.`,
        {
          kind: "usage",
          remedy: "Set a smaller micro_batch_size; if a pass is one sequence, a smaller sequence_length.",
        },
      );
    if (at.length > MOST.addresses || sizes.length > MOST.sizes || scalars.length > MOST.scalars)
      throw new Error(`a call of ${kernel} has too many arguments`);
    this.#calls.push({ kernel: place, at, sizes, scalars });
  }

  finish(): Program {
    const calls = this.#calls;
    const { places, bytes } = layOut(this.#lives());
    const named = calls.flatMap(({ at }) => at.filter((value) => value !== null && value.name !== null));
    const outside = new Map(named.map((value) => [value!.name!, 4 * sizeOf(value!.shape)]));
    return {
      calls,
      arenaBytes: bytes,
      outside,
      values: places.size + outside.size,
      placeOf: (value) => {
        const at = places.get(value);
        if (at === undefined) throw new Error(`a value of shape [${value.shape}] is not in the arena`);
        return at;
      },
    };
  }

  /** Of each value in the arena, the calls from which and to which it is needed. */
  #lives(): Life[] {
    const lives = new Map<Value, { value: Value; bytes: number; first: number; last: number }>();
    this.#calls.forEach(({ at }, i) => {
      for (const value of at) {
        if (value === null || value.name !== null) continue;
        const known = lives.get(value);
        if (known !== undefined) known.last = i;
        else lives.set(value, { value, bytes: 4 * sizeOf(value.shape), first: i, last: i });
      }
    });
    for (const value of this.#pinned) {
      const life = lives.get(value);
      if (life !== undefined) life.last = this.#calls.length;
    }
    return [...lives.values()];
  }
}

interface Life {
  readonly value: Value;
  readonly bytes: number;
  readonly first: number;
  readonly last: number;
}

/** Free memory, from its first byte to the one where something lies. */
interface Gap {
  start: number;
  end: number;
}

/**
 * Each at the lowest place that is free when it begins, and free again after its last call. Of those that begin with the same call
 * the ones that last come first: what is soon gone leaves no hole below them.
 */
function layOut(lives: readonly Life[]): { places: Map<Value, number>; bytes: number } {
  const places = new Map<Value, number>();
  const sizeOfLife = (life: Life): number => LINE_BYTES * (Math.ceil(life.bytes / LINE_BYTES) + GAP_LINES);
  const ending = lives.toSorted((a, b) => a.last - b.last);
  let [ended, bytes] = [0, 0];
  /** In order, none beside another; the last one has no end. */
  const gaps: Gap[] = [{ start: 0, end: Number.POSITIVE_INFINITY }];
  for (const life of lives.toSorted((a, b) => a.first - b.first || b.last - a.last)) {
    for (; ending[ended]!.last < life.first; ended++) {
      const start = places.get(ending[ended]!.value)!;
      giveBack(gaps, start, start + sizeOfLife(ending[ended]!));
    }
    const size = sizeOfLife(life);
    const place = gaps.findIndex((gap) => gap.end - gap.start >= size);
    const gap = gaps[place]!;
    places.set(life.value, gap.start);
    gap.start += size;
    bytes = Math.max(bytes, gap.start);
    if (gap.start === gap.end) gaps.splice(place, 1);
  }
  return { places, bytes };
}

function giveBack(gaps: Gap[], start: number, end: number): void {
  const above = gaps.findIndex((gap) => gap.start >= end);
  const [before, after] = [gaps[above - 1], gaps[above]!];
  if (before?.end === start && after.start === end) {
    before.end = after.end;
    gaps.splice(above, 1);
  } else if (before?.end === start) before.end = end;
  else if (after.start === end) after.start = start;
  else gaps.splice(above, 0, { start, end });
}

/** A program tied to memory, ready to run: struct Call one behind the other. */
export class BoundTape {
  readonly length: number;
  /** Of the first call. */
  readonly address: bigint;
  readonly #bytes: Uint8Array;

  /**
   * @param arena address of its first byte
   * @param addressOf that of the caller's memory, by name
   */
  constructor(program: Program, arena: bigint, addressOf: (name: string) => bigint) {
    this.length = program.calls.length;
    this.#bytes = new Uint8Array(CALL_BYTES * this.length);
    this.address = koffi.address(this.#bytes) as bigint;
    const view = new DataView(this.#bytes.buffer);
    program.calls.forEach((call, i) => {
      const address = i * CALL_BYTES + 8;
      const size = address + 8 * MOST.addresses;
      const scalar = size + 4 * MOST.sizes;
      view.setBigInt64(address - 8, BigInt(call.kernel), true);
      call.at.forEach((value, j) => {
        if (value === null) return;
        const at = value.name === null ? arena + BigInt(program.placeOf(value)) : addressOf(value.name);
        view.setBigInt64(address + 8 * j, at, true);
      });
      call.sizes.forEach((x, j) => {
        view.setInt32(size + 4 * j, x, true);
      });
      call.scalars.forEach((x, j) => {
        view.setFloat32(scalar + 4 * j, x, true);
      });
    });
  }
}

/** Threads at work: teams side by side, each with a tape of its own, whose members share every call of it. */
export interface Crew {
  readonly teams: number;
  readonly members: number;
}

/** For tapes that may run side by side; where the threads cannot be shared out evenly, all of them take one after the other. */
export function crewOf(threads: number, lanes: number): Crew {
  const teams = threads % lanes === 0 ? lanes : 1;
  return { teams, members: threads / teams };
}

/** Gives back what the threads' copies for products take, between runs. */
export const emptyCopies: () => void = native.func("void empty_copies()");

/** Runs tapes to their ends, dealt to the teams in turn. Blocks the event loop until done. */
export function runTapes(tapes: readonly BoundTape[], { teams, members }: Crew): void {
  const wanted = teams * members;
  if (ensureThreads(wanted) < wanted) throw new Error(`the system gives no ${wanted} threads`);
  const addresses = BigInt64Array.from(tapes, (tape) => tape.address);
  const lengths = BigInt64Array.from(tapes, (tape) => BigInt(tape.length));
  runAll(addresses, lengths, tapes.length, teams, members);
}
