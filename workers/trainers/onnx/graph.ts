/**
 * Builds an ONNX graph value by value, with every shape known while building: a shape that does not fit is a bug here,
 * found at once, and the memory that a run needs can be stated before it starts.
 *
 * Sizes have one alphabet in this folder: B sequences per pass, T tokens per sequence, N = B·T, C d_model, H heads,
 * D d_head, F d_ffn, V vocabulary, L layers.
 */
import {
  type AttributeValue,
  COMPILED_DOMAIN,
  type ElementType,
  type Graph,
  type GraphNode,
  type GraphTensor,
} from "./encode.ts";

/** A tensor in the graph: an input, a constant, or the output of a node. */
export interface Value {
  readonly shape: readonly number[];
  readonly type: ElementType;
}

export const sizeOf = (shape: readonly number[]): number => shape.reduce((product, d) => product * d, 1);
const BYTES = { float32: 4, int32: 4, int64: 8 } as const;
const bytesOf = (v: Value): number => sizeOf(v.shape) * BYTES[v.type];

interface Node {
  readonly op: string;
  readonly domain: string;
  readonly inputs: readonly Value[];
  readonly outputs: readonly Value[];
  readonly attributes: Readonly<Record<string, AttributeValue>>;
}

/** Operators that do not compute an output that nobody reads. */
const LEAVES_OUT = new Set(["CrossEntropy"]);

/** The input that its first output may be written over. */
function overwritten({ op, domain, inputs, outputs }: Node): Value | undefined {
  if (domain !== COMPILED_DOMAIN || op === "TableGradient") return undefined;
  const input = op === "Product" ? inputs[2] : inputs[0];
  return String(input?.shape) === String(outputs[0]!.shape) ? input : undefined;
}

interface NodeOptions {
  readonly attributes?: Readonly<Record<string, AttributeValue>>;
  readonly domain?: string;
  readonly type?: ElementType;
}

interface MatMulOptions {
  /** Swap the last two axes of a, of b. */
  readonly transA?: boolean;
  readonly transB?: boolean;
  readonly alpha?: number;
  /** Added to the product; of its shape. */
  readonly onto?: Value | undefined;
}

function broadcast(a: readonly number[], b: readonly number[]): number[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => {
    const da = a[a.length - rank + i] ?? 1;
    const db = b[b.length - rank + i] ?? 1;
    if (da !== db && da !== 1 && db !== 1) throw new Error(`shapes [${a}] and [${b}] do not broadcast`);
    return Math.max(da, db);
  });
}

/** Shape and attributes of a product over the last two axes. @throws Error when the shapes do not fit */
function productOf(
  a: Value,
  b: Value,
  transA: boolean,
  transB: boolean,
  alpha: number,
): [shape: number[], attributes: Record<string, AttributeValue>] {
  const sides = ({ shape }: Value, swapped: boolean) =>
    swapped ? shape.slice(-2).toReversed() : shape.slice(-2);
  const [rows, inner] = sides(a, transA) as [number, number];
  const [innerB, columns] = sides(b, transB) as [number, number];
  const batch = a.shape.slice(0, -2);
  if (inner !== innerB || String(batch) !== String(b.shape.slice(0, -2)))
    throw new Error(`cannot multiply [${a.shape}] by [${b.shape}]`);
  const shape = [...batch, rows, columns];
  const attributes = {
    shape: { ints: shape },
    inner,
    a_turned: Number(transA),
    b_turned: Number(transB),
    alpha: { float: alpha },
  };
  return [shape, attributes];
}

export class GraphBuilder {
  readonly #nodes: Node[] = [];
  readonly #inputs = new Map<string, Value>();
  readonly #outputs = new Map<string, Value>();
  readonly #constants = new Map<string, { value: Value; bytes: Uint8Array }>();

