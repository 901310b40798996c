/*
 * Makes the operations known to ONNX Runtime as custom operators: struct OrtCustomOp of onnxruntime_c_api.h. Of that file
 * only what is needed is declared here, by its place: the package that ships the library does not ship the header, and the
 * interface only ever grows at its end.
 *
 * A node carries what its operation needs: `shape`, the first input's; `start` and `epsilon` where they mean something.
 */
#include <stdlib.h>
#include <string.h>
#include "operations.h"

/* The version of the interface from which an operator may write over its input. */
enum { INTERFACE_VERSION = 18 };

typedef void *Status; /* null: well done */
/* struct OrtApi is a table of functions; these are the places of those used here. */
typedef void *const *Api;
enum {
  GET_TENSOR_DATA = 51,
  GET_FLOAT = 85,
  GET_INTEGER = 86,
  COUNT_INPUTS = 88,
  GET_INPUT = 90,
  GET_OUTPUT = 91,
  GET_INTEGERS = 163,
  PARALLEL_FOR = 274,
};
typedef Status GetTensorData(void *value, void **data);
typedef Status GetFloat(const void *info, const char *name, float *out);
typedef Status GetInteger(const void *info, const char *name, int64_t *out);
typedef Status GetIntegers(const void *info, const char *name, int64_t *out, size_t *count);
typedef Status CountInputs(const void *context, size_t *count);
typedef Status GetInput(const void *context, size_t index, void **value);
typedef Status GetOutput(void *context, size_t index, const int64_t *shape, size_t axes, void **value);
typedef Status ParallelFor(const void *context, void (*part)(void *data, size_t index), size_t parts, size_t batches,
                           void *data);

/* Numbers that one thread takes at a time; the shape alone decides on chunks, so sums over them are always the same. */
enum { CHUNK = 16384 };

/* A node of a session. */
typedef struct {
  Api api;
  const Operation *operation;
  Call call; /* without arguments */
  int64_t chunk_rows, chunks;
} Node;

/* One run of a node. */
typedef struct {
  const Node *node;
  Call call;
  int64_t sums;    /* outputs that are sums over rows; they come last */
  float *partials; /* [chunks, sums, columns], or null */
} Run;

static void run_chunk(void *data, size_t index) {
  const Run *run = data;
  const int64_t begin = (int64_t)index * run->node->chunk_rows;
  const int64_t end = begin + run->node->chunk_rows;
  run->node->operation->loop(&run->call, begin, end < run->call.rows ? end : run->call.rows,
                             run->partials ? run->partials + (int64_t)index * run->sums * run->call.columns : 0);
}

static Status run_node(void *kernel, void *context) {
  const Node *node = kernel;
  const Operation *operation = node->operation;
  Run run = {node, node->call, 0, 0};
  void *value;
  size_t inputs;
  Status status = ((CountInputs *)node->api[COUNT_INPUTS])(context, &inputs);
  if (status) return status;
  for (size_t i = 0; i < inputs; i++) {
    if ((status = ((GetInput *)node->api[GET_INPUT])(context, i, &value))) return status;
    if ((status = ((GetTensorData *)node->api[GET_TENSOR_DATA])(value, (void **)&run.call.in[i]))) return status;
  }
  for (int64_t i = 0; i < operation->outputs; i++) {
    const OutputShape shape = operation->output_shapes[i];
    const int64_t one_each[] = {run.call.rows, 1}, turned[] = {run.call.rows, run.call.columns};
    const int64_t *sizes = shape == AS_INPUT ? run.call.shape
                           : shape == ROWS   ? one_each
                           : shape == TURNED ? turned
                                             : &run.call.columns;
    const int64_t axes = shape == AS_INPUT ? run.call.axes : shape == COLUMN_SUMS ? 1 : 2;
    if ((status = ((GetOutput *)node->api[GET_OUTPUT])(context, i, sizes, axes, &value))) return status;
    if ((status = ((GetTensorData *)node->api[GET_TENSOR_DATA])(value, (void **)&run.call.out[i]))) return status;
    if (shape == COLUMN_SUMS) run.sums++;
  }
  const int64_t columns = run.call.columns, wide = run.sums * columns;
  if (run.sums) run.partials = calloc(node->chunks * wide, sizeof(float));
  status = ((ParallelFor *)node->api[PARALLEL_FOR])(context, run_chunk, node->chunks, 0, &run);
  for (int64_t sum = 0; sum < run.sums; sum++) {
    float *total = run.call.out[operation->outputs - run.sums + sum];
    memset(total, 0, columns * sizeof(float));
    for (int64_t chunk = 0; chunk < node->chunks; chunk++)
      for (int64_t i = 0; i < columns; i++) total[i] += run.partials[chunk * wide + sum * columns + i];
  }
  free(run.partials);
  return status;
}

