/* Where the weights of a sparse matrix are: pattern.c finds it out, sparse.h multiplies by it. */
#pragma once
#include <stdint.h>

/* Tokens to a panel of activations. */
enum { PANEL = 64 };
