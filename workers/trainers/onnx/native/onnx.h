/*
 * The part of ONNX Runtime's interface that custom operators need: of onnxruntime_c_api.h, declared here by its place. The
 * package that ships the library does not ship the header, and the interface only ever grows at its end.
 */
#pragma once
#include <stdint.h>
#include <stdlib.h>

/* The version of the interface from which an operator may write over its input. */
enum { INTERFACE_VERSION = 18 };
/* ONNXTensorElementDataType */
enum { FLOAT_NUMBERS = 1, INTEGER_NUMBERS = 6 };

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

static inline Status get_input(Api api, const void *context, size_t index, const void **data) {
  void *value;
  const Status status = ((GetInput *)api[GET_INPUT])(context, index, &value);
  return status ? status : ((GetTensorData *)api[GET_TENSOR_DATA])(value, (void **)data);
}

/* Null for an output that nobody reads. */
static inline Status get_output(Api api, void *context, size_t index, const int64_t *shape, size_t axes, float **data) {
  void *value;
  const Status status = ((GetOutput *)api[GET_OUTPUT])(context, index, shape, axes, &value);
  *data = 0;
  return status || !value ? status : ((GetTensorData *)api[GET_TENSOR_DATA])(value, (void **)data);
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
  const void *operation;
};

static inline const char *no_provider(const Operator *op) { return (void)op, (const char *)0; }
static inline int zero(const Operator *op) { return (void)op, 0; }
static inline int one(const Operator *op) { return (void)op, 1; }
static inline int zero_at(const Operator *op, size_t index) { return (void)op, (void)index, 0; }
static inline int one_at(const Operator *op, size_t index) { return (void)op, (void)index, 1; }
static inline int any_opset(const Operator *op) { return (void)op, 0x7fffffff; }
static inline int gives_floats(const Operator *op, size_t index) { return (void)op, (void)index, FLOAT_NUMBERS; }

/* One input and one output, for may_overwrite. */
static inline size_t one_pair(int input, int **inputs, int **outputs) {
  *inputs = malloc(sizeof(int));
  *outputs = malloc(sizeof(int));
  **inputs = input;
  **outputs = 0;
  return 1;
}
static inline void release_pair(int *inputs, int *outputs) {
  free(inputs);
  free(outputs);
}

/* What every operator says alike. */
#define OPERATOR_BASE                                                                                                   \
  .version = INTERFACE_VERSION, .provider = no_provider, .output_type = gives_floats, .destroy_kernel = free,           \
  .output_characteristic = one_at, .input_memory = zero_at, .variadic = {one, zero, one, zero}, .first_opset = one,     \
  .last_opset = any_opset, .release_may_overwrite = release_pair

/* The matrix products' operators one after the other; null after the last. */
const Operator *product_operator(int index);
