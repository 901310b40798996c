/*
 * Makes the operations known to ONNX Runtime as custom operators.
 *
 * A node carries what its operation needs: `shape`, the first input's; `start` and `epsilon` where they mean something.
 */
#include <string.h>
#include "onnx.h"
#include "operations.h"

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
  size_t inputs;
  Status status = ((CountInputs *)node->api[COUNT_INPUTS])(context, &inputs);
  if (status) return status;
  for (size_t i = 0; i < inputs; i++)
    if ((status = get_input(node->api, context, i, &run.call.in[i]))) return status;
  for (int64_t i = 0; i < operation->outputs; i++) {
    const OutputShape shape = operation->output_shapes[i];
    const int64_t one_each[] = {run.call.rows, 1};
    const int64_t *sizes = shape == AS_INPUT ? run.call.shape : shape == ROWS ? one_each : &run.call.columns;
    const int64_t axes = shape == AS_INPUT ? run.call.axes : shape == COLUMN_SUMS ? 1 : 2;
    if ((status = get_output(node->api, context, i, sizes, axes, &run.call.out[i]))) return status;
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

static const Operation *of(const Operator *op) { return op->operation; }
static const char *name_of(const Operator *op) { return of(op)->name; }
static size_t inputs_of(const Operator *op) { return of(op)->inputs; }
static size_t outputs_of(const Operator *op) { return of(op)->outputs; }
static int optional_if_last(const Operator *op, size_t index) { return (int64_t)index >= of(op)->required; }
static int input_type(const Operator *op, size_t i) {
  return of(op)->input_types[i] == FLOATS ? FLOAT_NUMBERS : INTEGER_NUMBERS;
}
/* Asked without saying of which operator; ONNX Runtime itself sees to it that the sizes agree. */
static size_t first_over_first(int **inputs, int **outputs) { return one_pair(0, inputs, outputs); }

static Status create_node(const Operator *op, Api api, const void *info, void **kernel) {
  Node *node = calloc(1, sizeof *node);
  node->api = api;
  node->operation = of(op);
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
  node->chunk_rows = CHUNK / call->columns;
  if (node->chunk_rows < 1) node->chunk_rows = 1;
  node->chunks = (call->rows + node->chunk_rows - 1) / node->chunk_rows;
  *kernel = node;
  return 0;
}

/* The operators one after the other; null after the last. */
const void *custom_operator(int index) {
  enum { MOST = 16 };
  static Operator operators[MOST];
  if (index >= operation_count || index >= MOST) return product_operator(index - operation_count);
  operators[index] = (Operator){
      OPERATOR_BASE,
      .name = name_of,
      .input_type = input_type,
      .inputs = inputs_of,
      .outputs = outputs_of,
      .input_characteristic = optional_if_last,
      .create_kernel_2 = create_node,
      .compute_2 = run_node,
      .may_overwrite = operations[index].output_shapes[0] == AS_INPUT ? first_over_first : 0,
      .operation = &operations[index],
  };
  return &operators[index];
}