  /** A tensor that the caller hands to every run under this name. */
  input(name: string, shape: readonly number[], type: ElementType = "float32"): Value {
    if (this.#inputs.has(name)) throw new Error(`input ${name} exists already`);
    const value: Value = { shape, type };
    this.#inputs.set(name, value);
    return value;
  }

  /** Makes a value readable after a run, under this name. */
  output(name: string, value: Value): void {
    if (this.#outputs.has(name)) throw new Error(`output ${name} exists already`);
    this.#outputs.set(name, value);
  }

  /** Small integers: axes, shapes, split sizes. Equal constants are stored once. */
  integers(values: readonly number[]): Value {
    return this.#constant([values.length], "int64", BigInt64Array.from(values, BigInt));
  }

  /** A float32 constant of any small shape. */
  floats(shape: readonly number[], values: readonly number[]): Value {
    return this.#constant(shape, "float32", Float32Array.from(values));
  }

  #constant(shape: readonly number[], type: ElementType, data: BigInt64Array | Float32Array): Value {
    const bytes = new Uint8Array(data.buffer);
    const key = `${type}[${shape}]${Buffer.from(bytes).toString("base64")}`;
    const known = this.#constants.get(key);
    if (known !== undefined) return known.value;
    const value: Value = { shape, type };
    this.#constants.set(key, { value, bytes });
    return value;
  }

  /** A node with one output. */
  node(op: string, inputs: readonly Value[], shape: readonly number[], options: NodeOptions = {}): Value {
    return this.nodes(op, inputs, [shape], options)[0]!;
  }

  /** A node with several outputs, all of one type. */
  nodes(
    op: string,
    inputs: readonly Value[],
    shapes: readonly (readonly number[])[],
    options: NodeOptions = {},
  ): Value[] {
    const outputs = shapes.map((shape): Value => ({ shape, type: options.type ?? "float32" }));
    const { domain = "", attributes = {} } = options;
    this.#nodes.push({ op, domain, inputs, outputs, attributes });
    return outputs;
  }

  /** One of the operations in native/operations.c; it writes its first output over its first input where it can. */
  compiled(
    op: string,
    inputs: readonly Value[],
    shapes: readonly (readonly number[])[],
    { start = 0, epsilon = 0 } = {},
  ): Value[] {
    const attributes = { shape: { ints: inputs[0]!.shape }, start, epsilon: { float: epsilon } };
    return this.nodes(op, inputs, shapes, { domain: COMPILED_DOMAIN, attributes });
  }

  #elementwise(op: string, a: Value, b: Value): Value {
    return this.node(op, [a, b], broadcast(a.shape, b.shape));
  }
  add = (a: Value, b: Value): Value => this.#elementwise("Add", a, b);
  mul = (a: Value, b: Value): Value => this.#elementwise("Mul", a, b);
  /** x times a constant; x itself for 1. */
  scale = (x: Value, factor: number): Value => (factor === 1 ? x : this.mul(x, this.floats([1], [factor])));

  /** Over the last axis, which stays with length 1. */
  mean(x: Value): Value {
    const axis = x.shape.length - 1;
    const shape = x.shape.with(axis, 1);
    return this.node("ReduceMean", [x, this.integers([axis])], shape, { attributes: { keepdims: 1 } });
  }

  reshape(x: Value, shape: readonly number[]): Value {
    if (sizeOf(shape) !== sizeOf(x.shape)) throw new Error(`cannot reshape [${x.shape}] to [${shape}]`);
    return this.node("Reshape", [x, this.integers(shape)], shape, { type: x.type });
  }

  transpose(x: Value, permutation: readonly number[]): Value {
    const shape = permutation.map((axis) => x.shape[axis]!);
    return this.node("Transpose", [x], shape, { attributes: { perm: { ints: permutation } } });
  }

  /** Pieces of the given lengths along one axis. */
  split(x: Value, lengths: readonly number[], axis: number): Value[] {
    if (lengths.length === 1) return [x];
    const shapes = lengths.map((length) => x.shape.map((d, i) => (i === axis ? length : d)));
    return this.nodes("Split", [x, this.integers(lengths)], shapes, { attributes: { axis } });
  }

  /** Elements start … end − 1 along one axis. */
  slice(x: Value, axis: number, start: number, end: number): Value {
    const shape = x.shape.map((d, i) => (i === axis ? end - start : d));
    const bounds = [start, end, axis].map((value) => this.integers([value]));
    return this.node("Slice", [x, ...bounds], shape);
  }

  concat(parts: readonly Value[], axis: number): Value {
    if (parts.length === 1) return parts[0]!;
    const total = parts.reduce((sum, p) => sum + p.shape[axis]!, 0);
    const shape = parts[0]!.shape.map((d, i) => (i === axis ? total : d));
    return this.node("Concat", parts, shape, { attributes: { axis } });
  }

  /**
   * alpha · a·b over the last two axes, one for each of the others, which a and b share; plus `onto`. One of the products in
   * native/product.c; a transposed operand costs nothing.
   */
  matmul(a: Value, b: Value, { transA = false, transB = false, alpha = 1, onto }: MatMulOptions = {}): Value {
    const [shape, attributes] = productOf(a, b, transA, transB, alpha);
    if (onto !== undefined && String(onto.shape) !== String(shape))
      throw new Error(`cannot add a product of [${shape}] to [${onto.shape}]`);
    const inputs = onto === undefined ? [a, b] : [a, b, onto];
    return this.node("Product", inputs, shape, { domain: COMPILED_DOMAIN, attributes });
  }

  /** alpha · aᵀ·b, and row i of `rows` added to its row tokens[i]. a [N, V], b [N, C], tokens [N] int32, rows [N, C] → [V, C] */
  tableGradient(a: Value, b: Value, tokens: Value, rows: Value, alpha: number): Value {
    const [shape, attributes] = productOf(a, b, true, false, alpha);
    return this.node("TableGradient", [a, b, tokens, rows], shape, { domain: COMPILED_DOMAIN, attributes });
  }

