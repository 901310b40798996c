/**
 * A compiled graph and the memory it reads and writes: the only file that knows how ONNX Runtime is called. A program is bound
 * to buffers once; a run then reads its inputs from them and leaves its outputs in them.
 */
import { createHash } from "node:crypto";
import ort from "onnxruntime-node";
import { encodeModel, type Graph, type GraphTensor } from "./encode.ts";
import type { GraphBuilder } from "./graph.ts";

export type TensorData = Float32Array | Int32Array;

export interface BoundProgram {
  /** Computes the outputs. The event loop turns once before it, and then stands still until it is done. */
  run(): Promise<void>;
}

export class Program {
  readonly #session: ort.InferenceSession;
  readonly #graph: Graph;

  private constructor(session: ort.InferenceSession, graph: Graph) {
    this.#session = session;
    this.#graph = graph;
  }

  static async create(graph: Graph, model: Uint8Array, threads: number): Promise<Program> {
    const session = await ort.InferenceSession.create(model, {
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
      executionMode: "sequential",
      logSeverityLevel: 3,
      // Threads that wait must not spin: a worker runs one trainer per core.
      extra: { session: { intra_op: { allow_spinning: "0" }, dynamic_block_base: "8" } },
    });
    return new Program(session, graph);
  }

  /** @param bufferOf the array behind each input and output, by name; of exactly the tensor's size */
  bind(bufferOf: (name: string) => TensorData): BoundProgram {
    const tensors = (list: readonly GraphTensor[]): Record<string, ort.Tensor> =>
      Object.fromEntries(
        list.map((t) => {
          const data = bufferOf(t.name);
          return [
            t.name,
            data instanceof Float32Array
              ? new ort.Tensor("float32", data, t.shape)
              : new ort.Tensor("int32", data, t.shape),
          ];
        }),
      );
    const feeds = tensors(this.#graph.inputs);
    const fetches = tensors(this.#graph.outputs);
    return {
      run: async () => {
        await this.#session.run(feeds, fetches);
      },
    };
  }

  async release(): Promise<void> {
    await this.#session.release();
  }
}

/** Arena memory that programs not in use may keep. */
const IDLE_BYTES = 512 * 2 ** 20;

/** Compiled programs by content, so that runs of one shape compile once. The longest unused are released first. */
export class ProgramCache {
  readonly #programs = new Map<string, { program: Program; bytes: number }>();
  readonly #threads: number;

  constructor(threads: number) {
    this.#threads = threads;
  }

  /** The program of a graph; valid until the next `trim` or `clear`. */
  async get(builder: GraphBuilder): Promise<Program> {
    const graph = builder.finish();
    const model = encodeModel(graph);
    const key = createHash("sha256").update(model).digest("hex");
    const entry = this.#programs.get(key) ?? {
      program: await Program.create(graph, model, this.#threads),
      bytes: builder.peakBytes(),
    };
    // Map order is the order of last use.
    this.#programs.delete(key);
    this.#programs.set(key, entry);
    return entry.program;
  }

  /** Releases the longest unused programs until the others' working memory fits the limit. */
  async trim(limit = IDLE_BYTES): Promise<void> {
    let total = [...this.#programs.values()].reduce((sum, p) => sum + p.bytes, 0);
    for (const [key, { program, bytes }] of this.#programs) {
      if (total <= limit) return;
      total -= bytes;
      this.#programs.delete(key);
      await program.release();
    }
  }

  /** Releases every program. */
  async clear(): Promise<void> {
    for (const { program } of this.#programs.values()) await program.release();
    this.#programs.clear();
  }
}
