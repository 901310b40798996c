/**
 * Writes an ONNX model as protocol buffers. protobufjs does the encoding; the descriptor below names only the fields of
 * onnx.proto that a training graph uses, with their published numbers.
 */
import protobuf from "protobufjs/light.js";

/** Domain of the operators in native/. */
export const COMPILED_DOMAIN = "musweep";

export type AttributeValue =
  | number
  | { readonly ints: readonly number[] }
  | { readonly float: number }
  | string;

export interface GraphNode {
  readonly op: string;
  /** "" for ONNX's own operators, COMPILED_DOMAIN for ours. */
  readonly domain: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** A plain number is an integer attribute; floats are wrapped. */
  readonly attributes: Readonly<Record<string, AttributeValue>>;
}

export type ElementType = "float32" | "int32" | "int64";

export interface GraphTensor {
  readonly name: string;
  readonly type: ElementType;
  readonly shape: readonly number[];
}

export interface Graph {
  readonly nodes: readonly GraphNode[];
  readonly inputs: readonly GraphTensor[];
  readonly outputs: readonly GraphTensor[];
  /** Shapes that ONNX Runtime cannot find out: of what our own operators give. */
  readonly stated: readonly GraphTensor[];
  /** Small constants, stored in the model. */
  readonly constants: readonly (GraphTensor & { readonly bytes: Uint8Array })[];
}

const ONNX_IR_VERSION = 10;
const ONNX_OPSET = 18;
const ELEMENT_TYPE = { float32: 1, int32: 6, int64: 7 } as const;
const ATTRIBUTE_TYPE = { float: 1, int: 2, string: 3, ints: 7 } as const;

const optional = (type: string, id: number) => ({ type, id });
const repeated = (type: string, id: number) => ({ rule: "repeated" as const, type, id });

const root = protobuf.Root.fromJSON({
  nested: {
    Model: {
      fields: {
        ir_version: optional("int64", 1),
        producer_name: optional("string", 2),
        graph: optional("Graph", 7),
        opset_import: repeated("OperatorSet", 8),
      },
    },
    OperatorSet: { fields: { domain: optional("string", 1), version: optional("int64", 2) } },
    Graph: {
      fields: {
        node: repeated("Node", 1),
        name: optional("string", 2),
        initializer: repeated("Tensor", 5),
        input: repeated("ValueInfo", 11),
        output: repeated("ValueInfo", 12),
        value_info: repeated("ValueInfo", 13),
      },
    },
    Node: {
      fields: {
        input: repeated("string", 1),
        output: repeated("string", 2),
        name: optional("string", 3),
        op_type: optional("string", 4),
        attribute: repeated("Attribute", 5),
        domain: optional("string", 7),
      },
    },
    Attribute: {
      fields: {
        name: optional("string", 1),
        f: optional("float", 2),
        i: optional("int64", 3),
        s: optional("bytes", 4),
        ints: repeated("int64", 8),
        type: optional("int32", 20),
      },
    },
    Tensor: {
      fields: {
        dims: repeated("int64", 1),
        data_type: optional("int32", 2),
        name: optional("string", 8),
        raw_data: optional("bytes", 9),
      },
    },
    ValueInfo: { fields: { name: optional("string", 1), type: optional("Type", 2) } },
    Type: { fields: { tensor_type: optional("TensorType", 1) } },
    TensorType: { fields: { elem_type: optional("int32", 1), shape: optional("Shape", 2) } },
    Shape: { fields: { dim: repeated("Dimension", 1) } },
    Dimension: { fields: { dim_value: optional("int64", 1) } },
  },
});
// protobufjs would rename fields to camelCase; Root.fromJSON keeps the names as they are written.
const Model = root.lookupType("Model");

function encodeAttribute(name: string, value: AttributeValue): object {
  if (typeof value === "number") return { name, i: value, type: ATTRIBUTE_TYPE.int };
  if (typeof value === "string") return { name, s: Buffer.from(value), type: ATTRIBUTE_TYPE.string };
  if ("float" in value) return { name, f: value.float, type: ATTRIBUTE_TYPE.float };
  return { name, ints: [...value.ints], type: ATTRIBUTE_TYPE.ints };
}

const encodeValueInfo = (t: GraphTensor): object => ({
  name: t.name,
  type: {
    tensor_type: { elem_type: ELEMENT_TYPE[t.type], shape: { dim: t.shape.map((d) => ({ dim_value: d })) } },
  },
});

/** The bytes of an ONNX model that holds the graph. */
export function encodeModel(graph: Graph): Uint8Array {
  return Model.encode({
    ir_version: ONNX_IR_VERSION,
    producer_name: "musweep",
    opset_import: [
      { domain: "", version: ONNX_OPSET },
      { domain: COMPILED_DOMAIN, version: 1 },
    ],
    graph: {
      name: "graph",
      node: graph.nodes.map((n, i) => ({
        name: `${n.op}_${i}`,
        op_type: n.op,
        domain: n.domain,
        input: n.inputs,
        output: n.outputs,
        attribute: Object.entries(n.attributes).map(([name, value]) => encodeAttribute(name, value)),
      })),
      input: graph.inputs.map(encodeValueInfo),
      output: graph.outputs.map(encodeValueInfo),
      value_info: graph.stated.map(encodeValueInfo),
      initializer: graph.constants.map((c) => ({
        name: c.name,
        dims: c.shape,
        data_type: ELEMENT_TYPE[c.type],
        raw_data: c.bytes,
      })),
    },
  }).finish();
}
