/**
 * ONNX Runtime's C API, called in the library that the onnxruntime-node package ships. That package's own binding copies
 * every output into a fresh tensor after each run; a training step has all weights and moments as outputs, so here runs are
 * bound to the caller's memory instead. docs/engine.md has the numbers.
 */
import { readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { z } from "zod";
import { COMPILED_DOMAIN, type ElementType, type Graph, type GraphTensor } from "./encode.ts";
import koffi from "./foreign.ts";
import { native } from "./native.ts";

const require = createRequire(import.meta.url);
const packageFile = require.resolve("onnxruntime-node/package.json");

/** Version of ONNX Runtime, which the package shares. */
export const runtimeVersion = z.object({ version: z.string() }).parse(require(packageFile)).version;

/** The shared library among the package's files for this platform. */
function libraryPath(): string {
  const directory = join(dirname(packageFile), "bin", "napi-v6", process.platform, process.arch);
  const file = readdirSync(directory).find((name) =>
    /^(lib)?onnxruntime\.(so|dll|\d.*dylib|dylib)/.test(name),
  );
  if (file === undefined) throw new Error(`${directory} holds no ONNX Runtime library`);
  return join(directory, file);
}

/**
 * Makes freed blocks of a mebibyte and more go back to the system at once. glibc otherwise keeps ever larger ones for itself:
 * a trainer that has seen many shapes would hold half as much memory again.
 */
function returnFreedMemory(): void {
  if (process.platform !== "linux") return;
  const M_MMAP_THRESHOLD = -3;
  try {
    koffi.load("libc.so.6").func("int mallopt(int, int)")(M_MMAP_THRESHOLD, 2 ** 20);
  } catch {
    // Another C library, with its own ways.
  }
}
returnFreedMemory();

const library = koffi.load(libraryPath());

/** Version of the function table that is asked for; the table only ever grows at its end. */
const API_VERSION = 18;

type Pointer = bigint | object;

/** Places of functions in the table, struct OrtApi of onnxruntime_c_api.h, and what they take. Each returns a status. */
const FUNCTIONS = {
  CreateEnv: [3, "int, str, _Out_ void**"],
  CreateSessionFromArray: [8, "void*, void*, size_t, void*, _Out_ void**"],
  CreateSessionOptions: [10, "_Out_ void**"],
  DisableMemPattern: [17, "void*"],
  SetSessionLogSeverityLevel: [22, "void*, int"],
  SetIntraOpNumThreads: [24, "void*, int"],
  SetInterOpNumThreads: [25, "void*, int"],
  CreateCustomOpDomain: [26, "str, _Out_ void**"],
  AddCustomOperator: [27, "void*, void*"],
  AddCustomOpDomain: [28, "void*, void*"],
  CreateTensorWithDataAsOrtValue: [49, "void*, void*, size_t, int64_t*, size_t, int, _Out_ void**"],
  CreateCpuMemoryInfo: [69, "int, int, _Out_ void**"],
  AddSessionConfigEntry: [130, "void*, str, str"],
  RunWithBinding: [133, "void*, void*, void*"],
  CreateIoBinding: [134, "void*, _Out_ void**"],
  BindInput: [136, "void*, str, void*"],
  BindOutput: [137, "void*, str, void*"],
} as const;

/** Places of functions that return no status. */
const GET_ERROR_MESSAGE = 2;
const RELEASE = { status: 93, session: 95, value: 96, options: 100, binding: 135 } as const;
const TABLE_LENGTH = 138;

type FunctionName = keyof typeof FUNCTIONS;

const base = library.func("void* OrtGetApiBase()")() as Pointer;
const [getApi] = koffi.decode(base, koffi.array("void*", 1)) as Pointer[];
const api = koffi.call(getApi, koffi.proto("void* GetApi(uint32_t)"), API_VERSION) as Pointer | null;
if (api === null) throw new Error(`ONNX Runtime ${runtimeVersion} has no C API of version ${API_VERSION}`);
/**
 * Holds the library object beside the functions: were it collected, the code would be unloaded under its sessions. A variable
 * of its own would not do, because no function refers to it.
 */
const runtime = { library, table: koffi.decode(api, koffi.array("void*", TABLE_LENGTH)) as Pointer[] };

const releaseType = koffi.proto("void Release(void*)");
const release = (kind: keyof typeof RELEASE, object: Pointer): void => {
  koffi.call(runtime.table[RELEASE[kind]]!, releaseType, object);
};
const messageType = koffi.proto("str GetErrorMessage(void*)");

const prototypes = Object.fromEntries(
  Object.entries(FUNCTIONS).map(([name, [, parameters]]) => [
    name,
    koffi.proto(`void* ${name}(${parameters})`),
  ]),
) as Record<FunctionName, ReturnType<typeof koffi.proto>>;

/** @throws Error with ONNX Runtime's own message, unless the status is that of success */
function check(name: FunctionName, status: Pointer | null): void {
  if (status === null) return;
  const message = koffi.call(runtime.table[GET_ERROR_MESSAGE]!, messageType, status) as string;
  release("status", status);
  throw new Error(`ONNX Runtime, ${name}: ${message}`);
}

/** Calls a function of the table. */
function call(name: FunctionName, ...parameters: unknown[]): void {
  check(name, koffi.call(runtime.table[FUNCTIONS[name][0]]!, prototypes[name], ...parameters));
}

const runAside = promisify(
  koffi.decode(runtime.table[FUNCTIONS.RunWithBinding[0]]!, prototypes.RunWithBinding).async,
) as (...parameters: unknown[]) => Promise<Pointer | null>;

/** Calls a function whose last parameter receives an object. */
function create(name: FunctionName, ...parameters: unknown[]): Pointer {
  const out: [Pointer | null] = [null];
  call(name, ...parameters, out);
  return out[0]!;
}

const WARNINGS_OFF = 3;
const ARENA_ALLOCATOR = 1;
const DEFAULT_MEMORY = 0;
const ELEMENT_TYPE: Record<ElementType, number> = { float32: 1, int32: 6, int64: 7 };

const environment = create("CreateEnv", WARNINGS_OFF, "musweep");
const memoryInfo = create("CreateCpuMemoryInfo", ARENA_ALLOCATOR, DEFAULT_MEMORY);

/** The operators of native/onnx_operations.c and native/onnx_products.c. */
const operators = create("CreateCustomOpDomain", COMPILED_DOMAIN);
const customOperator = native.func("void* custom_operator(int)");
const setSessionThreads = native.func("void set_session_threads(int)");
for (let i = 0; ; i++) {
  const operator = customOperator(i) as Pointer | null;
  if (operator === null) break;
  call("AddCustomOperator", operators, operator);
}

/** Session settings by ONNX Runtime's own names. */
const SETTINGS = {
  // A thread that waits spins no longer than waking it would take: a tenth faster on two threads, and no slower when
  // others need the cores.
  "session.intra_op.allow_spinning": "1",
  "session.intra_op.spin_duration_us": "20",
  // Smaller pieces of work towards the end of an operation: threads on a shared machine finish together.
  "session.dynamic_block_base": "8",
};

export type TensorData = Float32Array | Int32Array;

/** A compiled graph tied to the memory that it reads and writes. */
export class Binding {
  readonly #session: Pointer;
  readonly #binding: Pointer;
  readonly #values: Pointer[] = [];
  /** The arrays behind the values, which ONNX Runtime does not keep alive. */
  readonly #data: TensorData[] = [];

  constructor(session: Pointer, graph: Graph, bufferOf: (name: string) => TensorData) {
    this.#session = session;
    this.#binding = create("CreateIoBinding", session);
    for (const t of graph.inputs) call("BindInput", this.#binding, t.name, this.#value(t, bufferOf(t.name)));
    for (const t of graph.outputs)
      call("BindOutput", this.#binding, t.name, this.#value(t, bufferOf(t.name)));
  }

  #value({ name, type, shape }: GraphTensor, data: TensorData): Pointer {
    const size = shape.reduce((product, d) => product * d, 1);
    const arrayType = data instanceof Float32Array ? "float32" : "int32";
    if (data.length !== size || arrayType !== type)
      throw new Error(`${name} is ${type} of ${size}; the array is ${arrayType} of ${data.length}`);
    const dimensions = BigInt64Array.from(shape, BigInt);
    const value = create(
      "CreateTensorWithDataAsOrtValue",
      memoryInfo,
      data,
      data.byteLength,
      dimensions,
      shape.length,
      ELEMENT_TYPE[type],
    );
    this.#values.push(value);
    this.#data.push(data);
    return value;
  }

  /** Computes the outputs from the inputs. Blocks the event loop until done. */
  run(): void {
    call("RunWithBinding", this.#session, null, this.#binding);
  }

  /** The same on a thread of its own; the event loop goes on. */
  async runAside(): Promise<void> {
    check("RunWithBinding", await runAside(this.#session, null, this.#binding));
  }

  release(): void {
    release("binding", this.#binding);
    for (const value of this.#values) release("value", value);
  }
}

/** A compiled graph. */
export class Session {
  readonly #graph: Graph;
  readonly #session: Pointer;

  /** @param model the graph, encoded */
  constructor(graph: Graph, model: Uint8Array, threads: number) {
    this.#graph = graph;
    const options = create("CreateSessionOptions");
    try {
      call("SetIntraOpNumThreads", options, threads);
      call("SetInterOpNumThreads", options, 1);
      call("SetSessionLogSeverityLevel", options, WARNINGS_OFF);
      // A pattern of the first run would be laid out anew for the second, beside the memory of the first: half as much again.
      call("DisableMemPattern", options);
      call("AddCustomOpDomain", options, operators);
      for (const [key, value] of Object.entries(SETTINGS)) call("AddSessionConfigEntry", options, key, value);
      setSessionThreads(threads);
      this.#session = create("CreateSessionFromArray", environment, model, model.byteLength, options);
    } finally {
      release("options", options);
    }
  }

  /** @param bufferOf the array behind each input and output, by name; of exactly the tensor's size */
  bind(bufferOf: (name: string) => TensorData): Binding {
    return new Binding(this.#session, this.#graph, bufferOf);
  }

  /** Frees the session; its bindings must have been released. */
  release(): void {
    release("session", this.#session);
  }
}