  /** The finished graph, ready to be encoded. */
  finish(): Graph {
    const names = new Map<Value, string>();
    for (const [name, value] of this.#inputs) names.set(value, name);
    for (const [name, value] of this.#outputs) names.set(value, name);
    const nameOf = (value: Value): string => {
      const known = names.get(value);
      if (known !== undefined) return known;
      const name = `v${names.size}`;
      names.set(value, name);
      return name;
    };
    const tensor = ([name, value]: [string, Value]): GraphTensor => ({ name, ...value });
    const outputs = new Set(this.#outputs.values());
    const nodes = this.#listed();
    const read = new Set([...nodes.flatMap((n) => n.inputs), ...outputs]);
    return {
      stated: nodes
        .filter((n) => n.domain === COMPILED_DOMAIN)
        .flatMap((n) => n.outputs.filter((v) => !outputs.has(v) && (read.has(v) || !LEAVES_OUT.has(n.op))))
        .map((v) => tensor([nameOf(v), v])),
      inputs: [...this.#inputs].map(tensor),
      outputs: [...this.#outputs].map(tensor),
      constants: [...this.#constants.values()].map(({ value, bytes }) => ({
        name: nameOf(value),
        ...value,
        bytes,
      })),
      nodes: nodes.map(
        (n): GraphNode => ({
          ...n,
          inputs: n.inputs.map(nameOf),
          outputs: n.outputs.map((v) => (LEAVES_OUT.has(n.op) && !read.has(v) ? "" : nameOf(v))),
        }),
      ),
    };
  }

  /**
   * What the outputs need, in an order that makes ONNX Runtime run it about as it was built: nodes whose results no other node
   * uses come last, and of these the first is last, because there it begins. Left as built, the gradients of weights would
   * wait for the end of the backward pass, when what they are made of has left the caches.
   */
  #listed(): readonly Node[] {
    const needed = new Set(this.#outputs.values());
    const nodes: Node[] = [];
    for (const n of this.#nodes.toReversed()) {
      if (!n.outputs.some((v) => needed.has(v))) continue;
      nodes.push(n);
      for (const v of n.inputs) needed.add(v);
    }
    nodes.reverse();
    const used = new Set(nodes.flatMap((n) => n.inputs));
    const isLast = (n: Node): boolean => !n.outputs.some((v) => used.has(v));
    return [...nodes.filter((n) => !isLast(n)), ...nodes.filter(isLast).toReversed()];
  }

  /** The order in which ONNX Runtime runs the list: from its end, each node after what it needs, and of that the last first. */
  #executed(): readonly Node[] {
    const listed = this.#listed();
    const places = new Map(listed.map((n, i) => [n, i]));
    const makers = new Map(listed.flatMap((n) => n.outputs.map((v) => [v, n])));
    const order = new Set<Node>();
    const pending = listed.map((node) => ({ node, ready: false }));
    while (pending.length > 0) {
      const { node, ready } = pending.pop()!;
      if (order.has(node)) continue;
      if (ready) order.add(node);
      else {
        const needed = node.inputs.flatMap((v) => makers.get(v) ?? []);
        const last = needed.toSorted((a, b) => places.get(a)! - places.get(b)!);
        pending.push({ node, ready: true }, ...last.map((n) => ({ node: n, ready: false })));
      }
    }
    return [...order];
  }

  /**
   * The most bytes of intermediate tensors alive at once, when each is freed after its last use. Inputs and outputs belong to
   * the caller and are not counted. That ONNX Runtime writes some of its own results over operands is left out.
   */
  peakBytes(): number {
    const nodes = this.#executed();
    const lastUse = new Map<Value, number>();
    nodes.forEach((n, i) => {
      for (const v of n.inputs) lastUse.set(v, i);
    });
    const outside = new Set<Value>([
      ...this.#inputs.values(),
      ...this.#outputs.values(),
      ...[...this.#constants.values()].map((c) => c.value),
    ]);
    let alive = 0;
    let peak = 0;
    nodes.forEach((n, i) => {
      const over = overwritten(n);
      const made = n.outputs.filter((v) => !outside.has(v) && (lastUse.has(v) || !LEAVES_OUT.has(n.op)));
      const isLastUse = over !== undefined && lastUse.get(over) === i && !outside.has(over);
      const inPlace = isLastUse && made.includes(n.outputs[0]!);
      if (inPlace) alive -= bytesOf(over);
      alive += made.reduce((sum, v) => sum + bytesOf(v), 0);
      peak = Math.max(peak, alive);
      for (const v of [...new Set(n.inputs), ...made]) {
        if (outside.has(v) || (inPlace && v === over)) continue;
        if ((lastUse.get(v) ?? i) <= i) alive -= bytesOf(v);
      }
    });
    return peak;
  }
}
