/* The model's own operations, as onnx_operations.c hands them to ONNX Runtime. */
#pragma once
#include <stdint.h>

enum { MOST_INPUTS = 6, MOST_OUTPUTS = 3, MOST_AXES = 4 };

typedef enum { FLOATS, INTEGERS } ElementType;

/* Of an output, with the first input seen as rows of `columns` numbers each. */
typedef enum {
  AS_INPUT,    /* the first input's; written over it where nobody needs that any more */
  ROWS,        /* [rows, 1] */
  COLUMN_SUMS, /* [columns], a sum over rows */
} OutputShape;

/* One node's arguments. */
typedef struct {
  const void *in[MOST_INPUTS];
  float *out[MOST_OUTPUTS];
  int64_t shape[MOST_AXES]; /* of the first input */
  int64_t axes;
  /* The product of all axes but the last, and the last. */
  int64_t rows, columns;
  int64_t start;
  float epsilon;
} Call;

/* Works on rows begin ... end - 1. partial: [columns] of zeros for each sum over these rows, null if there is no such output */
typedef void Loop(const Call *call, int64_t begin, int64_t end, float *partial);

typedef struct {
  const char *name;
  Loop *loop;
  int64_t inputs, required; /* the last input may be missing if there is one more than required */
  ElementType input_types[MOST_INPUTS];
  int64_t outputs;
  OutputShape output_shapes[MOST_OUTPUTS];
} Operation;

extern const Operation operations[];
extern const int operation_count;