/* struct OrtCustomOp, and which operation it is of. */
typedef struct Operator Operator;
struct Operator {
  uint32_t version;
  void *(*create_kernel)(const Operator *, Api, const void *info);
  const char *(*name)(const Operator *);
  const char *(*provider)(const Operator *);
  int (*input_type)(const Operator *, size_t);
  size_t (*inputs)(const Operator *);
  int (*output_type)(const Operator *, size_t);
  size_t (*outputs)(const Operator *);
  void (*compute)(void *kernel, void *context);
  void (*destroy_kernel)(void *kernel);
  int (*input_characteristic)(const Operator *, size_t);
  int (*output_characteristic)(const Operator *, size_t);
  int (*input_memory)(const Operator *, size_t);
  int (*variadic[4])(const Operator *);
  Status (*create_kernel_2)(const Operator *, Api, const void *info, void **kernel);
  Status (*compute_2)(void *kernel, void *context);
  Status (*infer_shape)(const Operator *, void *context);
  int (*first_opset)(const Operator *);
  int (*last_opset)(const Operator *);
  size_t (*may_overwrite)(int **inputs, int **outputs);
  void (*release_may_overwrite)(int *inputs, int *outputs);
  size_t (*aliases)(int **inputs, int **outputs);
  void (*release_aliases)(int *inputs, int *outputs);
  const Operation *operation;
};

static const char *name_of(const Operator *op) { return op->operation->name; }
static const char *provider_of(const Operator *op) { return (void)op, (const char *)0; }
static size_t inputs_of(const Operator *op) { return op->operation->inputs; }
static size_t outputs_of(const Operator *op) { return op->operation->outputs; }
static int zero(const Operator *op) { return (void)op, 0; }
static int one(const Operator *op) { return (void)op, 1; }
static int optional_if_last(const Operator *op, size_t index) { return (int64_t)index >= op->operation->required; }
static int zero_at(const Operator *op, size_t index) { return (void)op, (void)index, 0; }
static int any_opset(const Operator *op) { return (void)op, 0x7fffffff; }
/* ONNXTensorElementDataType */
static int input_type(const Operator *op, size_t i) { return op->operation->input_types[i] == FLOATS ? 1 : 6; }
static int output_type(const Operator *op, size_t index) { return (void)op, (void)index, 1; }

/* Asked without saying of which operator; ONNX Runtime itself sees to it that the sizes agree. */
static size_t first_over_first(int **inputs, int **outputs) {
  *inputs = calloc(1, sizeof(int));
  *outputs = calloc(1, sizeof(int));
  return 1;
}
static void release(int *inputs, int *outputs) {
  free(inputs);
  free(outputs);
}

static Status create_node(const Operator *op, Api api, const void *info, void **kernel) {
  Node *node = calloc(1, sizeof *node);
  node->api = api;
  node->operation = op->operation;
  Call *call = &node->call;
  size_t axes = MOST_AXES;
  Status status = ((GetIntegers *)api[GET_INTEGERS])(info, "shape", call->shape, &axes);
  if (!status) status = ((GetInteger *)api[GET_INTEGER])(info, "start", &call->start);
  if (!status) status = ((GetFloat *)api[GET_FLOAT])(info, "epsilon", &call->epsilon);
  if (status) {
    free(node);
    return status;
  }
  call->axes = (int64_t)axes;
  call->columns = call->shape[axes - 1];
  call->rows = 1;
  for (size_t i = 0; i + 1 < axes; i++) call->rows *= call->shape[i];
  const int turned = op->operation->output_shapes[0] == TURNED;
  if (turned) {
    call->rows = call->shape[1];
    call->columns = call->shape[0];
  }
  const int64_t least_rows = turned ? 16 : 1; /* as many as are taken at a time */
  node->chunk_rows = CHUNK / call->columns / least_rows * least_rows;
  if (node->chunk_rows < least_rows) node->chunk_rows = least_rows;
  node->chunks = (call->rows + node->chunk_rows - 1) / node->chunk_rows;
  *kernel = node;
  return 0;
}

/* The operators one after the other; null after the last. */
const void *custom_operator(int index) {
  enum { MOST = 16 };
  static Operator operators[MOST];
  if (index >= operation_count || index >= MOST) return 0;
  operators[index] = (Operator){
      .version = INTERFACE_VERSION,
      .name = name_of,
      .provider = provider_of,
      .input_type = input_type,
      .inputs = inputs_of,
      .output_type = output_type,
      .outputs = outputs_of,
      .destroy_kernel = free,
      .input_characteristic = optional_if_last,
      .output_characteristic = zero_at,
      .input_memory = zero_at,
      .variadic = {one, zero, one, zero},
      .create_kernel_2 = create_node,
      .compute_2 = run_node,
      .first_opset = one,
      .last_opset = any_opset,
      .may_overwrite = operations[index].output_shapes[0] == AS_INPUT ? first_over_first : 0,
      .release_may_overwrite = release,
      .operation = &operations[index],
  };
  return &operators[index];
}
