/*
 * Makes matrix products known to ONNX Runtime as custom operators. Its own add up pieces of 128 in memory, and need copies of
 * transposed left factors; docs/engine.md has the numbers.
 *
 * A node carries `shape`, the result's, [..., rows, columns]; `inner`; `a_turned`, `b_turned`; and `alpha`.
 */
#include <string.h>
#include "onnx.h"
#include "product.h"

/* Product: a, b, onto or nothing. TableGradient: a, b, tokens [inner] int32, rows [inner, columns]. */
typedef struct {
  const char *name;
  size_t inputs, required;
} Kind;
static const Kind kinds[] = {{"Product", 3, 2}, {"TableGradient", 4, 4}};
enum { KINDS = sizeof kinds / sizeof kinds[0], ONTO = 2, TOKENS = 2, ROWS = 3, MOST_INPUTS = 4, MOST_AXES = 4 };

/* Threads of the sessions that are created from now on. */
static int64_t threads_of_sessions = 1;
void set_session_threads(int threads) { threads_of_sessions = threads; }

/* A node of a session. */
typedef struct {
  Api api;
  const Kind *kind;
  int64_t shape[MOST_AXES], axes;
  Product product; /* without arrays */
  int64_t parts;
} Node;

typedef struct {
  const Product *product;
  int64_t parts;
} Run;

static void run_part(void *data, size_t index) {
  const Run *run = data;
  multiply(run->product, (int64_t)index, run->parts);
}

static Status run_node(void *kernel, void *context) {
  const Node *node = kernel;
  const Api api = node->api;
  Product product = node->product;
  const void *in[MOST_INPUTS] = {0};
  size_t inputs;
  Status status = ((CountInputs *)api[COUNT_INPUTS])(context, &inputs);
  for (size_t i = 0; !status && i < inputs; i++) status = get_input(api, context, i, &in[i]);
  if (!status) status = get_output(api, context, 0, node->shape, node->axes, &product.out);
  if (status) return status;
  product.a = in[0];
  product.b = in[1];
  const int is_table = node->kind->required > ONTO;
  if (!is_table) product.onto = in[ONTO];
  Run run = {&product, node->parts};
  if (node->parts == 1) run_part(&run, 0);
  else status = ((ParallelFor *)api[PARALLEL_FOR])(context, run_part, node->parts, 0, &run);
  if (is_table && !status) {
    const int32_t *tokens = in[TOKENS];
    const float *row = in[ROWS];
    /* One after the other: tokens come more than once, and are added up in their order. */
    for (int64_t i = 0; i < product.inner; i++, row += product.columns) {
      float *to = product.out + tokens[i] * product.columns;
      for (int64_t j = 0; j < product.columns; j++) to[j] += row[j];
    }
  }
  return status;
}

static Status create_node(const Operator *op, Api api, const void *info, void **kernel) {
  Node *node = calloc(1, sizeof *node);
  node->api = api;
  node->kind = op->operation;
  Product *p = &node->product;
  size_t axes = MOST_AXES;
  Status status = ((GetIntegers *)api[GET_INTEGERS])(info, "shape", node->shape, &axes);
  if (!status) status = ((GetInteger *)api[GET_INTEGER])(info, "inner", &p->inner);
  if (!status) status = ((GetInteger *)api[GET_INTEGER])(info, "a_turned", &p->a_turned);
  if (!status) status = ((GetInteger *)api[GET_INTEGER])(info, "b_turned", &p->b_turned);
  if (!status) status = ((GetFloat *)api[GET_FLOAT])(info, "alpha", &p->alpha);
  if (status) {
    free(node);
    return status;
  }
  node->axes = (int64_t)axes;
  p->rows = node->shape[axes - 2];
  p->columns = node->shape[axes - 1];
  p->batch = 1;
  for (size_t i = 0; i + 2 < axes; i++) p->batch *= node->shape[i];
  /* Twice as many as threads, so that these finish together; waking one takes as long as a million multiplications. */
  const int64_t worth_it = p->batch * p->rows * p->columns * p->inner >> 20;
  const int64_t most = threads_of_sessions == 1 ? 1 : 2 * threads_of_sessions;
  node->parts = worth_it < 1 ? 1 : worth_it < most ? worth_it : most;
  *kernel = node;
  return 0;
}

static const Kind *of(const Operator *op) { return op->operation; }
static const char *name_of(const Operator *op) { return of(op)->name; }
static size_t inputs_of(const Operator *op) { return of(op)->inputs; }
static size_t one_output(const Operator *op) { return (void)op, 1; }
static int optional_if_last(const Operator *op, size_t index) { return index >= of(op)->required; }
static int input_type(const Operator *op, size_t i) {
  return of(op)->required > ONTO && i == TOKENS ? INTEGER_NUMBERS : FLOAT_NUMBERS;
}
static size_t over_onto(int **inputs, int **outputs) { return one_pair(ONTO, inputs, outputs); }

const Operator *product_operator(int index) {
  static Operator operators[KINDS];
  if (index >= KINDS) return 0;
  operators[index] = (Operator){
      OPERATOR_BASE,
      .name = name_of,
      .input_type = input_type,
      .inputs = inputs_of,
      .outputs = one_output,
      .input_characteristic = optional_if_last,
      .create_kernel_2 = create_node,
      .compute_2 = run_node,
      .may_overwrite = kinds[index].required > ONTO ? 0 : over_onto,
      .operation = &kinds[index],
  };
  return &operators[index];
}
